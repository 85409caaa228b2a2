//! The values of a directive's words.

use data_encoding::BASE64URL_NOPAD;

/// Most deltas of one run: far more than a test needs, and the most for which protocol 3 can still
/// send a cumulative text.
const MAX_DELTAS: u32 = 100_000;

pub(super) fn number(word: &str, value: &str) -> Result<u32, String> {
    value
        .parse()
        .ok()
        .filter(|number| *number <= MAX_DELTAS)
        .ok_or_else(|| format!("bad number in {word:?}; at most {MAX_DELTAS}"))
}

/// Parses a number of bytes or of letters, of which there is at least one.
pub(super) fn size(word: &str, value: &str) -> Result<usize, String> {
    usize::try_from(number(word, value)?)
        .ok()
        .filter(|size| *size > 0)
        .ok_or_else(|| format!("bad number in {word:?}; at least 1"))
}

pub(super) fn small(word: &str, value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| format!("bad number in {word:?}"))
}

pub(super) fn flag(word: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(format!("{word:?} is 0 or 1")),
    }
}

pub(super) fn decode_text(value: &str) -> Result<String, String> {
    let bytes = BASE64URL_NOPAD
        .decode(value.trim_end_matches('=').as_bytes())
        .map_err(|_| "text is not base64url".to_owned())?;
    String::from_utf8(bytes).map_err(|_| "text is not UTF-8".to_owned())
}
