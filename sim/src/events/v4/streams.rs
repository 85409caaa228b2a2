//! The `agent`, `chat` and `session.message` events of a run on protocol 4, with their count.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::agents::PROVIDER;
use crate::clock;
use crate::events::interface::Fields;
use crate::events::paced::{Chunk, Paced};
use crate::events::payload::{AgentPayload, AssistantData, ChatPayload, Message};
use crate::gateway::Audience;
use crate::run::context::RunContext;
use crate::run::failure::Failure;

/// Separates two messages of a run in its chat text.
const BETWEEN_MESSAGES: &str = "\n\n";

/// The relation of a text event to the events before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Append,
    Replace,
}

/// The role of a `session.message`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    User,
    Assistant,
}

#[derive(Debug)]
pub(super) struct Streams {
    context: Arc<RunContext>,
    seq: u64,
    /// The first part of `itemId`.
    attempt_id: String,
    item: u32,
    text: Paced,
    chat: Paced,
    thoughts: Paced,
    /// The next text begins a new message in the chat.
    chat_breaks: bool,
}

impl Streams {
    pub(super) fn new(context: Arc<RunContext>) -> Self {
        let pacing = Duration::from_millis(context.gateway.options.pacing_ms);
        Self {
            context,
            seq: 0,
            attempt_id: clock::uuid(),
            item: 1,
            text: Paced::new(pacing),
            chat: Paced::new(pacing),
            thoughts: Paced::new(pacing),
            chat_breaks: false,
        }
    }

    /// Returns the text of the current message.
    pub(super) fn text(&self) -> &str {
        &self.text.text
    }

    /// Returns the chat text of all messages.
    pub(super) fn chat_text(&self) -> &str {
        &self.chat.text
    }

    pub(super) fn next_seq(&mut self) {
        self.seq = self.seq.saturating_add(1);
    }

    /// Restarts the count of the run's events.
    pub(super) fn restart_seq(&mut self) {
        self.seq = 0;
    }

    pub(super) fn agent(&mut self, stream: &str, data: impl Serialize) {
        self.next_seq();
        self.publish_agent(&self.payload(stream, data));
    }

    pub(super) fn lifecycle(&mut self, data: Value) {
        self.next_seq();
        self.lifecycle_now(data);
    }

    /// Emits a lifecycle event that repeats the last number.
    pub(super) fn lifecycle_now(&self, data: Value) {
        self.publish_agent(&AgentPayload {
            session_id: Some(&self.context.session_id),
            ..self.payload("lifecycle", data)
        });
    }

    pub(super) fn model_called(&mut self) {
        let model = self.context.model;
        self.lifecycle(json!({ "phase": "model", "provider": PROVIDER, "model": model }));
    }

    pub(super) fn model_cleared(&mut self) {
        self.lifecycle(json!({ "phase": "model", "provider": null, "model": null }));
    }

    /// Emits the `finishing` phase of an attempt that failed.
    pub(super) fn finishing_with(&mut self, failure: &Failure) {
        self.rest_of_text();
        self.lifecycle(json!({
            "phase": "finishing",
            "error": failure.message,
            "errorObservation": failure.observation(),
            "aborted": false,
            "livenessState": "blocked",
            "endedAt": clock::now_ms(),
        }));
    }

    pub(super) fn think(&mut self, delta: &str) {
        self.next_seq();
        self.thoughts.push(delta);
        self.flush();
    }

    /// Adds `delta` to the current message, and emits the text that is due.
    pub(super) fn answer(&mut self, delta: &str, fields: Fields) {
        if let Some(chunk) = self.thoughts.take_all() {
            self.thinking(&chunk);
        }
        self.next_seq();
        self.text.push(delta);
        if self.chat_breaks {
            self.chat_breaks = false;
            self.chat.push(BETWEEN_MESSAGES);
        }
        self.chat.push(delta);
        if let Some(chunk) = self.text.take_due() {
            self.assistant(&chunk, Mode::Append, fields);
        }
        self.flush();
    }

    /// Replaces the text so far.
    pub(super) fn replace(&mut self, text: &str) {
        self.next_seq();
        self.text.replace(text);
        self.chat.replace(text);
        let chunk = Chunk::whole(text);
        self.assistant(&chunk, Mode::Replace, Fields::Known);
        self.chat_delta(&chunk, Mode::Replace);
    }

    /// Clears the text of a failed attempt, and begins the next attempt.
    pub(super) fn next_attempt(&mut self) {
        self.next_seq();
        let nothing = Chunk::whole("");
        self.assistant(&nothing, Mode::Replace, Fields::Known);
        if !self.chat.text.is_empty() {
            self.chat_delta(&nothing, Mode::Replace);
        }
        self.name_attempt();
        self.item = 1;
        self.text = Paced::new(self.text.pacing);
        self.chat = Paced::new(self.chat.pacing);
        self.thoughts = Paced::new(self.thoughts.pacing);
        self.chat_breaks = false;
    }

    /// Gives the attempt a new id.
    pub(super) fn name_attempt(&mut self) {
        self.attempt_id = clock::uuid();
    }

    /// Begins the next message of the run.
    pub(super) fn next_item(&mut self) {
        self.item = self.item.saturating_add(1);
        self.text = Paced::new(self.text.pacing);
        self.chat_breaks = !self.chat.text.is_empty();
    }

    pub(super) fn chat(&self, payload: ChatPayload<'_>) {
        self.context.publish(
            "chat",
            &ChatPayload {
                run_id: &self.context.run_id,
                session_key: &self.context.place.session_key,
                agent_id: Some(&self.context.place.agent_id),
                seq: self.seq,
                ..payload
            },
        );
    }

    pub(super) fn chat_error(&self, failure: &Failure) {
        self.chat(ChatPayload {
            state: "error",
            error_message: Some(&failure.message),
            error_kind: failure.error_kind,
            error_detail: Some(failure.observation()),
            ..ChatPayload::default()
        });
    }

    /// Emits the text that the agent stream has not sent yet.
    pub(super) fn rest_of_text(&mut self) {
        if let Some(chunk) = self.thoughts.take_all() {
            self.thinking(&chunk);
        }
        if let Some(chunk) = self.text.take_all() {
            self.assistant(&chunk, Mode::Append, Fields::Known);
        }
    }

    /// Emits the text that the chat has not sent yet.
    pub(super) fn rest_of_chat(&mut self) {
        if let Some(chunk) = self.chat.take_all() {
            self.chat_delta(&chunk, Mode::Append);
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        [self.thoughts.due(), self.text.due(), self.chat.due()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn flush(&mut self) {
        if let Some(chunk) = self.thoughts.take_due() {
            self.thinking(&chunk);
        }
        if let Some(chunk) = self.text.take_due() {
            self.assistant(&chunk, Mode::Append, Fields::Known);
        }
        if let Some(chunk) = self.chat.take_due() {
            self.chat_delta(&chunk, Mode::Append);
        }
    }

    /// Emits a tool event, to the starter only. The gateway's own event also has a summary of the
    /// session.
    pub(super) fn tool(&mut self, data: &Value) {
        self.next_seq();
        let starter = self.context.starter;
        if self.context.gateway.wants_tool_events(starter) {
            self.context.gateway.publish(
                "agent",
                &self.payload("tool", data),
                Audience::One(starter),
            );
        }
    }

    /// Emits a `session.message` to the subscribers of the session. The gateway's own event also
    /// has a summary of the session.
    pub(super) fn session_message(&self, role: Role, text: &str) {
        let (role, content, seq) = match role {
            Role::User => ("user", json!(text), 1),
            Role::Assistant => ("assistant", json!([{ "type": "text", "text": text }]), 2),
        };
        let payload = json!({
            "sessionKey": self.context.place.session_key,
            "agentId": self.context.place.agent_id,
            "message": { "role": role, "content": content, "timestamp": clock::now_ms() },
            "messageId": clock::uuid(),
            "messageSeq": seq,
        });
        if !self.context.quiet {
            self.context.gateway.publish(
                "session.message",
                &payload,
                Audience::Subscribers(&self.context.place.session_key),
            );
        }
    }

    fn payload<'a, D: Serialize>(&'a self, stream: &'a str, data: D) -> AgentPayload<'a, D> {
        AgentPayload {
            run_id: &self.context.run_id,
            stream,
            data,
            session_key: Some(&self.context.place.session_key),
            session_id: None,
            agent_id: Some(&self.context.place.agent_id),
            seq: self.seq,
            ts: clock::now_ms(),
            sim_surplus: None,
        }
    }

    fn publish_agent(&self, payload: &AgentPayload<'_, impl Serialize>) {
        self.context.publish("agent", payload);
    }

    fn thinking(&self, chunk: &Chunk) {
        let data = json!({ "text": chunk.text, "delta": chunk.delta });
        self.publish_agent(&self.payload("thinking", data));
    }

    fn assistant(&self, chunk: &Chunk, mode: Mode, fields: Fields) {
        let item_id = format!("{}:{}", self.attempt_id, self.item);
        let data = AssistantData {
            text: &chunk.text,
            delta: &chunk.delta,
            item_id: Some(&item_id),
            replace: mode == Mode::Replace,
            sim_surplus: fields.surplus(),
        };
        self.publish_agent(&AgentPayload {
            sim_surplus: fields.surplus(),
            ..self.payload("assistant", data)
        });
    }

    fn chat_delta(&self, chunk: &Chunk, mode: Mode) {
        self.chat(ChatPayload {
            state: "delta",
            delta_text: Some(&chunk.delta),
            replace: mode == Mode::Replace,
            message: Some(Message::new(&chunk.text)),
            ..ChatPayload::default()
        });
    }
}
