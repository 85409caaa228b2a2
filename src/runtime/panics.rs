//! Panics on demand, to test how an isolate behaves after one. Only a build with the feature
//! `panics` has them, and it is never deployed: `tests/panic.test.mjs` makes it, and shows that the
//! Worker's own build is a different one.

/// A text that contains this panics at the place that checks it.
const MARK: &str = "CLAWFRONT-PANIC-ON-DEMAND:";

/// The places that check.
pub(crate) const AT_PATH: &str = "path";
pub(crate) const AT_BODY: &str = "body";
pub(crate) const AT_FRAME: &str = "frame";

/// Panics if `text` holds the mark for this place.
#[expect(
    clippy::panic,
    clippy::manual_assert,
    reason = "it is what this build is for"
)]
pub(crate) fn look(place: &str, text: &[u8]) {
    let mark = [MARK, place].concat();
    if text
        .windows(mark.len())
        .any(|window| window == mark.as_bytes())
    {
        panic!("asked for, at the {place}");
    }
}
