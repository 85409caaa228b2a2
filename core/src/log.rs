//! The one line that a request leaves in the log: who, what, how it ended. Never a prompt, an answer, a key or a token.

use std::borrow::Cow;

use serde::Serialize;

use crate::error::Failure;
use crate::exchange::{Exchange, Outcome};
use crate::turn::Finish;

/// A request's line; a field that is not known is left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Line {
    /// Milliseconds since the Unix epoch, when the request came.
    pub time_ms: u64,
    pub request_id: String,
    /// The id of the client's key; of a refused request, the id it claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Hash of the session key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// A chat UI's own call (a title, tags), kept out of the conversation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub aside: bool,
    /// HTTP status; 499 if the client left before there was one.
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    pub duration_ms: u64,
    /// `stop`, `length`, `ok` where there was no run, or the code of the error.
    pub end: &'static str,
    /// What was behind an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What the gateway, or what stands before it, said itself: its code, an HTTP status, a close code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the operator can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Line {
    pub fn failed(&mut self, failure: &Failure) {
        let reply = failure.reply();
        self.status = reply.status;
        self.end = reply.body.code;
        if let Some(cause) = failure.cause() {
            self.cause = Some(cause.code.into_owned());
            self.detail = cause.detail.map(Cow::into_owned);
            self.hint = Some(cause.hint.into_owned());
        }
    }

    /// Takes over what an exchange knows, of one that ended.
    pub fn exchanged(&mut self, exchange: &Exchange) {
        match exchange.outcome() {
            Outcome::Answered(answer) => {
                self.end = match answer.finish {
                    Finish::Stop => "stop",
                    Finish::Length => "length",
                }
            }
            Outcome::Failed(failure) => self.failed(failure),
            Outcome::Pending => self.end = "pending",
        }
        if exchange.status() != 0 {
            self.status = exchange.status();
        }
        self.agent = exchange.agent().map(ToString::to_string);
        self.session = exchange.session().map(crate::session::SessionKey::log_hash);
    }

    pub fn to_json(&self) -> String {
        // Of a type whose serialisation cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
