//! The platform's time.

/// Returns the milliseconds since the Unix epoch.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`Date.now()` is a whole number above zero and below 2^53"
)]
pub(crate) fn now_ms() -> u64 {
    js_sys::Date::now() as u64
}
