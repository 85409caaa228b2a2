//! Requests without a valid key: how often one address may fail, and how many refusals are logged.
//!
//! The edge counts them in each isolate, because such a request must not reach anything that is
//! shared.

use core::net::{IpAddr, Ipv6Addr};

use crate::access::window::{Window, with};
use crate::failure::Failure;

/// Failed attempts of one address in a window, after which the address has to wait.
pub(crate) const MAX_FAILED_ATTEMPTS: u32 = 20;

/// Refusals in a window that are logged although the request had no valid key.
pub const MAX_LOGGED_STRANGERS: u32 = 60;

/// Addresses whose failed attempts are remembered: about 100 kB. An attacker with more addresses
/// starts again at zero, which does not help: a secret has 160 random bits.
const MAX_ADDRESSES: usize = 4096;

/// The failed attempts of one isolate. Source: the isolate's own requests; never stale, and gone
/// with the isolate.
#[derive(Debug, Default)]
pub struct Throttle {
    // A list and not a map, because the code of a map is larger than the data. The list is short,
    // except in a flood.
    attempts: Vec<(Option<IpAddr>, Window)>,
    strangers: Window,
    /// Refusals of strangers that were not logged since the last one that was.
    unlogged: u32,
}

impl Throttle {
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
    use crate::failure::Denial;

    #[test]
    fn an_address_that_fails_often_must_wait() {
        let mut throttle = Throttle::default();
        let denied = || Failure::InvalidApiKey(Denial::WrongSecret);
        let mut fail = |address: &str, now_ms| {
            throttle.failed_attempt(Some(address.parse().unwrap()), denied(), now_ms)
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
        let mut throttle = Throttle::default();
        let logged = (0..1000).filter_map(|_| throttle.log_stranger(0)).count();
        assert_eq!(logged, usize::try_from(MAX_LOGGED_STRANGERS).unwrap());
        assert_eq!(throttle.log_stranger(60_000), Some(940));
        assert_eq!(throttle.log_stranger(60_000), Some(0));
    }

    #[test]
    fn a_flood_of_addresses_takes_no_more_than_its_room() {
        let mut throttle = Throttle::default();
        for address in 0..u32::try_from(3 * MAX_ADDRESSES).unwrap() {
            let address = IpAddr::from(address.to_be_bytes());
            throttle.failed_attempt(Some(address), Failure::InvalidApiKey(Denial::Missing), 0);
            assert!(throttle.attempts.len() <= MAX_ADDRESSES);
        }
    }
}
