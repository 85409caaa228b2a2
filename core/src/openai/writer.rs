//! Writes an answer for the client, in the bytes of the endpoint that was asked.

use super::chat::ChatWriter;
use super::forced::ForcedCall;
use super::responses::{Keeping, ResponsesWriter};
use crate::failure::Failure;
use crate::http::sse;
use crate::openai::error::ErrorBody;
use crate::turn::{CallPiece, Progress, RunSummary};

#[derive(Debug, Clone)]
pub enum Writer {
    /// `POST /v1/chat/completions`
    Chat(ChatWriter),
    /// `POST /v1/responses`
    Responses(ResponsesWriter),
}

impl Writer {
    /// Returns true if the client receives the answer piece by piece.
    pub fn is_stream(&self) -> bool {
        match self {
            Self::Chat(chat) => chat.is_stream(),
            Self::Responses(responses) => responses.is_stream(),
        }
    }

    /// Takes the session out of the response's id, so that no other caller can continue there.
    pub fn withhold_session(&mut self) {
        match self {
            // The id of a chat completion names no session.
            Self::Chat(_) => {}
            Self::Responses(responses) => responses.withhold_session(),
        }
    }

    /// Returns the id of a response of the Responses API.
    pub fn response_id(&self) -> Option<&str> {
        match self {
            Self::Chat(_) => None,
            Self::Responses(responses) => Some(responses.id()),
        }
    }

    /// Returns the writer of a response that is kept.
    pub(crate) fn kept(&self) -> Option<&ResponsesWriter> {
        match self {
            Self::Responses(responses) if responses.keeping() != Keeping::Sent => Some(responses),
            _ => None,
        }
    }

    /// Returns the writer of a response in the background.
    pub(crate) fn background(&self) -> Option<&ResponsesWriter> {
        self.kept()
            .filter(|responses| responses.keeping() == Keeping::Background)
    }

    /// Returns the ids that a response in the background may have got from an earlier request.
    pub fn background_ids(&self) -> impl Iterator<Item = &str> {
        self.background()
            .into_iter()
            .flat_map(ResponsesWriter::possible_ids)
    }

    /// Returns the object of a response that is kept, once it has ended.
    pub(crate) fn take_ended(&mut self) -> Option<String> {
        match self {
            Self::Chat(_) => None,
            Self::Responses(responses) => responses.take_ended(),
        }
    }

    /// Ends a response that its client cancelled.
    pub(crate) fn cancel(&mut self, out: &mut Vec<u8>) {
        if let Self::Responses(responses) = self {
            responses.cancel(out);
        }
    }

    /// Takes the session into the response's id that a turn gets which branches off.
    pub(crate) fn branch(&mut self) {
        if let Self::Responses(responses) = self {
            responses.branch();
        }
    }

    /// Records that the response's id does not change any more.
    pub(crate) fn settle_id(&mut self, out: &mut Vec<u8>) {
        if let Self::Responses(responses) = self {
            responses.settle_id(out);
        }
    }

    /// Begins a stream.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.begin(out),
            Self::Responses(responses) => responses.begin(out),
        }
    }

    /// Writes bytes without content that keep the connection alive: a comment or an event in a
    /// stream, white space before an object.
    pub fn beat(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Responses(responses) if responses.is_stream() => responses.beat(out),
            Self::Chat(chat) if chat.is_stream() => sse::ping(out),
            _ => out.push(b'\n'),
        }
    }

    /// Writes the next piece of a call of a client's tool.
    pub(crate) fn call_piece(&mut self, piece: CallPiece<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.call_piece(piece, out),
            Self::Responses(responses) => responses.call_piece(piece, out),
        }
    }

    /// Writes the next piece of the answer.
    pub fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.text(text, out),
            Self::Responses(responses) => responses.text(text, out),
        }
    }

    /// Writes the next piece of the model's thoughts.
    pub fn thought(&mut self, thought: &str, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.thought(thought, out),
            Self::Responses(responses) => responses.thought(thought, out),
        }
    }

    /// Writes the agent's progress. A whole answer has no place for it.
    pub fn progress(&self, progress: &Progress<'_>, out: &mut Vec<u8>) {
        if self.is_stream() {
            sse::comment(out, progress);
        }
    }

    /// Returns true if the answer becomes a call. Its text is then written at its end only.
    pub fn is_call(&self) -> bool {
        match self {
            Self::Chat(chat) => chat.is_call(),
            Self::Responses(responses) => responses.is_call(),
        }
    }

    /// Makes the call of the complete text. Fails if the text is not the arguments of the call.
    #[inline(never)]
    pub fn settle(&mut self) -> Result<(), Failure> {
        self.call().map_or(Ok(()), ForcedCall::settle)
    }

    fn call(&mut self) -> Option<&mut ForcedCall> {
        match self {
            Self::Chat(chat) => chat.call(),
            Self::Responses(responses) => responses.call(),
        }
    }

    /// Ends an answer that is settled. `now_s` is in seconds since the Unix epoch.
    #[inline(never)]
    pub fn finish(&mut self, summary: &RunSummary, now_s: u64, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.finish(summary, out),
            Self::Responses(responses) => responses.finish(summary, now_s, out),
        }
    }

    /// Ends an answer that broke off after its head was sent.
    pub fn fail(&mut self, error: &ErrorBody, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.fail(error, out),
            Self::Responses(responses) => responses.fail(error, out),
        }
    }
}
