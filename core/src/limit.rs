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

/// Refusals in a window that are logged though nobody showed a key.
const MAX_LOGGED_STRANGERS: u32 = 60;

/// Addresses whose failed attempts are remembered: some 100 kB. Whoever has more of them starts anew, and gains nothing by it: a
/// secret has 160 random bits.
const MAX_ADDRESSES: usize = 4096;

/// Requests for a run that one isolate takes at a time: each keeps some 100 kB, and 1 MiB more if its client does not read; 128 MB of memory
/// are for all of them.
pub const MAX_PLACES: usize = 256;

/// A request for a run is heard of at least every 75 s, by a frame, a heartbeat or a deadline. The runtime may end one without a word; its
/// place is free again after that, in milliseconds.
const STALE_MS: u64 = 90_000;

/// Seconds after which another run is worth a try, where as many as allowed are going.
const RUN_RETRY_AFTER_S: u32 = 5;

/// Everything one isolate has counted. Source: the isolate's own requests; never stale, and gone with the isolate.
#[derive(Debug, Default)]
pub struct Counts {
    // Lists, not maps, whose code would be the larger part: they are short, but for the attempts of a flood.
    keys: Vec<(KeyId, Window)>,
    places: Vec<Place>,
    /// Of the last place that was given.
    ticket: u64,
    attempts: Vec<(Option<IpAddr>, Window)>,
    strangers: Window,
}

/// A request for a run, from when it is let in until it is over.
#[derive(Debug)]
struct Place {
    ticket: Ticket,
    heard_of_ms: u64,
    /// Whose run it is, once it is one.
    key: Option<KeyId>,
}

/// Names one place, and never another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

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
        with(&mut self.keys, client.id.clone(), |window| {
            window.advance(now_ms);
            if window.count >= limit {
                return Err(Failure::RateLimited(window.allowance(limit, now_ms)));
            }
            window.count = window.count.saturating_add(1);
            Ok(Some(window.allowance(limit, now_ms)))
        })
    }

    /// What is left, without using any of it up.
    pub fn allowance(&self, client: &Client, now_ms: u64) -> Option<Allowance> {
        let limit = client.limits.requests_per_minute?;
        let counted = self.keys.iter().find(|(id, _)| *id == client.id);
        let mut window = counted.map(|(_, window)| *window).unwrap_or_default();
        window.advance(now_ms);
        Some(window.allowance(limit, now_ms))
    }

    /// The refusal of a request that was counted here, and that a counter beyond this isolate does not let through: it is not counted.
    pub fn refused_elsewhere(&mut self, client: &Client, now_ms: u64) -> Failure {
        with(&mut self.keys, client.id.clone(), |window| {
            window.count = window.count.saturating_sub(1);
        });
        let limit = client.limits.requests_per_minute.unwrap_or_default();
        let left = self.allowance(client, now_ms);
        Failure::RateLimited(Allowance {
            limit,
            remaining: 0,
            reset_s: left.map_or(1, |left| left.reset_s.max(1)),
        })
    }

    /// Lets a request for a run in. Whoever gets a ticket says [`Counts::hear_of`] now and then, and [`Counts::leave`] at the end.
    pub fn enter(&mut self, now_ms: u64) -> Result<Ticket, Failure> {
        if self.places.len() >= MAX_PLACES {
            self.places.retain(|place| !place.is_stale(now_ms));
        }
        if self.places.len() >= MAX_PLACES {
            return Err(Failure::Overloaded);
        }
        self.ticket = self.ticket.wrapping_add(1);
        let ticket = Ticket(self.ticket);
        self.places.push(Place {
            ticket,
            heard_of_ms: now_ms,
            key: None,
        });
        Ok(ticket)
    }

    /// Makes the request a run of the client's, if it may have another.
    pub fn begin_run(&mut self, ticket: Ticket, client: &Client, now_ms: u64) -> Result<(), Failure> {
        if let Some(limit) = client.limits.concurrent_runs
            && self.runs(&client.id, now_ms) >= limit
        {
            return Err(Failure::TooManyRuns {
                limit,
                retry_after_s: RUN_RETRY_AFTER_S,
            });
        }
        // One that took long to get here may have lost its place.
        self.leave(ticket);
        self.places.push(Place {
            ticket,
            heard_of_ms: now_ms,
            key: Some(client.id.clone()),
        });
        Ok(())
    }

    /// The request is still there.
    pub fn hear_of(&mut self, ticket: Ticket, now_ms: u64) {
        if let Some(place) = self.place(ticket) {
            place.heard_of_ms = now_ms;
        }
    }

    /// The request is over, and its run with it.
    pub fn leave(&mut self, ticket: Ticket) {
        self.places.retain(|place| place.ticket != ticket);
    }

    /// Runs of a key that are going on.
    pub fn runs(&self, key: &KeyId, now_ms: u64) -> u32 {
        let its = |place: &&Place| place.key.as_ref() == Some(key) && !place.is_stale(now_ms);
        u32::try_from(self.places.iter().filter(its).count()).unwrap_or(u32::MAX)
    }

    fn place(&mut self, ticket: Ticket) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.ticket == ticket)
    }

    /// Whether a refusal of somebody who showed no key may leave a line in the log: scanners come by the thousand.
    pub fn may_log_stranger(&mut self, now_ms: u64) -> bool {
        self.strangers.advance(now_ms);
        self.strangers.count = self.strangers.count.saturating_add(1);
        self.strangers.count <= MAX_LOGGED_STRANGERS
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

impl Place {
    fn is_stale(&self, now_ms: u64) -> bool {
        self.heard_of_ms.saturating_add(STALE_MS) < now_ms
    }
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
    fn a_key_without_limits_is_never_refused() {
        let (mut counts, client) = (Counts::default(), client(""));
        for runs in 1..=200 {
            assert_eq!(counts.request(&client, 0), Ok(None));
            let ticket = counts.enter(0).unwrap();
            assert_eq!(counts.begin_run(ticket, &client, 0), Ok(()));
            assert_eq!(counts.runs(&client.id, 0), runs);
        }
    }

    #[test]
    fn a_run_that_ended_makes_room_for_another() {
        let (mut counts, client) = (Counts::default(), client("runs=2"));
        let full = Err(Failure::TooManyRuns {
            limit: 2,
            retry_after_s: 5,
        });
        let [first, second, third] = [(); 3].map(|()| counts.enter(0).unwrap());
        assert_eq!(counts.begin_run(first, &client, 0), Ok(()));
        assert_eq!(counts.begin_run(second, &client, 0), Ok(()));
        assert_eq!(counts.begin_run(third, &client, 0), full);
        counts.leave(first);
        counts.leave(first);
        assert_eq!(counts.begin_run(third, &client, 0), Ok(()));
        assert_eq!(counts.runs(&client.id, 0), 2);
        counts.leave(second);
        counts.leave(third);
        assert_eq!(counts.runs(&client.id, 0), 0);
    }

    #[test]
    fn a_run_that_nobody_hears_of_any_more_makes_room_in_time() {
        let (mut counts, client) = (Counts::default(), client("runs=1"));
        let vanished = counts.enter(0).unwrap();
        counts.begin_run(vanished, &client, 0).unwrap();
        counts.hear_of(vanished, 10_000);
        let next = counts.enter(100_000).unwrap();
        assert!(counts.begin_run(next, &client, 100_000).is_err());
        assert_eq!(counts.begin_run(next, &client, 100_001), Ok(()));
        // It was only slow: it says so, and no place is another's.
        counts.hear_of(vanished, 100_002);
        assert_eq!(counts.runs(&client.id, 100_002), 2);
        counts.leave(vanished);
        assert_eq!(counts.runs(&client.id, 100_002), 1);
    }

    #[test]
    fn an_isolate_takes_so_many_and_no_more() {
        let mut counts = Counts::default();
        let first = counts.enter(0).unwrap();
        for _ in 1..MAX_PLACES {
            counts.enter(1).unwrap();
        }
        assert_eq!(counts.enter(1), Err(Failure::Overloaded));
        counts.leave(first);
        assert!(counts.enter(1).is_ok());
        assert_eq!(counts.enter(90_001), Err(Failure::Overloaded));
        assert!(counts.enter(90_002).is_ok(), "those that vanished make room");
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
