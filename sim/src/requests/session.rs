//! The requests that read a session: `sessions.get`, `sessions.messages.subscribe` and its reverse.

use serde_json::{Value, json};

use crate::agent_params::AGENT_ID;
use crate::agents::{self, Nowhere};
use crate::frames::{ErrorShape, Reply};
use crate::gateway::Gateway;
use crate::request::{Client, Responder, check};
use crate::schema::{Kind, Schema, optional, required};

/// Answers `sessions.messages.subscribe`.
pub(super) fn subscribe(
    gateway: &Gateway,
    client: &Client,
    params: &Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    check(&SUBSCRIBE, SUBSCRIBE_METHOD, params, gateway.protocol())?;
    let session_key = session_of(gateway, params)?;
    gateway.subscribe(client.connection, &session_key);
    let subscribed = json!({ "subscribed": true, "key": session_key });
    responder.answer(&Reply::ok(&subscribed));
    Ok(())
}

/// Answers `sessions.messages.unsubscribe`.
pub(super) fn unsubscribe(
    gateway: &Gateway,
    client: &Client,
    params: &Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    check(&UNSUBSCRIBE, UNSUBSCRIBE_METHOD, params, gateway.protocol())?;
    let session_key = session_of(gateway, params)?;
    gateway.unsubscribe(client.connection, &session_key);
    let subscribed = json!({ "subscribed": false, "key": session_key });
    responder.answer(&Reply::ok(&subscribed));
    Ok(())
}

fn session_of(gateway: &Gateway, params: &Value) -> Result<String, ErrorShape> {
    let text = |name: &str| params.get(name).and_then(Value::as_str);
    match agents::place(&gateway.options, text("agentId"), text("key")) {
        Ok(place) => Ok(place.session_key),
        Err(Nowhere::Refused(error)) => Err(error),
        Err(Nowhere::Fails(message)) => Err(ErrorShape::invalid_request(message)),
    }
}

const SUBSCRIBE_METHOD: &str = "sessions.messages.subscribe";
const UNSUBSCRIBE_METHOD: &str = "sessions.messages.unsubscribe";

const SUBSCRIBE: Schema = Schema(&[
    required("key", Kind::NonEmptyText),
    AGENT_ID,
    optional("includeApprovals", Kind::Flag),
]);

const UNSUBSCRIBE: Schema = Schema(&[required("key", Kind::NonEmptyText), AGENT_ID]);

/// Answers `sessions.get`.
pub(super) fn sessions_get(
    gateway: &Gateway,
    params: &Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    // Source: both versions, read: the method accepts any other parameters, too.
    let key = params
        .get("key")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if key.is_empty() {
        return Err(ErrorShape::invalid_request("key required"));
    }
    let messages = rows(gateway, params, key)?;
    responder.answer(&Reply::ok(&json!({ "messages": messages })));
    Ok(())
}

fn rows(gateway: &Gateway, params: &Value, key: &str) -> Result<Vec<Value>, ErrorShape> {
    let agent = params.get("agentId").and_then(Value::as_str);
    let place = match agents::place(&gateway.options, agent, Some(key)) {
        Ok(place) => place,
        Err(Nowhere::Refused(error)) => return Err(error),
        Err(Nowhere::Fails(_)) => return Ok(Vec::new()),
    };
    let limit = params
        .get("limit")
        .and_then(Value::as_u64)
        .unwrap_or(DEFAULT_LIMIT);
    Ok(gateway
        .state()
        .histories
        .last(&place.session_key, limit.max(1)))
}

/// Rows that are returned by default.
const DEFAULT_LIMIT: u64 = 200;
