//! The parts of a response object: items, states and usage.

use serde::Serialize;

use crate::openai::error::ErrorBody;
use crate::openai::json::write::write_json;
use crate::turn::{Finish, RunSummary, Usage};

/// The number of digits in the id of a call. OpenAI's schema takes 64 characters, with the prefix.
pub(crate) const CALL_ID_DIGITS: usize = 32;

/// The event about an error, which does not end the response.
pub(crate) const ERROR_EVENT: &str = "error";

/// An item of `output`: a part of the answer or of the model's thoughts, or the call.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// The id and the name of a call.
    pub(crate) call: Option<Box<(String, String)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    Reasoning,
    /// A function call. Its text is the arguments.
    Call,
}

impl Kind {
    /// Returns the type of the item's part, which its events are named after.
    pub(crate) fn part(self) -> &'static str {
        match self {
            Self::Message => "output_text",
            Self::Reasoning => "reasoning_text",
            Self::Call => "function_call_arguments",
        }
    }
}

/// The progress of a response or an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    InProgress,
    Completed,
    Incomplete,
    Failed,
    Cancelled,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The end of a response.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End<'a> {
    Answered(&'a RunSummary),
    /// With the code that the response has.
    Error(&'a ErrorBody, &'static str),
    /// Its client cancelled the response.
    Cancelled,
}

/// The time for which a response is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keeping {
    /// Until it was sent.
    #[default]
    Sent,
    /// After its end (`store`).
    Stored,
    /// From the beginning of its run, which goes on without its client (`background`).
    Background,
}

/// The fields that are the same in every response, because a request cannot choose them. The
/// numbers are OpenAI's defaults: its schema requires numbers there. `instructions` are not echoed.
pub(crate) const ALWAYS: &[u8] = br#","frequency_penalty":0,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"parallel_tool_calls":true,"presence_penalty":0,"reasoning":{"effort":null,"summary":null},"service_tier":"default","store":"#;

/// The fields between `store` and the format that are the same in every response.
pub(crate) const ALWAYS_BEFORE_TEXT: &[u8] = br#","temperature":1,"text":{"format":"#;

/// The format of an answer if the request names none.
pub(crate) const PLAIN_TEXT: &str = r#"{"type":"text"}"#;

/// The fields after the format that are the same in every response.
pub(crate) const ALWAYS_AFTER_TEXT: &[u8] =
    br#"},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1,"truncation":"disabled"}"#;

pub(crate) fn status(end: Option<End<'_>>) -> Status {
    match end {
        None => Status::InProgress,
        Some(End::Error(..)) => Status::Failed,
        Some(End::Cancelled) => Status::Cancelled,
        Some(End::Answered(summary)) => match summary.finish {
            Finish::Stop | Finish::Calls => Status::Completed,
            Finish::Length => Status::Incomplete,
        },
    }
}

pub(crate) fn write_part(kind: Kind, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"#);
    write_json(out, kind.part());
    out.extend_from_slice(br#","text":"#);
    write_json(out, text);
    if kind == Kind::Message {
        out.extend_from_slice(br#","annotations":[],"logprobs":[]"#);
    }
    out.push(b'}');
}

#[derive(Serialize)]
pub(crate) struct UsageObject {
    input_tokens: u64,
    input_tokens_details: InputTokensDetails,
    output_tokens: u64,
    output_tokens_details: OutputTokensDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputTokensDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

/// The gateway does not count reasoning tokens separately.
#[derive(Serialize)]
struct OutputTokensDetails {
    reasoning_tokens: u64,
}

impl From<&Usage> for UsageObject {
    fn from(usage: &Usage) -> Self {
        Self {
            input_tokens: usage.prompt,
            input_tokens_details: InputTokensDetails {
                cached_tokens: usage.cached,
                cache_write_tokens: usage.cache_written,
            },
            output_tokens: usage.completion,
            output_tokens_details: OutputTokensDetails {
                reasoning_tokens: 0,
            },
            total_tokens: usage.prompt.saturating_add(usage.completion),
        }
    }
}
