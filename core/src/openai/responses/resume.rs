//! Continues a response whose events an earlier hub has written.
//!
//! The run's text arrives again from its beginning. The part of it that was written is not written
//! again. If it is another text, the events cannot be continued, and only the response's object has
//! the answer.

use super::fields::Fields;
use super::object::{ERROR_EVENT, Item, Kind};
use crate::http::sse;

/// The text of a response that arrives again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resumption {
    /// The text that was written.
    written: String,
    /// The text that has arrived.
    text: String,
    is_lost: bool,
}

/// The meaning of the next piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// All of it was written before.
    Repeated,
    /// Everything that was written has arrived, and this text follows it.
    Fresh(String),
    /// It is another text.
    Other,
}

impl Resumption {
    /// Takes the next piece.
    pub(crate) fn take(&mut self, piece: &str) -> Piece {
        self.text.push_str(piece);
        if self.is_lost {
            return Piece::Other;
        }
        if let Some(fresh) = self.text.strip_prefix(self.written.as_str()) {
            return Piece::Fresh(fresh.to_owned());
        }
        if self.written.starts_with(self.text.as_str()) {
            return Piece::Repeated;
        }
        Piece::Other
    }

    /// Records that the text is another one. Returns true at the first call.
    pub(crate) fn lose(&mut self) -> bool {
        !std::mem::replace(&mut self.is_lost, true)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Returns the text that has arrived.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// The state of a response after some of its events.
pub(crate) struct State {
    /// The number of the next event.
    pub(crate) sequence: u64,
    pub(crate) items: Vec<Item>,
    pub(crate) resumption: Option<Resumption>,
}

impl State {
    /// Reads the events that were written. `None` if one is missing.
    pub(crate) fn of(events: &str) -> Option<Self> {
        let mut items: Vec<Item> = Vec::new();
        let mut sequence = 0;
        let mut is_lost = false;
        for data in sse::data_of(events) {
            let event = Fields::of(data)?;
            if event.sequence_number != Some(sequence) {
                return None;
            }
            sequence = sequence.saturating_add(1);
            // The text that arrived on an earlier hub was another one.
            is_lost |= event.kind.as_deref() == Some(ERROR_EVENT);
            let Some(delta) = event.delta else {
                continue;
            };
            let is_text = event
                .kind
                .is_some_and(|kind| kind.contains(Kind::Message.part()));
            let kind = if is_text {
                Kind::Message
            } else {
                Kind::Reasoning
            };
            match items.last_mut().filter(|item| item.kind == kind) {
                Some(item) => item.text.push_str(&delta),
                None => items.push(Item {
                    kind,
                    text: delta.into_owned(),
                    call: None,
                }),
            }
        }
        let texts = items.iter().filter(|item| item.kind == Kind::Message);
        let written: String = texts.map(|item| item.text.as_str()).collect();
        let resumption = (!written.is_empty()).then(|| Resumption {
            written,
            is_lost,
            ..Resumption::default()
        });
        Some(Self {
            sequence,
            items,
            resumption,
        })
    }
}

#[cfg(test)]
mod tests;
