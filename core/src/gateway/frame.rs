//! The shapes of the gateway's WebSocket frames, and nothing else.
//!
//! Source: OpenClaw 2026.9.6 (protocol 4; its published schema is the npm package `@openclaw/gateway-protocol`) and 2026.3.13
//! (protocol 3), checked against recorded frames of both. Incoming shapes take any surplus field; outgoing ones hold exactly what
//! both versions' closed schemas accept.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Any incoming frame; `payload` and `error` are read only where somebody waits for them.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// Of an event: its name.
    #[serde(borrow, default)]
    pub event: Cow<'a, str>,
    /// Of a response: the id of its request.
    #[serde(borrow, default)]
    pub id: Cow<'a, str>,
    #[serde(default)]
    pub ok: bool,
    #[serde(borrow)]
    pub payload: Option<&'a RawValue>,
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
    /// Of an event: counts those of this connection (protocol 4) or of the gateway (protocol 3). Read leniently: what is odd in it must
    /// not cost the event.
    #[serde(borrow)]
    pub seq: Option<&'a RawValue>,
}

/// `error` of a response.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorShape<'a> {
    #[serde(borrow, default)]
    pub code: Cow<'a, str>,
    pub retry_after_ms: Option<f64>,
    /// Read leniently, as [`ErrorDetails`]: what is odd in it must not cost the code.
    #[serde(borrow)]
    pub details: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorDetails<'a> {
    #[serde(borrow)]
    pub code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
    pub expected_protocol: Option<u32>,
}

/// Payload of the event `connect.challenge`.
#[derive(Debug, Deserialize)]
pub(crate) struct Challenge<'a> {
    #[serde(borrow)]
    pub nonce: Cow<'a, str>,
    /// Milliseconds since the Unix epoch, by the gateway's clock.
    pub ts: u64,
}

/// Payload of the response to `connect`. Of its 8 to 17 kB only this is read.
#[derive(Debug, Deserialize)]
pub(crate) struct HelloOk<'a> {
    pub protocol: u32,
    #[serde(borrow)]
    pub auth: Option<HelloAuth<'a>>,
}

/// Protocol 4 always sends it; protocol 3 only to a device that it had to be paired with.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HelloAuth<'a> {
    /// The scopes in force, whatever was asked for.
    #[serde(borrow, default)]
    pub scopes: Vec<Cow<'a, str>>,
    /// Sent to a device that was just paired.
    #[serde(borrow)]
    pub device_token: Option<Cow<'a, str>>,
}

/// Payload of the event `agent`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentEvent<'a> {
    #[serde(borrow)]
    pub run_id: Cow<'a, str>,
    #[serde(borrow)]
    pub stream: Cow<'a, str>,
    /// Its shape depends on `stream`.
    #[serde(borrow)]
    pub data: Json<'a>,
    /// Looked at in `lifecycle` events only. Source: OpenClaw 2026.3.13, `march-provider_cut`: after a run's first failed attempt its
    /// events name no session any more.
    #[serde(borrow)]
    pub session_key: Option<Cow<'a, str>>,
}

/// A value that is read once it is known what it should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// The value that `text` begins with; what follows it is not looked at.
    pub(crate) fn beginning(text: &'a str) -> Self {
        Self(text)
    }

    /// `None` if it is something else.
    pub(crate) fn read<T: Deserialize<'a>>(self) -> Option<T> {
        T::deserialize(&mut serde_json::Deserializer::from_str(self.0)).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

/// `data` of the stream `assistant`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssistantData<'a> {
    /// The whole text so far: of the item on protocol 4, since the last message or tool on protocol 3.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// What is new in `text`. Read on protocol 3 only: it may split what JavaScript calls a character, and is then no text.
    #[serde(borrow)]
    pub delta: Option<&'a RawValue>,
    /// Protocol 4 only.
    #[serde(borrow)]
    pub item_id: Option<Cow<'a, str>>,
    /// `text` takes the place of what was sent for the item.
    #[serde(default)]
    pub replace: bool,
}

/// `data` of the stream `thinking` (protocol 4).
#[derive(Debug, Deserialize)]
pub(crate) struct ThinkingData<'a> {
    /// The whole of one thought so far.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
}

/// `data` of the stream `item` (protocol 4).
#[derive(Debug, Deserialize)]
pub(crate) struct ItemData<'a> {
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub phase: Cow<'a, str>,
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub status: Cow<'a, str>,
}

/// `data` of the stream `tool`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolData<'a> {
    #[serde(borrow)]
    pub phase: Cow<'a, str>,
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(default)]
    pub is_error: bool,
}

/// `data` of the stream `run_status` (protocol 4).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunStatusData<'a> {
    #[serde(borrow)]
    pub phase: Cow<'a, str>,
    #[serde(default)]
    pub retry_attempt: u32,
    #[serde(default)]
    pub max_retries: u32,
}

/// `data` of the stream `lifecycle`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LifecycleData<'a> {
    #[serde(borrow)]
    pub phase: Cow<'a, str>,
    #[serde(borrow)]
    pub error_observation: Option<ErrorObservation<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorObservation<'a> {
    #[serde(borrow)]
    pub failover_reason: Option<Cow<'a, str>>,
}

/// Payload of the event `chat`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatEvent<'a> {
    #[serde(borrow)]
    pub run_id: Cow<'a, str>,
    #[serde(borrow)]
    pub state: Cow<'a, str>,
    /// The whole answer so far; on protocol 4 its items are joined by a blank line.
    #[serde(borrow)]
    pub message: Option<RunResult<'a>>,
}

/// Payload of the first and of the last response to `agent`, and of the response to `agent.wait`: there `status` is `timeout` of
/// a run that was stopped, of one that is still going, and of one that nobody knows; only the first has an end.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentResult<'a> {
    #[serde(borrow, default)]
    pub status: Cow<'a, str>,
    /// Of `agent`: milliseconds since the Unix epoch, by the gateway's clock.
    pub accepted_at: Option<u64>,
    /// Of `agent.wait`.
    #[serde(borrow)]
    pub ended_at: Option<&'a RawValue>,
    /// Of `sessions.messages.subscribe`, which may decline by this alone.
    pub subscribed: Option<bool>,
    #[serde(borrow, default)]
    pub result: RunResult<'a>,
}

/// Also the `message` of a chat event, whose `content` has the same shape.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RunResult<'a> {
    #[serde(borrow, default, alias = "content")]
    pub payloads: Vec<Payload<'a>>,
    #[serde(borrow, default)]
    pub meta: RunMeta<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payload<'a> {
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(default)]
    pub is_error: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunMeta<'a> {
    #[serde(default)]
    pub aborted: bool,
    #[serde(borrow)]
    pub stop_reason: Option<Cow<'a, str>>,
    /// Protocol 4: the text of the last message, as it is to be shown.
    #[serde(borrow)]
    pub final_assistant_visible_text: Option<Cow<'a, str>>,
    /// Protocol 3 tells some failures by this alone.
    #[serde(borrow)]
    pub error: Option<RunError<'a>>,
    /// Read leniently, as [`AgentMeta`]: odd figures must not fail an answer.
    #[serde(borrow)]
    pub agent_meta: Option<&'a RawValue>,
}

/// Source: OpenClaw 2026.3.13, `meta.error` of a run that ended without an answer.
#[derive(Debug, Deserialize)]
pub(crate) struct RunError<'a> {
    #[serde(borrow, default)]
    pub kind: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentMeta {
    #[serde(default)]
    pub usage: TokenUsage,
    /// Protocol 4: how often the model was called; each call says one item of the text, or none.
    pub assistant_turns: Option<u64>,
}

/// Of the whole run. `total` is not read: on protocol 3 it is the last call's only.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TokenUsage {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
}

/// Payload of the response to `agents.list`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentsList<'a> {
    #[serde(borrow)]
    pub default_id: Option<Cow<'a, str>>,
    /// Protocol 4: several agents, none of which is the default.
    #[serde(default)]
    pub selection_required: bool,
    #[serde(borrow)]
    pub agents: Vec<ListedAgent<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListedAgent<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
}

/// An outgoing request.
#[derive(Debug, Serialize)]
pub(crate) struct Request<'a, P> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: &'a str,
    pub method: &'static str,
    pub params: &'a P,
    /// Protocol 4 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<&'a str>,
}

/// `params` of `connect`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectParams<'a> {
    pub min_protocol: u32,
    pub max_protocol: u32,
    pub client: ClientInfo<'a>,
    pub role: &'a str,
    pub scopes: &'a [&'a str],
    pub caps: &'a [&'a str],
    pub auth: ConnectAuth<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device<'a>>,
    pub user_agent: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct ClientInfo<'a> {
    pub id: &'a str,
    pub version: &'a str,
    pub platform: &'a str,
    pub mode: &'a str,
}

/// Exactly one of the three is sent.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectAuth<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_token: Option<&'a str>,
}

impl std::fmt::Debug for ConnectAuth<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectAuth(…)")
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device<'a> {
    pub id: &'a str,
    pub public_key: &'a str,
    pub signature: &'a str,
    pub signed_at: u64,
    pub nonce: &'a str,
}

/// `params` of `agent`: built here, field by field. `deliver`, `cwd`, `model`, `provider`, `internal*` and the rest of what the
/// method takes are not for clients, so they do not exist.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentParams<'a> {
    pub message: &'a str,
    pub agent_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<&'a str>,
    /// Of a claim only: a channel that does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'a str>,
    pub idempotency_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_system_prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub attachments: &'a [AttachmentParams<'a>],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttachmentParams<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub mime_type: &'a str,
    pub file_name: &'a str,
    pub content: &'a str,
}

/// `params` of `sessions.messages.subscribe`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscribeParams<'a> {
    pub key: &'a str,
    pub agent_id: &'a str,
}

/// `params` of the methods that name a run: `chat.abort`, whose session it also names, and `agent.wait`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunParams<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<&'a str>,
    pub run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// `params` of a method that takes none.
#[derive(Debug, Serialize)]
pub(crate) struct NoParams {}
