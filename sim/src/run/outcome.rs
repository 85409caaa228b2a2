//! The end of a run: its last response, and the response of `agent.wait`.
//!
//! Source: `recorded/meta-{3,4}.json`, which is the `result.meta` of the running gateways with
//! paths replaced. The outcomes were measured for each kind of failure, unless noted otherwise.

use serde_json::{Value, json};

use crate::agents::PROVIDER;
use crate::clock;
use crate::frames::{ErrorShape, Protocol, Reply};
use crate::journal::Ending;
use crate::run::account::Account;
use crate::run::context::RunContext;
use crate::run::failure::Failure;
use crate::script::Script;

/// Tokens of one call without a history, and of each further call of the same run.
const INPUT_TOKENS: u64 = 901;
const FURTHER_INPUT_TOKENS: u64 = 906;
const LAST_CALL_INPUT_TOKENS: u64 = 904;
const CACHE_READ_TOKENS: u64 = 100;

const TRUNCATED: &str = "⚠️ Reply truncated at the model's output token limit. The text above is \
                         partial — ask to continue it.";

/// The beginning of the text was measured.
const TIMED_OUT: &str = "Request timed out before a response was generated. Please try again, or \
                         increase `agents.defaults.timeoutSeconds` in your config.";

/// The answer is complete.
pub(crate) fn completed(context: &RunContext, account: &Account) -> Reply {
    let mut payloads: Vec<Value> = match context.protocol() {
        // Only the last message; texts before a tool are missing.
        Protocol::V4 => [
            account.text.as_str(),
            if account.stop_reason == "length" {
                TRUNCATED
            } else {
                ""
            },
        ]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(payload)
        .collect(),
        Protocol::V3 => texts(account).map(payload).collect(),
    };
    add_media(&mut payloads, context);
    let mut meta = meta(context, account);
    set(&mut meta, "stopReason", json!(account.stop_reason));
    if context.protocol() == Protocol::V4 {
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
    ok(context, "ok", "completed", &payloads, &meta)
}

/// Adds the files of the answer to its last payload, as in `transcripts/latest-media`.
fn add_media(payloads: &mut Vec<Value>, context: &RunContext) {
    let media = Script::of(&context.message).map_or(Vec::new(), |script| script.media);
    let Some(first) = media.first() else {
        return;
    };
    if payloads.is_empty() {
        payloads.push(payload(""));
    }
    if let Some(last) = payloads.last_mut() {
        set(last, "mediaUrl", json!(first));
        set(last, "mediaUrls", json!(media));
    }
}

/// The provider failed finally.
pub(crate) fn provider_failed(context: &RunContext, account: &Account, failure: &Failure) -> Reply {
    match context.protocol() {
        Protocol::V3 => failed_as_an_answer(context, account, failure),
        Protocol::V4 => self::failure(&context.run_id, &failure.message),
    }
}

/// The provider sent an error object in its stream.
pub(crate) fn stream_failed(context: &RunContext, account: &Account, failure: &Failure) -> Reply {
    if context.protocol() == Protocol::V3 {
        return failed_as_an_answer(context, account, failure);
    }
    let mut meta = meta(context, account);
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
    set(
        &mut meta,
        "executionTrace",
        json!({ "fallbackUsed": false }),
    );
    let error = json!({ "kind": "incomplete_turn", "message": failure.provider_message, "fallbackSafe": false, "terminalPresentation": false });
    set(&mut meta, "error", error);
    let payload = json!({ "text": failure.message, "isError": true, "mediaUrl": null });
    ok(context, "error", "failed", &[payload], &meta)
}

/// The run exceeded its time limit. Only `status`, `summary`, the beginning of the text and
/// `meta.aborted` were measured.
pub(crate) fn timed_out(context: &RunContext, account: &Account) -> Reply {
    let mut meta = meta(context, account);
    without(&mut meta, &["stopReason", "completion"]);
    set(&mut meta, "aborted", json!(true));
    match context.protocol() {
        Protocol::V3 => ok(context, "ok", "completed", &[payload(TIMED_OUT)], &meta),
        Protocol::V4 => ok(context, "timeout", "aborted", &[payload(TIMED_OUT)], &meta),
    }
}

/// The run was aborted.
pub(crate) fn aborted(run_id: &str) -> Reply {
    Reply::ok(
        &json!({ "runId": run_id, "status": "timeout", "summary": "aborted", "stopReason": "rpc" }),
    )
}

/// The run failed.
pub(crate) fn failure(run_id: &str, message: &str) -> Reply {
    Reply::failed(
        &json!({ "runId": run_id, "status": "error", "summary": message }),
        ErrorShape::new("UNAVAILABLE", message),
    )
}

/// Returns the response of `agent.wait` after the run has ended. `error` on a failed run: read.
pub(crate) fn waited(context: &RunContext, account: &Account, ending: Ending) -> Value {
    let status = if ending == Ending::Ok { "ok" } else { "error" };
    let mut answer = json!({
        "runId": context.run_id,
        "status": status,
        "startedAt": context.accepted_at_ms,
        "endedAt": clock::now_ms(),
    });
    if context.protocol() == Protocol::V4 {
        match ending {
            Ending::Ok => {
                set(&mut answer, "stopReason", json!(account.stop_reason));
                set(&mut answer, "livenessState", json!("working"));
                set(
                    &mut answer,
                    "terminalReceipt",
                    context.receipt(&account.tools, Some("visible")),
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

/// Protocol 3 sends an error as if it were the answer; only `meta.stopReason` differs.
fn failed_as_an_answer(context: &RunContext, account: &Account, failure: &Failure) -> Reply {
    let error = account
        .last_error
        .as_deref()
        .unwrap_or(&failure.provider_message);
    let payloads: Vec<Value> = std::iter::once(error)
        .chain(texts(account))
        .map(payload)
        .collect();
    let mut meta = meta(context, account);
    without_usage(&mut meta);
    if let Some(agent_meta) = meta.get_mut("agentMeta") {
        set(
            agent_meta,
            "lastCallUsage",
            json!({ "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0 }),
        );
    }
    set(&mut meta, "stopReason", json!("error"));
    ok(context, "ok", "completed", &payloads, &meta)
}

/// Returns all texts in order.
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

fn ok(
    context: &RunContext,
    status: &str,
    summary: &str,
    payloads: &[Value],
    meta: &Value,
) -> Reply {
    let mut result = json!({ "payloads": payloads, "meta": meta });
    if context.protocol() == Protocol::V4 {
        set(&mut result, "sourceReplyDeliveryState", json!("missing"));
    }
    Reply::ok(
        &json!({ "runId": context.run_id, "status": status, "summary": summary, "result": result }),
    )
}

/// The recorded `result.meta` with everything that belongs to this run put in.
fn meta(context: &RunContext, account: &Account) -> Value {
    let recorded = match context.protocol() {
        Protocol::V3 => include_str!("../recorded/meta-3.json"),
        Protocol::V4 => include_str!("../recorded/meta-4.json"),
    };
    let mut meta: Value = serde_json::from_str(recorded).unwrap_or_default();
    set(
        &mut meta,
        "durationMs",
        json!(clock::now_ms().saturating_sub(context.accepted_at_ms)),
    );
    if let Some(report) = meta.get_mut("systemPromptReport") {
        set(report, "sessionId", json!(context.session_id));
        set(report, "sessionKey", json!(context.place.session_key));
        set(report, "model", json!(context.model));
        set(report, "generatedAt", json!(context.accepted_at_ms));
    }
    if let Some(agent) = meta.get_mut("agentMeta") {
        let (usage, last_call) = usage(context.protocol(), account);
        set(agent, "sessionId", json!(context.session_id));
        set(agent, "provider", json!(PROVIDER));
        set(agent, "model", json!(context.model));
        set(agent, "usage", usage);
        set(agent, "lastCallUsage", last_call);
        if context.protocol() == Protocol::V4 {
            set(agent, "sessionFile", json!(context.place.session_key));
            set(agent, "assistantTurns", json!(account.calls));
            set(
                agent,
                "terminalReceipt",
                context.receipt(&account.tools, None),
            );
            if let Some(budget) = agent.get_mut("contextBudgetStatus") {
                set(budget, "sessionId", json!(context.session_id));
                set(budget, "model", json!(context.model));
            }
        }
    }
    if context.protocol() == Protocol::V4 {
        set(&mut meta, "finalPromptText", json!(context.message));
    }
    meta
}

/// The tokens of all calls of a run.
pub(crate) fn usage_of_all_calls(protocol: Protocol, account: &Account) -> Value {
    usage(protocol, account).0
}

/// `usage` and `lastCallUsage`. The first's `total` is the sum on protocol 4, and the last call's
/// total on protocol 3.
fn usage(protocol: Protocol, account: &Account) -> (Value, Value) {
    let further = account.calls.saturating_sub(1);
    let input = INPUT_TOKENS.saturating_add(FURTHER_INPUT_TOKENS.saturating_mul(further));
    let cache_read = CACHE_READ_TOKENS.saturating_mul(account.calls);
    let last_input = if further == 0 {
        INPUT_TOKENS
    } else {
        LAST_CALL_INPUT_TOKENS
    };
    let total = |input: u64, cache_read: u64, output: u64| {
        input.saturating_add(cache_read).saturating_add(output)
    };
    let last_total = total(last_input, CACHE_READ_TOKENS, account.output_per_call);
    let mut last = json!({
        "input": last_input, "output": account.output_per_call, "cacheRead": CACHE_READ_TOKENS, "cacheWrite": 0, "total": last_total,
    });
    let mut all = json!({ "input": input, "output": account.output_tokens(), "cacheRead": cache_read, "total": last_total });
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
        without(
            agent,
            &["usage", "lastCallUsage", "promptTokens", "costUsd"],
        );
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
            (
                &all["input"],
                &all["output"],
                &all["cacheRead"],
                &all["total"]
            ),
            (&json!(1807), &json!(8), &json!(200), &json!(2015))
        );
        assert_eq!(last["total"], json!(1008));
        assert_eq!(usage(Protocol::V3, &account).0["total"], json!(1008));
    }
}
