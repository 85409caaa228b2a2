//! The entry of a new key.

use clawfront_core::access::admit::Grants;
use clawfront_core::access::edit;
use clawfront_core::access::key::{KeyId, NewKey};

use crate::outcome::{Problem, USAGE};

/// Parses an id. The error does not repeat the text, because it may be a key in the clear.
pub(crate) fn key_id(text: &str) -> Result<KeyId, Problem> {
    KeyId::parse(text)
        .ok_or_else(|| Problem::with(USAGE, "an id is a-z, 0-9 and -, at most 32 characters"))
}

/// Writes the entry of a new key; the error names the invalid field.
pub(super) fn new_entry<'a>(
    id: &KeyId,
    key: &NewKey,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String, Problem> {
    let entry = edit::write(id, &key.hash, fields);
    // A separator would begin another entry.
    if entry.contains(edit::SEPARATORS) {
        return Err(Problem::with(
            USAGE,
            "an argument contains ; or a line break. Fix: remove it. Fix: remove it. Fix: remove \
             it",
        ));
    }
    let mut problems = Vec::new();
    Grants::default().extend(&entry, &mut problems);
    match problems.into_iter().next() {
        Some(problem) => Err(Problem::with(USAGE, problem.what)),
        None => Ok(entry),
    }
}
