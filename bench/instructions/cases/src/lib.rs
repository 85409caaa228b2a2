//! The most frequent work of core, and its work once per request, as cases that can be counted and
//! timed.
//!
//! Frames are written as the gateways write them. The shapes are those of `core/tests/transcripts`;
//! hello-ok and the run's last response are recorded ones.

mod frames;
mod keys;
mod runs;
#[cfg(test)]
mod tests;

use std::fmt;

/// One thing that is measured.
pub struct Case {
    pub name: &'static str,
    /// The number of times that a run repeats the measured step; figures are per step.
    pub steps: u32,
    /// Makes the data that all runs share.
    pub stage: fn() -> Stage,
}

/// Makes the data of one run, which is not part of the measurement.
pub type Stage = Box<dyn FnMut() -> Ready>;

/// One run, which is measured. It returns the number of bytes that it wrote, so that the compiler
/// removes nothing.
pub type Ready = Box<dyn FnOnce() -> usize>;

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn case(name: &'static str, steps: u32, stage: fn() -> Stage) -> Case {
    Case { name, steps, stage }
}

use frames::Protocol::{V3, V4};

pub const CASES: &[Case] = &[
    case("configuration with 40 keys, read", 1, keys::configuration),
    case("right key among 40, admitted", 1, keys::right_key),
    case("wrong key among 40, answered 401", 1, keys::wrong_key),
    case("request with 1 message, parsed", 1, || keys::request(1)),
    case("request with 50 messages, parsed", 1, || keys::request(50)),
    case("challenge, answered", 1, || runs::challenge(V4)),
    case("hello-ok of protocol 4, and the run asked for", 1, || {
        runs::hello(V4)
    }),
    case("hello-ok of protocol 3, and the run asked for", 1, || {
        runs::hello(V3)
    }),
    case("agent event of 100, protocol 4", 100, || {
        runs::agent_events(V4, 100)
    }),
    case("agent event of 1,000, protocol 4", 1000, || {
        runs::agent_events(V4, 1000)
    }),
    case("agent event of 100, protocol 3", 100, || {
        runs::agent_events(V3, 100)
    }),
    case("agent event of 1,000, protocol 3", 1000, || {
        runs::agent_events(V3, 1000)
    }),
    case("chat event of 100, dropped", 100, || {
        runs::chat_events(V4, 100)
    }),
    case("another run's agent event of 100, dropped", 100, || {
        runs::foreign_events(V3, 100)
    }),
    case("final response of protocol 4", 1, || runs::end(V4)),
    case("final response of protocol 3", 1, || runs::end(V3)),
    case("whole run of 100 deltas, protocol 4", 1, || {
        runs::whole(V4, 100)
    }),
    case("whole run of 100 deltas, protocol 3", 1, || {
        runs::whole(V3, 100)
    }),
];
