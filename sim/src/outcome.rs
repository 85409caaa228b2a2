//! How a run ended: its last response, and what `agent.wait` says about it.
//!
//! Source: `recorded/meta-{3,4}.json`, the `result.meta` of the running gateways with paths replaced, and the outcomes measured
//! for each kind of failure, unless said otherwise.

use serde_json::{Value, json};

use crate::agents::PROVIDER;
use crate::clock;
use crate::frames::{ErrorShape, Protocol, Reply};
use crate::journal::{AbortedBy, Ending};
use crate::narrator::Scene;
use crate::run::full_model;

/// Tokens of one call without a history, and of each further call of the same run.
const INPUT_TOKENS: u64 = 901;
const FURTHER_INPUT_TOKENS: u64 = 906;
const LAST_CALL_INPUT_TOKENS: u64 = 904;
const CACHE_READ_TOKENS: u64 = 100;

/// The provider's words for an error object in its stream.
const IN_STREAM: &str = "fake mid-stream failure";

const TRUNCATED: &str =
    "⚠️ Reply truncated at the model's output token limit. The text above is partial — ask to continue it.";

/// Its beginning was measured.
const TIMED_OUT: &str = "Request timed out before a response was generated. Please try again, or increase `agents.defaults.timeoutSeconds` in your config.";

/// What a run did, as far as its end tells.
#[derive(Debug)]
pub(crate) struct Account {
    /// Calls of the model.
    pub(crate) calls: u64,
    pub(crate) output_per_call: u64,
    pub(crate) stop_reason: &'static str,
    pub(crate) tools: Vec<String>,
    /// Messages before the last.
    pub(crate) earlier_texts: Vec<String>,
    /// What was said in attempts that failed.
    pub(crate) partial_texts: Vec<String>,
    /// The last message.
    pub(crate) text: String,
    pub(crate) last_error: Option<String>,
    pub(crate) aborted_by: Option<AbortedBy>,
}

impl Account {
    pub(crate) fn new() -> Self {
        Self {
            calls: 1,
            output_per_call: 0,
            stop_reason: "stop",
            tools: Vec::new(),
            earlier_texts: Vec::new(),
            partial_texts: Vec::new(),
            text: String::new(),
            last_error: None,
            aborted_by: None,
        }
    }

    /// Output tokens of all calls.
    pub(crate) fn output_tokens(&self) -> u64 {
        self.calls.saturating_mul(self.output_per_call)
    }
}

/// A failure of the model's provider.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What protocol 4 says.
    pub(crate) message: String,
    /// What protocol 3 says: the provider's own words.
    pub(crate) provider_message: String,
    /// `failoverReason`; absent for an error object in the stream.
    pub(crate) reason: Option<String>,
    runtime_kind: &'static str,
    /// `errorKind` of the chat event.
    pub(crate) error_kind: Option<&'static str>,
    model: &'static str,
}

impl Failure {
    /// The failure for an HTTP status of the provider, or for a stream that was cut. The classes for 400, 401, 429, 500 and a cut
    /// stream were measured, the words for 400, 500 and a cut stream; the others are likely.
    pub(crate) fn of(status: Option<u16>, forced_reason: Option<&str>, model: &'static str) -> Self {
        let reason = forced_reason.unwrap_or(match status {
            None | Some(408 | 504) => "timeout",
            Some(401) => "auth",
            Some(402) => "billing",
            Some(403) => "auth_permanent",
            Some(404) => "model_not_found",
            Some(413) => "context_overflow",
            Some(429) => "rate_limit",
            Some(503 | 529) => "overloaded",
            Some(400..=499) => "format",
            Some(_) => "server_error",
        });
        let name = full_model(model);
        let status_text = status.map_or_else(String::new, |status| format!(", HTTP {status}"));
        let (message, runtime_kind, error_kind) = match reason {
            "format" => (
                "LLM request failed: provider rejected the request schema or tool payload.".to_owned(),
                "schema",
                None,
            ),
            "server_error" => (
                format!(
                    "⚠️ {name} request failed (provider internal error{status_text}). This is usually temporary — try again shortly."
                ),
                "timeout",
                None,
            ),
            "timeout" => ("LLM request timed out.".to_owned(), "timeout", Some("timeout")),
            "rate_limit" => (
                "⚠️ API rate limit reached. Please try again later.".to_owned(),
                "rate_limit",
                Some("rate_limit"),
            ),
            "context_overflow" => (
                "Context overflow: prompt too large for the model.".to_owned(),
                "unclassified",
                Some("context_length"),
            ),
            "overloaded" => (
                "The AI service is temporarily overloaded. Please try again in a moment.".to_owned(),
                "unclassified",
                None,
            ),
            reason => (
                format!("⚠️ {name} request failed ({reason}{status_text})."),
                "unclassified",
                None,
            ),
        };
        Self {
            message,
            provider_message: status.map_or_else(
                || "terminated".to_owned(),
                |status| format!("{status} fake upstream failure {status}"),
            ),
            reason: Some(reason.to_owned()),
            runtime_kind,
            error_kind,
            model,
        }
    }

    /// An error object in the stream.
    pub(crate) fn in_stream(model: &'static str) -> Self {
        Self {
            message: format!("⚠️ Agent run failed (model: {}).", full_model(model)),
            provider_message: IN_STREAM.to_owned(),
            reason: None,
            runtime_kind: "unclassified",
            error_kind: None,
            model,
        }
    }

    /// `errorObservation` of lifecycle events, `errorDetail` of chat events.
    pub(crate) fn observation(&self) -> Value {
        let mut observation =
            json!({ "provider": PROVIDER, "model": self.model, "providerRuntimeFailureKind": self.runtime_kind });
        if let (Some(reason), Some(observation)) = (&self.reason, observation.as_object_mut()) {
            observation.insert("failoverReason".to_owned(), json!(reason));
        }
        observation
    }
}

/// The answer is complete.
pub(crate) fn completed(scene: &Scene, account: &Account) -> Reply {
    let payloads: Vec<Value> = match scene.protocol() {
        // Only the last message; texts before a tool are missing.
        Protocol::V4 => [
            account.text.as_str(),
            if account.stop_reason == "length" { TRUNCATED } else { "" },
        ]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(payload)
        .collect(),
        Protocol::V3 => texts(account).map(payload).collect(),
    };
    let mut meta = meta(scene, account);
    set(&mut meta, "stopReason", json!(account.stop_reason));
    if scene.protocol() == Protocol::V4 {
        set(
            &mut meta,
            "completion",
            json!({ "stopReason": account.stop_reason, "finishReason": account.stop_reason }),
        );
        set(&mut meta, "finalAssistantVisibleText", json!(account.text));
        set(&mut meta, "finalAssistantRawText", json!(account.text));
        if !account.tools.is_empty() {
            set(&mut meta, "replayInvalid", json!(true));
            set(
                &mut meta,
                "toolSummary",
                json!({ "calls": account.tools.len(), "tools": account.tools, "failures": 0 }),
            );
        }
    }
    ok(scene, "ok", "completed", &payloads, &meta)
}

/// The provider failed for good.
pub(crate) fn provider_failed(scene: &Scene, account: &Account, failure: &Failure) -> Reply {
    match scene.protocol() {
        Protocol::V3 => failed_as_an_answer(scene, account, failure),
        Protocol::V4 => self::failure(&scene.run_id, &failure.message),
    }
}

/// The provider sent an error object in its stream.
pub(crate) fn stream_failed(scene: &Scene, account: &Account, failure: &Failure) -> Reply {
    if scene.protocol() == Protocol::V3 {
        return failed_as_an_answer(scene, account, failure);
    }
    let mut meta = meta(scene, account);
    without(
        &mut meta,
        &[
            "finalAssistantVisibleText",
            "finalAssistantRawText",
            "stopReason",
            "requestShaping",
            "completion",
        ],
    );
    without_usage(&mut meta);
    set(&mut meta, "replayInvalid", json!(true));
    set(&mut meta, "livenessState", json!("abandoned"));
    set(&mut meta, "executionTrace", json!({ "fallbackUsed": false }));
    let error = json!({ "kind": "incomplete_turn", "message": failure.provider_message, "fallbackSafe": false, "terminalPresentation": false });
    set(&mut meta, "error", error);
    let payload = json!({ "text": failure.message, "isError": true, "mediaUrl": null });
    ok(scene, "error", "failed", &[payload], &meta)
}

/// The run took longer than it may. Only `status`, `summary`, the beginning of the text and `meta.aborted` were measured.
pub(crate) fn timed_out(scene: &Scene, account: &Account) -> Reply {
    let mut meta = meta(scene, account);
    without(&mut meta, &["stopReason", "completion"]);
    set(&mut meta, "aborted", json!(true));
    match scene.protocol() {
        Protocol::V3 => ok(scene, "ok", "completed", &[payload(TIMED_OUT)], &meta),
        Protocol::V4 => ok(scene, "timeout", "aborted", &[payload(TIMED_OUT)], &meta),
    }
}

/// The run was aborted.
pub(crate) fn aborted(run_id: &str) -> Reply {
    Reply::ok(&json!({ "runId": run_id, "status": "timeout", "summary": "aborted", "stopReason": "rpc" }))
}

/// The run failed.
pub(crate) fn failure(run_id: &str, message: &str) -> Reply {
    Reply::failed(
        &json!({ "runId": run_id, "status": "error", "summary": message }),
        ErrorShape::new("UNAVAILABLE", message),
    )
}

/// What `agent.wait` answers once the run has ended. `error` on a failed run: read.
pub(crate) fn waited(scene: &Scene, account: &Account, ending: Ending) -> Value {
    let status = if ending == Ending::Ok { "ok" } else { "error" };
    let mut answer = json!({
        "runId": scene.run_id,
        "status": status,
        "startedAt": scene.accepted_at_ms,
        "endedAt": clock::now_ms(),
    });
    if scene.protocol() == Protocol::V4 {
        match ending {
            Ending::Ok => {
                set(&mut answer, "stopReason", json!(account.stop_reason));
                set(&mut answer, "livenessState", json!("working"));
                set(
                    &mut answer,
                    "terminalReceipt",
                    scene.receipt(&account.tools, Some("visible")),
                );
                set(
                    &mut answer,
                    "terminalReply",
                    json!({ "disposition": "visible", "text": account.text }),
                );
            }
            Ending::Aborted => set(&mut answer, "stopReason", json!("rpc")),
            Ending::Error | Ending::Running => {}
        }
    }
    answer
}

/// Protocol 3 gives an error as if it were the answer; only `meta.stopReason` tells.
fn failed_as_an_answer(scene: &Scene, account: &Account, failure: &Failure) -> Reply {
    let error = account.last_error.as_deref().unwrap_or(&failure.provider_message);
    let payloads: Vec<Value> = std::iter::once(error).chain(texts(account)).map(payload).collect();
    let mut meta = meta(scene, account);
    without_usage(&mut meta);
    if let Some(agent_meta) = meta.get_mut("agentMeta") {
        set(
            agent_meta,
            "lastCallUsage",
            json!({ "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0 }),
        );
    }
    set(&mut meta, "stopReason", json!("error"));
    ok(scene, "ok", "completed", &payloads, &meta)
}

/// Everything that was said, in order.
fn texts(account: &Account) -> impl Iterator<Item = &str> {
    let all = account
        .earlier_texts
        .iter()
        .chain(&account.partial_texts)
        .chain(std::iter::once(&account.text));
    all.map(String::as_str).filter(|text| !text.is_empty())
}

fn payload(text: &str) -> Value {
    json!({ "text": text, "mediaUrl": null })
}

fn ok(scene: &Scene, status: &str, summary: &str, payloads: &[Value], meta: &Value) -> Reply {
    let mut result = json!({ "payloads": payloads, "meta": meta });
    if scene.protocol() == Protocol::V4 {
        set(&mut result, "sourceReplyDeliveryState", json!("missing"));
    }
    Reply::ok(&json!({ "runId": scene.run_id, "status": status, "summary": summary, "result": result }))
}

/// The recorded `result.meta` with everything that belongs to this run put in.
fn meta(scene: &Scene, account: &Account) -> Value {
    let recorded = match scene.protocol() {
        Protocol::V3 => include_str!("recorded/meta-3.json"),
        Protocol::V4 => include_str!("recorded/meta-4.json"),
    };
    let mut meta: Value = serde_json::from_str(recorded).unwrap_or_default();
    set(
        &mut meta,
        "durationMs",
        json!(clock::now_ms().saturating_sub(scene.accepted_at_ms)),
    );
    if let Some(report) = meta.get_mut("systemPromptReport") {
        set(report, "sessionId", json!(scene.session_id));
        set(report, "sessionKey", json!(scene.place.session_key));
        set(report, "model", json!(scene.model));
        set(report, "generatedAt", json!(scene.accepted_at_ms));
    }
    if let Some(agent) = meta.get_mut("agentMeta") {
        let (usage, last_call) = usage(scene.protocol(), account);
        set(agent, "sessionId", json!(scene.session_id));
        set(agent, "provider", json!(PROVIDER));
        set(agent, "model", json!(scene.model));
        set(agent, "usage", usage);
        set(agent, "lastCallUsage", last_call);
        if scene.protocol() == Protocol::V4 {
            set(agent, "sessionFile", json!(scene.place.session_key));
            set(agent, "assistantTurns", json!(account.calls));
            set(agent, "terminalReceipt", scene.receipt(&account.tools, None));
            if let Some(budget) = agent.get_mut("contextBudgetStatus") {
                set(budget, "sessionId", json!(scene.session_id));
                set(budget, "model", json!(scene.model));
            }
        }
    }
    if scene.protocol() == Protocol::V4 {
        set(&mut meta, "finalPromptText", json!(scene.message));
    }
    meta
}

/// `usage` and `lastCallUsage`. The first's `total` is the sum on protocol 4, and the last call's total on protocol 3.
fn usage(protocol: Protocol, account: &Account) -> (Value, Value) {
    let further = account.calls.saturating_sub(1);
    let input = INPUT_TOKENS.saturating_add(FURTHER_INPUT_TOKENS.saturating_mul(further));
    let cache_read = CACHE_READ_TOKENS.saturating_mul(account.calls);
    let last_input = if further == 0 {
        INPUT_TOKENS
    } else {
        LAST_CALL_INPUT_TOKENS
    };
    let total = |input: u64, cache_read: u64, output: u64| input.saturating_add(cache_read).saturating_add(output);
    let last_total = total(last_input, CACHE_READ_TOKENS, account.output_per_call);
    let mut last = json!({
        "input": last_input, "output": account.output_per_call, "cacheRead": CACHE_READ_TOKENS, "cacheWrite": 0, "total": last_total,
    });
    let mut all =
        json!({ "input": input, "output": account.output_tokens(), "cacheRead": cache_read, "total": last_total });
    if protocol == Protocol::V4 {
        set(
            &mut all,
            "total",
            json!(total(input, cache_read, account.output_tokens())),
        );
        set(&mut all, "cacheWrite", json!(0));
        set(&mut all, "cost", json!({ "total": 0.001 }));
        set(&mut last, "cost", json!({ "total": 0.001 }));
    }
    (all, last)
}

fn without_usage(meta: &mut Value) {
    if let Some(agent) = meta.get_mut("agentMeta") {
        without(agent, &["usage", "lastCallUsage", "promptTokens", "costUsd"]);
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

fn without(object: &mut Value, names: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        object.retain(|name, _| !names.contains(&name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_of_a_run_with_a_tool_is_as_recorded() {
        let account = Account {
            calls: 2,
            output_per_call: 4,
            ..Account::new()
        };
        let (all, last) = usage(Protocol::V4, &account);
        assert_eq!(
            (&all["input"], &all["output"], &all["cacheRead"], &all["total"]),
            (&json!(1807), &json!(8), &json!(200), &json!(2015))
        );
        assert_eq!(last["total"], json!(1008));
        assert_eq!(usage(Protocol::V3, &account).0["total"], json!(1008));
    }

    #[test]
    fn a_provider_status_has_its_measured_class() {
        let class = |status| Failure::of(status, None, "fake-1").reason;
        for (status, reason) in [
            (Some(400), "format"),
            (Some(401), "auth"),
            (Some(429), "rate_limit"),
            (Some(500), "server_error"),
            (None, "timeout"),
        ] {
            assert_eq!(class(status).as_deref(), Some(reason));
        }
        assert_eq!(
            Failure::of(Some(500), Some("billing"), "fake-1").reason.as_deref(),
            Some("billing")
        );
    }
}
