//! Writes a response of the Responses API for the client: as server-sent events, or as one object.
//!
//! Source of the shapes: OpenAI's API reference (`response`, its streaming events) and the decoders
//! of the official SDKs, Codex and the Agents SDK. Events have an `event:` line, as OpenAI's have.
//! `data` repeats it in its `type`, which all of those clients read.

mod render;

use super::echo::Echo;
use super::object::{
    CALL_ID_DIGITS, ERROR_EVENT, End, Item, Keeping, Kind, Status, status, write_part,
};
use super::resume::{self, Piece, Resumption};
use crate::failure::Failure;
use crate::http::sse;
use crate::openai::delivery::Delivery;
use crate::openai::error::{ErrorBody, ErrorResponse, failed_response_code};
use crate::openai::forced::ForcedCall;
use crate::openai::json::write::write_json;
use crate::turn::{CallPiece, Finish, RunSummary};

/// Begins a stream, and is repeated while it is silent.
const PROGRESS_EVENT: &str = "response.in_progress";

/// The number of the event that ends a lost stream: numbers only rise, and no stream has as many
/// events.
const LOST_SEQUENCE: u64 = 1_000_000_000;

/// The fields of a response that are known when its request is accepted.
#[derive(Debug, Clone)]
pub struct ResponseFields {
    pub ids: Ids,
    /// The ids of a response that must not name its session.
    pub unnamed_ids: Ids,
    /// The ids if the turn branches off from an earlier response.
    pub branch_ids: Option<Ids>,
    /// The `previous_response_id` of the request, echoed.
    pub previous: Option<String>,
    /// The model of the request, echoed.
    pub model: String,
    /// Seconds since the Unix epoch.
    pub created_s: u64,
    pub echo: Echo,
    pub keeping: Keeping,
}

/// The ids of a response and of its items.
#[derive(Debug, Clone)]
pub struct Ids {
    pub response: String,
    /// The part of the items' ids between their prefix and their number. No other response has it.
    pub items: String,
}

/// The state of one response: its fields, and its items so far.
#[derive(Debug, Clone)]
pub struct ResponsesWriter {
    delivery: Delivery,
    fields: Box<ResponseFields>,
    /// Seconds since the Unix epoch, once the response is complete.
    completed_s: Option<u64>,
    /// The number of the next event.
    sequence: u64,
    items: Vec<Item>,
    /// The stream has begun, and its first events are still to be written, because the response's
    /// id is not known.
    is_beginning: bool,
    /// The call that the answer becomes.
    call: Option<ForcedCall>,
    /// The text that an earlier hub has written, while the answer repeats it.
    resumption: Option<Resumption>,
    /// The part of the object that the request alone decides, as an earlier hub has written it.
    rest: Option<String>,
    /// The object of a response that is kept, once it has ended.
    ended: Option<String>,
}

impl ResponsesWriter {
    pub fn new(delivery: Delivery, fields: ResponseFields) -> Self {
        Self {
            delivery,
            fields: Box::new(fields),
            completed_s: None,
            sequence: 0,
            items: Vec::new(),
            is_beginning: false,
            call: None,
            resumption: None,
            rest: None,
            ended: None,
        }
    }

    /// Makes a writer for the end of a body that another writer began, and whose other fields are
    /// not known.
    pub(crate) fn lost(delivery: Delivery, id: &str, created_s: u64) -> Self {
        let ids = Ids {
            response: id.to_owned(),
            items: String::new(),
        };
        let fields = ResponseFields {
            unnamed_ids: ids.clone(),
            branch_ids: None,
            ids,
            previous: None,
            model: String::new(),
            created_s,
            echo: Echo::default(),
            keeping: Keeping::Sent,
        };
        let mut writer = Self::new(delivery, fields);
        writer.sequence = LOST_SEQUENCE;
        writer
    }

    /// Continues after the events that an earlier hub has written.
    #[must_use]
    pub(crate) fn resuming(self, state: resume::State, rest: String) -> Self {
        Self {
            sequence: state.sequence,
            items: state.items,
            resumption: state.resumption,
            rest: Some(rest),
            ..self
        }
    }

    /// Returns the response's id.
    pub(crate) fn id(&self) -> &str {
        &self.fields.ids.response
    }

    /// Returns the ids that the response has, depending on its session.
    pub(crate) fn possible_ids(&self) -> impl Iterator<Item = &str> {
        let ids = self.fields.branch_ids.iter().chain([&self.fields.ids]);
        ids.map(|ids| ids.response.as_str())
    }

    /// Makes the answer a call.
    #[must_use]
    pub fn calling(mut self, call: Option<ForcedCall>) -> Self {
        self.call = call;
        self
    }

    pub(crate) fn is_call(&self) -> bool {
        self.call.is_some()
    }

    pub(crate) fn call(&mut self) -> Option<&mut ForcedCall> {
        self.call.as_mut()
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.delivery.is_stream()
    }

    /// Returns true if events were written.
    pub(crate) fn has_written(&self) -> bool {
        self.sequence > 0
    }

    /// Returns the time for which the response is kept.
    pub(crate) fn keeping(&self) -> Keeping {
        self.fields.keeping
    }

    /// Returns the part of the items' ids that no other response has.
    pub(crate) fn items_id(&self) -> &str {
        &self.fields.ids.items
    }

    /// Returns the object of the response while it is in progress.
    pub(crate) fn object(&self) -> String {
        self.object_at(None)
    }

    /// Returns the object of a response that is kept, once it has ended.
    pub(crate) fn take_ended(&mut self) -> Option<String> {
        self.ended.take()
    }

    fn object_at(&self, end: Option<End<'_>>) -> String {
        let mut out = Vec::new();
        self.write_object(end, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Takes the ids that do not name the session. Nothing of the response may have been written.
    pub(crate) fn withhold_session(&mut self) {
        self.fields.ids = self.fields.unnamed_ids.clone();
        self.fields.branch_ids = None;
    }

    /// Takes the ids of the session of a turn that branches off.
    pub(crate) fn branch(&mut self) {
        if let Some(ids) = self.fields.branch_ids.take() {
            self.fields.ids = ids;
        }
    }

    /// Writes the first events, as soon as the response's id is known.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        self.is_beginning = self.is_stream();
        if self.fields.branch_ids.is_none() {
            self.settle_id(out);
        }
    }

    /// Records that the response's id does not change any more.
    pub(crate) fn settle_id(&mut self, out: &mut Vec<u8>) {
        self.fields.branch_ids = None;
        if std::mem::take(&mut self.is_beginning) {
            self.event("response.created", out, &|this, out| {
                this.write_response(None, out);
            });
            self.beat(out);
        }
    }

    /// Repeats that the response is in progress. A comment is not enough, because Codex counts only
    /// events: after 300 s without one it sends its request again, and a run can be silent for
    /// longer. The event is one that every client knows, because some fail on others. Source: codex
    /// 0.171.0 with a shorter `stream_idle_timeout_ms`, measured.
    pub(crate) fn beat(&mut self, out: &mut Vec<u8>) {
        if self.is_beginning {
            return sse::ping(out);
        }
        self.event(PROGRESS_EVENT, out, &|this, out| {
            this.write_response(None, out);
        });
    }

    /// Writes the next piece of the answer.
    pub(crate) fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if let Some(call) = &mut self.call {
            call.push(text);
            return;
        }
        let Some(resumption) = &mut self.resumption else {
            return self.push(Kind::Message, text, out);
        };
        match resumption.take(text) {
            Piece::Repeated => {}
            Piece::Fresh(fresh) => {
                self.resumption = None;
                if !fresh.is_empty() {
                    self.push(Kind::Message, &fresh, out);
                }
            }
            Piece::Other => self.restate(out),
        }
    }

    /// Takes another text than the one that was written. The events cannot be continued, so the
    /// stream has an error, and the object has the text.
    fn restate(&mut self, out: &mut Vec<u8>) {
        let Some(resumption) = &mut self.resumption else {
            return;
        };
        let is_first = resumption.lose();
        let text = resumption.text().to_owned();
        self.items.retain(|item| item.kind != Kind::Message);
        self.items.push(Item {
            kind: Kind::Message,
            text,
            call: None,
        });
        if is_first {
            let error = ErrorResponse::of(&Failure::AnswerLost).body;
            self.error(&error, out);
        }
    }

    /// Returns true if the events of the present items would contradict the earlier ones.
    fn is_restated(&self) -> bool {
        self.resumption.as_ref().is_some_and(Resumption::is_lost)
    }

    /// Writes the next piece of the model's thoughts.
    pub(crate) fn thought(&mut self, thought: &str, out: &mut Vec<u8>) {
        if self.resumption.is_none() {
            self.push(Kind::Reasoning, thought, out);
        }
    }

    /// Ends an answer that is complete, or that reached the model's length limit. `now_s` is in
    /// seconds since the Unix epoch.
    pub(crate) fn finish(&mut self, summary: &RunSummary, now_s: u64, out: &mut Vec<u8>) {
        if let Some(call) = self.call.take() {
            let unique = &self.fields.ids.items;
            let digits = unique.get(unique.len().saturating_sub(CALL_ID_DIGITS)..);
            let id = ["call_", digits.unwrap_or(unique)].concat();
            self.call_piece(
                CallPiece {
                    begins: Some((&id, call.name())),
                    arguments: call.arguments(),
                },
                out,
            );
            self.completed_s = Some(now_s);
            self.close(Status::Completed, out);
            // Arguments that fit their schema are complete.
            let summary = RunSummary {
                finish: Finish::Stop,
                ..*summary
            };
            return self.end(End::Answered(&summary), out);
        }
        if self.resumption.is_some() {
            // The whole text has arrived, and not all of the text that was written.
            self.restate(out);
        }
        // An empty answer is still a message.
        if !self.items.iter().any(|item| item.kind != Kind::Reasoning) {
            self.close(Status::Completed, out);
            self.open(Kind::Message, out);
        }
        let status = match summary.finish {
            Finish::Stop | Finish::Calls => Status::Completed,
            Finish::Length => Status::Incomplete,
        };
        self.completed_s = (status == Status::Completed).then_some(now_s);
        if !self.is_restated() {
            self.close(status, out);
        }
        self.end(End::Answered(summary), out);
    }

    /// Writes the next piece of a call.
    pub(crate) fn call_piece(&mut self, piece: CallPiece<'_>, out: &mut Vec<u8>) {
        if let Some((id, name)) = piece.begins {
            self.close(Status::Completed, out);
            self.items.push(Item {
                kind: Kind::Call,
                text: String::new(),
                call: Some(Box::new((id.to_owned(), name.to_owned()))),
            });
            self.item_event("response.output_item.added", Status::InProgress, out);
        }
        if let Some(item) = self.items.last_mut().filter(|item| item.kind == Kind::Call)
            && !piece.arguments.is_empty()
        {
            item.text.push_str(piece.arguments);
            self.call_event("delta", "delta", piece.arguments, out);
        }
    }

    /// Writes an event about the arguments of the last item, which is a call.
    fn call_event(&mut self, what: &str, field: &str, arguments: &str, out: &mut Vec<u8>) {
        let name = ["response.", Kind::Call.part(), ".", what].concat();
        self.event(&name, out, &|this, out| {
            let index = this.last_index();
            out.extend_from_slice(br#""item_id":"#);
            write_json(out, &this.item_id(index, Kind::Call));
            out.extend_from_slice(br#","output_index":"#);
            write_json(out, &index);
            out.push(b',');
            if field == "arguments" {
                let call = this.items.last().and_then(|item| item.call.as_deref());
                out.extend_from_slice(br#""name":"#);
                write_json(out, call.map_or("", |(_, name)| name));
                out.push(b',');
            }
            write_json(out, field);
            out.push(b':');
            write_json(out, arguments);
        });
    }

    /// Ends an answer that broke off after its head was sent. A stream ends with two events, as
    /// OpenAI's do: `error`, on which the official SDKs throw, and `response.failed`, which Codex
    /// reads.
    pub(crate) fn fail(&mut self, error: &ErrorBody, out: &mut Vec<u8>) {
        self.settle_id(out);
        self.error(error, out);
        self.end(End::Error(error, error.code), out);
    }

    /// Writes an error that does not end the response.
    fn error(&mut self, error: &ErrorBody, out: &mut Vec<u8>) {
        self.event(ERROR_EVENT, out, &|_, out| write_error(error, out));
    }

    /// Writes an error that is not an event of the response, so it has no number. A client that
    /// reads on later begins after the last number that it has.
    pub(crate) fn foreign_error(error: &ErrorBody, out: &mut Vec<u8>) {
        sse::named(out, ERROR_EVENT, |out| {
            out.extend_from_slice(br#"{"type":"error","#);
            write_error(error, out);
            out.push(b'}');
        });
    }

    /// Ends a response that its client cancelled.
    pub(crate) fn cancel(&mut self, out: &mut Vec<u8>) {
        self.settle_id(out);
        self.end(End::Cancelled, out);
    }

    fn end(&mut self, end: End<'_>, out: &mut Vec<u8>) {
        if self.is_stream() {
            let name = match status(Some(end)) {
                // OpenAI has no event of its own for a response that was cancelled. Source: the
                // types of its SDK for Node.js 7.57.0.
                Status::Failed | Status::Cancelled => "response.failed",
                Status::Incomplete => "response.incomplete",
                _ => "response.completed",
            };
            let shown = match end {
                // Codex must not send it again.
                End::Error(error, code) if self.fields.keeping != Keeping::Background => {
                    End::Error(error, failed_response_code(code))
                }
                end => end,
            };
            self.event(name, out, &|this, out| {
                this.write_response(Some(shown), out);
            });
        } else {
            self.write_object(Some(end), out);
        }
        if self.fields.keeping != Keeping::Sent {
            self.ended = Some(self.object_at(Some(end)));
        }
    }

    fn push(&mut self, kind: Kind, text: &str, out: &mut Vec<u8>) {
        if self.items.last().is_none_or(|item| item.kind != kind) {
            self.close(Status::Completed, out);
            self.open(kind, out);
        }
        if let Some(item) = self.items.last_mut() {
            item.text.push_str(text);
        }
        self.part_event(kind, "delta", out, &|out| {
            out.extend_from_slice(br#""delta":"#);
            write_json(out, text);
        });
    }

    fn open(&mut self, kind: Kind, out: &mut Vec<u8>) {
        self.items.push(Item {
            kind,
            text: String::new(),
            call: None,
        });
        self.item_event("response.output_item.added", Status::InProgress, out);
        self.content_event("response.content_part.added", "", out);
    }

    /// Writes that the last item is complete.
    fn close(&mut self, status: Status, out: &mut Vec<u8>) {
        let Some(Item { kind, text, .. }) = self.items.last().cloned().filter(|_| self.is_stream())
        else {
            return;
        };
        if kind == Kind::Call {
            self.call_event("done", "arguments", &text, out);
            return self.item_event("response.output_item.done", status, out);
        }
        self.part_event(kind, "done", out, &|out| {
            out.extend_from_slice(br#""text":"#);
            write_json(out, &text);
        });
        self.content_event("response.content_part.done", &text, out);
        self.item_event("response.output_item.done", status, out);
    }

    /// Writes an event about the last item.
    fn item_event(&mut self, name: &str, status: Status, out: &mut Vec<u8>) {
        self.event(name, out, &|this, out| {
            out.extend_from_slice(br#""output_index":"#);
            write_json(out, &this.last_index());
            out.extend_from_slice(br#","item":"#);
            if let Some(item) = this.items.last() {
                this.write_item(this.last_index(), item, status, out);
            }
        });
    }

    /// Writes an event about the content of the last item.
    fn content_event(&mut self, name: &str, text: &str, out: &mut Vec<u8>) {
        self.event(name, out, &|this, out| {
            this.write_place(out);
            out.extend_from_slice(br#","part":"#);
            if let Some(item) = this.items.last() {
                write_part(item.kind, text, out);
            }
        });
    }

    /// Writes an event about the text of the last item.
    fn part_event(
        &mut self,
        kind: Kind,
        what: &str,
        out: &mut Vec<u8>,
        write: &dyn Fn(&mut Vec<u8>),
    ) {
        let name = ["response.", kind.part(), ".", what].concat();
        self.event(&name, out, &|this, out| {
            this.write_place(out);
            out.push(b',');
            write(out);
            if kind == Kind::Message {
                out.extend_from_slice(br#","logprobs":[]"#);
            }
        });
    }

    /// Writes one event, if the answer is a stream.
    fn event(&mut self, name: &str, out: &mut Vec<u8>, write: &dyn Fn(&Self, &mut Vec<u8>)) {
        if !self.is_stream() {
            return;
        }
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        sse::named(out, name, |out| {
            out.extend_from_slice(br#"{"type":"#);
            write_json(out, name);
            out.extend_from_slice(br#","sequence_number":"#);
            write_json(out, &sequence);
            out.push(b',');
            write(self, out);
            out.push(b'}');
        });
    }

    fn last_index(&self) -> usize {
        self.items.len().saturating_sub(1)
    }

    /// Writes the place of the last item's text.
    fn write_place(&self, out: &mut Vec<u8>) {
        let index = self.last_index();
        let kind = self.items.last().map_or(Kind::Message, |item| item.kind);
        out.extend_from_slice(br#""item_id":"#);
        write_json(out, &self.item_id(index, kind));
        out.extend_from_slice(br#","output_index":"#);
        write_json(out, &index);
        out.extend_from_slice(br#","content_index":0"#);
    }
}

/// Writes the fields of an error's event.
fn write_error(error: &ErrorBody, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""code":"#);
    write_json(out, error.code);
    out.extend_from_slice(br#","message":"#);
    write_json(out, &error.message);
    out.extend_from_slice(br#","param":"#);
    write_json(out, &error.param);
    out.extend_from_slice(br#","error":"#);
    write_json(out, error);
}

#[cfg(test)]
mod tests;
