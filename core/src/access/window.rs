//! A count of things in a window of time.

use crate::failure::Allowance;

/// Length of the window in which requests and failed attempts are counted, in milliseconds. It
/// begins with the first of them.
const WINDOW_MS: u64 = 60_000;

/// A number of things in one window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    began_ms: u64,
    pub(super) count: u32,
}

impl Window {
    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.began_ms.saturating_add(WINDOW_MS)
    }

    pub(super) fn advance(&mut self, now_ms: u64) {
        if self.count == 0 || self.is_over(now_ms) {
            *self = Self {
                began_ms: now_ms,
                count: 0,
            };
        }
    }

    pub(super) fn reset_s(&self, now_ms: u64) -> u32 {
        let left_ms = self
            .began_ms
            .saturating_add(WINDOW_MS)
            .saturating_sub(now_ms);
        u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX)
    }

    pub(super) fn allowance(&self, limit: u32, now_ms: u64) -> Allowance {
        Allowance {
            limit,
            remaining: limit.saturating_sub(self.count),
            reset_s: if self.count == 0 {
                0
            } else {
                self.reset_s(now_ms)
            },
        }
    }
}

/// Uses the value of `key` in a list. A missing key is added first.
pub(super) fn with<K: PartialEq, V: Default, T>(
    list: &mut Vec<(K, V)>,
    key: K,
    use_value: impl FnOnce(&mut V) -> T,
) -> T {
    if let Some((_, value)) = list.iter_mut().find(|(other, _)| *other == key) {
        return use_value(value);
    }
    let mut value = V::default();
    let result = use_value(&mut value);
    list.push((key, value));
    result
}
