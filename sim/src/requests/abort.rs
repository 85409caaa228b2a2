//! The requests that abort a run: `chat.abort` and `sessions.abort`.

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::agent_params::AGENT_ID;
use crate::frames::{ErrorShape, Protocol, Reply};
use crate::gateway::Gateway;
use crate::journal::AbortedBy;
use crate::request::{Client, Responder, check};
use crate::run::record::{Abort, Origin, RunRecord};
use crate::schema::{Kind, Schema, optional, required};

pub(super) fn chat_abort(
    gateway: &Gateway,
    client: &Client,
    params: &Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    let protocol = gateway.protocol();
    let schema = match protocol {
        Protocol::V3 => &CHAT_ABORT_V3,
        Protocol::V4 => &CHAT_ABORT_V4,
    };
    check(schema, "chat.abort", params, protocol)?;
    let none = json!({ "ok": true, "aborted": false, "runIds": [] });
    if protocol == Protocol::V3 {
        // It ends runs of `chat.send` only.
        responder.answer(&Reply::ok(&none));
        return Ok(());
    }
    let key = params
        .get("sessionKey")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_lowercase();
    let run_id = params.get("runId").and_then(Value::as_str);
    let aborting = aborting(gateway, client, |id, run| {
        run.origin == Origin::WebSocket
            && run.session_key == key
            && run_id.is_none_or(|wanted| wanted == id)
    })?;
    let run_ids: Vec<_> = aborting.iter().map(|(id, _)| id.clone()).collect();
    if run_ids.is_empty() {
        responder.answer(&Reply::ok(&none));
        return Ok(());
    }
    let replies = Replies {
        aborted: Reply::ok(&json!({ "ok": true, "aborted": true, "runIds": run_ids })),
        none: Reply::ok(&none),
    };
    send_aborts(client, "chat.abort", aborting, responder, &replies);
    Ok(())
}

pub(super) fn sessions_abort(
    gateway: &Gateway,
    client: &Client,
    params: &Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    check(
        &SESSIONS_ABORT,
        "sessions.abort",
        params,
        gateway.protocol(),
    )?;
    let text = |name: &str| params.get(name).and_then(Value::as_str);
    let (key, run_id) = (text("key").map(str::to_lowercase), text("runId"));
    if key.is_none() && run_id.is_none() {
        return Err(ErrorShape::invalid_request("key required"));
    }
    let mut aborting = aborting(gateway, client, |id, run| {
        key.as_ref().is_none_or(|key| run.session_key == *key)
            && run_id.is_none_or(|wanted| wanted == id)
    })?;
    aborting.truncate(1);
    // Not measured: the answer when nothing runs.
    let none = Reply::ok(&json!({ "ok": true, "abortedRunId": null, "status": "no-active-run" }));
    match aborting.first().map(|(id, _)| id.clone()) {
        Some(run_id) => {
            // The gateway stops a run over HTTP without its id. Measured.
            let run_id = Some(run_id).filter(|id| is_over_websocket(gateway, id));
            let aborted = json!({ "ok": true, "abortedRunId": run_id, "status": "aborted" });
            let replies = Replies {
                aborted: Reply::ok(&aborted),
                none,
            };
            send_aborts(client, "sessions.abort", aborting, responder, &replies);
        }
        None => responder.answer(&none),
    }
    Ok(())
}

/// The responses to an abort.
struct Replies {
    aborted: Reply,
    /// No run was still going.
    none: Reply,
}

type Aborting = Vec<(String, UnboundedSender<Abort>)>;

/// Returns the runs still going that `wanted` names. A run of another device may not be aborted.
fn aborting(
    gateway: &Gateway,
    client: &Client,
    wanted: impl Fn(&str, &RunRecord) -> bool,
) -> Result<Aborting, ErrorShape> {
    let state = gateway.state();
    let mut aborting = Aborting::new();
    for (id, run) in state
        .runs
        .iter()
        .filter(|(id, run)| wanted(id, run) && !run.has_ended())
    {
        let is_own = run.origin == Origin::Http || run.owner == client.device;
        if !is_own && !client.holds("operator.admin") {
            return Err(ErrorShape::invalid_request("unauthorized"));
        }
        aborting.push((id.clone(), run.aborts.clone()));
    }
    Ok(aborting)
}

fn is_over_websocket(gateway: &Gateway, run_id: &str) -> bool {
    let state = gateway.state();
    let run = state.runs.get(run_id);
    run.is_some_and(|run| run.origin == Origin::WebSocket)
}

/// Sends the aborts. The last run sends the response between its events, as the gateway does. No
/// run sends it if all have ended meanwhile.
fn send_aborts(
    client: &Client,
    method: &str,
    aborting: Aborting,
    responder: &Responder,
    replies: &Replies,
) {
    let mut answer = Some(Box::new((responder.clone(), replies.aborted.clone())));
    for (_, aborts) in aborting.into_iter().rev() {
        let by = AbortedBy {
            connection: client.connection,
            method: method.to_owned(),
        };
        if let Err(unsent) = aborts.send(Abort {
            by,
            answer: answer.take(),
        }) {
            answer = unsent.0.answer;
        }
    }
    if answer.is_some() {
        responder.answer(&replies.none);
    }
}

const CHAT_ABORT_V3: Schema = Schema(&[
    required("sessionKey", Kind::NonEmptyText),
    optional("runId", Kind::NonEmptyText),
]);

const CHAT_ABORT_V4: Schema = Schema(&[
    required("sessionKey", Kind::NonEmptyText),
    AGENT_ID,
    optional("runId", Kind::NonEmptyText),
    optional("preserveSideRuns", Kind::Flag),
]);

const SESSIONS_ABORT: Schema = Schema(&[
    optional("key", Kind::NonEmptyText),
    optional("runId", Kind::NonEmptyText),
    AGENT_ID,
    optional("clearQueued", Kind::Flag),
]);
