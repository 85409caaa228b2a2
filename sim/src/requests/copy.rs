//! The requests that copy a session and delete a copy: `sessions.fork`, `sessions.create`,
//! `sessions.patch` and `sessions.delete`, each with the parameters that this project uses.
//!
//! Source: OpenClaw 2026.9.6, recorded.

use serde_json::{Value, json};

use crate::agent_params::AGENT_ID;
use crate::clock;
use crate::frames::{ErrorShape, Protocol, Reply};
use crate::gateway::Gateway;
use crate::request::{Request, Responder, check};
use crate::run::record::RunRecord;
use crate::schema::{Kind, Schema, optional, required};

/// Answers `sessions.fork`: a copy of the rows before a user's, under a key of the gateway's.
pub(super) fn fork(
    gateway: &Gateway,
    params: &Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    check(&FORK, "sessions.fork", params, gateway.protocol())?;
    let source = text(params, "sessionKey").to_lowercase();
    let mut state = gateway.state();
    let is_busy = |run: &RunRecord| run.session_key == source && !run.has_ended();
    if state.runs.values().any(is_busy) {
        return Err(ErrorShape::new(
            "UNAVAILABLE",
            "Fork is unavailable while the agent is working.",
        ));
    }
    let agent = source.split(':').nth(1).unwrap_or_default();
    let key = format!("agent:{agent}:dashboard:{}", clock::uuid());
    let entry = text(params, "entryId");
    state
        .histories
        .fork(&source, entry, &key)
        .map_err(ErrorShape::invalid_request)?;
    responder.answer(&Reply::ok(&json!({ "sessionKey": key, "editorText": "" })));
    Ok(())
}

/// Answers `sessions.create` of a copy. The rows of an existing session are replaced.
pub(super) fn create(
    gateway: &Gateway,
    params: &Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    check(&CREATE, "sessions.create", params, gateway.protocol())?;
    let (key, parent) = (
        text(params, "key").to_lowercase(),
        text(params, "parentSessionKey"),
    );
    gateway.state().histories.copy(parent, &key);
    let session_id = clock::uuid();
    responder.answer(&Reply::ok(&json!({
        "ok": true,
        "key": key,
        "sessionId": session_id,
        "entry": {
            "sessionId": session_id,
            "parentSessionKey": parent,
            "forkSource": { "sessionKey": parent, "sessionId": SOURCE_ID },
            "forkedFromParent": true,
        },
        "runStarted": false,
    })));
    Ok(())
}

/// Answers `sessions.patch` of a session that is archived.
pub(super) fn patch(
    gateway: &Gateway,
    params: &Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    check(&PATCH, "sessions.patch", params, gateway.protocol())?;
    let key = text(params, "key");
    responder.answer(&Reply::ok(&json!({ "ok": true, "key": key })));
    Ok(())
}

/// Returns true if the request deletes an archived session. Any other needs `operator.admin`.
pub(super) fn deletes_archived(request: &Request, protocol: Protocol) -> bool {
    protocol == Protocol::V4
        && request.method == "sessions.delete"
        && request.params.get("archivedOnly") == Some(&Value::Bool(true))
}

/// Answers `sessions.delete` of an archived session.
pub(super) fn delete(
    gateway: &Gateway,
    params: &Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    check(&DELETE, "sessions.delete", params, gateway.protocol())?;
    let key = text(params, "key");
    gateway.state().histories.delete(key);
    let deleted = json!({ "ok": true, "key": key, "deleted": true });
    responder.answer(&Reply::ok(&deleted));
    Ok(())
}

fn text<'a>(params: &'a Value, name: &str) -> &'a str {
    params.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The id of every copied session: no client compares it.
const SOURCE_ID: &str = "443031f7-aa53-409e-8c16-8227c7928af9";

const FORK: Schema = Schema(&[
    required("sessionKey", Kind::NonEmptyText),
    required("entryId", Kind::NonEmptyText),
]);

const CREATE: Schema = Schema(&[
    required("key", Kind::NonEmptyText),
    AGENT_ID,
    required("parentSessionKey", Kind::NonEmptyText),
    required("fork", Kind::Flag),
    optional("idempotencyKey", Kind::NonEmptyText),
]);

const PATCH: Schema = Schema(&[
    required("key", Kind::NonEmptyText),
    required("archived", Kind::Flag),
    required("expectedSessionId", Kind::NonEmptyText),
]);

const DELETE: Schema = Schema(&[
    required("key", Kind::NonEmptyText),
    required("archivedOnly", Kind::Flag),
    required("deleteTranscript", Kind::Flag),
    required("expectedSessionId", Kind::NonEmptyText),
]);
