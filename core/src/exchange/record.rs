//! The steps of a response that is kept: its beginning in the background, its events, its end.

use std::mem;

use crate::access::policy::OnDisconnect;
use crate::openai::responses::Stored;

use super::blocks::{Progress, Record};
use super::{ClientState, Exchange, Output};

impl Exchange {
    /// Returns true if the response is in the background: its run was accepted, and goes on
    /// whatever its client does.
    pub fn is_in_background(&self) -> bool {
        self.reply.record.is_some()
    }

    /// Returns the row of a response that is kept, until `until_ms`.
    pub fn stored(&self, until_ms: u64) -> Option<(&str, String)> {
        let writer = self.reply.answer.kept()?;
        let row = Stored {
            until_ms,
            keeping: writer.keeping(),
            is_stream: writer.is_stream(),
            run: self.run_id(),
            items: writer.items_id(),
            is_call: writer.is_call(),
        }
        .row();
        Some((writer.id(), row))
    }

    /// Begins the part of a response in the background that needs no client, once its run was
    /// accepted.
    pub(super) fn begin_background(&mut self, out: &mut Output) {
        let Some(writer) = self.reply.answer.background() else {
            return;
        };
        let object = writer.object();
        self.policy.on_disconnect = OnDisconnect::Finish;
        if !writer.is_stream() {
            self.reply.record = Some(Record::default());
            self.reply.begin_whole(&mut out.head);
            out.body.extend_from_slice(object.as_bytes());
            out.answered = true;
            self.client = ClientState::Gone;
        }
        out.progress = Some(Progress::Begun(object));
    }

    /// Continues a response in the background whose run an earlier hub requested. `blocks` of its
    /// events are stored, with `bytes`.
    pub(super) fn continue_record(&mut self, blocks: u32, bytes: usize) {
        self.reply.record = Some(Record::after(blocks, bytes));
    }

    /// Takes the bytes from `written` on, and releases those that are due.
    pub(super) fn record(&mut self, written: usize, now_ms: u64, out: &mut Output) {
        let is_stream = self.reply.answer.is_stream();
        if let Some(record) = &mut self.reply.record {
            let begins = !mem::replace(&mut record.has_begun, true);
            if is_stream {
                let fresh = out.body.split_off(written.min(out.body.len()));
                record.gather(&fresh, now_ms);
                if begins || out.ended || record.is_due(now_ms) {
                    record.release(&mut out.blocks, &mut out.body);
                }
            } else if !begins {
                // The client has its whole response.
                out.body.truncate(written);
            }
        }
        if out.ended
            && let Some(object) = self.reply.answer.take_ended()
        {
            out.progress = Some(Progress::Ended(object));
        }
    }

    /// Returns the time at which the gathered events are due.
    pub(super) fn record_at_ms(&self) -> Option<u64> {
        self.reply.record.as_ref()?.due_at_ms()
    }

    /// Returns true if nothing is written for the client, because there is none, and nobody else
    /// reads the response's events.
    pub(super) fn has_no_reader(&self) -> bool {
        let is_stream = self.reply.answer.is_stream() && self.is_in_background();
        self.client == ClientState::Gone && !is_stream
    }
}
