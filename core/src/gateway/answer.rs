//! The answer's text as it can be streamed: only ever appended to, or given up.
//!
//! The gateway tells the whole text so far, per item (protocol 4) or since the last message or tool (protocol 3), and may take
//! back an item's text when it tries the model again. What was sent cannot be taken back, so after a retraction nothing is sent
//! until the new text has passed what was already sent, and if it differs from that, the answer is lost. Items are joined by a
//! blank line, as the gateway's own HTTP endpoint joins them.
//!
//! Once frames may have been missed, because the connection was lost, items no longer tell whether the text before them is complete.
//! From then on only the whole answer counts: protocol 4 tells it in every `chat` event, protocol 3 in the final response.
//!
//! Source: OpenClaw 2026.9.6 and 2026.3.13, recorded (`provider_cut`, `tool`).

use crate::error::Failure;
use crate::gateway::prefix::strip_prefix;

/// The longest answer that is streamed, in bytes: it is kept whole, to be compared with what the gateway says next.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Two texts that have so many characters at their beginning in common are versions of one.
const ALIKE_CHARS: usize = 8;

/// Between two items.
pub(crate) const SEPARATOR: &str = "\n\n";

/// An answer under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct AnswerText {
    /// All that was sent.
    sent: String,
    current: Item,
    /// Ids of the items before the current one.
    finished: Vec<String>,
    /// Something was said that could not be read; the next text of the same item makes up for it, being the whole.
    unread: bool,
    /// A part of it was begun anew (protocol 3).
    restarted: bool,
    /// Frames may have been missed.
    interruption: Option<Interruption>,
}

/// What the gateway said of the whole answer since frames may have been missed.
#[derive(Debug, Clone, Copy, Default)]
struct Interruption {
    /// Its length by the last word; less than what was sent of it while it is behind.
    len: Option<usize>,
    /// What was sent is no longer made of items that were seen.
    items_unknown: bool,
}

#[derive(Debug, Clone, Default)]
struct Item {
    /// Empty on protocol 3.
    id: String,
    /// Where the item begins in `sent`, separator included.
    start: usize,
    /// Length of its text by the gateway's last word; less than what was sent of it while it is behind.
    len: usize,
}

/// What the gateway says of an item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update<'a> {
    /// Protocol 4 only.
    pub item: Option<&'a str>,
    /// The item's whole text so far.
    pub text: &'a str,
    /// What is new in it; on protocol 3 the first piece of a segment is all of its text.
    pub delta: &'a str,
}

impl AnswerText {
    /// Takes what the gateway says of an item and returns what is to be sent now, which may be nothing.
    pub(crate) fn update(&mut self, update: Update<'_>) -> Result<&str, Failure> {
        if self.interruption.is_some() {
            return Ok("");
        }
        if self.begins_item(&update) {
            self.begin_item(update.item.unwrap_or_default())?;
        } else {
            self.unread = false;
        }
        self.current.len = update.text.len();
        let from = self.sent.len();
        let tail = self.sent.get(self.current.start..).unwrap_or_default();
        let separator = if self.current.start == 0 { "" } else { SEPARATOR };
        if tail.is_empty() {
            if !update.text.is_empty() {
                self.sent.push_str(separator);
                self.sent.push_str(update.text);
            }
        } else {
            let sent = tail.strip_prefix(separator).unwrap_or(tail);
            match strip_prefix(update.text, sent) {
                Some(fresh) => self.sent.push_str(fresh),
                None if sent.starts_with(update.text) => {}
                None => return Err(Failure::Retracted),
            }
        }
        self.fresh(from)
    }

    /// Frames may be missed from here on; `finished`: the model had nothing more to say.
    pub(crate) fn interrupt(&mut self, finished: bool) {
        let len = (finished && self.is_settled()).then_some(self.sent.len());
        let items_unknown = self
            .interruption
            .is_some_and(|before| before.items_unknown || before.len.is_some());
        self.interruption = Some(Interruption { len, items_unknown });
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interruption.is_some()
    }

    /// Takes the whole answer so far and returns what is to be sent now, which may be nothing.
    pub(crate) fn update_whole(&mut self, whole: &str) -> Result<&str, Failure> {
        let Some(interruption) = &mut self.interruption else {
            return Ok("");
        };
        interruption.len = Some(whole.len());
        self.unread = false;
        let from = self.sent.len();
        match whole.strip_prefix(&*self.sent) {
            Some(fresh) => self.sent.push_str(fresh),
            None if self.sent.starts_with(whole) => {}
            None => return Err(Failure::Retracted),
        }
        self.fresh(from)
    }

    /// Takes the last of `turns` items, where that proves that nothing else was missed: it is the only one, or the one under way.
    pub(crate) fn update_last(&mut self, text: &str, turns: u64) -> Result<&str, Failure> {
        let Some(interruption) = self.interruption else {
            return Ok("");
        };
        let from = self.sent.len();
        let under_way = if turns == 1 { 0 } else { self.current.start };
        let items = self.items();
        let separator = if under_way == 0 { "" } else { SEPARATOR };
        let said = self.sent.get(under_way..).and_then(|tail| tail.strip_prefix(separator));
        let proven = turns == 1 || (!interruption.items_unknown && u64::try_from(items) == Ok(turns));
        match said.and_then(|said| text.strip_prefix(said)) {
            Some(fresh) if proven => self.sent.push_str(fresh),
            _ => return Err(Failure::AnswerLost),
        }
        self.interruption = None;
        self.fresh(from)
    }

    /// Takes the last of `turns` items as the final response repeats it, and returns what was not told of it: frames can be lost to a
    /// slow connection. A text that merely differs from what was told is the same one, tidied up by the gateway.
    pub(crate) fn check_last(&mut self, text: &str, turns: u64) -> Result<&str, Failure> {
        let from = self.sent.len();
        let tail = self.sent.get(self.current.start..).unwrap_or_default();
        let item = tail.strip_prefix(SEPARATOR).unwrap_or(tail);
        let untold = u64::try_from(self.items()).is_ok_and(|items| items < turns);
        if text.trim().is_empty() || item.is_empty() || self.sent.contains(text.trim()) {
            return Ok("");
        }
        if let Some(rest) = text.strip_prefix(item) {
            self.sent.push_str(rest);
        } else if untold && !is_alike(item, text) {
            self.sent.push_str(SEPARATOR);
            self.sent.push_str(text);
        }
        self.fresh(from)
    }

    /// Takes the whole answer as the final response repeats it (protocol 3), and returns what was not told at its end. What is missing in
    /// its middle cannot be made up for; what merely differs is the same answer, tidied up by the gateway. After a failed attempt, which
    /// `at_first_attempt` rules out, the response repeats that one's words too, and says nothing of what was told.
    pub(crate) fn check_whole(&mut self, messages: &[&str], at_first_attempt: bool) -> Result<&str, Failure> {
        let from = self.sent.len();
        let whole = messages.join(SEPARATOR);
        if self.restarted || whole.len() <= from {
            return Ok("");
        }
        let same = |(a, b): &(u8, u8)| a == b;
        let head = whole.bytes().zip(self.sent.bytes()).take_while(same).count();
        let tail = whole
            .bytes()
            .rev()
            .zip(self.sent.bytes().rev())
            .take_while(same)
            .count();
        if head == from {
            if !self.is_of_one_attempt(messages, at_first_attempt) {
                return Err(Failure::AnswerLost);
            }
            self.sent.push_str(whole.get(from..).unwrap_or_default());
        } else if head.saturating_add(tail) >= from {
            return Err(Failure::AnswerLost);
        }
        self.fresh(from)
    }

    /// Takes the whole answer of a run that ended (protocol 3), where no words of a failed attempt can be in it.
    pub(crate) fn complete(&mut self, messages: &[&str], at_first_attempt: bool) -> Result<&str, Failure> {
        if !self.is_of_one_attempt(messages, at_first_attempt) {
            return Err(Failure::AnswerLost);
        }
        let from = self.sent.len();
        let whole = messages.join(SEPARATOR);
        match whole.strip_prefix(&*self.sent) {
            Some(fresh) => self.sent.push_str(fresh),
            None if self.sent.trim_end() == whole.trim_end() => {}
            None => return Err(Failure::AnswerLost),
        }
        self.interruption = None;
        self.fresh(from)
    }

    /// Whether none of the messages of a final response (protocol 3) are the words of a failed attempt, which it repeats as if they were one: the
    /// run's end says that there was none, or no message is there but those whose beginning was heard.
    fn is_of_one_attempt(&self, messages: &[&str], at_first_attempt: bool) -> bool {
        let begun = self.finished.len().saturating_add(usize::from(!self.sent.is_empty()));
        at_first_attempt || messages.len() <= 1 || (!self.restarted && messages.len() <= begun)
    }

    pub(crate) fn ends_with(&self, text: &str) -> bool {
        self.sent.ends_with(text)
    }

    /// Items that were told.
    fn items(&self) -> usize {
        self.finished
            .len()
            .saturating_add(usize::from(!self.current.id.is_empty()))
    }

    fn fresh(&self, from: usize) -> Result<&str, Failure> {
        if self.sent.len() > MAX_ANSWER_BYTES {
            return Err(Failure::AnswerTooLarge {
                limit_bytes: MAX_ANSWER_BYTES,
            });
        }
        Ok(self.sent.get(from..).unwrap_or_default())
    }

    /// The gateway said something of the answer that could not be read.
    pub(crate) fn miss(&mut self) {
        self.unread = true;
    }

    /// The gateway begins the current item anew (protocol 3 says so by a failed attempt, not by a frame of its own).
    pub(crate) fn restart(&mut self) {
        self.current.len = 0;
        self.restarted = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Whether what was sent is what the gateway says now.
    pub(crate) fn is_settled(&self) -> bool {
        if let Some(interruption) = self.interruption {
            return interruption.len == Some(self.sent.len());
        }
        let tail = self.sent.len().saturating_sub(self.current.start);
        let separator = if self.current.start == 0 { 0 } else { SEPARATOR.len() };
        self.current.len >= tail.saturating_sub(separator)
    }

    /// Whether something was said that could not be read, and that no later text made up for.
    pub(crate) fn lacks_words(&self) -> bool {
        self.unread
    }

    fn begins_item(&self, update: &Update<'_>) -> bool {
        match update.item {
            Some(id) => id != self.current.id,
            None => self.current.len > 0 && update.delta == update.text,
        }
    }

    fn begin_item(&mut self, id: &str) -> Result<(), Failure> {
        // An item whose text was taken back leaves its place to the next one; one that is done, or behind, cannot.
        if self.current.len > 0 {
            if !self.is_settled() {
                return Err(Failure::Retracted);
            }
            self.finished.push(std::mem::take(&mut self.current.id));
            self.current.start = self.sent.len();
        }
        if !id.is_empty() && self.finished.iter().any(|finished| finished == id) {
            return Err(Failure::Retracted);
        }
        id.clone_into(&mut self.current.id);
        self.current.len = 0;
        Ok(())
    }
}

/// Whether two texts are likely to be versions of one: they begin alike, or one is in the other.
fn is_alike(a: &str, b: &str) -> bool {
    let common = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    common >= ALIKE_CHARS || a.contains(b.trim()) || b.contains(a.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item<'a>(id: &'a str, text: &'a str) -> Update<'a> {
        Update {
            item: Some(id),
            text,
            delta: "",
        }
    }

    fn segment<'a>(text: &'a str, delta: &'a str) -> Update<'a> {
        Update {
            item: None,
            text,
            delta,
        }
    }

    fn stream(updates: &[Update<'_>]) -> (String, Result<(), Failure>, bool) {
        let mut answer = AnswerText::default();
        let mut sent = String::new();
        for update in updates {
            match answer.update(*update) {
                Ok(text) => sent.push_str(text),
                Err(failure) => return (sent, Err(failure), answer.is_settled()),
            }
        }
        let settled = answer.is_settled();
        (sent, Ok(()), settled)
    }

    #[test]
    fn each_text_adds_what_the_last_one_lacked() {
        assert_eq!(
            stream(&[
                item("1", "w0"),
                item("1", "w0 w1"),
                item("1", "w0 w1"),
                item("1", "w0 w1 ü")
            ]),
            ("w0 w1 ü".into(), Ok(()), true)
        );
    }

    #[test]
    fn items_are_joined_by_a_blank_line() {
        assert_eq!(
            stream(&[
                item("1", "Let me check."),
                item("2", ""),
                item("2", "w0"),
                item("2", "w0 w1")
            ]),
            ("Let me check.\n\nw0 w1".into(), Ok(()), true)
        );
    }

    #[test]
    fn segments_without_ids_begin_where_the_delta_is_all_of_the_text() {
        assert_eq!(
            stream(&[
                segment("w0", "w0"),
                segment("w0 w1", " w1"),
                // Extends the segment before by chance; it is a new one all the same.
                segment("w0 w1 w2", "w0 w1 w2"),
            ]),
            ("w0 w1\n\nw0 w1 w2".into(), Ok(()), true)
        );
    }

    #[test]
    fn a_retracted_item_is_silent_until_its_successor_has_passed_it() {
        let updates = [
            item("1", "w0 w1"),
            item("1", ""),
            item("2", "w0"),
            item("2", "w0 w1"),
            item("2", "w0 w1 w2"),
        ];
        assert_eq!(stream(&updates), ("w0 w1 w2".into(), Ok(()), true));
        assert_eq!(stream(&updates[..2]), ("w0 w1".into(), Ok(()), false));
        assert_eq!(stream(&updates[..3]), ("w0 w1".into(), Ok(()), false));
        assert_eq!(stream(&updates[..4]), ("w0 w1".into(), Ok(()), true));
    }

    #[test]
    fn a_retraction_after_a_finished_item_leaves_that_item_alone() {
        assert_eq!(
            stream(&[
                item("1", "Let me check."),
                item("2", "w0 w1"),
                item("2", ""),
                item("3", "w0 w1 w2"),
            ]),
            ("Let me check.\n\nw0 w1 w2".into(), Ok(()), true)
        );
    }

    #[test]
    fn a_text_that_contradicts_what_was_sent_gives_the_answer_up() {
        for updates in [
            vec![item("1", "w0 w1"), item("1", "x")],
            vec![item("1", "w0 w1"), item("1", ""), item("2", "x")],
            vec![item("1", "w0 w1"), item("1", "w0"), item("2", "x")],
            vec![item("1", "a"), item("2", "b"), item("1", "")],
            vec![item("1", "a"), item("2", "b"), item("1", "c")],
        ] {
            let (_, result, _) = stream(&updates);
            assert_eq!(result, Err(Failure::Retracted), "{updates:?}");
        }
    }

    #[test]
    fn a_restarted_segment_is_not_repeated() {
        let mut answer = AnswerText::default();
        assert_eq!(answer.update(segment("w0", "w0")), Ok("w0"));
        answer.restart();
        assert!(!answer.is_settled());
        assert_eq!(answer.update(segment("w0", "w0")), Ok(""));
        assert_eq!(answer.update(segment("w0 w1", " w1")), Ok(" w1"));
        assert!(answer.is_settled());
    }

    #[test]
    fn the_end_of_the_last_item_or_all_of_it_is_made_up_for_and_nothing_is_said_twice() {
        let told = |updates: &[Update<'_>], last: &str, turns: u64| {
            let mut answer = AnswerText::default();
            for update in updates {
                answer.update(*update).unwrap();
            }
            answer.check_last(last, turns).unwrap().to_owned()
        };
        let one = [item("1", "Let me check.")];
        assert_eq!(told(&one, "Let me check.", 1), "");
        assert_eq!(told(&one, "Let me check. Done.", 1), " Done.");
        assert_eq!(told(&one, "It is four.", 2), "\n\nIt is four.");
        // Every call of the model was heard: the same text in other words.
        assert_eq!(told(&one, "It is four.", 1), "");
        assert_eq!(told(&one, "Let me check!", 2), "");
        assert_eq!(told(&one, " check. ", 2), "");
        assert_eq!(told(&one, "", 2), "");
        let two = [item("1", "Let me check."), item("2", "It is")];
        assert_eq!(told(&two, "It is four.", 2), " four.");
        assert_eq!(told(&two, "Let me check.", 3), "");
    }

    #[test]
    fn words_of_a_failed_attempt_are_never_taken_for_the_answer() {
        let after = |updates: &[Update<'_>], messages: &[&str], at_first_attempt: bool| {
            let mut answer = AnswerText::default();
            for update in updates {
                answer.update(*update).unwrap();
            }
            let unbroken = answer
                .clone()
                .check_whole(messages, at_first_attempt)
                .map(str::to_owned);
            answer.interrupt(false);
            let interrupted = answer.complete(messages, at_first_attempt).map(str::to_owned);
            assert_eq!(unbroken, interrupted);
            interrupted
        };
        let one = [segment("w0", "w0"), segment("w0 w1", " w1")];
        // A tool, or an attempt that failed: the end alone tells which.
        let two = ["w0 w1 w2", "w0 w1 w2 w3"];
        assert_eq!(after(&one, &two, true), Ok(" w2\n\nw0 w1 w2 w3".into()));
        assert_eq!(after(&one, &two, false), Err(Failure::AnswerLost));
        // One message is of one attempt, and the one under way is as good as whole.
        assert_eq!(after(&one, &["w0 w1 w2"], false), Ok(" w2".into()));
        let both = [one[0], one[1], segment("v0", "v0")];
        assert_eq!(after(&both, &["w0 w1", "v0 v1"], false), Ok(" v1".into()));
        assert_eq!(after(&both, &["w0 w1", "v0 v1", "v0"], false), Err(Failure::AnswerLost));

        // An attempt that failed, and was heard of; what the next one says is not.
        let mut answer = AnswerText::default();
        answer.update(one[0]).unwrap();
        answer.restart();
        answer.update(one[0]).unwrap();
        answer.update(segment("w0\n\nw1", "\n\nw1")).unwrap();
        answer.interrupt(false);
        assert_eq!(answer.complete(&["w0", "w1 w2"], false), Err(Failure::AnswerLost));
    }

    #[test]
    fn an_answer_over_the_limit_is_refused() {
        let text = "x".repeat(MAX_ANSWER_BYTES + 1);
        assert_eq!(
            AnswerText::default().update(item("1", &text)).map(str::len),
            Err(Failure::AnswerTooLarge {
                limit_bytes: MAX_ANSWER_BYTES
            })
        );
    }
}
