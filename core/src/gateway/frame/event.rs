//! The events of a run.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::Json;
use super::result::RunResult;

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
    /// Read in `lifecycle` events only. Source: OpenClaw 2026.3.13, `march-provider_cut`: after a
    /// run's first failed attempt its events no longer name a session.
    #[serde(borrow)]
    pub session_key: Option<Cow<'a, str>>,
}

/// `data` of the stream `assistant`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssistantData<'a> {
    /// The whole text so far: of the item on protocol 4, since the last message or tool on protocol
    /// 3.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// The new part of `text`. It is read on protocol 3 only, because it may split a surrogate pair
    /// of JavaScript, and is not valid text then.
    #[serde(borrow)]
    pub delta: Option<&'a RawValue>,
    /// Protocol 4 only.
    #[serde(borrow)]
    pub item_id: Option<Cow<'a, str>>,
    /// `text` replaces the text that was sent for the item.
    #[serde(default)]
    pub replace: bool,
}

/// `data` of the stream `thinking` (protocol 4).
#[derive(Debug, Deserialize)]
pub(crate) struct ThinkingData<'a> {
    /// The whole text of one thought so far.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
}

/// `data` of the stream `item` (protocol 4).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ItemData<'a> {
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub phase: Cow<'a, str>,
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub status: Cow<'a, str>,
    #[serde(borrow, default)]
    pub item_id: Cow<'a, str>,
    /// For the kind `preamble`: the whole text so far that the model emitted before a tool call.
    #[serde(borrow, default)]
    pub progress_text: Cow<'a, str>,
    /// The reason why a tool failed, as the gateway or the tool wrote it.
    #[serde(borrow, default)]
    pub error: Cow<'a, str>,
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
