//! The chunks of a run.
//!
//! Source: openclaw 2026.9.6, measured: text as it comes, calls at the end, an error instead of a
//! finish. A text that another one replaces was read.

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::tools::{Call, Choice};
use crate::clock;
use crate::events::interface::{Events, Fields};
use crate::frames::{Close, Outgoing, Protocol, close_code};
use crate::run::account::Account;
use crate::run::failure::Failure;
use crate::run::outcome;
use crate::script::over_http::OverHttp;

/// The error of a run whose functions have names of the gateway's tools.
pub(super) const TOOL_CONFLICT: &str = "invalid tool configuration";

/// The error of a run that fails for a reason of its own.
pub(super) const INTERNAL: &str = "internal error";

const NOT_APPENDED: &str =
    "Assistant output cannot be represented as an append-only response stream.";

/// The end of a run in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Sent,
    /// The stream stays open: `nofinal`.
    Withheld,
}

/// Writes the chunks of one run.
#[derive(Debug)]
pub(super) struct Emitter {
    pub(super) outbox: UnboundedSender<Outgoing>,
    pub(super) run_id: String,
    pub(super) model: String,
    pub(super) created: u64,
    pub(super) includes_usage: bool,
    pub(super) script: OverHttp,
    pub(super) finish: Finish,
    pub(super) choice: Choice,
    pub(super) calls: Vec<Call>,
    pub(super) text: Text,
}

/// The text of a run, and the part of it that was sent.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The text of this attempt, with the messages before it.
    all: String,
    sent_bytes: usize,
    /// The text that was sent for an earlier attempt, until this one has it as well.
    former: Option<String>,
    /// Bytes of the messages before a tool.
    earlier_bytes: usize,
    /// Deltas that the model sent.
    deltas: u32,
    is_after_tool: bool,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    #[serde(rename = "simSurplus", skip_serializing_if = "Option::is_none")]
    surplus: Option<Value>,
}

impl Text {
    fn push(&mut self, delta: &str) {
        if self.is_after_tool && !self.all.is_empty() {
            self.all.push_str("\n\n");
        }
        self.is_after_tool = false;
        self.all.push_str(delta);
        self.deltas = self.deltas.saturating_add(1);
    }

    /// Forgets the text after the messages before a tool.
    fn restart(&mut self) {
        let sent = self.all.get(..self.sent_bytes).unwrap_or_default();
        self.former.get_or_insert_with(|| sent.to_owned());
        self.all.truncate(self.earlier_bytes);
    }

    /// Takes the text that was not sent yet; `None` if the text that was sent is another one.
    fn take(&mut self) -> Option<String> {
        if self
            .former
            .as_ref()
            .is_some_and(|former| !self.all.starts_with(former))
        {
            return None;
        }
        self.former = None;
        let rest = self.all.get(self.sent_bytes..)?.to_owned();
        self.sent_bytes = self.all.len();
        Some(rest)
    }
}

impl Emitter {
    fn send(&self, data: String) {
        // A closed outbox is a client that has left.
        drop(self.outbox.send(Outgoing::Text(data)));
    }

    fn chunk(&self, choices: Value) -> Chunk<'_> {
        Chunk {
            id: &self.run_id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage: None,
            surplus: None,
        }
    }

    fn send_chunk(&self, chunk: &Chunk<'_>) {
        self.send(serde_json::to_string(chunk).unwrap_or_default());
    }

    fn send_delta(&self, delta: &Value) {
        self.send_chunk(&self.chunk(choice(delta, None)));
    }

    fn send_text(&mut self, fields: Fields) {
        let Some(content) = self.text.take().filter(|content| !content.is_empty()) else {
            return;
        };
        let mut chunk = self.chunk(choice(&json!({ "content": content }), None));
        chunk.surplus = fields.surplus();
        self.send_chunk(&chunk);
    }

    fn send_calls(&self) {
        let mut count = 0_u32;
        let mut send = |call: Value| {
            if self.script.drop_call == Some(count) {
                drop(self.outbox.send(Outgoing::Drop));
            }
            count = count.saturating_add(1);
            self.send_delta(&json!({ "tool_calls": [call] }));
        };
        for (index, call) in self.calls.iter().enumerate() {
            send(json!({
                "index": index, "id": call.id, "type": "function", "function": { "name": call.name, "arguments": "" },
            }));
            for piece in &call.arguments {
                send(json!({ "index": index, "function": { "arguments": piece } }));
            }
        }
        if self.script.drop_call.is_some_and(|after| after >= count) {
            drop(self.outbox.send(Outgoing::Drop));
        }
    }

    fn end(&self) {
        if !self.script.no_done {
            self.send("[DONE]".to_owned());
        }
        drop(
            self.outbox
                .send(Outgoing::Close(Close::new(close_code::NORMAL, ""))),
        );
    }

    fn fail(&self, message: &str, kind: &str) {
        if self.finish == Finish::Withheld {
            return;
        }
        self.send(json!({ "error": { "message": message, "type": kind } }).to_string());
        self.end();
    }
}

impl Events for Emitter {
    fn accepted(&mut self) {
        self.send_delta(&json!({ "role": "assistant" }));
    }

    fn started(&mut self) {}

    fn answered_nothing(&mut self, _output_tokens: u64) {}

    fn thought(&mut self, _delta: &str) {}

    fn answered(&mut self, delta: &str, fields: Fields) {
        self.text.push(delta);
        // A text in one delta is not in the stream of a run that ends with calls.
        let is_held = !self.calls.is_empty() && self.text.deltas == 1;
        if !is_held && !self.choice.is_forced() {
            self.send_text(fields);
        }
    }

    fn retracted(&mut self, text: &str) {
        self.text.restart();
        self.text.all.push_str(text);
    }

    fn tool_started(&mut self, _tool: &str, _output_tokens: u64) {}

    fn tool_continued(&mut self, _tool: &str) {}

    fn tool_ended(&mut self, _tool: &str) {
        self.text.is_after_tool = true;
        self.text.earlier_bytes = self.text.all.len();
    }

    fn attempt_failed(&mut self, _failure: &Failure, _retry: u32) {
        self.text.restart();
    }

    fn retried(&mut self) {}

    fn finished(&mut self, account: &Account) {
        if self.finish == Finish::Withheld {
            return;
        }
        let is_cut_off = account.stop_reason == "length";
        if is_cut_off {
            self.calls.clear();
        }
        if let Some(violation) = self.choice.violation(&self.calls) {
            return self.fail(&violation, "api_error");
        }
        if self.text.all.is_empty() && self.calls.is_empty() {
            return self.fail(INTERNAL, "api_error");
        }
        if self.calls.is_empty() || self.text.deltas > 1 {
            self.send_text(Fields::Known);
        }
        if self.text.former.is_some() {
            return self.fail(NOT_APPENDED, "api_error");
        }
        self.send_calls();
        if !self.script.no_finish {
            let reason = match (self.calls.is_empty(), is_cut_off) {
                (false, _) => "tool_calls",
                (true, true) => "length",
                (true, false) => "stop",
            };
            self.send_chunk(&self.chunk(choice(&json!({}), Some(reason))));
        }
        if self.includes_usage && !self.script.no_usage {
            let mut chunk = self.chunk(json!([]));
            chunk.usage = Some(usage(account));
            self.send_chunk(&chunk);
        }
        self.end();
    }

    fn failed(&mut self, failure: &Failure) {
        let (message, kind) = error_of(failure);
        self.fail(message, kind);
    }

    fn failed_in_stream(&mut self, _failure: &Failure) {
        self.fail(INTERNAL, "api_error");
    }

    /// Not measured.
    fn timed_out(&mut self) {
        self.fail(INTERNAL, "api_error");
    }

    fn refused(&mut self, problem: &str) {
        let kind = if problem == TOOL_CONFLICT {
            "invalid_request_error"
        } else {
            "api_error"
        };
        self.fail(problem, kind);
    }

    fn aborted(&mut self) {
        self.fail("agent run aborted", "api_error");
    }

    fn settled_after_abort(&mut self) {}

    fn due(&self) -> Option<Instant> {
        None
    }

    fn flush(&mut self) {}

    fn item_text(&self) -> String {
        self.text.all.clone()
    }
}

/// The time of a run's chunks, in seconds since the Unix epoch.
pub(super) fn created() -> u64 {
    clock::now_ms().checked_div(1000).unwrap_or_default()
}

fn choice(delta: &Value, finish_reason: Option<&str>) -> Value {
    json!([{ "index": 0, "delta": delta, "finish_reason": finish_reason }])
}

fn usage(account: &Account) -> Value {
    let usage = outcome::usage_of_all_calls(Protocol::V4, account);
    let tokens = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or_default();
    let prompt = tokens("input").saturating_add(tokens("cacheRead"));
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": tokens("output"),
        "total_tokens": tokens("total"),
        "prompt_tokens_details": { "cached_tokens": tokens("cacheRead") },
    })
}

/// Returns the message and the type of a provider's failure. Source: `openai-compat-errors`, read;
/// measured for 400, 401 and a cut stream.
fn error_of(failure: &Failure) -> (&str, &'static str) {
    let own = failure.provider_message.as_str();
    match failure.reason.as_deref() {
        Some("auth") => (own, "authentication_error"),
        Some("auth_permanent") => (own, "permission_error"),
        Some("format" | "context_overflow" | "model_not_found") => (own, "invalid_request_error"),
        Some("rate_limit") => (own, "rate_limit_error"),
        Some("billing") => (own, "insufficient_quota"),
        Some("server_error") => ("upstream provider error", "api_error"),
        Some("timeout") => ("upstream provider timeout", "api_error"),
        Some("overloaded") => ("upstream provider overloaded", "api_error"),
        _ => (INTERNAL, "api_error"),
    }
}
