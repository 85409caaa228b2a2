//! The responses about a run.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Payload of the first and the last response to `agent`, and of the response to `agent.wait`.
/// There `status` is `timeout` for a run that was stopped, for one that is still going, and for one
/// that is unknown. Only the first of these has an end.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentResult<'a> {
    #[serde(borrow, default)]
    pub status: Cow<'a, str>,
    /// For `agent`: milliseconds since the Unix epoch, by the gateway's clock.
    pub accepted_at: Option<u64>,
    /// For `agent.wait`.
    #[serde(borrow)]
    pub ended_at: Option<&'a RawValue>,
    /// For `sessions.messages.subscribe`, which may decline only by this.
    pub subscribed: Option<bool>,
    #[serde(borrow, default)]
    pub result: RunResult<'a>,
}

/// Also the `message` of a chat event, whose `content` has the same shape.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunResult<'a> {
    #[serde(borrow, default, alias = "content")]
    pub payloads: Vec<Payload<'a>>,
    /// Protocol 4: texts among those of `payloads` that the `message` tool sent.
    #[serde(borrow)]
    pub messaging_tool_sent_texts: Option<&'a RawValue>,
    /// Protocol 4: the sub-agents that the run started; read leniently, as [`Spawn`]s.
    #[serde(borrow)]
    pub accepted_session_spawns: Option<&'a RawValue>,
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
    /// Files on the gateway's host. They are counted, and their paths are not read.
    #[serde(borrow)]
    pub media_urls: Option<&'a RawValue>,
    #[serde(borrow)]
    pub media_url: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunMeta<'a> {
    #[serde(default)]
    pub aborted: bool,
    /// Protocol 4: the agent waits for its sub-agents, and continues in another run.
    #[serde(default)]
    pub yielded: bool,
    #[serde(borrow)]
    pub stop_reason: Option<Cow<'a, str>>,
    /// Protocol 4: the text of the last message, with its `MEDIA:` lines.
    #[serde(borrow)]
    pub final_assistant_visible_text: Option<Cow<'a, str>>,
    /// On protocol 3 some failures are visible only here.
    #[serde(borrow)]
    pub error: Option<RunError<'a>>,
    /// Read leniently, as [`AgentMeta`], because invalid figures must not fail an answer.
    #[serde(borrow)]
    pub agent_meta: Option<&'a RawValue>,
}

/// One of `acceptedSessionSpawns`. On protocol 3 the result of the tool `sessions_spawn` has these
/// members, too.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spawn<'a> {
    #[serde(borrow)]
    pub run_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub child_session_key: Cow<'a, str>,
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
    /// Protocol 4: the number of calls of the model; each call emits one item of the text, or none.
    pub assistant_turns: Option<u64>,
}

/// Usage of the whole run. `total` is not read, because on protocol 3 it is that of the last call
/// only.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TokenUsage {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
}
