//! The events of protocol 3: one per delta, to every client.
//!
//! Source: openclaw 2026.3.13, measured.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clock;
use crate::events::interface::{Events, Fields};
use crate::events::noise::publish_unknown;
use crate::events::paced::{Chunk, Paced};
use crate::events::payload::{AgentPayload, AssistantData, ChatPayload, Message};
use crate::gateway::Audience;
use crate::run::account::Account;
use crate::run::context::RunContext;
use crate::run::failure::Failure;

/// Chat deltas are sent this often.
const CHAT_PACING: Duration = Duration::from_millis(150);

const TOOL_CALL_ID: &str = "call_fake1";
const TOOL_COMMAND: &str = "echo hi";

#[derive(Debug)]
pub(super) struct V3 {
    context: Arc<RunContext>,
    seq: u64,
    /// The text since the last message or tool.
    segment: Paced,
    chat: Paced,
    /// After the first failed attempt the gateway no longer knows the run: its events have no
    /// session, and `chat` events stop.
    lost: bool,
}

impl V3 {
    pub(super) fn new(context: Arc<RunContext>) -> Self {
        Self {
            context,
            seq: 0,
            segment: Paced::new(Duration::ZERO),
            chat: Paced::new(CHAT_PACING),
            lost: false,
        }
    }

    fn agent(&mut self, stream: &str, data: impl Serialize) {
        self.seq = self.seq.saturating_add(1);
        self.context.publish("agent", &self.payload(stream, data));
    }

    fn payload<'a, D: Serialize>(&'a self, stream: &'a str, data: D) -> AgentPayload<'a, D> {
        AgentPayload {
            run_id: &self.context.run_id,
            stream,
            data,
            session_key: (!self.lost).then_some(self.context.place.session_key.as_str()),
            session_id: None,
            agent_id: None,
            seq: self.seq,
            ts: clock::now_ms(),
            sim_surplus: None,
        }
    }

    fn lifecycle(&mut self, data: Value) {
        self.agent("lifecycle", data);
    }

    fn chat(&self, state: &'static str, text: Option<&str>, error: Option<&str>) {
        if self.lost {
            return;
        }
        self.context.publish(
            "chat",
            &ChatPayload {
                run_id: &self.context.run_id,
                session_key: &self.context.place.session_key,
                seq: self.seq,
                state,
                message: text.map(Message::new),
                error_message: error,
                ..ChatPayload::default()
            },
        );
    }

    /// Emits the text that `chat` has not sent yet.
    fn rest_of_chat(&mut self) {
        if let Some(chunk) = self.chat.take_all() {
            self.chat("delta", Some(&chunk.text), None);
        }
    }

    /// To the starter only, without the count of the gateway.
    fn tool(&mut self, data: &Value) {
        self.seq = self.seq.saturating_add(1);
        if self.context.gateway.wants_tool_events(self.context.starter) {
            self.context.gateway.publish(
                "agent",
                &self.payload("tool", data),
                Audience::One(self.context.starter),
            );
        }
    }

    fn assistant(&mut self, chunk: &Chunk, fields: Fields) {
        self.seq = self.seq.saturating_add(1);
        let data = AssistantData {
            text: &chunk.text,
            delta: &chunk.delta,
            item_id: None,
            replace: false,
            sim_surplus: fields.surplus(),
        };
        let payload = AgentPayload {
            sim_surplus: fields.surplus(),
            ..self.payload("assistant", data)
        };
        self.context.publish("agent", &payload);
    }
}

impl Events for V3 {
    fn accepted(&mut self) {}

    fn started(&mut self) {
        self.lifecycle(json!({ "phase": "start", "startedAt": clock::now_ms() }));
    }

    fn answered_nothing(&mut self, _output_tokens: u64) {}

    fn thought(&mut self, _delta: &str) {}

    fn answered(&mut self, delta: &str, fields: Fields) {
        self.segment.push(delta);
        self.chat.push(delta);
        if fields == Fields::Surplus {
            publish_unknown(&self.context);
        }
        if let Some(chunk) = self.segment.take_due() {
            self.assistant(&chunk, fields);
        }
        self.flush();
    }

    fn retracted(&mut self, text: &str) {
        self.segment.replace(text);
        self.chat.replace(text);
        self.assistant(&Chunk::whole(text), Fields::Known);
        self.chat("delta", Some(text), None);
    }

    fn tool_started(&mut self, tool: &str, _output_tokens: u64) {
        self.rest_of_chat();
        self.tool(
            &json!({ "phase": "start", "name": tool, "toolCallId": TOOL_CALL_ID, "args": { "command": TOOL_COMMAND } }),
        );
    }

    fn tool_continued(&mut self, tool: &str) {
        self.tool(&json!({ "phase": "update", "name": tool, "toolCallId": TOOL_CALL_ID }));
    }

    fn tool_ended(&mut self, tool: &str) {
        let meta = format!("print text, `{TOOL_COMMAND}`");
        self.tool(
            &json!({ "phase": "result", "name": tool, "toolCallId": TOOL_CALL_ID, "meta": meta, "isError": false }),
        );
        self.segment = Paced::new(Duration::ZERO);
    }

    fn attempt_failed(&mut self, failure: &Failure, _retry: u32) {
        self.failed(failure);
        self.lost = true;
    }

    fn retried(&mut self) {
        let received = self.seq.saturating_add(1);
        let payload = json!({
            "runId": self.context.run_id, "stream": "error", "ts": clock::now_ms(),
            "data": { "reason": "seq gap", "expected": 1, "received": received },
        });
        self.context.publish("agent", &payload);
        self.segment = Paced::new(Duration::ZERO);
        self.started();
    }

    fn finished(&mut self, _account: &Account) {
        if let Some(chunk) = self.segment.take_all() {
            self.assistant(&chunk, Fields::Known);
        }
        self.lifecycle(json!({ "phase": "end", "endedAt": clock::now_ms() }));
        self.rest_of_chat();
        let text = self.chat.text.clone();
        self.chat("final", (!text.is_empty()).then_some(text.as_str()), None);
    }

    fn failed(&mut self, failure: &Failure) {
        let message = failure.provider_message.clone();
        self.lifecycle(json!({ "phase": "error", "error": message, "endedAt": clock::now_ms() }));
        self.rest_of_chat();
        self.chat("error", None, Some(&message));
    }

    fn failed_in_stream(&mut self, failure: &Failure) {
        self.failed(failure);
    }

    fn timed_out(&mut self) {
        self.lifecycle(json!({ "phase": "end", "endedAt": clock::now_ms(), "aborted": true }));
        self.rest_of_chat();
        let text = self.chat.text.clone();
        self.chat("final", (!text.is_empty()).then_some(text.as_str()), None);
    }

    fn refused(&mut self, _problem: &str) {}

    /// No request of a client calls this: an `agent` run of protocol 3 cannot be aborted.
    fn aborted(&mut self) {}

    fn settled_after_abort(&mut self) {}

    fn due(&self) -> Option<Instant> {
        if self.lost { None } else { self.chat.due() }
    }

    fn flush(&mut self) {
        if self.lost {
            return;
        }
        if let Some(chunk) = self.chat.take_due() {
            self.chat("delta", Some(&chunk.text), None);
        }
    }

    fn item_text(&self) -> String {
        self.segment.text.clone()
    }
}
