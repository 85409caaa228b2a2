//! Turns a text of a session into the form that the gateway streams: a session keeps all text that
//! the model wrote.
//!
//! Removes the thoughts between tags, the tags that choose how a message is sent, and `MEDIA:`
//! lines. Code stays unchanged.
//!
//! Source: OpenClaw 2026.9.6 and 2026.3.13, `shared/text/reasoning-tags`, `utils/directive-tags`,
//! read.

use crate::gateway::media::{Fence, TAGS, without_directives};

/// The tag around an answer; the text in it stays.
const FINAL: &str = "final";

/// A longer directive is text. The id of a message is its longest part.
const MAX_DIRECTIVE_BYTES: usize = 256;

/// Returns the text without the parts that the gateway does not stream, and without blanks at its
/// ends.
pub(crate) fn as_streamed(text: &str) -> String {
    let text = if text.contains(['<', '[']) {
        without_directives(&without_tags(text))
    } else {
        without_directives(text)
    };
    text.trim_start().to_owned()
}

fn without_tags(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut is_thought = false;
    let mut fence: Option<Fence> = None;
    for line in text.split_inclusive('\n') {
        let is_code = Fence::follow(&mut fence, line);
        let mut rest = line;
        while !rest.is_empty() {
            let mark = rest.find(['`', '<', '[']).filter(|_| !is_code);
            let (plain, from) = rest
                .split_at_checked(mark.unwrap_or(rest.len()))
                .unwrap_or((rest, ""));
            let (kept, len) = match from.as_bytes().first() {
                Some(b'`') => {
                    let len = code_len(from);
                    (from.get(..len).unwrap_or(from), len)
                }
                Some(b'<') => match Tag::of(from) {
                    Some((tag, len)) => {
                        push(&mut shown, plain, is_thought);
                        is_thought = match tag {
                            Tag::Begin => true,
                            Tag::End => false,
                            Tag::Final => is_thought,
                        };
                        rest = from.get(len..).unwrap_or_default();
                        continue;
                    }
                    None => ("<", 1),
                },
                Some(b'[') => directive_len(from).map_or(("[", 1), |len| ("", len)),
                _ => ("", 0),
            };
            push(&mut shown, plain, is_thought);
            push(&mut shown, kept, is_thought);
            rest = from.get(len..).unwrap_or_default();
        }
    }
    shown
}

fn push(shown: &mut String, text: &str, is_thought: bool) {
    if !is_thought {
        shown.push_str(text);
    }
}

/// Returns the length of the inline code that the text begins with, or of its backquotes alone.
fn code_len(text: &str) -> usize {
    let after = text.trim_start_matches('`');
    let begin = text.len().saturating_sub(after.len());
    let Some(code) = after.find('`') else {
        return begin;
    };
    let end = after.get(code..).unwrap_or_default();
    let rest = end.trim_start_matches('`');
    text.len().saturating_sub(rest.len())
}

/// A tag that the gateway removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Begin,
    End,
    Final,
}

impl Tag {
    /// Returns the tag that the text begins with, and its length.
    fn of(text: &str) -> Option<(Self, usize)> {
        let words = text.strip_prefix('<')?.trim_start();
        let name = words.strip_prefix('/');
        let is_end = name.is_some();
        let name = name.unwrap_or(words).trim_start();
        let len = name.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (name, attributes) = name.split_at_checked(len)?;
        if attributes.starts_with('_') || !TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name)) {
            return None;
        }
        let end = attributes.find(['<', '>'])?;
        let rest = attributes.get(end..)?.strip_prefix('>')?;
        let tag = match (name.eq_ignore_ascii_case(FINAL), is_end) {
            (true, _) => Self::Final,
            (false, true) => Self::End,
            (false, false) => Self::Begin,
        };
        Some((tag, text.len().saturating_sub(rest.len())))
    }
}

/// Returns the length of the tag that the text begins with, if the tag chooses how a message is
/// sent.
fn directive_len(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("[[")?;
    // The search does not go to the end of the text, because many brackets would take quadratic
    // time.
    let end = inner
        .bytes()
        .take(MAX_DIRECTIVE_BYTES)
        .position(|byte| byte == b']')?;
    let (words, rest) = inner.split_at_checked(end)?;
    let rest = rest.strip_prefix("]]")?;
    let (name, value) = match words.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (words.trim(), None),
    };
    let is_directive = match value {
        None => ["reply_to_current", "audio_as_voice"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name)),
        Some(value) => name.eq_ignore_ascii_case("reply_to") && !value.is_empty(),
    };
    is_directive.then(|| text.len().saturating_sub(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_and_tags_are_taken_out() {
        for (stored, streamed) in [
            ("<think>Who is she?</think>\n\nAda.", "Ada."),
            ("<think>\nOne.\n\n```\nTwo.\n```\n</think>Ada.", "Ada."),
            ("Ada. < / Thinking >", "Ada."),
            ("<final kind=\"a\">Ada.</final>", "Ada."),
            ("Ada.<think>Was it she?", "Ada."),
            ("[[reply_to_current]] Ada.", "Ada."),
            ("[[ Reply_To: 7 ]]Ada.[[ audio_as_voice ]]", "Ada."),
            ("Ada.\n\nMEDIA:/srv/a.png", "Ada."),
            ("<think>MEDIA:</think>\nMEDIA:/srv/a.png", ""),
        ] {
            assert_eq!(as_streamed(stored), streamed, "{stored}");
        }
    }

    #[test]
    fn code_and_other_text_stay() {
        for text in [
            "",
            "Write `<think>` and ``[[reply_to_current]]`` or a ` <b>",
            "```\n<think>\n[[reply_to_current]]\nMEDIA:/srv/a.png\n```\nAda",
            "a < b <thinks> <think_x> <think <b> [[Ada]] [[reply_to]] [[reply_to:]] [x] <",
            "ü [[reply_to: 7",
        ] {
            assert_eq!(as_streamed(text), text);
        }
    }
}
