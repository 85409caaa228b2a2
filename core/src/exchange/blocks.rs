//! The storage of a response that is kept: its object, and the events of a stream in the
//! background, in blocks.
//!
//! The events of a stream in the background are gathered for a moment, and their client receives
//! them after they were stored. So whatever the hub loses, no client has received an event that the
//! next hub does not know, and the numbers of events continue.

use crate::http::sse;

/// Time for which events are gathered. Each block of them is a write, and writes are what storage
/// costs.
const GATHER_MS: u64 = 250;

/// Bytes of gathered events that are stored at once.
const GATHER_BYTES: usize = 32 * 1024;

/// Bytes from which on the next events begin another block. The present block is written again with
/// every addition.
const BLOCK_BYTES: usize = 32 * 1024;

/// Most bytes of a response's events. The events of a longer stream are not kept, and only its
/// object can be retrieved.
pub(crate) const MAX_EVENTS_BYTES: usize = 16 * 1024 * 1024;

/// The progress of a response that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The run of a response in the background was accepted. The response has this object.
    Begun(String),
    /// The response has ended with this object.
    Ended(String),
}

/// Events that are stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub number: u32,
    /// All events of the block. `None`: the stream is too long, and its events are not kept.
    pub events: Option<String>,
}

/// A response in the background, from its run's acceptance on.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    /// An earlier output has none of the events.
    pub(super) has_begun: bool,
    /// The number of the present block, and its events.
    number: u32,
    events: String,
    /// Bytes that are not sent yet, and the time of the first of them.
    gathered: Vec<u8>,
    since_ms: u64,
    /// Bytes of all events.
    bytes: usize,
    /// The events are not kept.
    is_too_long: bool,
}

impl Record {
    /// Begins after the blocks that an earlier hub has stored. A response without any had too many
    /// events.
    pub(super) fn after(blocks: u32, bytes: usize) -> Self {
        Self {
            has_begun: true,
            number: blocks,
            bytes,
            is_too_long: blocks == 0,
            ..Self::default()
        }
    }

    pub(super) fn gather(&mut self, bytes: &[u8], now_ms: u64) {
        if self.gathered.is_empty() {
            self.since_ms = now_ms;
        }
        self.gathered.extend_from_slice(bytes);
    }

    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.gathered.len() >= GATHER_BYTES || self.due_at_ms().is_some_and(|at_ms| now_ms >= at_ms)
    }

    /// Returns the time at which the gathered bytes are due.
    pub(super) fn due_at_ms(&self) -> Option<u64> {
        let has_gathered = !self.gathered.is_empty();
        has_gathered.then(|| self.since_ms.saturating_add(GATHER_MS))
    }

    /// Stores the gathered events, and sends the gathered bytes.
    pub(super) fn release(&mut self, blocks: &mut Vec<Block>, body: &mut Vec<u8>) {
        if let Some(block) = self.store() {
            // A block that has grown has all of its events.
            blocks.retain(|earlier| earlier.number != block.number);
            blocks.push(block);
        }
        body.append(&mut self.gathered);
    }

    /// Adds the gathered events to the block.
    fn store(&mut self) -> Option<Block> {
        if self.is_too_long {
            return None;
        }
        let before = self.events.len();
        let gathered = String::from_utf8_lossy(&self.gathered);
        let mut rest = &*gathered;
        while let Some((event, after)) = rest.split_once(sse::END) {
            let mut event = event;
            // A comment ends with one line break, and is not an event.
            while let Some((_, after)) = event
                .split_once('\n')
                .filter(|(line, _)| line.starts_with(sse::COMMENT))
            {
                event = after;
            }
            self.events.push_str(event);
            self.events.push_str(sse::END);
            rest = after;
        }
        let added = self.events.len().saturating_sub(before);
        if added == 0 {
            return None;
        }
        self.bytes = self.bytes.saturating_add(added);
        self.is_too_long = self.bytes > MAX_EVENTS_BYTES;
        let block = Block {
            number: self.number,
            events: (!self.is_too_long).then(|| self.events.clone()),
        };
        if self.events.len() >= BLOCK_BYTES || self.is_too_long {
            self.events = String::new();
            self.number = self.number.saturating_add(1);
        }
        Some(block)
    }
}

#[cfg(test)]
mod tests;
