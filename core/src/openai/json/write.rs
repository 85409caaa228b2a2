//! Writes a value as JSON.

use serde::Serialize;

/// Appends the JSON of a value whose serialisation cannot fail.
pub(crate) fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Into memory, of types whose serialisation cannot fail.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}
