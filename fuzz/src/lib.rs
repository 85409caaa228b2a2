//! The targets of `core/tests/fuzz`, for libFuzzer.

#[expect(
    dead_code,
    reason = "of the tests of exchanges only what drives one is needed"
)]
#[path = "../../core/tests/exchange/replay.rs"]
mod replay;
#[expect(dead_code, reason = "what seeds are made of is not needed here")]
#[path = "../../core/tests/fuzz/targets/mod.rs"]
mod targets;

/// Panics when `data` breaks an invariant of the target.
pub fn run(target: &str, data: &[u8]) {
    targets::run(target, data);
}
