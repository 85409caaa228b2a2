//! Panics on demand, to see what becomes of an isolate in which there is one. Only in a build with the feature `panics`, which is never
//! deployed: `tests/panic.test.mjs` makes it, and shows that the Worker's own build is another.

/// A text that holds this panics where it is looked at.
const MARK: &str = "CLAWFRONT-PANIC-ON-DEMAND:";

/// The places that look.
pub(crate) const AT_PATH: &str = "path";
pub(crate) const AT_BODY: &str = "body";
pub(crate) const AT_FRAME: &str = "frame";

/// Panics if `text` holds the mark for this place.
#[expect(clippy::panic, clippy::manual_assert, reason = "it is what this build is for")]
pub(crate) fn look(place: &str, text: &[u8]) {
    let mark = [MARK, place].concat();
    if text.windows(mark.len()).any(|window| window == mark.as_bytes()) {
        panic!("asked for, at the {place}");
    }
}
