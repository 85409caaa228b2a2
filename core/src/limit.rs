//! What clients may use up, and what they have used.
//!
//! Counted where the code runs: one isolate knows nothing of another. This file is the seam behind which a shared counter can stand
//! later: whoever asks it learns "go on" or a failure, and tells it when a run is over.

use crate::error::Failure;
use crate::key::{Client, KeyId};
use core::net::{IpAddr, Ipv6Addr};

/// Length of the window in which requests and failed attempts are counted, in milliseconds. It begins with the first of them.
const WINDOW_MS: u64 = 60_000;

/// Failed attempts of one address in a window, after which it is told to wait.
const MAX_FAILED_ATTEMPTS: u32 = 20;

/// Addresses whose failed attempts are remembered: some 100 kB. Whoever has more of them starts anew, and gains nothing by it: a
/// secret has 160 random bits.
const MAX_ADDRESSES: usize = 4096;

/// Seconds after which another run is worth a try, where as many as allowed are going.
const RUN_RETRY_AFTER_S: u32 = 5;

/// Everything one isolate has counted. Source: the isolate's own requests; never stale, and gone with the isolate.
#[derive(Debug, Default)]
pub struct Counts {
    // Lists, not maps: they are short, and a map's code is longer than both.
    keys: Vec<(KeyId, Count)>,
    attempts: Vec<(Option<IpAddr>, Window)>,
}

#[derive(Debug, Default)]
struct Count {
    requests: Window,
    runs: u32,
}

/// A number of things in one window.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began_ms: u64,
    count: u32,
}

/// What is left of a key's requests per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub limit: u32,
    pub remaining: u32,
    /// Until all of them are there again.
    pub reset_s: u32,
}

impl Counts {
    /// Counts a request for a run. A refused one is not counted.
    pub fn request(&mut self, client: &Client, now_ms: u64) -> Result<Option<Allowance>, Failure> {
        let Some(limit) = client.limits.requests_per_minute else {
            return Ok(None);
        };
        with(&mut self.keys, client.id.clone(), |Count { requests, .. }| {
            requests.advance(now_ms);
            if requests.count >= limit {
                return Err(Failure::RateLimited(requests.allowance(limit, now_ms)));
            }
            requests.count = requests.count.saturating_add(1);
            Ok(Some(requests.allowance(limit, now_ms)))
        })
    }

    /// What is left, without using any of it up.
    pub fn allowance(&self, client: &Client, now_ms: u64) -> Option<Allowance> {
        let limit = client.limits.requests_per_minute?;
        let mut window = self.count(&client.id).map(|count| count.requests).unwrap_or_default();
        window.advance(now_ms);
        Some(window.allowance(limit, now_ms))
    }

    /// The refusal of a request that a counter beyond this isolate does not let through.
    pub fn refused_elsewhere(&self, client: &Client, now_ms: u64) -> Failure {
        let limit = client.limits.requests_per_minute.unwrap_or_default();
        let left = self.allowance(client, now_ms);
        Failure::RateLimited(Allowance {
            limit,
            remaining: 0,
            reset_s: left.map_or(1, |left| left.reset_s.max(1)),
        })
    }

    /// Counts a run that is about to begin. Whoever is let through says [`Counts::end_run`] exactly once.
    pub fn begin_run(&mut self, client: &Client) -> Result<(), Failure> {
        with(&mut self.keys, client.id.clone(), |Count { runs, .. }| {
            match client.limits.concurrent_runs {
                Some(limit) if *runs >= limit => Err(Failure::TooManyRuns {
                    limit,
                    retry_after_s: RUN_RETRY_AFTER_S,
                }),
                _ => {
                    *runs = runs.saturating_add(1);
                    Ok(())
                }
            }
        })
    }

    pub fn end_run(&mut self, key: &KeyId) {
        with(&mut self.keys, key.clone(), |Count { runs, .. }| {
            *runs = runs.saturating_sub(1);
        });
    }

    /// Runs of a key that are going on.
    pub fn runs(&self, key: &KeyId) -> u32 {
        self.count(key).map_or(0, |count| count.runs)
    }

    fn count(&self, key: &KeyId) -> Option<&Count> {
        self.keys.iter().find(|(id, _)| id == key).map(|(_, count)| count)
    }

    /// Counts a caller that was not admitted, and says what it is told. A good key from the same address is let in all the same, so
    /// nobody can lock out whoever shares an address with them.
    pub fn failed_attempt(&mut self, address: Option<IpAddr>, denied: Failure, now_ms: u64) -> Failure {
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
                Failure::TooManyAttempts {
                    retry_after_s: window.reset_s(now_ms),
                    is_first: window.count == MAX_FAILED_ATTEMPTS.saturating_add(1),
                }
            } else {
                denied
            }
        })
    }
}

/// Uses the value of `key` in a list; one that is not there yet is added.
fn with<K: PartialEq, V: Default, T>(list: &mut Vec<(K, V)>, key: K, use_value: impl FnOnce(&mut V) -> T) -> T {
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
        let left_ms = self.began_ms.saturating_add(WINDOW_MS).saturating_sub(now_ms);
        u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX)
    }

    fn allowance(&self, limit: u32, now_ms: u64) -> Allowance {
        Allowance {
            limit,
            remaining: limit.saturating_sub(self.count),
            reset_s: if self.count == 0 { 0 } else { self.reset_s(now_ms) },
        }
    }
}

/// What one subscriber has: an IPv4 address, or the first 64 bits of an IPv6 address.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Clients, Denial};

    const HASH: &str = "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";

    fn client(fields: &str) -> Client {
        let mut clients = Clients::default();
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
        assert_eq!(counts.request(&client, 31_500), Ok(Some(allowance(2, 0, 30))));
        for _ in 0..3 {
            assert_eq!(
                counts.request(&client, 60_999),
                Err(Failure::RateLimited(allowance(2, 0, 1)))
            );
        }
        assert_eq!(counts.request(&client, 61_000), Ok(Some(allowance(2, 1, 60))));
        assert_eq!(counts.allowance(&client, 61_000), Some(allowance(2, 1, 60)));
    }

    #[test]
    fn a_key_without_limits_is_counted_and_never_refused() {
        let (mut counts, client) = (Counts::default(), client(""));
        for runs in 1..100 {
            assert_eq!(counts.request(&client, 0), Ok(None));
            assert_eq!(counts.begin_run(&client), Ok(()));
            assert_eq!(counts.runs(&client.id), runs);
        }
    }

    #[test]
    fn a_run_that_ended_makes_room_for_another() {
        let (mut counts, client) = (Counts::default(), client("runs=2"));
        let full = Err(Failure::TooManyRuns {
            limit: 2,
            retry_after_s: 5,
        });
        assert_eq!(counts.begin_run(&client), Ok(()));
        assert_eq!(counts.begin_run(&client), Ok(()));
        assert_eq!(counts.begin_run(&client), full);
        counts.end_run(&client.id);
        assert_eq!(counts.begin_run(&client), Ok(()));
        assert_eq!(counts.begin_run(&client), full);
        for _ in 0..5 {
            counts.end_run(&client.id);
        }
        assert_eq!(counts.runs(&client.id), 0);
    }

    #[test]
    fn an_address_that_fails_often_is_told_to_wait() {
        let mut counts = Counts::default();
        let denied = || Failure::Unauthorized(Denial::WrongSecret);
        let mut fail = |address: &str, now_ms| counts.failed_attempt(Some(address.parse().unwrap()), denied(), now_ms);
        for _ in 0..20 {
            assert_eq!(fail("2001:db8::1", 0), denied());
        }
        let wait = |retry_after_s, is_first| Failure::TooManyAttempts {
            retry_after_s,
            is_first,
        };
        assert_eq!(fail("2001:db8::2", 15_000), wait(45, true), "the same subscriber");
        assert_eq!(fail("2001:db8::1", 59_001), wait(1, false));
        assert_eq!(fail("2001:db8:0:1::1", 15_000), denied(), "another subscriber");
        assert_eq!(fail("203.0.113.1", 15_000), denied());
        assert_eq!(fail("2001:db8::1", 60_000), denied(), "a minute later");
    }

    #[test]
    fn a_flood_of_addresses_takes_no_more_than_its_room() {
        let mut counts = Counts::default();
        for address in 0..u32::try_from(3 * MAX_ADDRESSES).unwrap() {
            let address = IpAddr::from(address.to_be_bytes());
            counts.failed_attempt(Some(address), Failure::Unauthorized(Denial::Missing), 0);
            assert!(counts.attempts.len() <= MAX_ADDRESSES);
        }
    }
}
