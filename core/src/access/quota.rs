//! The limits of clients, and the counts of what they have used.
//!
//! The hub counts for the whole deployment. A caller asks for permission, gets a success or a
//! failure, and reports the end of each run.

use crate::access::grant::Grant;
use crate::access::key::KeyId;
use crate::access::places::Places;
use crate::access::usage::Usage;
use crate::access::window::{Window, with};
use crate::failure::{Allowance, Failure};

/// Files that the clients of a key may get in a minute: a long conversation shows a few dozen.
pub const FILES_PER_MINUTE: u32 = 600;

/// All counts of the hub. Source: its own requests; never stale, and gone with the
/// object, except for the usage.
#[derive(Debug, Default)]
pub struct Counts {
    // A list and not a map, because the code of a map is larger than the data, and the list is
    // short.
    keys: Vec<(KeyId, Window)>,
    files: Vec<(KeyId, Window)>,
    pub places: Places,
    pub usage: Usage,
}

impl Counts {
    /// Counts a request for a run. A refused request is not counted.
    #[inline(never)]
    pub fn request(&mut self, client: &Grant, now_ms: u64) -> Result<Option<Allowance>, Failure> {
        let reading = self.places.reading(&client.id, now_ms);
        self.usage.check(client, reading, now_ms)?;
        let allowance = self.use_rate(client, now_ms)?;
        self.usage.request(&client.id, now_ms);
        Ok(allowance)
    }

    fn use_rate(&mut self, client: &Grant, now_ms: u64) -> Result<Option<Allowance>, Failure> {
        let Some(limit) = client.limits.requests_per_minute else {
            return Ok(None);
        };
        take(&mut self.keys, &client.id, limit, now_ms).map(Some)
    }

    /// Counts a request for a file.
    pub fn file(&mut self, key: &KeyId, now_ms: u64) -> Result<Allowance, Failure> {
        take(&mut self.files, key, FILES_PER_MINUTE, now_ms)
    }

    /// Returns the remaining allowance without using any of it.
    pub fn allowance(&self, client: &Grant, now_ms: u64) -> Option<Allowance> {
        let limit = client.limits.requests_per_minute?;
        let counted = self.keys.iter().find(|(id, _)| *id == client.id);
        let mut window = counted.map(|(_, window)| *window).unwrap_or_default();
        window.advance(now_ms);
        Some(window.allowance(limit, now_ms))
    }
}

/// Counts one thing of a key in its window.
fn take(
    list: &mut Vec<(KeyId, Window)>,
    key: &KeyId,
    limit: u32,
    now_ms: u64,
) -> Result<Allowance, Failure> {
    with(list, key.clone(), |window| {
        window.advance(now_ms);
        if window.count >= limit {
            return Err(Failure::RateLimitExceeded(window.allowance(limit, now_ms)));
        }
        window.count = window.count.saturating_add(1);
        Ok(window.allowance(limit, now_ms))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::admit::Grants;

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
}
