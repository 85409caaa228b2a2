//! The rows of a session, as `sessions.get` and `chat.history` return them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::parse::object;

/// The beginning of the id of every run in which an agent goes on after its sub-agents.
pub(crate) const ANNOUNCE: &str = "announce:";

/// The end of the name of a tool that makes media, with which the id of the run that shows it
/// begins.
pub(crate) const MAKER: &str = "_generate";

/// Returns true if the id is of a run that shows media.
pub(crate) fn is_media_run(id: &str) -> bool {
    id.split_once(':')
        .is_some_and(|(tool, _)| tool.ends_with(MAKER))
}

/// Payload of the response to `chat.history`.
#[derive(Debug, Default)]
pub(crate) struct History<'a> {
    pub messages: Vec<HistoryRow<'a>>,
    /// Protocol 4.
    pub in_flight_run: Option<RowOwner<'a>>,
    /// Protocol 4.
    pub session_info: Option<SessionInfo>,
}

object!(History<'_>, [], [messages, in_flight_run: "inFlightRun", session_info: "sessionInfo"]);

#[derive(Debug, Default)]
pub(crate) struct HistoryRow<'a> {
    pub role: Cow<'a, str>,
    /// The parts of a tool's result.
    pub content: Option<&'a RawValue>,
    /// Protocol 4.
    pub owner: Option<RowOwner<'a>>,
}

object!(HistoryRow<'_>, [], [role, content, owner: "__openclaw"]);

/// The run that a row of a session belongs to.
#[derive(Debug, Default)]
pub(crate) struct RowOwner<'a> {
    pub run_id: Cow<'a, str>,
}

object!(RowOwner<'_>, [], [run_id: "runId"]);

#[derive(Debug, Default)]
pub(crate) struct SessionInfo {
    pub has_active_subagent_run: bool,
}

object!(SessionInfo, [], [has_active_subagent_run: "hasActiveSubagentRun"]);

/// Payload of the response to `tasks.list` (protocol 4).
#[derive(Debug, Default)]
pub(crate) struct TaskList<'a> {
    pub tasks: Vec<Task<'a>>,
}

object!(TaskList<'_>, [tasks], []);

#[derive(Debug, Default)]
pub(crate) struct Task<'a> {
    pub kind: Cow<'a, str>,
    pub session_key: Cow<'a, str>,
    pub status: Cow<'a, str>,
    /// For a sub-agent: its run.
    pub run_id: Cow<'a, str>,
    /// For a sub-agent: the state of its result.
    pub delivery_status: Cow<'a, str>,
}

object!(
    Task<'_>,
    [],
    [
        kind,
        session_key: "sessionKey",
        status,
        run_id: "runId",
        delivery_status: "deliveryStatus",
    ]
);

/// Payload of the response to `sessions.get`. Each row is read separately, because an invalid one
/// must not discard the others.
#[derive(Debug, Default)]
pub(crate) struct SessionRows<'a> {
    pub messages: Vec<&'a RawValue>,
}

object!(SessionRows<'_>, [messages], []);

/// One row of a session's history, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct SessionRow<'a> {
    pub role: Cow<'a, str>,
    /// A text, or parts with texts.
    pub content: Option<&'a RawValue>,
    pub stop_reason: Option<Cow<'a, str>>,
    /// For a user's row (protocol 4): the run's id and `:user`.
    pub idempotency_key: Option<Cow<'a, str>>,
    /// Milliseconds, by the gateway's clock.
    pub timestamp: Option<&'a RawValue>,
    /// Set for a row that no user wrote.
    pub provenance: Option<&'a RawValue>,
    /// For an answer: tokens of one call of the model.
    pub usage: Option<&'a RawValue>,
    /// Set for an answer that was stopped: the model does not receive it later.
    pub openclaw_abort: Option<&'a RawValue>,
    /// Protocol 4 only.
    pub meta: Option<RowMeta<'a>>,
}

object!(
    SessionRow<'_>,
    [],
    [
        role,
        content,
        stop_reason: "stopReason",
        idempotency_key: "idempotencyKey",
        timestamp,
        provenance,
        usage,
        openclaw_abort: "openclawAbort",
        meta: "__openclaw",
    ]
);

#[derive(Debug, Default)]
pub(crate) struct Provenance<'a> {
    pub source_tool: Option<Cow<'a, str>>,
}

object!(Provenance<'_>, [], [source_tool: "sourceTool"]);

/// Payload of the response to `sessions.fork`.
#[derive(Debug, Default)]
pub(crate) struct ForkResult<'a> {
    pub session_key: Cow<'a, str>,
}

object!(ForkResult<'_>, [session_key: "sessionKey"], []);

/// Payload of the response to `sessions.create` that copied a session.
#[derive(Debug, Default)]
pub(crate) struct CopyResult<'a> {
    pub entry: CopyEntry<'a>,
}

object!(CopyResult<'_>, [entry], []);

#[derive(Debug, Default)]
pub(crate) struct CopyEntry<'a> {
    pub fork_source: Option<ForkSource<'a>>,
}

object!(CopyEntry<'_>, [], [fork_source: "forkSource"]);

/// The session that was copied.
#[derive(Debug, Default)]
pub(crate) struct ForkSource<'a> {
    pub session_id: Cow<'a, str>,
}

object!(ForkSource<'_>, [session_id: "sessionId"], []);

#[derive(Debug, Default)]
pub(crate) struct RowMeta<'a> {
    pub id: Cow<'a, str>,
    pub run_id: Cow<'a, str>,
    /// For a row that no person and no model wrote: `reset`, `compaction`.
    pub kind: Option<Cow<'a, str>>,
}

object!(RowMeta<'_>, [], [id, run_id: "runId", kind]);
