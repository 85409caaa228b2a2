//! The `task` events that protocol 4 emits beside the events of the run.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clock;
use crate::gateway::Audience;
use crate::run::context::RunContext;

/// Interval between the task events of new text.
const INTERVAL: Duration = Duration::from_secs(1);
const MAX_TITLE_CHARS: usize = 80;
const MAX_ACTIVITY_CHARS: usize = 120;

/// The task that shadows the run.
#[derive(Debug)]
pub(super) struct Task {
    context: Arc<RunContext>,
    id: String,
    created_at_ms: u64,
    updated_at_ms: u64,
    started_at_ms: u64,
    published_at: Option<Instant>,
    last_tool: Option<String>,
    shows_text: bool,
}

impl Task {
    pub(super) fn new(context: Arc<RunContext>) -> Self {
        let now = clock::now_ms();
        Self {
            context,
            id: clock::uuid(),
            created_at_ms: now,
            updated_at_ms: now,
            started_at_ms: now,
            published_at: None,
            last_tool: None,
            shows_text: false,
        }
    }

    /// The run started at `now_ms`.
    pub(super) fn start(&mut self, now_ms: u64) {
        self.started_at_ms = now_ms;
        self.updated_at_ms = now_ms;
    }

    /// Publishes the gateway's `state` of a run that had no activity.
    pub(super) fn publish_state(&mut self, state: &str, text: &str) {
        self.publish("running", &json!({ "state": state }), text, None);
    }

    /// Publishes the gateway's `state` of a run that is active now.
    pub(super) fn publish_active(&mut self, state: &str, text: &str) {
        let execution = json!({ "state": state, "lastActivityAt": clock::now_ms() });
        self.publish("running", &execution, text, None);
    }

    /// Publishes new text: the first at once, more once a second.
    pub(super) fn publish_text(&mut self, text: &str) {
        let first = !std::mem::replace(&mut self.shows_text, true);
        if first || self.published_at.is_none_or(|at| at.elapsed() >= INTERVAL) {
            self.publish_active("running", text);
        }
    }

    pub(super) fn publish_tool(&mut self, tool: &str, started_at_ms: u64, text: &str) {
        self.last_tool = Some(tool.to_owned());
        let execution = json!({
            "state": "running", "lastActivityAt": clock::now_ms(),
            "currentTool": { "name": tool, "startedAt": started_at_ms },
        });
        self.publish("running", &execution, text, None);
    }

    pub(super) fn end(&mut self, status: &str, summary: &str, error: Option<&str>) {
        let now = clock::now_ms();
        self.updated_at_ms = now;
        self.shows_text = false;
        let mut more =
            json!({ "endedAt": now, "terminalSummary": shortened(summary, MAX_ACTIVITY_CHARS) });
        if let (Some(error), Some(more)) = (error, more.as_object_mut()) {
            more.insert(
                "error".to_owned(),
                json!(shortened(error, MAX_ACTIVITY_CHARS)),
            );
        }
        self.publish(status, &json!({ "state": "finished" }), "", Some(more));
    }

    /// Publishes the task; `execution` is the gateway's view of the run, `text` its last message.
    fn publish(&mut self, status: &str, execution: &Value, text: &str, more: Option<Value>) {
        if !self.context.gateway.options.publishes_tasks {
            return;
        }
        let (context, key) = (&self.context, &self.context.place.session_key);
        let mut task = json!({
            "id": self.id,
            "taskId": self.id,
            "kind": "cli",
            "runtime": "cli",
            "status": status,
            "execution": execution,
            "title": shortened(&context.message, MAX_TITLE_CHARS),
            "agentId": context.place.agent_id,
            "sessionKey": key,
            "childSessionKey": key,
            "hasTranscript": true,
            "ownerKey": key,
            "runId": context.run_id,
            "sourceId": context.run_id,
            "createdAt": self.created_at_ms,
            "updatedAt": self.updated_at_ms,
            "startedAt": self.started_at_ms,
            "deliveryStatus": "not_applicable",
        });
        if let Some(task) = task.as_object_mut() {
            if let Some(tool) = &self.last_tool {
                task.insert("toolUseCount".to_owned(), json!(1));
                task.insert("lastToolName".to_owned(), json!(tool));
            }
            if self.shows_text && !text.is_empty() {
                let activity = shortened(text, MAX_ACTIVITY_CHARS);
                task.insert("lastActivity".to_owned(), json!(activity));
            }
            if let Some(Value::Object(more)) = more {
                task.extend(more);
            }
        }
        self.published_at = Some(Instant::now());
        context.gateway.publish(
            "task",
            &json!({ "action": "upserted", "task": task }),
            Audience::Readers,
        );
    }
}

/// Returns at most `max_chars` characters of `text`; an ellipsis replaces the last if text is cut.
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
