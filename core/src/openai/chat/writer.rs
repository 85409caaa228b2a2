//! Writes a chat completion for the client: as server-sent chunks, or as one object.
//!
//! Source of the shapes: OpenAI's API reference (`chat.completion`, `chat.completion.chunk`) and
//! the decoders of the official SDKs.

use serde::Serialize;

use crate::http::sse;
use crate::openai::delivery::Delivery;
use crate::openai::error::ErrorBody;
use crate::openai::forced::ForcedCall;
use crate::openai::json::write::write_json;
use crate::openai::stop::Stop;
use crate::turn::{CallPiece, Finish, RunSummary, Usage};

/// The state of one answer: the fields of every part, and the text if the client waits for the
/// whole.
#[derive(Debug, Clone)]
pub struct ChatWriter {
    delivery: Delivery,
    id: String,
    model: String,
    created_s: u64,
    /// The bytes before the text in a chunk that carries text.
    chunk_head: Vec<u8>,
    stop: Stop,
    /// The call that the answer becomes.
    call: Option<ForcedCall>,
    /// The calls so far. Of a stream, without their arguments.
    calls: Vec<ToolCall>,
    /// The text so far, with [`Delivery::Whole`].
    text: String,
    /// The thoughts so far, with [`Delivery::Whole`].
    thoughts: String,
}

/// Begins the id of a completion.
pub const ID_PREFIX: &str = "chatcmpl-";

/// The bytes after the text in a chunk that carries text.
const CHUNK_TAIL: &[u8] = b"},\"finish_reason\":null}]";

impl ChatWriter {
    /// Begins an answer. `created_s` is in seconds since the Unix epoch; `model` is echoed.
    pub fn new(delivery: Delivery, id: String, model: String, created_s: u64) -> Self {
        let mut writer = Self {
            delivery,
            id,
            model,
            created_s,
            chunk_head: Vec::new(),
            stop: Stop::default(),
            call: None,
            calls: Vec::new(),
            text: String::new(),
            thoughts: String::new(),
        };
        if delivery.is_stream() {
            let mut head = Vec::new();
            writer.write_chunk_fields(&mut head);
            head.extend_from_slice(br#""choices":[{"index":0,"delta":{"content":"#);
            writer.chunk_head = head;
        }
        writer
    }

    /// Ends the text before the first of the client's sequences.
    #[must_use]
    pub fn ending_before(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Makes the answer a call.
    #[must_use]
    pub fn calling(mut self, call: Option<ForcedCall>) -> Self {
        self.call = call;
        self
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.delivery.is_stream()
    }

    pub(crate) fn is_call(&self) -> bool {
        self.call.is_some()
    }

    pub(crate) fn call(&mut self) -> Option<&mut ForcedCall> {
        self.call.as_mut()
    }

    /// Writes the first chunk.
    pub(crate) fn begin(&self, out: &mut Vec<u8>) {
        if !self.is_stream() {
            return;
        }
        sse::data(out, |out| {
            self.write_chunk_fields(out);
            out.extend_from_slice(
                br#""choices":[{"index":0,"delta":{"role":"assistant","content":"#,
            );
            out.extend_from_slice(if self.call.is_some() {
                b"null"
            } else {
                b"\"\""
            });
            out.extend_from_slice(CHUNK_TAIL);
            self.end_chunk(out);
        });
    }

    /// Writes the next piece of the text.
    pub(crate) fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if let Some(call) = &mut self.call {
            call.push(text);
            return;
        }
        let text = self.stop.push(text);
        if !text.is_empty() {
            self.show(&text, out);
        }
    }

    fn show(&mut self, text: &str, out: &mut Vec<u8>) {
        if !self.is_stream() {
            self.text.push_str(text);
            return;
        }
        sse::data(out, |out| {
            out.extend_from_slice(&self.chunk_head);
            write_json(out, text);
            out.extend_from_slice(CHUNK_TAIL);
            self.end_chunk(out);
        });
    }

    /// Writes the next piece of the model's thoughts, in the field that DeepSeek's API introduced
    /// and most clients read.
    pub(crate) fn thought(&mut self, thought: &str, out: &mut Vec<u8>) {
        if !self.is_stream() {
            self.thoughts.push_str(thought);
            return;
        }
        sse::data(out, |out| {
            self.write_chunk_fields(out);
            out.extend_from_slice(br#""choices":[{"index":0,"delta":{"reasoning_content":"#);
            write_json(out, thought);
            out.extend_from_slice(CHUNK_TAIL);
            self.end_chunk(out);
        });
    }

    /// Writes the next piece of a call.
    pub(crate) fn call_piece(&mut self, piece: CallPiece<'_>, out: &mut Vec<u8>) {
        if let Some((id, name)) = piece.begins {
            self.show_held(out);
            self.calls.push(ToolCall {
                id: id.to_owned(),
                kind: "function",
                function: FunctionCall {
                    name: name.to_owned(),
                    arguments: String::new(),
                },
            });
        }
        let Some(index) = self.calls.len().checked_sub(1) else {
            return;
        };
        if !self.is_stream() {
            if let Some(call) = self.calls.last_mut() {
                call.function.arguments.push_str(piece.arguments);
            }
            return;
        }
        sse::data(out, |out| {
            self.write_chunk_fields(out);
            out.extend_from_slice(br#""choices":[{"index":0,"delta":{"tool_calls":[{"index":"#);
            write_json(out, &index);
            if let Some((id, name)) = piece.begins {
                out.extend_from_slice(br#","id":"#);
                write_json(out, id);
                out.extend_from_slice(br#","type":"function","function":{"name":"#);
                write_json(out, name);
                out.push(b',');
            } else {
                out.extend_from_slice(br#","function":{"#);
            }
            out.extend_from_slice(br#""arguments":"#);
            write_json(out, piece.arguments);
            out.extend_from_slice(b"}}]");
            out.extend_from_slice(CHUNK_TAIL);
            self.end_chunk(out);
        });
    }

    /// Shows the text that was held back, because a sequence may have begun in it.
    fn show_held(&mut self, out: &mut Vec<u8>) {
        let held = self.stop.finish();
        if !held.is_empty() {
            self.show(&held, out);
        }
    }

    /// Ends an answer that is complete.
    pub(crate) fn finish(&mut self, summary: &RunSummary, out: &mut Vec<u8>) {
        let forced = self.call.take();
        if let Some(call) = &forced {
            let id = self.id.replacen(ID_PREFIX, "call_", 1);
            let piece = CallPiece {
                begins: Some((&id, call.name())),
                arguments: call.arguments(),
            };
            self.call_piece(piece, out);
        }
        self.show_held(out);
        let finish_reason = match summary.finish {
            _ if !self.calls.is_empty() => "tool_calls",
            Finish::Length if !self.stop.is_hit() => "length",
            _ => "stop",
        };
        match self.delivery {
            Delivery::Stream { include_usage } => {
                self.finish_stream(finish_reason, out);
                if include_usage {
                    self.write_usage(summary, out);
                }
                sse::done(out);
            }
            Delivery::Whole => self.finish_whole(finish_reason, summary, out),
        }
    }

    fn finish_whole(&self, finish_reason: &'static str, summary: &RunSummary, out: &mut Vec<u8>) {
        // Only calls: there is no text.
        let is_silent = self.text.is_empty() && !self.calls.is_empty();
        write_json(
            out,
            &Whole {
                id: &self.id,
                object: "chat.completion",
                created: self.created_s,
                model: &self.model,
                choices: [Choice {
                    index: 0,
                    message: Message {
                        role: "assistant",
                        content: (!is_silent).then_some(&self.text),
                        reasoning_content: (!self.thoughts.is_empty()).then_some(&self.thoughts),
                        refusal: None,
                        annotations: [],
                        tool_calls: &self.calls,
                    },
                    logprobs: None,
                    finish_reason,
                }],
                usage: UsageObject::from(&summary.usage),
            },
        );
    }

    /// Writes the chunk with the finish reason.
    fn finish_stream(&self, finish_reason: &'static str, out: &mut Vec<u8>) {
        sse::data(out, |out| {
            self.write_chunk_fields(out);
            out.extend_from_slice(br#""choices":[{"index":0,"delta":{},"finish_reason":"#);
            write_json(out, finish_reason);
            out.extend_from_slice(b"}]");
            self.end_chunk(out);
        });
    }

    fn write_usage(&self, summary: &RunSummary, out: &mut Vec<u8>) {
        sse::data(out, |out| {
            self.write_chunk_fields(out);
            out.extend_from_slice(br#""choices":[],"usage":"#);
            write_json(out, &UsageObject::from(&summary.usage));
            out.push(b'}');
        });
    }

    /// Ends an answer that broke off after its head was sent. The error object follows even the
    /// status 200. If the body just ended, the official Python SDK would repeat the request, and
    /// the agent would run again.
    pub(crate) fn fail(&self, error: &ErrorBody, out: &mut Vec<u8>) {
        if !self.is_stream() {
            error.write(out);
            return;
        }
        sse::data(out, |out| error.write(out));
        sse::done(out);
    }

    /// Ends a chunk without usage. Under `include_usage` it has `"usage":null`. Source: OpenAI's
    /// API reference.
    fn end_chunk(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.delivery {
            Delivery::Stream {
                include_usage: true,
            } => br#","usage":null}"#.as_slice(),
            _ => b"}",
        });
    }

    /// Writes `{"id":…,"object":…,"created":…,"model":…,`.
    fn write_chunk_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"id":"#);
        write_json(out, &self.id);
        out.extend_from_slice(br#","object":"chat.completion.chunk","created":"#);
        write_json(out, &self.created_s);
        out.extend_from_slice(br#","model":"#);
        write_json(out, &self.model);
        out.push(b',');
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: UsageObject,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a String>,
    refusal: Option<()>,
    /// Always empty: an agent's answer has none.
    annotations: [(); 0],
    #[serde(skip_serializing_if = "<[ToolCall]>::is_empty")]
    tool_calls: &'a [ToolCall],
}

#[derive(Debug, Clone, Serialize)]
struct ToolCall {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionCall,
}

#[derive(Debug, Clone, Serialize)]
struct FunctionCall {
    name: String,
    arguments: String,
}

#[derive(Serialize)]
struct UsageObject {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokensDetails,
}

#[derive(Serialize)]
struct PromptTokensDetails {
    cached_tokens: u64,
}

impl From<&Usage> for UsageObject {
    fn from(usage: &Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt,
            completion_tokens: usage.completion,
            total_tokens: usage.prompt.saturating_add(usage.completion),
            prompt_tokens_details: PromptTokensDetails {
                cached_tokens: usage.cached,
            },
        }
    }
}

#[cfg(test)]
mod tests;
