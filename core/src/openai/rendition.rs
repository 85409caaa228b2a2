//! An answer as the endpoint writes it that it was asked of: the same events, in other bytes.

use super::completion::Completion;
use super::response::Response;
use crate::error::ErrorBody;
use crate::sse;
use crate::turn::{Answer, Progress};

#[derive(Debug, Clone)]
pub enum Rendition {
    /// `POST /v1/chat/completions`
    Chat(Completion),
    /// `POST /v1/responses`
    Response(Response),
}

impl Rendition {
    /// Whether the client wants its answer piece by piece.
    pub fn is_stream(&self) -> bool {
        match self {
            Self::Chat(chat) => chat.is_stream(),
            Self::Response(response) => response.is_stream(),
        }
    }

    /// The beginning of a stream.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.begin(out),
            Self::Response(response) => response.begin(out),
        }
    }

    /// What every decoder skips: a comment, or white space before the object.
    pub fn beat(&self, out: &mut Vec<u8>) {
        if self.is_stream() {
            sse::ping(out);
        } else {
            out.push(b'\n');
        }
    }

    /// The next piece of the answer.
    pub fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.text(text, out),
            Self::Response(response) => response.text(text, out),
        }
    }

    /// The next piece of what the model thinks.
    pub fn thought(&mut self, thought: &str, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.thought(thought, out),
            Self::Response(response) => response.thought(thought, out),
        }
    }

    /// What the agent does meanwhile; of a whole answer there is no place for it.
    pub fn progress(&self, progress: &Progress<'_>, out: &mut Vec<u8>) {
        if self.is_stream() {
            sse::comment(out, progress);
        }
    }

    /// The end of an answer.
    pub fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.finish(answer, out),
            Self::Response(response) => response.finish(answer, out),
        }
    }

    /// The end of an answer that broke off after its head was sent.
    pub fn fail(&mut self, error: &ErrorBody, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chat) => chat.fail(error, out),
            Self::Response(response) => response.fail(error, out),
        }
    }
}
