//! The events of a run.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::Json;
use super::result::RunResult;
use crate::parse::object;

/// Payload of the event `agent`.
#[derive(Debug, Default)]
pub(crate) struct AgentEvent<'a> {
    pub run_id: Cow<'a, str>,
    pub stream: Cow<'a, str>,
    /// Its shape depends on `stream`.
    pub data: Json<'a>,
    /// Read in `lifecycle` events only. Source: OpenClaw 2026.3.13, `march-provider_cut`: after a
    /// run's first failed attempt its events no longer name a session.
    pub session_key: Option<Cow<'a, str>>,
}

object!(AgentEvent<'_>, [run_id: "runId", stream, data], [session_key: "sessionKey"]);

/// `data` of the stream `assistant`.
#[derive(Debug, Default)]
pub(crate) struct AssistantData<'a> {
    /// The whole text so far: of the item on protocol 4, since the last message or tool on protocol
    /// 3.
    pub text: Cow<'a, str>,
    /// The new part of `text`. It is read on protocol 3 only, because it may split a surrogate pair
    /// of JavaScript, and is not valid text then.
    pub delta: Option<&'a RawValue>,
    /// Protocol 4 only.
    pub item_id: Option<Cow<'a, str>>,
    /// `text` replaces the text that was sent for the item.
    pub replace: bool,
}

object!(AssistantData<'_>, [text], [delta, item_id: "itemId", replace]);

/// `data` of the stream `thinking` (protocol 4).
#[derive(Debug, Default)]
pub(crate) struct ThinkingData<'a> {
    /// The whole text of one thought so far.
    pub text: Cow<'a, str>,
}

object!(ThinkingData<'_>, [text], []);

/// `data` of the stream `item` (protocol 4).
#[derive(Debug, Default)]
pub(crate) struct ItemData<'a> {
    pub kind: Cow<'a, str>,
    pub phase: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub status: Cow<'a, str>,
    pub item_id: Cow<'a, str>,
    /// For the kind `preamble`: the whole text so far that the model emitted before a tool call.
    pub progress_text: Cow<'a, str>,
    /// The reason why a tool failed, as the gateway or the tool wrote it.
    pub error: Cow<'a, str>,
}

object!(
    ItemData<'_>,
    [kind, phase],
    [name, status, item_id: "itemId", progress_text: "progressText", error]
);

/// `data` of the stream `tool`.
#[derive(Debug, Default)]
pub(crate) struct ToolData<'a> {
    pub phase: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub is_error: bool,
}

object!(ToolData<'_>, [phase], [name, is_error: "isError"]);

/// `data` of the stream `run_status` (protocol 4).
#[derive(Debug, Default)]
pub(crate) struct RunStatusData<'a> {
    pub phase: Cow<'a, str>,
    pub retry_attempt: u32,
    pub max_retries: u32,
}

object!(RunStatusData<'_>, [phase], [retry_attempt: "retryAttempt", max_retries: "maxRetries"]);

/// `data` of the stream `lifecycle`.
#[derive(Debug, Default)]
pub(crate) struct LifecycleData<'a> {
    pub phase: Cow<'a, str>,
    pub error_observation: Option<ErrorObservation<'a>>,
}

object!(LifecycleData<'_>, [phase], [error_observation: "errorObservation"]);

#[derive(Debug, Default)]
pub(crate) struct ErrorObservation<'a> {
    pub failover_reason: Option<Cow<'a, str>>,
}

object!(ErrorObservation<'_>, [], [failover_reason: "failoverReason"]);

/// Payload of the event `chat`.
#[derive(Debug, Default)]
pub(crate) struct ChatEvent<'a> {
    pub run_id: Cow<'a, str>,
    pub state: Cow<'a, str>,
    /// The whole answer so far; on protocol 4 its items are joined by a blank line.
    pub message: Option<RunResult<'a>>,
}

object!(ChatEvent<'_>, [run_id: "runId", state], [message]);
