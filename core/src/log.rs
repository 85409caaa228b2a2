//! The lines that a request leaves in the log: one when its run begins, one when it ends. A line
//! has the client, the action and the result, and never a prompt, an answer, a key or a token.
//! Addresses and sessions, which identify people, are logged as keyed hashes.

use std::borrow::Cow;

use serde::Serialize;

use crate::exchange::{Exchange, Outcome};
use crate::failure::Failure;
use crate::log_key::LogKey;
use crate::openai::error::ErrorResponse;
use crate::turn::Finish;

/// The event that a line reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The gateway accepted the run.
    Begin,
    /// The request is over.
    #[default]
    End,
}

/// A request's line; a field that is not known is left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LogLine {
    pub event: Event,
    /// Milliseconds since the Unix epoch, at the request's arrival.
    pub time_ms: u64,
    /// Empty for a run that an earlier hub requested.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    /// The path as documents write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'static str>,
    /// Keyed hash of the caller's IPv4 address, or of the first 64 bits of its IPv6 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The id of the client's key; of a refused request, the id it claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model that was requested, if the key has no model of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The requested model while it is not known if it exists: a name that
    /// [`crate::openai::loggable`] accepted.
    #[serde(skip)]
    pub asked: Option<String>,
    /// Keyed hash of the session key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// True for a chat UI's own request (a title, tags), which is kept out of the conversation.
    #[serde(rename = "aside", skip_serializing_if = "std::ops::Not::not")]
    pub is_ui_task: bool,
    /// HTTP status; 499 if the client left before there was one.
    #[serde(skip_serializing_if = "is_zero")]
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    pub duration_ms: u64,
    /// `stop`, `length`, `ok` if there was no run, or the code of the error.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub end: &'static str,
    /// Tokens of the whole run; `cached_tokens` are among `input_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// The cause of an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The code of the gateway, or of a proxy before it: an error code, an HTTP status, or a close
    /// code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The action that the operator can take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The number of requests that were not admitted and not logged before this line.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub unlogged: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(status: &u16) -> bool {
    *status == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero_u32(count: &u32) -> bool {
    *count == 0
}

/// Returns the method's name if it is one of HTTP's own. Other names come from the client.
pub fn method(name: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"];
    KNOWN
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

impl LogLine {
    pub fn failed(&mut self, failure: &Failure) {
        self.status = ErrorResponse::of(failure).status;
        self.end = failure.code();
        if *failure == Failure::ModelNotFound {
            self.model = self.asked.take();
        }
        if let Some(cause) = failure.cause() {
            self.cause = Some(cause.code.into_owned());
            self.detail = cause.detail.map(Cow::into_owned);
            self.hint = Some(cause.fix.into_owned());
        }
    }

    /// Returns the line of a run that the gateway accepted.
    #[must_use]
    #[inline(never)]
    pub fn begun(&self, exchange: &Exchange, log_key: &LogKey) -> Self {
        let mut line = Self {
            event: Event::Begin,
            ..self.clone()
        };
        line.name_run(exchange, log_key);
        line
    }

    /// Copies the data of an exchange that ended.
    pub fn exchanged(&mut self, exchange: &Exchange, log_key: &LogKey) {
        match exchange.outcome() {
            Outcome::Answered(summary) => {
                self.end = match summary.finish {
                    Finish::Stop => "stop",
                    Finish::Length => "length",
                    Finish::Calls => "tool_calls",
                };
                self.input_tokens = Some(summary.usage.prompt);
                self.cached_tokens = Some(summary.usage.cached);
                self.output_tokens = Some(summary.usage.completion);
            }
            Outcome::Failed(failure) => self.failed(failure),
            Outcome::Pending => self.end = "pending",
        }
        if exchange.status() != 0 {
            self.status = exchange.status();
        }
        self.name_run(exchange, log_key);
    }

    fn name_run(&mut self, exchange: &Exchange, log_key: &LogKey) {
        self.agent = exchange.agent().map(ToString::to_string);
        self.session = exchange
            .session()
            .map(|session| log_key.of_session(session.as_str()));
    }

    pub fn to_json(&self) -> String {
        // The type's serialisation cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_is_none_is_not_logged() {
        assert_eq!(
            ["POST", "claw_phone_x", "post"].map(method),
            ["POST", "other", "other"]
        );
    }
}
