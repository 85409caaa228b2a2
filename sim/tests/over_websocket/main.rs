//! The simulated gateway as a client sees it: the built program, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod completion_faults;
mod completions;
mod faults;
mod handshake;
mod http;
mod recorded;
mod runs;
mod shared_runs;
mod sim;
