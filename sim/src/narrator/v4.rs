//! The events of protocol 4: text gathered for 75 ms, to those who may see the session; tasks to all who may read.
//!
//! Source: openclaw 2026.9.6, measured, unless said otherwise.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{AgentPayload, AssistantData, ChatPayload, Message, Narrator, Paced, Scene};
use crate::agents::PROVIDER;
use crate::clock;
use crate::gateway::Audience;
use crate::outcome::{Account, Failure};
use crate::run::RETRY_DELAY_MS;

/// What stands between two messages of a run in its chat text.
const BETWEEN_MESSAGES: &str = "\n\n";

/// Retries of the gateway; `retryAttempt` counts towards it.
const MAX_RETRIES: u32 = 8;

/// A task event tells of new text this often.
const TASK_INTERVAL: Duration = Duration::from_secs(1);
const MAX_TASK_TITLE_CHARS: usize = 80;
const MAX_TASK_ACTIVITY_CHARS: usize = 120;

const ABORTED: &str = "This operation was aborted";

const TOOL_CALL_ID: &str = "call_fake1";
const TOOL_COMMAND: &str = "echo hi";
const TOOL_MEANING: &str = "print text";
const TOOL_DURATION_MS: u64 = 40;

#[derive(Debug)]
pub(super) struct V4 {
    scene: Arc<Scene>,
    seq: u64,
    /// Names the attempt in `itemId`.
    attempt_id: String,
    item: u32,
    text: Paced,
    chat: Paced,
    thoughts: Paced,
    /// The next text is a new message in the chat.
    chat_breaks: bool,
    /// The last output tokens are those of this many calls.
    output_tokens: u64,
    tool_used: bool,
    tool_started_at_ms: u64,
    task: Task,
}

/// The `task` that shadows the run.
#[derive(Debug)]
struct Task {
    id: String,
    created_at_ms: u64,
    updated_at_ms: u64,
    started_at_ms: u64,
    told_at: Option<Instant>,
    last_tool: Option<String>,
    shows_text: bool,
}

impl V4 {
    pub(super) fn new(scene: Arc<Scene>) -> Self {
        let pacing = Duration::from_millis(scene.gateway.options.pacing_ms);
        let now = clock::now_ms();
        Self {
            scene,
            seq: 0,
            attempt_id: clock::uuid(),
            item: 1,
            text: Paced::new(pacing),
            chat: Paced::new(pacing),
            thoughts: Paced::new(pacing),
            chat_breaks: false,
            output_tokens: 0,
            tool_used: false,
            tool_started_at_ms: now,
            task: Task {
                id: clock::uuid(),
                created_at_ms: now,
                updated_at_ms: now,
                started_at_ms: now,
                told_at: None,
                last_tool: None,
                shows_text: false,
            },
        }
    }

    fn next_seq(&mut self) {
        self.seq = self.seq.saturating_add(1);
    }

    /// With the number of what was said last.
    fn agent_now(&self, stream: &str, data: impl Serialize, names_session_id: bool, surplus: Option<Value>) {
        self.scene
            .publish("agent", &self.payload(stream, data, names_session_id, surplus));
    }

    fn agent(&mut self, stream: &str, data: impl Serialize) {
        self.next_seq();
        self.agent_now(stream, data, false, None);
    }

    fn lifecycle(&mut self, data: Value) {
        self.next_seq();
        self.agent_now("lifecycle", data, true, None);
    }

    fn payload<'a, D: Serialize>(
        &'a self,
        stream: &'a str,
        data: D,
        names_session_id: bool,
        surplus: Option<Value>,
    ) -> AgentPayload<'a, D> {
        AgentPayload {
            run_id: &self.scene.run_id,
            stream,
            data,
            session_key: Some(&self.scene.place.session_key),
            session_id: names_session_id.then_some(self.scene.session_id.as_str()),
            agent_id: Some(&self.scene.place.agent_id),
            seq: self.seq,
            ts: clock::now_ms(),
            sim_surplus: surplus,
        }
    }

    fn model(&mut self, called: bool) {
        let model = if called { json!(self.scene.model) } else { Value::Null };
        let provider = if called { json!(PROVIDER) } else { Value::Null };
        self.lifecycle(json!({ "phase": "model", "provider": provider, "model": model }));
    }

    fn assistant(&self, text: &str, delta: &str, replace: bool, surplus: bool) {
        let marker = surplus.then(|| json!({ "known": false }));
        let item_id = format!("{}:{}", self.attempt_id, self.item);
        let data = AssistantData {
            text,
            delta,
            item_id: Some(&item_id),
            replace,
            sim_surplus: marker.clone(),
        };
        self.agent_now("assistant", data, false, marker);
    }

    fn chat(&self, payload: ChatPayload<'_>) {
        self.scene.publish(
            "chat",
            &ChatPayload {
                run_id: &self.scene.run_id,
                session_key: &self.scene.place.session_key,
                agent_id: Some(&self.scene.place.agent_id),
                seq: self.seq,
                ..payload
            },
        );
    }

    fn chat_delta(&self, text: &str, delta: &str, replace: bool) {
        self.chat(ChatPayload {
            state: "delta",
            delta_text: Some(delta),
            replace,
            message: Some(Message::new(text)),
            ..ChatPayload::default()
        });
    }

    /// What the agent stream has not heard yet.
    fn rest_of_text(&mut self) {
        if let Some(chunk) = self.thoughts.take_all() {
            self.agent_now(
                "thinking",
                json!({ "text": chunk.text, "delta": chunk.delta }),
                false,
                None,
            );
        }
        if let Some(chunk) = self.text.take_all() {
            self.assistant(&chunk.text, &chunk.delta, false, false);
        }
    }

    /// What chat has not heard yet.
    fn rest_of_chat(&mut self) {
        if let Some(chunk) = self.chat.take_all() {
            self.chat_delta(&chunk.text, &chunk.delta, false);
        }
    }

    fn usage(&mut self) {
        self.agent("usage", json!({ "outputTokens": self.output_tokens }));
    }

    fn next_item(&mut self) {
        self.item = self.item.saturating_add(1);
        self.text = Paced::new(self.text.pacing);
        self.chat_breaks = !self.chat.text.is_empty();
    }

    fn finishing_with(&mut self, failure: &Failure) {
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

    fn chat_error(&self, failure: &Failure) {
        self.chat(ChatPayload {
            state: "error",
            error_message: Some(&failure.message),
            error_kind: failure.error_kind,
            error_detail: Some(failure.observation()),
            ..ChatPayload::default()
        });
    }

    /// To the starter only. The gateway's own also has a summary of the session.
    fn tool(&mut self, data: &Value) {
        self.next_seq();
        if self.scene.gateway.wants_tool_events(self.scene.starter) {
            self.scene.gateway.publish(
                "agent",
                &self.payload("tool", data, false, None),
                Audience::One(self.scene.starter),
            );
        }
    }

    fn tool_item(&mut self, tool: &str, phase: &str, status: &str, times: Value) {
        let mut title = tool.to_owned();
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let mut item = json!({
            "itemId": format!("tool:{TOOL_CALL_ID}"), "toolCallId": TOOL_CALL_ID, "name": tool, "kind": "tool", "phase": phase,
            "title": format!("{title} {TOOL_MEANING}"), "status": status, "meta": TOOL_MEANING, "commandBearing": true,
        });
        if let (Some(item), Value::Object(times)) = (item.as_object_mut(), times) {
            item.extend(times);
        }
        self.agent("item", item);
    }

    fn preamble(&mut self, phase: &str) {
        let text = self.text.text.clone();
        self.agent("item", json!({
            "kind": "preamble", "title": "Preamble", "phase": phase, "progressText": text, "itemId": "commentary-0-5f1d",
        }));
    }

    /// A task event of a run that goes on; `execution` is as the gateway knows it.
    fn task(&mut self, execution: &str, active: bool) {
        let mut state = json!({ "state": execution });
        if let Some(state) = state.as_object_mut().filter(|_| active) {
            state.insert("lastActivityAt".to_owned(), json!(clock::now_ms()));
        }
        self.publish_task("running", &state, None);
    }

    fn task_ended(&mut self, status: &str, summary: &str, error: Option<&str>) {
        let now = clock::now_ms();
        self.task.updated_at_ms = now;
        self.task.shows_text = false;
        let mut more = json!({ "endedAt": now, "terminalSummary": shortened(summary, MAX_TASK_ACTIVITY_CHARS) });
        if let (Some(error), Some(more)) = (error, more.as_object_mut()) {
            more.insert("error".to_owned(), json!(shortened(error, MAX_TASK_ACTIVITY_CHARS)));
        }
        self.publish_task(status, &json!({ "state": "finished" }), Some(more));
    }

    fn publish_task(&mut self, status: &str, execution: &Value, more: Option<Value>) {
        if !self.scene.gateway.options.tells_tasks {
            return;
        }
        let (scene, key) = (&self.scene, &self.scene.place.session_key);
        let mut task = json!({
            "id": self.task.id,
            "taskId": self.task.id,
            "kind": "cli",
            "runtime": "cli",
            "status": status,
            "execution": execution,
            "title": shortened(&scene.message, MAX_TASK_TITLE_CHARS),
            "agentId": scene.place.agent_id,
            "sessionKey": key,
            "childSessionKey": key,
            "hasTranscript": true,
            "ownerKey": key,
            "runId": scene.run_id,
            "sourceId": scene.run_id,
            "createdAt": self.task.created_at_ms,
            "updatedAt": self.task.updated_at_ms,
            "startedAt": self.task.started_at_ms,
            "deliveryStatus": "not_applicable",
        });
        if let Some(task) = task.as_object_mut() {
            if let Some(tool) = &self.task.last_tool {
                task.insert("toolUseCount".to_owned(), json!(1));
                task.insert("lastToolName".to_owned(), json!(tool));
            }
            if self.task.shows_text && !self.text.text.is_empty() {
                task.insert(
                    "lastActivity".to_owned(),
                    json!(shortened(&self.text.text, MAX_TASK_ACTIVITY_CHARS)),
                );
            }
            if let Some(Value::Object(more)) = more {
                task.extend(more);
            }
        }
        self.task.told_at = Some(Instant::now());
        scene.gateway.publish(
            "task",
            &json!({ "action": "upserted", "task": task }),
            Audience::Readers,
        );
    }

    /// The message as those hear it who subscribed to the session; the gateway's own also has a summary of the session.
    fn session_message(&self, role: &str, text: &str, seq: u64) {
        let content = if role == "user" {
            json!(text)
        } else {
            json!([{ "type": "text", "text": text }])
        };
        let payload = json!({
            "sessionKey": self.scene.place.session_key,
            "agentId": self.scene.place.agent_id,
            "message": { "role": role, "content": content, "timestamp": clock::now_ms() },
            "messageId": clock::uuid(),
            "messageSeq": seq,
        });
        if !self.scene.quiet {
            self.scene.gateway.publish(
                "session.message",
                &payload,
                Audience::Subscribers(&self.scene.place.session_key),
            );
        }
    }
}

impl Narrator for V4 {
    fn accepted(&mut self) {
        self.task("unknown", false);
    }

    fn started(&mut self) {
        self.task("running", false);
        self.session_message("user", &self.scene.message.clone(), 1);
        let now = clock::now_ms();
        self.lifecycle(json!({ "phase": "start", "startedAt": now }));
        self.task.started_at_ms = now;
        self.task.updated_at_ms = now;
        self.task("running", true);
        self.model(true);
    }

    fn said_nothing(&mut self, output_tokens: u64) {
        self.output_tokens = self.output_tokens.saturating_add(output_tokens);
        self.usage();
        self.lifecycle(json!({ "phase": "finishing", "stopReason": "stop", "aborted": false, "livenessState": "working", "endedAt": clock::now_ms() }));
        self.attempt_id = clock::uuid();
        self.lifecycle(json!({ "phase": "start", "startedAt": clock::now_ms() }));
        self.model(true);
    }

    fn thought(&mut self, delta: &str) {
        self.next_seq();
        self.thoughts.push(delta);
        self.flush();
    }

    fn said(&mut self, delta: &str, surplus: bool) {
        if surplus {
            self.scene.publish_unknown();
        }
        if let Some(chunk) = self.thoughts.take_all() {
            self.agent_now(
                "thinking",
                json!({ "text": chunk.text, "delta": chunk.delta }),
                false,
                None,
            );
        }
        self.next_seq();
        self.text.push(delta);
        if self.chat_breaks {
            self.chat_breaks = false;
            self.chat.push(BETWEEN_MESSAGES);
        }
        self.chat.push(delta);
        if let Some(chunk) = self.text.take_due() {
            self.assistant(&chunk.text, &chunk.delta, false, surplus);
        }
        self.flush();
        let first = !std::mem::replace(&mut self.task.shows_text, true);
        if first || self.task.told_at.is_none_or(|told| told.elapsed() >= TASK_INTERVAL) {
            self.task("running", true);
        }
    }

    fn retracted(&mut self, text: &str) {
        self.next_seq();
        self.text.replace(text);
        self.chat.replace(text);
        self.assistant(text, text, true, false);
        self.chat_delta(text, text, true);
    }

    fn tool_started(&mut self, tool: &str, output_tokens: u64) {
        self.output_tokens = self.output_tokens.saturating_add(output_tokens);
        self.tool_used = true;
        self.tool_started_at_ms = clock::now_ms();
        self.rest_of_text();
        self.preamble("update");
        self.rest_of_chat();
        self.usage();
        self.preamble("end");
        let startedat = json!({ "startedAt": self.tool_started_at_ms });
        self.tool_item(tool, "start", "running", startedat);
        self.tool(
            &json!({ "phase": "start", "name": tool, "toolCallId": TOOL_CALL_ID, "args": { "command": TOOL_COMMAND } }),
        );
        self.task.last_tool = Some(tool.to_owned());
        let execution = json!({
            "state": "running", "lastActivityAt": clock::now_ms(),
            "currentTool": { "name": tool, "startedAt": self.tool_started_at_ms },
        });
        self.publish_task("running", &execution, None);
    }

    fn tool_went_on(&mut self, tool: &str) {
        self.tool(&json!({
            "phase": "update", "name": tool, "toolCallId": TOOL_CALL_ID,
            "partialResult": { "content": [{ "type": "text", "text": "hi\n" }], "details": { "status": "running", "tail": "hi\n" } },
        }));
        self.tool_item(tool, "update", "running", json!({}));
        self.agent("command_output", json!({
            "itemId": format!("command:{TOOL_CALL_ID}"), "phase": "delta", "title": format!("command {TOOL_MEANING}"),
            "toolCallId": TOOL_CALL_ID, "name": tool, "output": "hi", "status": "running",
        }));
    }

    fn tool_ended(&mut self, tool: &str) {
        let cwd = format!("/srv/openclaw/ws-{}", self.scene.place.agent_id);
        self.tool(&json!({
            "phase": "result", "name": tool, "toolCallId": TOOL_CALL_ID, "meta": TOOL_MEANING, "isError": false, "commandBearing": true,
            "result": {
                "content": [{ "type": "text", "text": "hi" }],
                "details": { "status": "completed", "exitCode": 0, "exitSignal": null, "exitReason": "exit", "durationMs": TOOL_DURATION_MS, "aggregated": "hi", "noOutputTimedOut": false, "cwd": cwd },
            },
        }));
        let times = json!({ "startedAt": self.tool_started_at_ms, "endedAt": clock::now_ms() });
        self.tool_item(tool, "end", "completed", times);
        self.agent(
            "command_output",
            json!({
                "itemId": format!("command:{TOOL_CALL_ID}"), "phase": "end", "title": format!("command {TOOL_MEANING}"),
                "toolCallId": TOOL_CALL_ID, "name": tool, "output": "hi", "status": "completed", "exitCode": 0,
                "durationMs": TOOL_DURATION_MS, "cwd": cwd,
            }),
        );
        self.next_item();
        self.model(true);
    }

    fn attempt_failed(&mut self, failure: &Failure, retry: u32) {
        self.finishing_with(failure);
        let seconds = RETRY_DELAY_MS.div_ceil(1000);
        self.agent(
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
        self.rest_of_chat();
    }

    fn retried(&mut self) {
        self.next_seq();
        self.assistant("", "", true, false);
        if !self.chat.text.is_empty() {
            self.chat_delta("", "", true);
        }
        self.attempt_id = clock::uuid();
        self.item = 1;
        self.text = Paced::new(self.text.pacing);
        self.chat = Paced::new(self.chat.pacing);
        self.thoughts = Paced::new(self.thoughts.pacing);
        self.chat_breaks = false;
        self.lifecycle(json!({ "phase": "start", "startedAt": clock::now_ms() }));
        self.task("running", true);
        self.model(true);
    }

    fn finished(&mut self, account: &Account) {
        self.rest_of_text();
        self.output_tokens = account.output_tokens();
        self.usage();
        let text = self.text.text.clone();
        self.session_message("assistant", &text, 2);
        let mut finishing = json!({
            "phase": "finishing", "stopReason": account.stop_reason, "aborted": false, "livenessState": "working", "endedAt": clock::now_ms(),
        });
        let mut end = json!({
            "phase": "end",
            "startedAt": self.scene.accepted_at_ms,
            "endedAt": clock::now_ms(),
            "aborted": false,
            "stopReason": account.stop_reason,
            "livenessState": "working",
            "executionSettled": true,
            "terminalReceipt": self.scene.receipt(&account.tools, Some("visible")),
            "terminalReply": { "disposition": "visible", "text": text },
        });
        if self.tool_used {
            for data in [&mut finishing, &mut end].into_iter().filter_map(Value::as_object_mut) {
                data.insert("replayInvalid".to_owned(), json!(true));
            }
        }
        self.lifecycle(finishing);
        self.task("running", true);
        self.model(false);
        self.task("finished", true);
        self.lifecycle(end);
        self.rest_of_chat();
        let text = self.chat.text.clone();
        self.chat(ChatPayload {
            state: "final",
            stop_reason: Some(account.stop_reason),
            message: (!text.is_empty()).then(|| Message::new(&text)),
            ..ChatPayload::default()
        });
        self.task_ended("completed", "completed", None);
    }

    fn failed(&mut self, failure: &Failure) {
        self.finishing_with(failure);
        self.model(false);
        self.task("finished", true);
        self.rest_of_chat();
        self.lifecycle(json!({
            "phase": "error",
            "startedAt": self.scene.accepted_at_ms,
            "endedAt": clock::now_ms(),
            "error": failure.message,
            "errorObservation": failure.observation(),
            "executionSettled": true,
        }));
        self.chat_error(failure);
        self.task_ended("failed", &failure.message, Some(&failure.message));
    }

    fn failed_in_stream(&mut self, failure: &Failure) {
        self.rest_of_text();
        self.lifecycle(json!({
            "phase": "finishing", "error": failure.message, "errorObservation": failure.observation(), "aborted": false,
            "livenessState": "blocked", "endedAt": clock::now_ms(),
        }));
        self.model(false);
        self.task("finished", true);
        self.next_seq();
        self.rest_of_chat();
        self.agent_now(
            "lifecycle",
            json!({
                "phase": "error",
                "startedAt": self.scene.accepted_at_ms,
                "endedAt": clock::now_ms(),
                "aborted": false,
                "replayInvalid": true,
                "livenessState": "abandoned",
                "error": failure.message,
                "errorObservation": failure.observation(),
                "executionSettled": true,
                "terminalReceipt": self.scene.receipt(&[], Some("not-visible")),
                "terminalReply": { "disposition": "empty" },
            }),
            true,
            None,
        );
        self.chat_error(failure);
        self.task_ended("failed", "failed", Some(&failure.message));
    }

    /// Not measured.
    fn timed_out(&mut self) {
        self.rest_of_text();
        self.model(false);
        self.lifecycle(json!({
            "phase": "end", "startedAt": self.scene.accepted_at_ms, "endedAt": clock::now_ms(), "aborted": true,
            "stopReason": "timeout", "executionSettled": true,
        }));
        self.rest_of_chat();
        let text = self.chat.text.clone();
        self.chat(ChatPayload {
            state: "final",
            stop_reason: Some("timeout"),
            message: Some(Message::new(&text)),
            ..ChatPayload::default()
        });
        self.task_ended("timed_out", "aborted", None);
    }

    fn refused(&mut self, problem: &str) {
        self.task("running", false);
        self.model(false);
        self.task("finished", true);
        self.lifecycle(json!({
            "phase": "error", "startedAt": self.scene.accepted_at_ms, "endedAt": clock::now_ms(), "error": problem, "executionSettled": true,
        }));
        self.chat(ChatPayload {
            state: "error",
            error_message: Some(problem),
            ..ChatPayload::default()
        });
        self.task_ended("failed", problem, Some(problem));
    }

    fn aborted(&mut self) {
        self.next_seq();
        let text = self.chat.text.clone();
        self.chat(ChatPayload {
            state: "aborted",
            stop_reason: Some("rpc"),
            message: (!text.is_empty()).then(|| Message::new(&text)),
            ..ChatPayload::default()
        });
        self.task("unknown", true);
        self.agent_now(
            "lifecycle",
            json!({
                "phase": "end", "status": "cancelled", "aborted": true, "stopReason": "rpc",
                "startedAt": self.scene.accepted_at_ms, "endedAt": clock::now_ms(),
            }),
            true,
            None,
        );
    }

    fn settled_after_abort(&mut self) {
        self.task("finished", true);
        // The count of the run begins anew.
        self.seq = 0;
        self.lifecycle(json!({
            "phase": "error", "startedAt": self.scene.accepted_at_ms, "endedAt": clock::now_ms(), "error": ABORTED,
            "aborted": true, "stopReason": "aborted", "executionSettled": true,
        }));
        self.task_ended("cancelled", ABORTED, Some(ABORTED));
    }

    fn due(&self) -> Option<Instant> {
        [self.thoughts.due(), self.text.due(), self.chat.due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn flush(&mut self) {
        if let Some(chunk) = self.thoughts.take_due() {
            self.agent_now(
                "thinking",
                json!({ "text": chunk.text, "delta": chunk.delta }),
                false,
                None,
            );
        }
        if let Some(chunk) = self.text.take_due() {
            self.assistant(&chunk.text, &chunk.delta, false, false);
        }
        if let Some(chunk) = self.chat.take_due() {
            self.chat_delta(&chunk.text, &chunk.delta, false);
        }
    }

    fn item_text(&self) -> String {
        self.text.text.clone()
    }
}

/// At most so many characters, the last of them then an ellipsis.
fn shortened(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    text.chars()
        .take(max_chars.saturating_sub(1))
        .chain(std::iter::once('…'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_title_ends_in_an_ellipsis() {
        assert_eq!(shortened(&"x".repeat(90), 80).chars().count(), 80);
        assert!(shortened(&"x".repeat(90), 80).ends_with('…'));
        assert_eq!(shortened("x", 80), "x");
    }
}
