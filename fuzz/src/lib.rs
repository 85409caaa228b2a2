//! The targets of `core/tests/fuzz`, for libFuzzer.

#[path = "../../core/tests/exchange/books.rs"]
mod books;
#[path = "../../core/tests/exchange/kept.rs"]
mod kept;
#[expect(
    dead_code,
    reason = "of the tests of exchanges only what drives one is needed"
)]
#[path = "../../core/tests/exchange/replay.rs"]
mod replay;
#[expect(dead_code, reason = "of a scenario only its frames are needed")]
#[path = "../../core/tests/exchange/scenario.rs"]
mod scenario;
#[expect(dead_code, reason = "of the tests of hubs only what drives one is needed")]
#[path = "../../core/tests/exchange/shared.rs"]
mod shared;
#[expect(dead_code, reason = "what seeds are made of is not needed here")]
#[path = "../../core/tests/fuzz/targets/mod.rs"]
mod targets;

/// Panics when `data` breaks an invariant of the target.
pub fn run(target: &str, data: &[u8]) {
    targets::run(target, data);
}
