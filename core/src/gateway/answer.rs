//! The answer's text in a form that can be streamed: text is only appended, or the answer is given
//! up.
//!
//! The gateway sends the whole text so far, per item (protocol 4) or since the last message or tool
//! (protocol 3). It may retract an item's text when it calls the model again. Text that was sent
//! cannot be retracted. So after a retraction nothing is sent until the new text is longer than the
//! sent one. If it differs from the sent text, the answer is lost. Items are joined by a blank
//! line, as the gateway's own HTTP endpoint joins them.
//!
//! Texts that differ only in white space count as equal. After the gateway has removed a `MEDIA:`
//! line from an item, it sends the whole item again with fewer blanks and line breaks.
//!
//! A text that a model emits together with a tool call may come only as progress (protocol 4,
//! `item` of the kind `preamble`). It is an aside, which the whole answer does not repeat.
//!
//! After a lost connection, frames may have been missed. Items then no longer show whether the text
//! before them is complete. From then on only the whole answer counts: protocol 4 sends it in every
//! `chat` event, protocol 3 in the final response.
//!
//! Source: OpenClaw 2026.9.6 and 2026.3.13, recorded (`provider_cut`, `tool`).

use std::borrow::Cow;
use std::ops::Range;

use crate::failure::Failure;
use crate::gateway::prefix::strip_prefix;

/// The longest answer that is streamed, in bytes. The whole of it is kept, to be compared with the
/// gateway's next text.
pub(crate) const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Number of equal characters at the beginning of two texts that makes them versions of one text.
const ALIKE_CHARS: usize = 8;

/// Between two items.
pub(crate) const SEPARATOR: &str = "\n\n";

/// The part of its text that the model has emitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Emitted {
    #[default]
    Part,
    All,
}

/// The attempts at the model that a run made (protocol 3). A final response repeats the words of
/// each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Attempts {
    /// One of them may have failed.
    #[default]
    Unknown,
    /// The only one succeeded.
    One,
}

/// An answer in progress.
#[derive(Debug, Clone, Default)]
pub(crate) struct AnswerText {
    /// The whole text that was sent.
    sent: String,
    current: Item,
    /// Ids of the items before the current one.
    finished: Vec<String>,
    /// An update could not be read. The next text of the same item repairs that, because it is the
    /// whole text.
    unread: bool,
    /// A part of the answer was started again (protocol 3).
    restarted: bool,
    /// Frames may have been missed.
    interruption: Option<Interruption>,
    /// The parts of `sent` that were asides, each with the separator before it.
    asides: Vec<Range<usize>>,
    /// The model emitted text since its last call.
    has_emitted: bool,
    /// The last text, so far, that came only as progress.
    aside: Option<Aside>,
}

/// Text that came as progress.
#[derive(Debug, Clone)]
struct Aside {
    item: String,
    text: String,
}

/// The state of the whole answer since frames may have been missed.
#[derive(Debug, Clone, Copy, Default)]
struct Interruption {
    /// Its length in the last update; less than the length that was sent while the update is
    /// shorter.
    len: Option<usize>,
    /// The text that was sent no longer consists of items that were received.
    items_unknown: bool,
}

#[derive(Debug, Clone, Default)]
struct Item {
    /// Empty on protocol 3.
    id: String,
    /// The position in `sent` at which the item begins, separator included.
    start: usize,
    /// Length of its text in the last update; less than the length that was sent while the update
    /// is shorter.
    len: usize,
}

/// An update of an item from the gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update<'a> {
    /// Protocol 4 only.
    pub item: Option<&'a str>,
    /// The item's whole text so far.
    pub text: &'a str,
    /// The new part of it; on protocol 3 the first piece of a segment is all of its text.
    pub delta: &'a str,
}

impl AnswerText {
    /// Takes an update of an item and returns the text to send now, which may be empty.
    pub(crate) fn update(&mut self, update: Update<'_>) -> Result<&str, Failure> {
        if self.interruption.is_some() {
            return Ok("");
        }
        if self.begins_item(&update) {
            self.begin_item(update.item.unwrap_or_default())?;
        } else {
            self.unread = false;
        }
        self.has_emitted |= !update.text.is_empty();
        self.current.len = update.text.len();
        let from = self.sent.len();
        let tail = self.sent.get(self.current.start..).unwrap_or_default();
        let separator = if self.current.start == 0 {
            ""
        } else {
            SEPARATOR
        };
        if tail.is_empty() {
            if !update.text.is_empty() {
                self.sent.push_str(separator);
                self.sent.push_str(update.text);
            }
        } else {
            let sent = tail.strip_prefix(separator).unwrap_or(tail);
            if let Some(fresh) = strip_prefix(update.text, sent) {
                self.sent.push_str(fresh);
            } else if let Some(fresh) = after_words(update.text, sent) {
                self.current.len = sent.len().saturating_add(fresh.len());
                self.sent.push_str(fresh);
            } else if let Some(retracted) = after_words(sent, update.text) {
                // The text's own length is not used, because blanks must not compensate for words
                // that were retracted.
                self.current.len = sent.len().saturating_sub(retracted.len());
            } else {
                return Err(Failure::AnswerRetracted);
            }
        }
        self.fresh(from)
    }

    /// Records that the model was called. Returns its earlier text, as [`AnswerText::take_aside`]
    /// does.
    pub(crate) fn begin_call(&mut self) -> Result<&str, Failure> {
        let from = self.sent.len();
        self.take_aside()?;
        self.has_emitted = false;
        self.aside = None;
        self.fresh(from)
    }

    /// Records text of the model that came as progress.
    pub(crate) fn note_aside(&mut self, item: &str, text: &str) {
        if !self.has_emitted && !text.trim().is_empty() {
            self.aside = Some(Aside {
                item: item.to_owned(),
                text: text.to_owned(),
            });
        }
    }

    /// Returns the text that the model emitted only as progress, once it begins to work.
    pub(crate) fn take_aside(&mut self) -> Result<&str, Failure> {
        let from = self.sent.len();
        let Some(aside) = self.aside.take().filter(|_| !self.has_emitted) else {
            return Ok("");
        };
        if let Some(interruption) = &mut self.interruption {
            if from > 0 {
                self.sent.push_str(SEPARATOR);
            }
            self.sent.push_str(&aside.text);
            let len = self.sent.len().saturating_sub(from);
            interruption.len = interruption.len.map(|known| known.saturating_add(len));
            // It is an item that was not counted.
            interruption.items_unknown = true;
            self.has_emitted = true;
        } else {
            self.update(Update {
                item: Some(&aside.item),
                text: &aside.text,
                delta: "",
            })?;
        }
        self.asides.push(from..self.sent.len());
        self.fresh(from)
    }

    /// Returns true if nothing was sent after the last aside.
    fn ends_with_aside(&self) -> bool {
        let last = self.asides.last();
        last.is_some_and(|aside| aside.end == self.sent.len())
    }

    /// Returns the text that was sent, without the first asides.
    fn without_asides(&self, count: usize) -> Cow<'_, str> {
        let Some(first) = self.asides.first().filter(|_| count > 0) else {
            return Cow::Borrowed(&self.sent);
        };
        let mut text = String::with_capacity(self.sent.len());
        let mut end = 0;
        for aside in self.asides.iter().take(count) {
            text.push_str(self.sent.get(end..aside.start).unwrap_or_default());
            end = aside.end;
        }
        text.push_str(self.sent.get(end..).unwrap_or_default());
        match text.strip_prefix(SEPARATOR).filter(|_| first.start == 0) {
            Some(rest) => Cow::Owned(rest.to_owned()),
            None => Cow::Owned(text),
        }
    }

    /// Records that frames may be missed from here on.
    pub(crate) fn interrupt(&mut self, emitted: Emitted) {
        let len = (emitted == Emitted::All && self.is_settled()).then_some(self.sent.len());
        let items_unknown = self
            .interruption
            .is_some_and(|before| before.items_unknown || before.len.is_some());
        self.interruption = Some(Interruption { len, items_unknown });
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interruption.is_some()
    }

    /// Takes the whole answer so far and returns the text to send now, which may be empty.
    pub(crate) fn update_whole(&mut self, whole: &str) -> Result<&str, Failure> {
        if self.interruption.is_none() {
            return Ok("");
        }
        self.unread = false;
        let from = self.sent.len();
        // The text of the last ones may have been emitted, and missed: then the answer repeats it.
        // A text that goes on within a word is another one.
        let is_end = |rest: &str| rest.is_empty() || rest.starts_with(char::is_whitespace);
        let repeats = |count: &usize| {
            let rest = rest_after(whole, &self.without_asides(*count));
            rest.is_some_and(|rest| !self.ends_with_aside() || is_end(rest))
        };
        if let Some(count) = (0..self.asides.len()).find(repeats) {
            self.asides.truncate(count);
        }
        let known = self.without_asides(self.asides.len());
        let len = if let Some(fresh) = rest_after(whole, &known) {
            // After an aside it is another item.
            let is_first = known.is_empty() && from > 0 && !fresh.is_empty();
            self.has_emitted |= !fresh.is_empty();
            self.sent.push_str(if is_first { SEPARATOR } else { "" });
            self.sent.push_str(fresh);
            self.sent.len()
        } else if let Some(retracted) = after_words(&known, whole) {
            // The text's own length is not used, because blanks must not compensate for words that
            // were retracted.
            known.len().saturating_sub(retracted.len())
        } else {
            return Err(Failure::AnswerRetracted);
        };
        if let Some(interruption) = &mut self.interruption {
            interruption.len = Some(len);
        }
        self.fresh(from)
    }

    /// Takes the last of `turns` items, if that proves that nothing else was missed: it is the only
    /// item, or the one in progress.
    pub(crate) fn update_last(&mut self, text: &str, turns: u64) -> Result<&str, Failure> {
        let Some(interruption) = self.interruption else {
            return Ok("");
        };
        let from = self.sent.len();
        let under_way = if turns == 1 { 0 } else { self.current.start };
        let items = self.items();
        let separator = if under_way == 0 { "" } else { SEPARATOR };
        let sent = self
            .sent
            .get(under_way..)
            .and_then(|tail| tail.strip_prefix(separator));
        let proven =
            turns == 1 || (!interruption.items_unknown && u64::try_from(items) == Ok(turns));
        match sent.and_then(|sent| rest_after(text, sent)) {
            Some(fresh) if proven => self.sent.push_str(fresh),
            _ => return Err(Failure::AnswerLost),
        }
        self.interruption = None;
        self.fresh(from)
    }

    /// Takes the last of `turns` items as the final response repeats it, and returns the part that
    /// was not received: frames can be lost on a slow connection. A text that merely differs from
    /// the received one is the same text, which the gateway has cleaned up.
    pub(crate) fn check_last(&mut self, text: &str, turns: u64) -> Result<&str, Failure> {
        let from = self.sent.len();
        let tail = self.sent.get(self.current.start..).unwrap_or_default();
        let item = tail.strip_prefix(SEPARATOR).unwrap_or(tail);
        let is_item_missing = u64::try_from(self.items()).is_ok_and(|items| items < turns);
        if text.trim().is_empty() || item.is_empty() || self.sent.contains(text.trim()) {
            return Ok("");
        }
        if let Some(rest) = rest_after(text, item) {
            self.sent.push_str(rest);
        } else if is_item_missing && !is_alike(item, text) {
            self.sent.push_str(SEPARATOR);
            self.sent.push_str(text);
        }
        self.fresh(from)
    }

    /// Takes the whole answer as the final response repeats it (protocol 3), and returns the end
    /// that was not received. A part that is missing in the middle cannot be repaired. A text that
    /// merely differs is the same answer, which the gateway has cleaned up. After a failed attempt
    /// the response also repeats that attempt's words, and proves nothing about the received text;
    /// [`Attempts::One`] excludes this.
    pub(crate) fn check_whole(
        &mut self,
        messages: &[&str],
        attempts: Attempts,
    ) -> Result<&str, Failure> {
        let from = self.sent.len();
        let whole = messages.join(SEPARATOR);
        if self.restarted {
            return Ok("");
        }
        if let Some(fresh) = rest_after(&whole, &self.sent).filter(|fresh| !fresh.is_empty()) {
            if !self.is_of_one_attempt(messages, attempts) {
                return Err(Failure::AnswerLost);
            }
            self.sent.push_str(fresh);
        } else if whole.len() > from && after_words(&whole, &self.sent).is_none() {
            let same = |(a, b): &(u8, u8)| a == b;
            let head = whole
                .bytes()
                .zip(self.sent.bytes())
                .take_while(same)
                .count();
            let tail = whole
                .bytes()
                .rev()
                .zip(self.sent.bytes().rev())
                .take_while(same)
                .count();
            if head.saturating_add(tail) >= from {
                return Err(Failure::AnswerLost);
            }
        }
        self.fresh(from)
    }

    /// Takes the whole answer of a run that ended (protocol 3), if it cannot contain words of a
    /// failed attempt.
    pub(crate) fn complete(
        &mut self,
        messages: &[&str],
        attempts: Attempts,
    ) -> Result<&str, Failure> {
        if !self.is_of_one_attempt(messages, attempts) {
            return Err(Failure::AnswerLost);
        }
        self.complete_with(&messages.join(SEPARATOR))
    }

    /// Takes the whole answer of a run that ended, with its asides.
    pub(crate) fn complete_with(&mut self, whole: &str) -> Result<&str, Failure> {
        let from = self.sent.len();
        match rest_after(whole, &self.sent) {
            Some(fresh) => self.sent.push_str(fresh),
            None if self.sent.trim_end() == whole.trim_end() => {}
            None => return Err(Failure::AnswerLost),
        }
        self.interruption = None;
        self.fresh(from)
    }

    /// Returns true if no message of a final response (protocol 3) can be from a failed attempt,
    /// which the response also repeats. Either the run's end shows that no attempt failed, or the
    /// beginning of each message was received.
    fn is_of_one_attempt(&self, messages: &[&str], attempts: Attempts) -> bool {
        let begun = self
            .finished
            .len()
            .saturating_add(usize::from(!self.sent.is_empty()));
        attempts == Attempts::One
            || messages.len() <= 1
            || (!self.restarted && messages.len() <= begun)
    }

    pub(crate) fn ends_with(&self, text: &str) -> bool {
        self.sent.ends_with(text)
    }

    /// Returns the number of items that were received.
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

    /// Records that an update of the answer could not be read.
    pub(crate) fn miss(&mut self) {
        self.unread = true;
    }

    /// Records that the gateway starts the current item again. Protocol 3 shows it by a failed
    /// attempt, not by a separate frame.
    pub(crate) fn restart(&mut self) {
        self.current.len = 0;
        self.restarted = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Returns true if the text that was sent is the gateway's present text.
    pub(crate) fn is_settled(&self) -> bool {
        if let Some(interruption) = self.interruption {
            return interruption.len == Some(self.sent.len());
        }
        let tail = self.sent.len().saturating_sub(self.current.start);
        let separator = if self.current.start == 0 {
            0
        } else {
            SEPARATOR.len()
        };
        self.current.len >= tail.saturating_sub(separator)
    }

    /// Returns true if an update could not be read and no later text repaired it.
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
        // The next item replaces an item whose text was retracted. It cannot replace an item that
        // is complete, or whose text is shorter than the sent one.
        if self.current.len > 0 {
            if !self.is_settled() {
                return Err(Failure::AnswerRetracted);
            }
            self.finished.push(std::mem::take(&mut self.current.id));
            self.current.start = self.sent.len();
        }
        if !id.is_empty() && self.finished.iter().any(|finished| finished == id) {
            return Err(Failure::AnswerRetracted);
        }
        id.clone_into(&mut self.current.id);
        self.current.len = 0;
        Ok(())
    }
}

/// Returns the rest of `text` after `before`, if it begins with it, white space aside.
fn rest_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    strip_prefix(text, before).or_else(|| after_words(text, before))
}

/// Returns the rest of `text` after the words of `before`, if it begins with them. White space
/// between characters is ignored.
fn after_words<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for wanted in before.chars().filter(|c| !c.is_whitespace()) {
        if rest.by_ref().find(|c| !c.is_whitespace()) != Some(wanted) {
            return None;
        }
    }
    let rest = rest.as_str();
    Some(if before.ends_with(char::is_whitespace) {
        rest.trim_start()
    } else {
        rest
    })
}

/// Returns true if two texts are likely to be versions of one: they have the same beginning, or one
/// contains the other.
fn is_alike(a: &str, b: &str) -> bool {
    let common = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    common >= ALIKE_CHARS || a.contains(b.trim()) || b.contains(a.trim())
}

#[cfg(test)]
mod tests;
