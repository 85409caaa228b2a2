//! The limits of clients, and the counts of what they have used.
//!
//! Counts are kept per isolate, because one isolate cannot see another's. A shared counter can
//! later replace this file's types: a caller asks for permission, gets a success or a failure, and
//! reports the end of each run.

use crate::access::grant::Grant;
use crate::access::key::KeyId;
use crate::access::places::Places;
use crate::failure::{Allowance, Failure};
use core::net::{IpAddr, Ipv6Addr};

/// Length of the window in which requests and failed attempts are counted, in milliseconds. It
/// begins with the first of them.
const WINDOW_MS: u64 = 60_000;

/// Failed attempts of one address in a window, after which the address has to wait.
pub(crate) const MAX_FAILED_ATTEMPTS: u32 = 20;

/// Refusals in a window that are logged although the request had no valid key.
pub const MAX_LOGGED_STRANGERS: u32 = 60;

/// Addresses whose failed attempts are remembered: about 100 kB. An attacker with more addresses
/// starts again at zero, which does not help: a secret has 160 random bits.
const MAX_ADDRESSES: usize = 4096;

/// All counts of one isolate. Source: the isolate's own requests; never stale, and gone with the
/// isolate.
#[derive(Debug, Default)]
pub struct Counts {
    // Lists and not maps, because the code of a map is larger than the data. The lists are short,
    // except for the attempts of a flood.
    keys: Vec<(KeyId, Window)>,
    pub places: Places,
    attempts: Vec<(Option<IpAddr>, Window)>,
    strangers: Window,
    /// Refusals of strangers that were not logged since the last one that was.
    unlogged: u32,
}

/// A number of things in one window.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began_ms: u64,
    count: u32,
}

impl Counts {
    /// Counts a request for a run. A refused request is not counted.
    pub fn request(&mut self, client: &Grant, now_ms: u64) -> Result<Option<Allowance>, Failure> {
        let Some(limit) = client.limits.requests_per_minute else {
            return Ok(None);
        };
        with(&mut self.keys, client.id.clone(), |window| {
            window.advance(now_ms);
            if window.count >= limit {
                return Err(Failure::RateLimitExceeded(window.allowance(limit, now_ms)));
            }
            window.count = window.count.saturating_add(1);
            Ok(Some(window.allowance(limit, now_ms)))
        })
    }

    /// Returns the remaining allowance without using any of it.
    pub fn allowance(&self, client: &Grant, now_ms: u64) -> Option<Allowance> {
        let limit = client.limits.requests_per_minute?;
        let counted = self.keys.iter().find(|(id, _)| *id == client.id);
        let mut window = counted.map(|(_, window)| *window).unwrap_or_default();
        window.advance(now_ms);
        Some(window.allowance(limit, now_ms))
    }

    /// Refuses a request that was counted here, because a counter outside this isolate refused it.
    /// The request is counted no longer.
    pub fn refused_elsewhere(&mut self, client: &Grant, now_ms: u64) -> Failure {
        with(&mut self.keys, client.id.clone(), |window| {
            window.count = window.count.saturating_sub(1);
        });
        let limit = client.limits.requests_per_minute.unwrap_or_default();
        let left = self.allowance(client, now_ms);
        Failure::RateLimitExceeded(Allowance {
            limit,
            remaining: 0,
            reset_s: left.map_or(1, |left| left.reset_s.max(1)),
        })
    }

    /// Decides if the refusal of a request that was not admitted is logged, because scanners send
    /// thousands. If it is, returns the number of refusals that were not logged since the last one.
    pub fn log_stranger(&mut self, now_ms: u64) -> Option<u32> {
        self.strangers.advance(now_ms);
        self.strangers.count = self.strangers.count.saturating_add(1);
        if self.strangers.count <= MAX_LOGGED_STRANGERS {
            Some(std::mem::take(&mut self.unlogged))
        } else {
            self.unlogged = self.unlogged.saturating_add(1);
            None
        }
    }

    /// Counts a caller that was not admitted, and returns the failure that it receives. A valid key
    /// from the same address is admitted anyway. So nobody can lock out other users of the same
    /// address.
    pub fn failed_attempt(
        &mut self,
        address: Option<IpAddr>,
        denied: Failure,
        now_ms: u64,
    ) -> Failure {
        if self.attempts.len() >= MAX_ADDRESSES {
            self.attempts.retain(|(_, window)| !window.is_over(now_ms));
            if self.attempts.len() >= MAX_ADDRESSES {
                self.attempts.clear();
            }
        }
        with(&mut self.attempts, address.map(network_of), |window| {
            window.advance(now_ms);
            window.count = window.count.saturating_add(1);
            if window.count > MAX_FAILED_ATTEMPTS {
                Failure::TooManyFailedAttempts {
                    retry_after_s: window.reset_s(now_ms),
                    is_first: window.count == MAX_FAILED_ATTEMPTS.saturating_add(1),
                }
            } else {
                denied
            }
        })
    }
}

/// Uses the value of `key` in a list. A missing key is added first.
fn with<K: PartialEq, V: Default, T>(
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

impl Window {
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.began_ms.saturating_add(WINDOW_MS)
    }

    fn advance(&mut self, now_ms: u64) {
        if self.count == 0 || self.is_over(now_ms) {
            *self = Self {
                began_ms: now_ms,
                count: 0,
            };
        }
    }

    fn reset_s(&self, now_ms: u64) -> u32 {
        let left_ms = self
            .began_ms
            .saturating_add(WINDOW_MS)
            .saturating_sub(now_ms);
        u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX)
    }

    fn allowance(&self, limit: u32, now_ms: u64) -> Allowance {
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

/// Returns the network of one subscriber: an IPv4 address, or the first 64 bits of an IPv6 address.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::admit::Grants;
    use crate::failure::Denial;

    const HASH: &str = "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";

    fn client(fields: &str) -> Grant {
        let mut clients = Grants::default();
        let mut problems = Vec::new();
        clients.extend(&format!("phone {HASH} agents=* {fields}"), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        clients.iter().next().unwrap().clone()
    }

    fn allowance(limit: u32, remaining: u32, reset_s: u32) -> Allowance {
        Allowance {
            limit,
            remaining,
            reset_s,
        }
    }

    #[test]
    fn a_key_has_its_requests_once_a_minute() {
        let (mut counts, client) = (Counts::default(), client("rpm=2"));
        assert_eq!(counts.allowance(&client, 1000), Some(allowance(2, 2, 0)));
        assert_eq!(counts.request(&client, 1000), Ok(Some(allowance(2, 1, 60))));
        assert_eq!(
            counts.request(&client, 31_500),
            Ok(Some(allowance(2, 0, 30)))
        );
        for _ in 0..3 {
            assert_eq!(
                counts.request(&client, 60_999),
                Err(Failure::RateLimitExceeded(allowance(2, 0, 1)))
            );
        }
        assert_eq!(
            counts.request(&client, 61_000),
            Ok(Some(allowance(2, 1, 60)))
        );
        assert_eq!(counts.allowance(&client, 61_000), Some(allowance(2, 1, 60)));
    }

    #[test]
    fn a_key_without_a_rate_is_never_refused_for_one() {
        let (mut counts, client) = (Counts::default(), client(""));
        for _ in 0..200 {
            assert_eq!(counts.request(&client, 0), Ok(None));
        }
    }

    #[test]
    fn an_address_that_fails_often_must_wait() {
        let mut counts = Counts::default();
        let denied = || Failure::InvalidApiKey(Denial::WrongSecret);
        let mut fail = |address: &str, now_ms| {
            counts.failed_attempt(Some(address.parse().unwrap()), denied(), now_ms)
        };
        for _ in 0..20 {
            assert_eq!(fail("2001:db8::1", 0), denied());
        }
        let wait = |retry_after_s, is_first| Failure::TooManyFailedAttempts {
            retry_after_s,
            is_first,
        };
        assert_eq!(
            fail("2001:db8::2", 15_000),
            wait(45, true),
            "the same subscriber"
        );
        assert_eq!(fail("2001:db8::1", 59_001), wait(1, false));
        assert_eq!(
            fail("2001:db8:0:1::1", 15_000),
            denied(),
            "another subscriber"
        );
        assert_eq!(fail("203.0.113.1", 15_000), denied());
        assert_eq!(fail("2001:db8::1", 60_000), denied(), "a minute later");
    }

    #[test]
    fn a_flood_of_refusals_leaves_few_lines_and_its_number() {
        let mut counts = Counts::default();
        let logged = (0..1000).filter_map(|_| counts.log_stranger(0)).count();
        assert_eq!(logged, usize::try_from(MAX_LOGGED_STRANGERS).unwrap());
        assert_eq!(counts.log_stranger(60_000), Some(940));
        assert_eq!(counts.log_stranger(60_000), Some(0));
    }

    #[test]
    fn a_flood_of_addresses_takes_no_more_than_its_room() {
        let mut counts = Counts::default();
        for address in 0..u32::try_from(3 * MAX_ADDRESSES).unwrap() {
            let address = IpAddr::from(address.to_be_bytes());
            counts.failed_attempt(Some(address), Failure::InvalidApiKey(Denial::Missing), 0);
            assert!(counts.attempts.len() <= MAX_ADDRESSES);
        }
    }
}
