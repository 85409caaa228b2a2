//! The events of protocol 4: text gathered for 75 ms, to the clients that may see the session.
//!
//! Source: openclaw 2026.9.6, measured, unless noted otherwise.

mod streams;
mod task;
mod tool;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use self::streams::{Role, Streams};
use self::task::Task;
use crate::clock;
use crate::events::interface::{Events, Fields};
use crate::events::noise::publish_unknown;
use crate::events::payload::{ChatPayload, Message};
use crate::run::account::Account;
use crate::run::context::{RETRY_DELAY_MS, RunContext};
use crate::run::failure::Failure;

/// The `maxRetries` of the gateway's `run_status`.
const MAX_RETRIES: u32 = 8;

const ABORTED: &str = "This operation was aborted";

#[derive(Debug)]
pub(super) struct V4 {
    context: Arc<RunContext>,
    streams: Streams,
    task: Task,
    /// The sum over the calls of the model so far.
    output_tokens: u64,
    tool_used: bool,
    tool_started_at_ms: u64,
}

impl V4 {
    pub(super) fn new(context: Arc<RunContext>) -> Self {
        Self {
            streams: Streams::new(Arc::clone(&context)),
            task: Task::new(Arc::clone(&context)),
            context,
            output_tokens: 0,
            tool_used: false,
            tool_started_at_ms: clock::now_ms(),
        }
    }

    fn publish_state(&mut self, state: &str) {
        self.task.publish_state(state, self.streams.text());
    }

    fn publish_active(&mut self, state: &str) {
        self.task.publish_active(state, self.streams.text());
    }

    fn usage(&mut self) {
        let data = json!({ "outputTokens": self.output_tokens });
        self.streams.agent("usage", data);
    }

    fn tool_item(&mut self, tool: &str, phase: &str, status: &str, times: Value) {
        self.streams
            .agent("item", tool::item(tool, phase, status, times));
    }

    fn preamble(&mut self, phase: &str) {
        let data = tool::preamble(phase, self.streams.text());
        self.streams.agent("item", data);
    }

    /// Emits the chat's end; a run without text has no message.
    fn chat_end(&self, state: &'static str, stop_reason: &str) {
        let text = self.streams.chat_text();
        self.streams.chat(ChatPayload {
            state,
            stop_reason: Some(stop_reason),
            message: (!text.is_empty()).then(|| Message::new(text)),
            ..ChatPayload::default()
        });
    }
}

impl Events for V4 {
    fn accepted(&mut self) {
        self.publish_state("unknown");
    }

    fn started(&mut self) {
        self.publish_state("running");
        self.streams
            .session_message(Role::User, &self.context.message);
        let now = clock::now_ms();
        self.streams
            .lifecycle(json!({ "phase": "start", "startedAt": now }));
        self.task.start(now);
        self.publish_active("running");
        self.streams.model_called();
    }

    fn answered_nothing(&mut self, output_tokens: u64) {
        self.output_tokens = self.output_tokens.saturating_add(output_tokens);
        self.usage();
        self.streams.lifecycle(json!({ "phase": "finishing", "stopReason": "stop", "aborted": false, "livenessState": "working", "endedAt": clock::now_ms() }));
        self.streams.name_attempt();
        self.streams
            .lifecycle(json!({ "phase": "start", "startedAt": clock::now_ms() }));
        self.streams.model_called();
    }

    fn thought(&mut self, delta: &str) {
        self.streams.think(delta);
    }

    fn answered(&mut self, delta: &str, fields: Fields) {
        if fields == Fields::Surplus {
            publish_unknown(&self.context);
        }
        self.streams.answer(delta, fields);
        self.task.publish_text(self.streams.text());
    }

    fn retracted(&mut self, text: &str) {
        self.streams.replace(text);
    }

    fn tool_started(&mut self, tool: &str, output_tokens: u64) {
        self.output_tokens = self.output_tokens.saturating_add(output_tokens);
        self.tool_used = true;
        self.tool_started_at_ms = clock::now_ms();
        self.streams.rest_of_text();
        self.preamble("update");
        self.streams.rest_of_chat();
        self.usage();
        self.preamble("end");
        let started_at = json!({ "startedAt": self.tool_started_at_ms });
        self.tool_item(tool, "start", "running", started_at);
        self.streams.tool(&tool::started(tool));
        self.task
            .publish_tool(tool, self.tool_started_at_ms, self.streams.text());
    }

    fn tool_continued(&mut self, tool: &str) {
        self.streams.tool(&tool::updated(tool));
        self.tool_item(tool, "update", "running", json!({}));
        self.streams
            .agent("command_output", tool::output_updated(tool));
    }

    fn tool_ended(&mut self, tool: &str) {
        let agent_id = &self.context.place.agent_id;
        self.streams.tool(&tool::ended(tool, agent_id));
        let times = json!({ "startedAt": self.tool_started_at_ms, "endedAt": clock::now_ms() });
        let output = tool::output_ended(tool, agent_id);
        self.tool_item(tool, "end", "completed", times);
        self.streams.agent("command_output", output);
        self.streams.next_item();
        self.streams.model_called();
    }

    fn attempt_failed(&mut self, failure: &Failure, retry: u32) {
        self.streams.finishing_with(failure);
        let seconds = RETRY_DELAY_MS.div_ceil(1000);
        self.streams.agent(
            "run_status",
            json!({
                "phase": "retrying",
                "message": format!("Provider temporarily unavailable. Retrying in {seconds}s ({retry}/{MAX_RETRIES})."),
                "retryAttempt": retry,
                "maxRetries": MAX_RETRIES,
                "delayMs": RETRY_DELAY_MS,
                "attempt": retry.saturating_add(1),
                "maxAttempts": MAX_RETRIES.saturating_add(1),
                "reason": failure.reason,
            }),
        );
        self.streams.rest_of_chat();
    }

    fn retried(&mut self) {
        self.streams.next_attempt();
        self.streams
            .lifecycle(json!({ "phase": "start", "startedAt": clock::now_ms() }));
        self.publish_active("running");
        self.streams.model_called();
    }

    fn finished(&mut self, account: &Account) {
        self.streams.rest_of_text();
        self.output_tokens = account.output_tokens();
        self.usage();
        let text = self.streams.text().to_owned();
        self.streams.session_message(Role::Assistant, &text);
        let mut finishing = json!({
            "phase": "finishing", "stopReason": account.stop_reason, "aborted": false, "livenessState": "working", "endedAt": clock::now_ms(),
        });
        let mut end = json!({
            "phase": "end",
            "startedAt": self.context.accepted_at_ms,
            "endedAt": clock::now_ms(),
            "aborted": false,
            "stopReason": account.stop_reason,
            "livenessState": "working",
            "executionSettled": true,
            "terminalReceipt": self.context.receipt(&account.tools, Some("visible")),
            "terminalReply": { "disposition": "visible", "text": text },
        });
        if self.tool_used {
            for data in [&mut finishing, &mut end]
                .into_iter()
                .filter_map(Value::as_object_mut)
            {
                data.insert("replayInvalid".to_owned(), json!(true));
            }
        }
        self.streams.lifecycle(finishing);
        self.publish_active("running");
        self.streams.model_cleared();
        self.publish_active("finished");
        self.streams.lifecycle(end);
        self.streams.rest_of_chat();
        self.chat_end("final", account.stop_reason);
        self.task.end("completed", "completed", None);
    }

    fn failed(&mut self, failure: &Failure) {
        self.streams.finishing_with(failure);
        self.streams.model_cleared();
        self.publish_active("finished");
        self.streams.rest_of_chat();
        self.streams.lifecycle(json!({
            "phase": "error",
            "startedAt": self.context.accepted_at_ms,
            "endedAt": clock::now_ms(),
            "error": failure.message,
            "errorObservation": failure.observation(),
            "executionSettled": true,
        }));
        self.streams.chat_error(failure);
        self.task
            .end("failed", &failure.message, Some(&failure.message));
    }

    fn failed_in_stream(&mut self, failure: &Failure) {
        self.streams.finishing_with(failure);
        self.streams.model_cleared();
        self.publish_active("finished");
        self.streams.next_seq();
        self.streams.rest_of_chat();
        self.streams.lifecycle_now(json!({
            "phase": "error",
            "startedAt": self.context.accepted_at_ms,
            "endedAt": clock::now_ms(),
            "aborted": false,
            "replayInvalid": true,
            "livenessState": "abandoned",
            "error": failure.message,
            "errorObservation": failure.observation(),
            "executionSettled": true,
            "terminalReceipt": self.context.receipt(&[], Some("not-visible")),
            "terminalReply": { "disposition": "empty" },
        }));
        self.streams.chat_error(failure);
        self.task.end("failed", "failed", Some(&failure.message));
    }

    /// Not measured.
    fn timed_out(&mut self) {
        self.streams.rest_of_text();
        self.streams.model_cleared();
        self.streams.lifecycle(json!({
            "phase": "end", "startedAt": self.context.accepted_at_ms, "endedAt": clock::now_ms(), "aborted": true,
            "stopReason": "timeout", "executionSettled": true,
        }));
        self.streams.rest_of_chat();
        // The message is there even when it is empty.
        self.streams.chat(ChatPayload {
            state: "final",
            stop_reason: Some("timeout"),
            message: Some(Message::new(self.streams.chat_text())),
            ..ChatPayload::default()
        });
        self.task.end("timed_out", "aborted", None);
    }

    fn refused(&mut self, problem: &str) {
        self.publish_state("running");
        self.streams.model_cleared();
        self.publish_active("finished");
        self.streams.lifecycle(json!({
            "phase": "error", "startedAt": self.context.accepted_at_ms, "endedAt": clock::now_ms(), "error": problem, "executionSettled": true,
        }));
        self.streams.chat(ChatPayload {
            state: "error",
            error_message: Some(problem),
            ..ChatPayload::default()
        });
        self.task.end("failed", problem, Some(problem));
    }

    fn aborted(&mut self) {
        self.streams.next_seq();
        self.chat_end("aborted", "rpc");
        self.publish_active("unknown");
        self.streams.lifecycle_now(json!({
            "phase": "end", "status": "cancelled", "aborted": true, "stopReason": "rpc",
            "startedAt": self.context.accepted_at_ms, "endedAt": clock::now_ms(),
        }));
    }

    fn settled_after_abort(&mut self) {
        self.publish_active("finished");
        // The count of the run restarts.
        self.streams.restart_seq();
        self.streams.lifecycle(json!({
            "phase": "error", "startedAt": self.context.accepted_at_ms, "endedAt": clock::now_ms(), "error": ABORTED,
            "aborted": true, "stopReason": "aborted", "executionSettled": true,
        }));
        self.task.end("cancelled", ABORTED, Some(ABORTED));
    }

    fn due(&self) -> Option<Instant> {
        self.streams.due()
    }

    fn flush(&mut self) {
        self.streams.flush();
    }

    fn item_text(&self) -> String {
        self.streams.text().to_owned()
    }
}
