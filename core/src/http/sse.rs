//! Server-sent events: the only file that writes `data:`.
//!
//! Source: WHATWG HTML, "Server-sent events". No `id:` and no `retry:` line is ever written: the
//! official Python SDK fails on a comment between events that carry ids, and on any `retry:`.

use std::fmt::Display;
use std::io::Write;

/// Ends an event.
pub(crate) const END: &str = "\n\n";

/// Begins the data of an event.
const DATA: &str = "data: ";

/// Begins a comment.
pub(crate) const COMMENT: &str = ":";

/// Writes one event. `write` writes its data, which is JSON on one line.
pub fn data(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(DATA.as_bytes());
    let start = out.len();
    write(out);
    escape_line_separators(out, start);
    out.extend_from_slice(b"\n\n");
}

/// Characters at which some clients split lines although server-sent events do not, and their JSON
/// escapes: Python's `str.splitlines` splits at all three. JSON allows them bare, and they occur in
/// strings only, so an escape means the same.
const LINE_SEPARATORS: [(&[u8], &[u8]); 3] = [
    ("\u{85}".as_bytes(), b"\\u0085"),
    ("\u{2028}".as_bytes(), b"\\u2028"),
    ("\u{2029}".as_bytes(), b"\\u2029"),
];

/// Escapes [`LINE_SEPARATORS`] in the JSON that begins at `start`.
fn escape_line_separators(out: &mut Vec<u8>, start: usize) {
    let starts_with_separator =
        |rest: &[u8]| LINE_SEPARATORS.iter().any(|(raw, _)| rest.starts_with(raw));
    // Compares a word at a time: nearly every event is ASCII.
    if out.get(start..).is_none_or(<[u8]>::is_ascii) {
        return;
    }
    let mut at = start;
    while let Some(rest) = out.get(at..) {
        let Some(offset) = rest.iter().position(|byte| matches!(byte, 0xc2 | 0xe2)) else {
            return;
        };
        at = at.saturating_add(offset);
        if out.get(at..).is_some_and(starts_with_separator) {
            break;
        }
        at = at.saturating_add(1);
    }
    // Copies the rest once and not per separator, because nearly no event has a separator.
    let rest = out.split_off(at.min(out.len()));
    let mut rest = rest.as_slice();
    while let Some((first, after)) = rest.split_first() {
        if let Some((raw, escape)) = LINE_SEPARATORS
            .iter()
            .find(|(raw, _)| rest.starts_with(raw))
        {
            out.extend_from_slice(escape);
            rest = rest.get(raw.len()..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = after;
        }
    }
}

/// Writes one event with a name before its data.
pub fn named(out: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    data(out, write);
}

/// Returns the data of each event that was written.
pub(crate) fn data_of(events: &str) -> impl Iterator<Item = &str> {
    events.lines().filter_map(|line| line.strip_prefix(DATA))
}

/// Writes the event that ends every stream of chat completions.
pub fn done(out: &mut Vec<u8>) {
    data(out, |out| out.extend_from_slice(b"[DONE]"));
}

/// Writes a comment of one line, which every decoder skips. It ends with one line break, not two,
/// because two would dispatch an empty event in some decoders.
pub fn comment(out: &mut Vec<u8>, line: &impl Display) {
    // Writing to memory cannot fail.
    let written = writeln!(out, ": {line}");
    debug_assert!(written.is_ok());
}

/// Writes the comment that keeps a silent stream alive.
pub fn ping(out: &mut Vec<u8>) {
    comment(out, &"ping");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str) -> String {
        let mut out = b": before \xe2\x80\xa8\n".to_vec();
        data(&mut out, |out| out.extend_from_slice(json.as_bytes()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn separators_of_other_line_readers_are_escaped_and_nothing_else_is() {
        for (json, expected) in [
            (
                "{\"a\":\"x\u{2028}y\u{2029}\u{85}\"}",
                r#"{"a":"x\u2028y\u2029\u0085"}"#,
            ),
            ("\"\u{85}\"", r#""\u0085""#),
            (
                "\"\u{2027}\u{202a}\u{84}\u{86}\u{201c}\u{a9}\"",
                "\"\u{2027}\u{202a}\u{84}\u{86}\u{201c}\u{a9}\"",
            ),
            ("{}", "{}"),
            ("", ""),
        ] {
            assert_eq!(
                written(json),
                format!(": before \u{2028}\ndata: {expected}\n\n")
            );
        }
    }
}
