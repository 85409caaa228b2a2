//! The rows of a session, as `sessions.get` and `chat.history` return them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The beginning of the id of every run in which an agent goes on after its sub-agents.
pub(crate) const ANNOUNCE: &str = "announce:";

/// Payload of the response to `chat.history`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct History<'a> {
    #[serde(borrow, default)]
    pub messages: Vec<HistoryRow<'a>>,
    /// Protocol 4.
    #[serde(borrow)]
    pub in_flight_run: Option<RowOwner<'a>>,
    /// Protocol 4.
    pub session_info: Option<SessionInfo>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct HistoryRow<'a> {
    #[serde(borrow, default)]
    pub role: Cow<'a, str>,
    /// The parts of a tool's result.
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
    /// Protocol 4.
    #[serde(borrow, rename = "__openclaw")]
    pub owner: Option<RowOwner<'a>>,
}

/// The run that a row of a session belongs to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RowOwner<'a> {
    #[serde(borrow, default)]
    pub run_id: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionInfo {
    #[serde(default)]
    pub has_active_subagent_run: bool,
}

/// Payload of the response to `sessions.get`. Each row is read separately, because an invalid one
/// must not discard the others.
#[derive(Debug, Deserialize)]
pub(crate) struct SessionRows<'a> {
    #[serde(borrow)]
    pub messages: Vec<&'a RawValue>,
}

/// One row of a session's history, the oldest first.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionRow<'a> {
    #[serde(borrow, default)]
    pub role: Cow<'a, str>,
    /// A text, or parts with texts.
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub stop_reason: Option<Cow<'a, str>>,
    /// For a user's row (protocol 4): the run's id and `:user`.
    #[serde(borrow)]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// Milliseconds, by the gateway's clock.
    #[serde(borrow)]
    pub timestamp: Option<&'a RawValue>,
    /// Set for a row that no user wrote.
    #[serde(borrow)]
    pub provenance: Option<&'a RawValue>,
    /// For an answer: tokens of one call of the model.
    #[serde(borrow)]
    pub usage: Option<&'a RawValue>,
    /// Set for an answer that was stopped: the model does not receive it later.
    #[serde(borrow)]
    pub openclaw_abort: Option<&'a RawValue>,
    /// Protocol 4 only.
    #[serde(borrow, rename = "__openclaw")]
    pub meta: Option<RowMeta<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Provenance<'a> {
    #[serde(borrow)]
    pub source_tool: Option<Cow<'a, str>>,
}

/// Payload of the response to `sessions.fork`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ForkResult<'a> {
    #[serde(borrow)]
    pub session_key: Cow<'a, str>,
}

/// Payload of the response to `sessions.create` that copied a session.
#[derive(Debug, Deserialize)]
pub(crate) struct CopyResult<'a> {
    #[serde(borrow)]
    pub entry: CopyEntry<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CopyEntry<'a> {
    #[serde(borrow)]
    pub fork_source: Option<ForkSource<'a>>,
}

/// The session that was copied.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ForkSource<'a> {
    #[serde(borrow)]
    pub session_id: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RowMeta<'a> {
    #[serde(borrow, default)]
    pub id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub run_id: Cow<'a, str>,
    /// For a row that no person and no model wrote: `reset`, `compaction`.
    #[serde(borrow)]
    pub kind: Option<Cow<'a, str>>,
}
