//! The `stop` of a chat completion: the answer's text ends before the first of these sequences,
//! across the borders of its pieces.
//!
//! The agent does not know the sequences. Its run continues to its end, because a run has effects
//! and its session remembers all of it. Only the text after the sequence is left out, and the usage
//! is that of the whole run.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::parse;

/// Largest number of sequences in a request. Source: OpenAI's API reference.
pub(crate) const MAX_SEQUENCES: usize = 4;

/// Longest sequence, in bytes. The text is compared with it at every piece.
pub(crate) const MAX_SEQUENCE_BYTES: usize = 1024;

/// The end of the text, and the part of it that may be the beginning of a sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stop {
    sequences: Vec<String>,
    held: String,
    is_hit: bool,
}

impl Stop {
    /// Reads the field: a text, or a list of texts. Empty texts end nothing.
    pub(super) fn read(field: &RawValue) -> Result<Self, Failure> {
        let json = field.get();
        let read = if json.starts_with('"') {
            parse::from_str(json).map(|one| vec![one])
        } else {
            parse::from_str(json)
        };
        read.ok().and_then(Self::new).ok_or_else(|| {
            Failure::invalid(
                "stop",
                format!(
                    "stop is a text or at most {MAX_SEQUENCES} of them, of {MAX_SEQUENCE_BYTES} \
                     bytes each."
                ),
            )
        })
    }

    fn new(mut sequences: Vec<String>) -> Option<Self> {
        sequences.retain(|sequence| !sequence.is_empty());
        let is_short = |sequence: &String| sequence.len() <= MAX_SEQUENCE_BYTES;
        let is_good = sequences.len() <= MAX_SEQUENCES && sequences.iter().all(is_short);
        is_good.then(|| Self {
            sequences,
            ..Self::default()
        })
    }

    /// Returns true if a sequence was found.
    pub(super) fn is_hit(&self) -> bool {
        self.is_hit
    }

    /// Takes the next piece of the text, and returns the text that can be sent.
    pub(super) fn push<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        if self.sequences.is_empty() {
            return Cow::Borrowed(text);
        }
        if self.is_hit {
            return Cow::Borrowed("");
        }
        let mut all = std::mem::take(&mut self.held);
        all.push_str(text);
        // The sequence that is complete first counts, because a model would have stopped there.
        let first = self
            .sequences
            .iter()
            .filter_map(|sequence| {
                let begin = all.find(sequence)?;
                Some((begin.saturating_add(sequence.len()), begin))
            })
            .min();
        if let Some((_, begin)) = first {
            self.is_hit = true;
            all.truncate(begin);
        } else {
            let held = self
                .sequences
                .iter()
                .map(|sequence| begun(&all, sequence))
                .max();
            self.held = all.split_off(all.len().saturating_sub(held.unwrap_or_default()));
        }
        Cow::Owned(all)
    }

    /// Ends the text, and returns the part that was held back.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Returns the number of bytes at the end of the text that begin the sequence.
fn begun(text: &str, sequence: &str) -> usize {
    sequence
        .char_indices()
        .skip(1)
        .map(|(at, _)| at)
        .filter(|at| {
            sequence
                .get(..*at)
                .is_some_and(|beginning| text.ends_with(beginning))
        })
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::testing::refused_param;

    fn stop(sequences: &[&str]) -> Stop {
        Stop::new(sequences.iter().map(ToString::to_string).collect()).unwrap()
    }

    /// Returns the text that is sent, if the whole text arrives in pieces of this length.
    fn shown(sequences: &[&str], text: &str, piece: usize) -> (String, bool) {
        let mut stop = stop(sequences);
        let chars: Vec<char> = text.chars().collect();
        let mut shown = String::new();
        for piece in chars.chunks(piece) {
            shown.push_str(&stop.push(&piece.iter().collect::<String>()));
        }
        shown.push_str(&stop.finish());
        (shown, stop.is_hit())
    }

    #[test]
    fn the_text_ends_before_the_first_sequence_wherever_its_pieces_begin() {
        for (sequences, text, expected, hit) in [
            (&[][..], "one two", "one two", false),
            (&["END"], "one END two", "one ", true),
            (&["END"], "one EN two EN", "one EN two EN", false),
            (&["END"], "EENDx", "E", true),
            (&["aab"], "aaaab", "aa", true),
            (&["\n\n", "."], "a\nb.c\n\n", "a\nb", true),
            // The sequence that is complete first.
            (&["abc", "b"], "abc", "a", true),
            (&["bc", "abc"], "abc", "", true),
            (
                &["\u{fc}\u{20ac}"],
                "a\u{fc}b\u{fc}\u{20ac}",
                "a\u{fc}b",
                true,
            ),
            (&["x", "y", "z", "\u{1F600}"], "hi \u{1F600}", "hi ", true),
        ] {
            for piece in 1..=text.chars().count() {
                assert_eq!(
                    shown(sequences, text, piece),
                    (expected.to_owned(), hit),
                    "{sequences:?} {text:?} in pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn only_what_may_be_the_beginning_of_a_sequence_is_held() {
        let mut stop = stop(&["END"]);
        assert_eq!(stop.push("one E"), "one ");
        assert_eq!(stop.push("N"), "");
        assert_eq!(stop.push("x"), "ENx");
        assert_eq!(stop.push("END two"), "");
        assert_eq!(stop.push("three"), "");
    }

    #[test]
    fn sequences_are_few_and_short() {
        let read = |json: &str| Stop::read(&RawValue::from_string(json.to_owned()).unwrap());
        assert_eq!(read(r#""END""#), Ok(stop(&["END"])));
        assert_eq!(read(r#"["a","","\n"]"#), Ok(stop(&["a", "\n"])));
        assert_eq!(read("[]"), Ok(Stop::default()));
        let longest = "x".repeat(MAX_SEQUENCE_BYTES);
        assert!(
            read(&format!(
                "[{longest:?},{longest:?},{longest:?},{longest:?}]"
            ))
            .is_ok()
        );
        for bad in [
            r#"["a","b","c","d","e"]"#,
            "5",
            r#"["a",5]"#,
            "{}",
            &format!("\"{longest}x\""),
        ] {
            assert_eq!(refused_param(read(bad)), "stop", "{bad}");
        }
    }
}
