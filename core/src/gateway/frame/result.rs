//! The responses about a run.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::parse::object;

/// Payload of the first and the last response to `agent`, and of the response to `agent.wait`.
/// There `status` is `timeout` for a run that was stopped, for one that is still going, and for one
/// that is unknown. Only the first of these has an end.
#[derive(Debug, Default)]
pub(crate) struct AgentResult<'a> {
    pub status: Cow<'a, str>,
    /// For `agent`: milliseconds since the Unix epoch, by the gateway's clock.
    pub accepted_at: Option<u64>,
    /// For `agent.wait`.
    pub ended_at: Option<&'a RawValue>,
    /// For `sessions.messages.subscribe`, which may decline only by this.
    pub subscribed: Option<bool>,
    pub result: RunResult<'a>,
}

object!(
    AgentResult<'_>,
    [],
    [status, accepted_at: "acceptedAt", ended_at: "endedAt", subscribed, result]
);

/// Also the `message` of a chat event, whose `content` has the same shape.
#[derive(Debug, Default)]
pub(crate) struct RunResult<'a> {
    pub payloads: Vec<Payload<'a>>,
    /// Protocol 4: texts among those of `payloads` that the `message` tool sent.
    pub messaging_tool_sent_texts: Option<&'a RawValue>,
    /// Protocol 4: the sub-agents that the run started; read leniently, as [`Spawn`]s.
    pub accepted_session_spawns: Option<&'a RawValue>,
    pub meta: RunMeta<'a>,
}

object!(
    RunResult<'_>,
    [],
    [
        payloads,
        messaging_tool_sent_texts: "messagingToolSentTexts",
        accepted_session_spawns: "acceptedSessionSpawns",
        meta,
    ], or "content"
);

#[derive(Debug, Default)]
pub(crate) struct Payload<'a> {
    pub text: Option<Cow<'a, str>>,
    pub is_error: bool,
    /// Files on the gateway's host, by their paths, or elsewhere. Their text is not read at once.
    pub media_urls: Option<&'a RawValue>,
    pub media_url: Option<&'a RawValue>,
}

object!(
    Payload<'_>,
    [],
    [text, is_error: "isError", media_urls: "mediaUrls", media_url: "mediaUrl"]
);

#[derive(Debug, Default)]
pub(crate) struct RunMeta<'a> {
    pub aborted: bool,
    /// Protocol 4: the agent waits for its sub-agents, and continues in another run.
    pub yielded: bool,
    pub stop_reason: Option<Cow<'a, str>>,
    /// Protocol 4: the text of the last message, with its `MEDIA:` lines.
    pub final_assistant_visible_text: Option<Cow<'a, str>>,
    /// On protocol 3 some failures are visible only here.
    pub error: Option<RunError<'a>>,
    /// Read leniently, as [`AgentMeta`], because invalid figures must not fail an answer.
    pub agent_meta: Option<&'a RawValue>,
}

object!(
    RunMeta<'_>,
    [],
    [
        aborted,
        yielded,
        stop_reason: "stopReason",
        final_assistant_visible_text: "finalAssistantVisibleText",
        error,
        agent_meta: "agentMeta",
    ]
);

/// One of `acceptedSessionSpawns`. On protocol 3 the result of the tool `sessions_spawn` has these
/// members, too.
#[derive(Debug, Default)]
pub(crate) struct Spawn<'a> {
    pub run_id: Cow<'a, str>,
    pub child_session_key: Cow<'a, str>,
}

object!(Spawn<'_>, [run_id: "runId"], [child_session_key: "childSessionKey"]);

/// Source: OpenClaw 2026.3.13, `meta.error` of a run that ended without an answer.
#[derive(Debug, Default)]
pub(crate) struct RunError<'a> {
    pub kind: Cow<'a, str>,
}

object!(RunError<'_>, [], [kind]);

#[derive(Debug, Default)]
pub(crate) struct AgentMeta {
    pub usage: TokenUsage,
    /// Protocol 4: the number of calls of the model; each call emits one item of the text, or none.
    pub assistant_turns: Option<u64>,
}

object!(AgentMeta, [], [usage, assistant_turns: "assistantTurns"]);

/// Usage of the whole run. `total` is not read, because on protocol 3 it is that of the last call
/// only.
#[derive(Debug, Default)]
pub(crate) struct TokenUsage {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
}

object!(TokenUsage, [], [input, output, cache_read: "cacheRead", cache_write: "cacheWrite"]);
