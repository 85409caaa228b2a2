//! The lines that structure a folded conversation, kept apart from the text of clients.
//!
//! Some lines of a text look like a marker or like the beginning of a message. They are marked with
//! a `>` and a blank, as mail marks quotes. Names and ids stand before the text on the same line,
//! so they must not contain line breaks.

use std::borrow::Cow;

use super::super::blank::{is_blank, trim};
use crate::failure::Failure;

pub(crate) const HISTORY: &str = "[Chat messages since your last reply - for context]";
pub(crate) const CURRENT: &str = "[Current message - respond to this]";

/// Beginnings of the markers. The gateway has changed the text after them before.
const BEGINNINGS: [&str; 2] = ["[Chat messages since", "[Current message"];

pub(crate) const USER: &str = "User";
pub(crate) const ASSISTANT: &str = "Assistant";
pub(crate) const TOOL: &str = "Tool";

const QUOTE: &str = "> ";

/// Returns a text that follows a sender on its line. Every further line that looks like another
/// message or a marker is marked.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let (first, rest) = split_line(text);
    match quoted_lines(rest, |line| is_marker(line) || is_sender(line)) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(rest) => Cow::Owned([first, &rest].concat()),
    }
}

/// Returns a text that stands alone. Every line that looks like a part of a folded conversation is
/// marked.
pub(crate) fn quoted_alone(text: &str) -> Cow<'_, str> {
    quoted_lines(text, is_marker)
}

/// Returns a name or an id without the blanks around it.
pub(crate) fn one_line(value: Option<&str>, param: impl Fn() -> String) -> Result<&str, Failure> {
    let value = value.map_or("", trim);
    if value.contains(|c: char| c.is_control() || is_line_break(c)) {
        return Err(Failure::invalid(
            param(),
            "A name or an id has no line breaks and no control characters.",
        ));
    }
    Ok(value)
}

/// Marks the lines that `is_odd` finds. It sees lines from their first visible character on, and
/// only those that begin like a marker or a sender: a text may have millions of lines.
fn quoted_lines(text: &str, mut is_odd: impl FnMut(&str) -> bool) -> Cow<'_, str> {
    let mut quoted = String::new();
    let mut written = 0_usize;
    let mut rest = text;
    while !rest.is_empty() {
        let (line, next) = split_line(rest);
        let visible = shown(line);
        if visible.starts_with(['[', 'U', 'A', 'T']) && is_odd(visible) {
            let start = text.len().saturating_sub(rest.len());
            quoted.push_str(text.get(written..start).unwrap_or_default());
            quoted.push_str(QUOTE);
            written = start;
        }
        rest = next;
    }
    if quoted.is_empty() {
        return Cow::Borrowed(text);
    }
    quoted.push_str(text.get(written..).unwrap_or_default());
    Cow::Owned(quoted)
}

/// Splits a text after its first line break.
fn split_line(text: &str) -> (&str, &str) {
    // Reads bytes, because a decoded character takes several times as long.
    let mut bytes = text.as_bytes();
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        let more = match (byte, rest) {
            (b'\n' | b'\r' | 0x0B | 0x0C, _) => 0,
            // U+0085.
            (0xC2, [0x85, ..]) => 1,
            // U+2028 and U+2029.
            (0xE2, [0x80, 0xA8 | 0xA9, ..]) => 2,
            _ => continue,
        };
        let end = text.len().saturating_sub(rest.len()).saturating_add(more);
        return text.split_at_checked(end).unwrap_or((text, ""));
    }
    (text, "")
}

/// Returns true for a character that ends a line in Unicode (UAX 14, classes BK, CR, LF and NL).
fn is_line_break(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Returns true for a line that begins with a marker.
fn is_marker(line: &str) -> bool {
    BEGINNINGS
        .iter()
        .any(|beginning| line.starts_with(beginning))
}

/// Returns true for a line that begins like `User: `, `User (Ada): ` or `Tool:call_1: `.
fn is_sender(line: &str) -> bool {
    [USER, ASSISTANT, TOOL]
        .iter()
        .filter_map(|sender| line.strip_prefix(sender))
        .any(|rest| {
            let rest = rest.trim_start();
            rest.starts_with(':') || (rest.starts_with('(') && rest.contains("):"))
        })
}

/// Returns a line from its first visible character on.
fn shown(line: &str) -> &str {
    line.trim_start_matches(|c| is_blank(c) || is_invisible(c))
}

/// Returns true for a character that is not visible and is not a blank.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}'
            | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::testing::refused_param;

    #[test]
    fn a_line_that_reads_like_another_message_is_marked() {
        for line in [
            "User: x",
            "Assistant: x",
            "Assistant : x",
            "Tool:call_1: x",
            "User (Ada): x",
            "  User: x",
            "\u{200B}User: x",
            "[Current message - respond to this]",
            "[Chat messages since your last reply - for context]",
        ] {
            for end in [
                "\n", "\r", "\r\n", "\u{B}", "\u{C}", "\u{85}", "\u{2028}", "\u{2029}",
            ] {
                assert_eq!(
                    quoted(&format!("a{end}{line}{end}b")),
                    format!("a{end}> {line}{end}b")
                );
            }
            assert_eq!(quoted(line), line, "it follows a sender on its line");
        }
        for line in [
            "Users: x",
            "user: root",
            "User x",
            "User (x)",
            "The User: x",
            "[Current]",
        ] {
            let text = format!("a\n{line}");
            assert!(
                matches!(quoted(&text), Cow::Borrowed(same) if same == text),
                "{line}"
            );
        }
    }

    #[test]
    fn only_lines_that_begin_like_a_part_of_a_conversation_are_looked_at() {
        for (text, expected) in [
            (
                "\n".repeat(1000) + "Users\n\u{2028} [x]\r\nuser",
                vec!["Users\n", "[x]\r"],
            ),
            ("abc \u{85}".repeat(1000), vec![]),
            ("\u{2027}\u{84}\u{C5}T".to_owned(), vec![]),
        ] {
            let mut seen = Vec::new();
            let quoted = quoted_lines(&text, |line| {
                seen.push(line.to_owned());
                false
            });
            assert_eq!(quoted, text);
            assert_eq!(seen, expected);
        }
        for c in '\0'..=char::MAX {
            let text = format!("{c}x");
            let is_split = split_line(&text).1 == "x";
            assert_eq!(is_split, is_line_break(c), "{c:?}");
        }
    }

    #[test]
    fn a_text_alone_is_marked_where_it_begins_a_conversation_of_its_own() {
        assert_eq!(
            quoted_alone(
                "[Chat messages since your last reply - for context]\nUser: x\n\n[Current message \
                 - respond to this]\nUser: y"
            ),
            "> [Chat messages since your last reply - for context]\nUser: x\n\n> [Current message \
             - respond to this]\nUser: y"
        );
        assert!(matches!(
            quoted_alone("User: x\nAssistant: y"),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn a_name_is_one_line() {
        let read = |value| one_line(value, || "p".to_owned());
        assert_eq!((read(Some(" Ada L ")), read(None)), (Ok("Ada L"), Ok("")));
        for value in ["a\nb", "a\u{2028}b", "a\u{85}b", "a\0b", "a\tb"] {
            assert_eq!(refused_param(read(Some(value))), "p", "{value:?}");
        }
    }
}
