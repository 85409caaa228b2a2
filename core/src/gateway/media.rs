//! Directives of the gateway that a model writes into its text: `MEDIA:` lines and the voice tag.
//!
//! A line `MEDIA:/path/of/a/file` outside a code fence names a file on the gateway's host, and
//! `[[audio_as_voice]]` sets how to send one. The gateway removes both from the text that it
//! streams and from `payloads`, but leaves the lines in `meta.finalAssistantVisibleText`. Here they
//! are removed from every text, because no path of that host may reach a client.
//!
//! Source: OpenClaw 2026.9.6 and 2026.3.13, `media/parse-output`, read; `latest-media`,
//! `march-media`, recorded.

use std::borrow::Cow;

const MEDIA: &str = "MEDIA:";
const VOICE_TAG: &str = "[[audio_as_voice]]";
const FENCES: [char; 2] = ['`', '~'];
const FENCE_LEN: usize = 3;

/// Most spaces before a fence. The gateway treats a line with more, or with other blanks, as text,
/// so a directive may follow it. Source: OpenClaw 2026.3.13, `parseFenceSpans`, read.
const MAX_FENCE_INDENT: usize = 3;

/// Removes directives from a text that comes in pieces of any size.
///
/// Text that may become a directive is held until the next piece decides it, so
/// [`Directives::finish`] must follow the last one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directives {
    held: String,
    /// A part of the present line was already returned.
    is_within_line: bool,
    fence: Option<Fence>,
}

/// The beginning of a code block, as `CommonMark` defines it. The block ends with a line that has
/// at least as many of these characters, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    mark: char,
    len: usize,
}

impl Fence {
    /// Returns the fence that a line begins with, and the text after it.
    fn of(words: &str) -> Option<(Self, &str)> {
        let mark = words.chars().next().filter(|mark| FENCES.contains(mark))?;
        let rest = words.trim_start_matches(mark);
        let len = words.len().saturating_sub(rest.len());
        (len >= FENCE_LEN).then_some((Self { mark, len }, rest))
    }

    fn is_ended_by(self, other: Self, rest: &str) -> bool {
        other.mark == self.mark && other.len >= self.len && rest.trim().is_empty()
    }

    /// Opens or ends the fence `open` if the line is one. Returns true if the line is code.
    pub(super) fn follow(open: &mut Option<Self>, line: &str) -> bool {
        let words = line.trim_start_matches(' ');
        let indent = line.len().saturating_sub(words.len());
        let is_code = open.is_some();
        let Some((fence, rest)) = Self::of(words).filter(|_| indent <= MAX_FENCE_INDENT) else {
            return is_code;
        };
        match *open {
            None => *open = Some(fence),
            Some(before) if before.is_ended_by(fence, rest) => *open = None,
            Some(_) => {}
        }
        true
    }
}

impl Directives {
    /// Takes the next piece and returns the text that can be shown now.
    pub(crate) fn push<'a>(&mut self, piece: &'a str) -> Cow<'a, str> {
        let is_plain = self.held.is_empty()
            && self.is_within_line
            && !piece.bytes().any(|byte| byte == b'\n' || byte == b'[');
        if is_plain {
            return Cow::Borrowed(piece);
        }
        self.held.push_str(piece);
        Cow::Owned(self.take(Piece::MoreMayFollow))
    }

    /// Returns the held text, because no more pieces follow.
    pub(crate) fn finish(&mut self) -> String {
        let text = self.take(Piece::Last);
        *self = Self::default();
        text
    }

    fn take(&mut self, piece: Piece) -> String {
        let held = std::mem::take(&mut self.held);
        let mut shown = String::with_capacity(held.len());
        let mut rest = held.as_str();
        while !rest.is_empty() {
            let step = if self.is_within_line {
                self.within_line(rest, piece)
            } else {
                self.at_line_start(rest, piece)
            };
            let (Step::Show(len) | Step::Drop(len)) = step else {
                rest.clone_into(&mut self.held);
                break;
            };
            let Some((part, after)) = rest.split_at_checked(len) else {
                break;
            };
            if matches!(step, Step::Show(_)) {
                shown.push_str(part);
            }
            rest = after;
        }
        shown
    }

    fn at_line_start(&mut self, rest: &str, piece: Piece) -> Step {
        let words = rest.trim_start_matches(is_blank);
        let indent = rest.strip_suffix(words).unwrap_or_default();
        let is_indent_of_fence =
            indent.len() <= MAX_FENCE_INDENT && indent.bytes().all(|byte| byte == b' ');
        let may_be_fence = is_indent_of_fence
            && (words.trim_start_matches(FENCES).is_empty() || Fence::of(words).is_some());
        let is_undecided = begins(MEDIA, words) || (may_be_fence && !words.contains('\n'));
        if is_undecided && piece == Piece::MoreMayFollow {
            return Step::Hold;
        }
        let line = words.split('\n').next().unwrap_or_default();
        if let Some((fence, rest)) = Fence::of(line).filter(|_| is_indent_of_fence) {
            match self.fence {
                None => self.fence = Some(fence),
                Some(open) if open.is_ended_by(fence, rest) => self.fence = None,
                Some(_) => {}
            }
        } else if let Some(value) =
            strip_prefix_of_any_case(words, MEDIA).filter(|_| self.fence.is_none())
        {
            match value.split_once('\n') {
                Some((value, after)) if is_file(value) => {
                    return Step::Drop(rest.len().saturating_sub(after.len()));
                }
                None if piece == Piece::MoreMayFollow => return Step::Hold,
                None if is_file(value) => return Step::Drop(rest.len()),
                _ => {}
            }
        }
        self.is_within_line = true;
        // Shows the blanks, so that each step consumes something.
        Step::Show(rest.len().saturating_sub(words.len()))
    }

    fn within_line(&mut self, rest: &str, piece: Piece) -> Step {
        let stop = rest.bytes().position(|byte| byte == b'\n' || byte == b'[');
        match stop {
            None => Step::Show(rest.len()),
            Some(0) if rest.starts_with('\n') => {
                self.is_within_line = false;
                Step::Show(1)
            }
            Some(0) if self.fence.is_some() => Step::Show(1),
            Some(0) if rest.starts_with(VOICE_TAG) => Step::Drop(VOICE_TAG.len()),
            Some(0) if VOICE_TAG.starts_with(rest) && piece == Piece::MoreMayFollow => Step::Hold,
            Some(0) => Step::Show(1),
            Some(len) => Step::Show(len),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    MoreMayFollow,
    Last,
}

/// The decision about the beginning of a text, with the length of that beginning in bytes.
#[derive(Debug, Clone, Copy)]
enum Step {
    Show(usize),
    Drop(usize),
    Hold,
}

/// Returns a whole text without its directives, and without the blanks that they leave at its end.
pub(crate) fn without_directives(text: &str) -> String {
    let mut directives = Directives::default();
    let mut shown = directives.push(text).into_owned();
    shown.push_str(&directives.finish());
    shown.truncate(shown.trim_end().len());
    shown
}

/// Returns the text before a part that the gateway may retract. That is a last line that is, or may
/// become, a `MEDIA:` line, and an unclosed last tag around a model's thoughts.
///
/// Protocol 3 streams the beginning of such a line, and takes it back with the line breaks before
/// it once it knows the line; a tag likewise, with the blanks before it. Source: OpenClaw
/// 2026.3.13, measured.
pub(crate) fn before_directive(text: &str) -> &str {
    let text = before_tag(text);
    let (head, line) = text
        .rsplit_once('\n')
        .map_or(("", text), |(head, line)| (head, line));
    let words = line.trim_start();
    let may_be_directive = words.is_empty()
        || begins(MEDIA, words)
        || strip_prefix_of_any_case(words, MEDIA).is_some();
    if may_be_directive {
        head.trim_end()
    } else {
        text
    }
}

/// Tags that the gateway removes from a model's text; for the first two also the text between them.
/// Source: OpenClaw 2026.3.13 and 2026.9.6,
/// `<\s*/?\s*(?:think(?:ing)?|thought|antthinking|final)\b[^<>]*>`.
pub(super) const TAGS: [&str; 5] = ["think", "thinking", "thought", "antthinking", "final"];

/// Longest tag, with `<`; anything longer is text.
const MAX_TAG_BYTES: usize = 64;

/// Returns the text before a last tag that is not closed.
fn before_tag(text: &str) -> &str {
    let end = text
        .as_bytes()
        .rchunks(MAX_TAG_BYTES)
        .next()
        .unwrap_or_default();
    let Some(place) = end.iter().rposition(|byte| *byte == b'<') else {
        return text;
    };
    let len = text.len().saturating_sub(end.len()).saturating_add(place);
    let (head, tag) = text.split_at_checked(len).unwrap_or((text, ""));
    let tag = tag.strip_prefix('<').unwrap_or_default();
    let name = tag.trim_start();
    let name = name.strip_prefix('/').unwrap_or(name).trim_start();
    let len = name.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (name, attributes) = name.split_at_checked(len).unwrap_or_default();
    let is_tag = if attributes.is_empty() {
        TAGS.iter().any(|tag| {
            tag.get(..name.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(name))
        })
    } else {
        let is_named = TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name));
        is_named
            && !attributes.contains('>')
            && !attributes.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
    };
    if is_tag && tag.len() <= MAX_TAG_BYTES {
        head
    } else {
        text
    }
}

/// Returns true if the gateway treats the character as a blank before a directive: the `trimStart`
/// of JavaScript.
fn is_blank(c: char) -> bool {
    c != '\n' && (c.is_whitespace() || c == '\u{feff}')
}

/// Returns true if `words` is a proper beginning of the directive, in upper or lower case.
fn begins(directive: &str, words: &str) -> bool {
    words.len() < directive.len()
        && directive
            .get(..words.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(words))
}

fn strip_prefix_of_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Returns true if the rest of a `MEDIA:` line names a file; other such lines are sentences.
fn is_file(value: &str) -> bool {
    let name = value
        .trim()
        .trim_matches(['`', '"', '\'', '[', ']', '(', ')', '{', '}', '<', '>'])
        .trim();
    let is_one_word = !name.is_empty() && !name.contains(char::is_whitespace);
    let is_path =
        name.starts_with(['/', '~', '\\']) || name.starts_with("./") || name.starts_with("../");
    let has_drive =
        matches!(name.as_bytes(), [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic());
    let has_scheme = ["file:", "http://", "https://", "data:", "media:"]
        .iter()
        .any(|scheme| strip_prefix_of_any_case(name, scheme).is_some());
    is_path || has_drive || has_scheme || (is_one_word && name.contains(['/', '\\', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the shown text, which must be the same for pieces of every size.
    #[track_caller]
    fn shown(text: &str) -> String {
        let in_pieces = |size: usize| {
            let mut directives = Directives::default();
            let mut shown = String::new();
            let chars: Vec<char> = text.chars().collect();
            for piece in chars.chunks(size) {
                shown.push_str(&directives.push(&piece.iter().collect::<String>()));
            }
            shown.push_str(&directives.finish());
            shown
        };
        let whole = in_pieces(text.len().max(1));
        for size in 1..12 {
            assert_eq!(in_pieces(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn a_line_that_names_a_file_is_taken_out_across_any_border() {
        assert_eq!(shown("Here.\n\nMEDIA:/srv/a b.png"), "Here.\n\n");
        assert_eq!(shown("a\nMEDIA:/srv/a.png\nb\n"), "a\nb\n");
        assert_eq!(
            shown("media: `./a.png`\nMEDIA:note.txt\nMEDIA:C:\\a.png\n  MEDIA:~/x"),
            ""
        );
        assert_eq!(shown("MEDIA:https://example.com/a.png\nx"), "x");
        assert_eq!(shown("MEDIA:file:///etc/hostname"), "");
        assert_eq!(
            shown("[[audio_as_voice]]Hi [[audio_as_voice]]there"),
            "Hi there"
        );
    }

    #[test]
    fn no_blank_and_nothing_that_is_no_fence_to_the_gateway_hides_a_line() {
        for blank in [
            "\u{a0}",
            "\r",
            "\u{b}",
            "\u{2028}",
            "\u{feff}",
            " \u{3000}\t",
        ] {
            assert_eq!(
                shown(&format!("a\n{blank}MEDIA:/srv/a.png\nb")),
                "a\nb",
                "{blank:?}"
            );
        }
        for no_fence in ["    ```\n", "\t~~~\n", "\u{a0}```\n"] {
            assert_eq!(
                shown(&format!("{no_fence}MEDIA:/srv/a.png\nb")),
                format!("{no_fence}b")
            );
        }
        for text in ["   ```\nMEDIA:/srv/a.png\n```\n", "\u{a0}\r\n \u{feff}x\n"] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn other_text_is_not_changed() {
        for text in [
            "",
            "Media: television and radio.\nMore",
            "MED",
            "MEDIA",
            "MEDIA:",
            "M\n  indented\n\t\n",
            "see MEDIA:/srv/a.png",
            "```\nMEDIA:/srv/a.png\n[[audio_as_voice]]\n```\nü [x] [[y]] [[audio_as_vo",
            "`code` ``\n~~",
        ] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(shown("```\nx\n```\nMEDIA:/srv/a.png"), "```\nx\n```\n");
        let odd = "```\n```js\n~~~\nMEDIA:/srv/a.png\n````\n";
        assert_eq!(shown(&format!("{odd}MEDIA:/srv/b.png")), odd);
    }

    #[test]
    fn a_last_line_that_may_become_a_directive_is_left_out() {
        for (text, before) in [
            ("Here.\n\nMED", "Here."),
            ("Here.\n\n", "Here."),
            ("m", ""),
            ("MEDIA:/srv/a.png", ""),
            ("Here", "Here"),
            ("Here.\nMore", "Here.\nMore"),
            ("Here <", "Here "),
            ("Here <thi", "Here "),
            ("Here </ Final", "Here "),
            ("<think kind=\"deep\"", ""),
            ("<think_x", "<think_x"),
            ("<think\u{e9}", ""),
            ("<think>Here", "<think>Here"),
            ("Vec<String", "Vec<String"),
            ("a < b", "a < b"),
            ("1 < 2", "1 < 2"),
            ("<finally", "<finally"),
        ] {
            assert_eq!(before_directive(text), before);
        }
    }

    #[test]
    fn a_whole_text_ends_where_its_words_end() {
        assert_eq!(
            without_directives("Two files.\n\nMEDIA:./tone.wav\nMEDIA:note.txt"),
            "Two files."
        );
        assert_eq!(without_directives("MEDIA:/srv/a.png"), "");
    }
}
