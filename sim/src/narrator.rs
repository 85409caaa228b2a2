//! Tells the clients what a run does. Each version of the protocol tells it in its own events: see [`v3`] and [`v4`].

mod v3;
mod v4;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::agents::{PROVIDER, Place};
use crate::clock;
use crate::frames::Protocol;
use crate::gateway::{Audience, Gateway};
use crate::outcome::{Account, Failure};

/// Protocol 4 sends text this often. Source: `LIVE_TEXT_PACING_MS`, openclaw 2026.9.6, measured.
pub(crate) const LIVE_TEXT_PACING_MS: u64 = 75;

/// What a test looks for when it makes sure that no other run's text gets through.
const FOREIGN_TEXT: &str = "FOREIGN-TEXT";
const FOREIGN_SESSION: &str = "agent:main:somebody-else";

/// Which run it is, and where it takes place.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) run_id: String,
    pub(crate) place: Place,
    pub(crate) session_id: String,
    pub(crate) model: &'static str,
    pub(crate) message: String,
    /// No agent and no chat events.
    pub(crate) quiet: bool,
    /// The connection that gets its tool events, if it asked for such.
    pub(crate) starter: u64,
    pub(crate) accepted_at_ms: u64,
}

/// Tells one run. Every step is one moment of the run's life, in the order of the trait.
pub(crate) trait Narrator {
    fn accepted(&mut self);
    /// It is the run's turn, and the model is called.
    fn started(&mut self);
    /// The model answered without a word and is asked again.
    fn said_nothing(&mut self, output_tokens: u64);
    fn thought(&mut self, delta: &str);
    /// `surplus`: with fields, streams and events around it that no client knows.
    fn said(&mut self, delta: &str, surplus: bool);
    /// Another text takes the place of what was said.
    fn retracted(&mut self, text: &str);
    fn tool_started(&mut self, tool: &str, output_tokens: u64);
    fn tool_went_on(&mut self, tool: &str);
    fn tool_ended(&mut self, tool: &str);
    /// An attempt failed and will be repeated; `retry` counts from 1.
    fn attempt_failed(&mut self, failure: &Failure, retry: u32);
    fn retried(&mut self);
    fn finished(&mut self, account: &Account);
    fn failed(&mut self, failure: &Failure);
    fn failed_in_stream(&mut self, failure: &Failure);
    fn timed_out(&mut self);
    /// The run fails before any model is called.
    fn refused(&mut self, problem: &str);
    /// Before the abort is answered.
    fn aborted(&mut self);
    /// After the abort was answered.
    fn settled_after_abort(&mut self);

    /// When gathered text is to be sent.
    fn due(&self) -> Option<Instant>;
    /// Sends the text that is due.
    fn flush(&mut self);
    /// The text of the message that is being said.
    fn item_text(&self) -> String;
}

/// The narrator for the gateway's protocol.
pub(crate) fn narrator(scene: Arc<Scene>) -> Box<dyn Narrator + Send> {
    match scene.protocol() {
        Protocol::V3 => Box::new(v3::V3::new(scene)),
        Protocol::V4 => Box::new(v4::V4::new(scene)),
    }
}

/// An event of some other run goes to the starter; `nth` chooses its shape.
pub(crate) fn foreign(scene: &Scene, nth: u32) {
    let (run_id, now) = (clock::uuid(), clock::now_ms());
    let agent = |stream: &str, data: Value| {
        (
            "agent",
            json!({ "runId": run_id, "stream": stream, "data": data, "sessionKey": FOREIGN_SESSION, "agentId": "main", "seq": 1, "ts": now }),
        )
    };
    let chat = |state: &str, more: Value| {
        let mut payload =
            json!({ "runId": run_id, "sessionKey": FOREIGN_SESSION, "agentId": "main", "seq": 1, "state": state });
        if let (Some(payload), Value::Object(more)) = (payload.as_object_mut(), more) {
            payload.extend(more);
        }
        ("chat", payload)
    };
    let message =
        json!({ "role": "assistant", "content": [{ "type": "text", "text": FOREIGN_TEXT }], "timestamp": now });
    let shapes = [
        agent(
            "assistant",
            json!({ "text": FOREIGN_TEXT, "delta": FOREIGN_TEXT, "itemId": format!("{run_id}:1") }),
        ),
        chat("delta", json!({ "deltaText": FOREIGN_TEXT, "message": message })),
        agent(
            "lifecycle",
            json!({ "phase": "error", "error": FOREIGN_TEXT, "endedAt": now }),
        ),
        chat("final", json!({ "stopReason": "stop", "message": message })),
        agent(
            "lifecycle",
            json!({ "phase": "end", "endedAt": now, "aborted": false, "stopReason": "stop" }),
        ),
        chat("error", json!({ "errorMessage": FOREIGN_TEXT })),
    ];
    let choice = usize::try_from(nth).ok().and_then(|nth| nth.checked_rem(shapes.len()));
    if let Some((event, payload)) = choice.and_then(|choice| shapes.get(choice)) {
        scene.gateway.publish(event, payload, Audience::One(scene.starter));
    }
}

impl Scene {
    pub(crate) fn protocol(&self) -> Protocol {
        self.gateway.protocol()
    }

    /// `terminalReceipt` of protocol 4.
    pub(crate) fn receipt(&self, tools: &[String], disposition: Option<&str>) -> Value {
        let model = json!({ "provider": PROVIDER, "model": self.model });
        let mut receipt = json!({
            "runId": self.run_id,
            "sessionId": self.session_id,
            "turnId": self.run_id,
            "requested": model,
            "effective": { "provider": PROVIDER, "model": self.model, "responseModel": self.model },
            "successfulToolNames": tools,
            "rerouted": false,
        });
        if let (Some(disposition), Some(receipt)) = (disposition, receipt.as_object_mut()) {
            receipt.insert("terminalDisposition".to_owned(), json!(disposition));
        }
        receipt
    }

    fn publish(&self, event: &str, payload: &impl Serialize) {
        if !self.quiet {
            self.gateway
                .publish(event, payload, Audience::Session(&self.place.session_key));
        }
    }

    /// Noise that a client must not trip over: an event and a stream nobody knows.
    fn publish_unknown(&self) {
        self.publish(
            "sim.unknown",
            &json!({ "runId": self.run_id, "phase": "end", "text": "unknown event" }),
        );
        let payload = json!({
            "runId": self.run_id, "stream": "sim_unknown", "data": { "phase": "end", "text": "unknown stream" },
            "sessionKey": self.place.session_key, "seq": 1, "ts": clock::now_ms(),
        });
        self.publish("agent", &payload);
    }
}

/// Payload of an `agent` event, its fields in the gateway's own order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentPayload<'a, D: Serialize> {
    run_id: &'a str,
    stream: &'a str,
    data: D,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    seq: u64,
    ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sim_surplus: Option<Value>,
}

/// `data` of the stream `assistant`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AssistantData<'a> {
    text: &'a str,
    delta: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replace: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sim_surplus: Option<Value>,
}

/// Payload of a `chat` event, its fields in the gateway's own order.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChatPayload<'a> {
    run_id: &'a str,
    session_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    seq: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta_text: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replace: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_detail: Option<Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: [Content<'a>; 1],
    timestamp: u64,
}

#[derive(Serialize)]
struct Content<'a> {
    r#type: &'static str,
    text: &'a str,
}

impl<'a> Message<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            role: "assistant",
            content: [Content { r#type: "text", text }],
            timestamp: clock::now_ms(),
        }
    }
}

/// Text that is gathered for a while before it is sent.
#[derive(Debug)]
struct Paced {
    pacing: Duration,
    text: String,
    sent_bytes: usize,
    last: Option<Instant>,
}

/// What there is to send.
struct Chunk {
    /// The whole text so far.
    text: String,
    delta: String,
}

impl Paced {
    fn new(pacing: Duration) -> Self {
        Self {
            pacing,
            text: String::new(),
            sent_bytes: 0,
            last: None,
        }
    }

    fn push(&mut self, delta: &str) {
        self.text.push_str(delta);
    }

    /// Another text takes the place of what was said; it counts as sent.
    fn replace(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.sent_bytes = self.text.len();
        self.last = Some(Instant::now());
    }

    /// When there is something to send. The end of a text in white space waits for what follows it.
    fn due(&self) -> Option<Instant> {
        if self.text.trim_end().len() <= self.sent_bytes {
            return None;
        }
        match self.last {
            Some(last) => last.checked_add(self.pacing),
            None => Some(Instant::now()),
        }
    }

    fn take_due(&mut self) -> Option<Chunk> {
        let due = self.due()?;
        if due > Instant::now() {
            return None;
        }
        let end = self.text.trim_end().len();
        self.take_to(end)
    }

    /// All that is left, however early.
    fn take_all(&mut self) -> Option<Chunk> {
        self.take_to(self.text.len())
    }

    fn take_to(&mut self, end: usize) -> Option<Chunk> {
        let delta = self
            .text
            .get(self.sent_bytes..end)
            .filter(|delta| !delta.is_empty())?
            .to_owned();
        let text = self.text.get(..end)?.to_owned();
        self.sent_bytes = end;
        self.last = Some(Instant::now());
        Some(Chunk { text, delta })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_at_the_end_waits_for_what_follows() {
        let mut paced = Paced::new(Duration::ZERO);
        paced.push("w0 ");
        assert_eq!(paced.take_due().map(|chunk| chunk.delta).as_deref(), Some("w0"));
        assert!(paced.due().is_none());
        paced.push("w1\n");
        assert_eq!(
            paced.take_due().map(|chunk| (chunk.text, chunk.delta)),
            Some(("w0 w1".into(), " w1".into()))
        );
        assert_eq!(paced.take_all().map(|chunk| chunk.delta).as_deref(), Some("\n"));
    }

    #[test]
    fn the_first_text_is_sent_at_once_and_the_next_gathered() {
        let mut paced = Paced::new(Duration::from_mins(1));
        paced.push("a");
        assert!(paced.take_due().is_some());
        paced.push("b");
        assert!(paced.take_due().is_none());
        assert!(paced.due().is_some());
    }
}
