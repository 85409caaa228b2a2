//! Prepares the JSON text of a request for its parser.
//!
//! Two faults are accepted, as the gateway's own endpoint accepts them: a byte order mark, and an
//! escape of one half of a UTF-16 surrogate pair (RFC 8259, section 8.2 allows it). Each half
//! becomes U+FFFD, because no Rust text can hold it: clients that cut a text within an emoji send
//! one. Deep nesting and too many values are refused before anything is built from the text.

use std::borrow::Cow;
use std::str::Utf8Error;

use serde_json::value::RawValue;

use super::bounds::{self, Excess, MAX_JSON_DEPTH, MAX_JSON_VALUES};
use crate::failure::Failure;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The bytes of an escape such as `\ud83d`.
const ESCAPE_BYTES: usize = 6;

/// The escape of U+FFFD. It is as long as the one it replaces, so no position in the text changes.
const REPLACEMENT: &[u8; ESCAPE_BYTES] = b"\\ufffd";

/// A text whose nesting and number of values are within their limits, and whose escapes are all
/// characters.
pub(crate) struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    pub(crate) fn read(text: &'a [u8]) -> Result<Self, Failure> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        if let Err(excess) = bounds::check(text) {
            return Err(Failure::InvalidRequest {
                param: None,
                message: match excess {
                    Excess::Depth => {
                        format!("The request body nests deeper than {MAX_JSON_DEPTH} levels.")
                    }
                    Excess::Values => format!(
                        "The request body has more than {MAX_JSON_VALUES} commas and opening \
                         brackets outside its texts."
                    ),
                }
                .into(),
            });
        }
        let text = std::str::from_utf8(text).map_err(|error| not_text(text, error))?;
        Ok(Self(without_halves(text)))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// Returns the failure for a text that is not UTF-8, with the place of its first wrong byte.
fn not_text(text: &[u8], error: Utf8Error) -> Failure {
    let before = text.get(..error.valid_up_to()).unwrap_or_default();
    let lines = before.split(|byte| *byte == b'\n');
    let column = lines.clone().next_back().map_or(0, <[u8]>::len);
    Failure::InvalidRequest {
        param: None,
        message: format!(
            "The request body is not valid JSON, at line {} column {}.",
            lines.count(),
            column.saturating_add(1)
        )
        .into(),
    }
}

/// Returns a JSON value without the blanks between its tokens.
pub(crate) fn compact(json: &RawValue) -> String {
    let mut is_text = false;
    let mut is_escaped = false;
    let characters = json.get().chars().filter(|character| {
        if is_text {
            let ends = *character == '"' && !is_escaped;
            is_escaped = *character == '\\' && !is_escaped;
            is_text = !ends;
            return true;
        }
        is_text = *character == '"';
        !character.is_ascii_whitespace()
    });
    characters.collect()
}

/// The half of a pair that an escape stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    High,
    Low,
}

fn without_halves(text: &str) -> Cow<'_, str> {
    let halves = lonely_halves(text.as_bytes());
    if halves.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_owned();
    for at in halves {
        if let Some(escape) = bytes.get_mut(at..at.saturating_add(ESCAPE_BYTES)) {
            escape.copy_from_slice(REPLACEMENT);
        }
    }
    // One escape for another, so it is still text.
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Returns the positions of escapes of halves without their other half. Every backslash begins an
/// escape, because JSON has none outside texts.
fn lonely_halves(text: &[u8]) -> Vec<usize> {
    let mut lonely = Vec::new();
    // The high half that ends where the next escape begins.
    let mut high = None;
    let mut from = 0_usize;
    while let Some(at) = text
        .get(from..)
        .and_then(|rest| rest.iter().position(|byte| *byte == b'\\'))
    {
        let at = from.saturating_add(at);
        let half = half(text.get(at..).unwrap_or_default());
        let length = if half.is_some() { ESCAPE_BYTES } else { 2 };
        let first = high.take();
        let is_pair = half == Some(Half::Low)
            && first.is_some_and(|first: usize| first.saturating_add(ESCAPE_BYTES) == at);
        if !is_pair {
            lonely.extend(first);
        }
        match half {
            Some(Half::High) => high = Some(at),
            Some(Half::Low) if !is_pair => lonely.push(at),
            _ => {}
        }
        from = at.saturating_add(length);
    }
    lonely.extend(high);
    lonely
}

/// Returns the half that a text begins with: `\ud800` to `\udbff` are high ones, `\udc00` to
/// `\udfff` low ones.
fn half(text: &[u8]) -> Option<Half> {
    let [b'\\', b'u', b'd' | b'D', third, rest @ ..] = text else {
        return None;
    };
    let is_hex = rest.get(..2)?.iter().all(u8::is_ascii_hexdigit);
    match third {
        b'8' | b'9' | b'a' | b'b' | b'A' | b'B' if is_hex => Some(Half::High),
        b'c'..=b'f' | b'C'..=b'F' if is_hex => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let json = Json::read(text.as_bytes()).ok().unwrap();
        serde_json::from_str(json.text()).unwrap()
    }

    #[test]
    fn a_lonely_half_becomes_the_replacement_character() {
        for (text, expected) in [
            (r#""hi \ud83d""#, "hi \u{FFFD}"),
            (r#""\uDC00\uD800""#, "\u{FFFD}\u{FFFD}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{FFFD}\u{1F600}"),
            (r#""\ud83d\ude00\ude00""#, "\u{1F600}\u{FFFD}"),
            (r#""\ud83dx\ude00""#, "\u{FFFD}x\u{FFFD}"),
            (r#""\ud83d\n\ude00""#, "\u{FFFD}\n\u{FFFD}"),
            (r#""\ud83d\\ude00""#, "\u{FFFD}\\ude00"),
            (r#""\\ud83d \\\ud83d""#, "\\ud83d \\\u{FFFD}"),
            (r#""\ud83d\u0041""#, "\u{FFFD}A"),
            (r#""\uD7FF\uE000""#, "\u{D7FF}\u{E000}"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_without_lonely_halves_is_not_copied() {
        for text in [
            r#""\ud83d\ude00 \\ud83d \" x""#,
            "{}",
            r#""\ud8"#,
            r#""\"#,
            "\\ud8zz",
        ] {
            assert!(
                matches!(Json::read(text.as_bytes()), Ok(Json(Cow::Borrowed(_)))),
                "{text}"
            );
        }
    }

    #[test]
    fn one_byte_order_mark_is_skipped() {
        assert_eq!(read("\u{FEFF}\"\u{FEFF}x\""), "\u{FEFF}x");
        let twice = Json::read("\u{FEFF}\u{FEFF}1".as_bytes()).ok().unwrap();
        assert!(serde_json::from_str::<u8>(twice.text()).is_err());
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_refused_with_their_place() {
        for (text, line, column) in [
            (&b"\xFF"[..], 1, 1),
            (b"{\"model\":\"\xC3\"}", 1, 11),
            (b"{\n \"unknown\": \"a\xED\xA0\x80\"\n}", 2, 15),
        ] {
            let Err(Failure::InvalidRequest { param, message }) = Json::read(text) else {
                panic!("{text:?}");
            };
            let place = format!("at line {line} column {column}.");
            assert_eq!(
                (param, &*message),
                (
                    None,
                    &*format!("The request body is not valid JSON, {place}")
                )
            );
        }
    }
}
