//! Requests of a connection that is through its handshake.
//!
//! Source: measured on both versions, unless noted otherwise.

mod abort;
mod agent;
mod copy;
mod session;
mod speech;

use std::sync::Arc;

use serde_json::Value;

use crate::frames::{ErrorShape, Protocol, Reply};
use crate::gateway::Gateway;
use crate::request::{Client, REQUEST_FRAME, Request, Responder};
use crate::{agents, methods};

/// The id of the response to a frame without a readable id.
const NO_ID: &str = "invalid";

/// Reads one text frame and answers it, now or later.
pub(crate) fn receive(gateway: &Arc<Gateway>, client: &Client, text: &str) {
    // Text that is not JSON is ignored.
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let protocol = gateway.protocol();
    if let Err(violation) = REQUEST_FRAME.check(&frame, protocol) {
        let id = frame
            .get("id")
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty())
            .unwrap_or(NO_ID);
        client
            .responder(id)
            .refuse(ErrorShape::invalid_request(format!(
                "invalid request frame: {violation}"
            )));
        return;
    }
    let Some(request) = Request::of(frame) else {
        return;
    };
    gateway.state().journal.frame(client.connection, &request);
    let responder = client.responder(&request.id);
    if let Err(error) = dispatch(gateway, client, request, &responder) {
        responder.refuse(error);
    }
}

fn dispatch(
    gateway: &Arc<Gateway>,
    client: &Client,
    request: Request,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    let protocol = gateway.protocol();
    if client.role != "operator" {
        return Err(ErrorShape::invalid_request(format!(
            "unauthorized role: {}",
            client.role
        )));
    }
    let needed = if copy::deletes_archived(&request, protocol) {
        Some(methods::OPERATOR_WRITE)
    } else {
        methods::scope_of(&request.method, protocol)
    };
    if let Some(scope) = needed.filter(|scope| !client.holds(scope)) {
        return Err(ErrorShape::missing_scope(protocol, scope));
    }
    let Request { method, params, .. } = request;
    match (method.as_str(), protocol) {
        ("agent", _) => agent::agent(gateway, client, params, responder),
        ("agent.wait", _) => agent::agent_wait(gateway, &params, responder),
        ("agents.list", _) => {
            responder.answer(&Reply::ok(&agents::list(&gateway.options)));
            Ok(())
        }
        ("models.list", Protocol::V4) => {
            responder.answer(&Reply::ok(&agents::models(&gateway.options, &params)));
            Ok(())
        }
        ("health", _) => {
            responder.answer(&Reply::ok(gateway.hello.health()));
            Ok(())
        }
        ("sessions.messages.unsubscribe", Protocol::V4) => {
            session::unsubscribe(gateway, client, &params, responder)
        }
        ("sessions.messages.subscribe", Protocol::V4) => {
            session::subscribe(gateway, client, &params, responder)
        }
        ("tts.speak", Protocol::V4) => speech::speak(&params, responder),
        ("sessions.get", _) => session::sessions_get(gateway, &params, responder),
        ("sessions.fork", Protocol::V4) => copy::fork(gateway, &params, responder),
        ("sessions.create", Protocol::V4) => copy::create(gateway, &params, responder),
        ("sessions.patch", Protocol::V4) => copy::patch(gateway, &params, responder),
        ("sessions.delete", Protocol::V4) => copy::delete(gateway, &params, responder),
        ("chat.abort", _) => abort::chat_abort(gateway, client, &params, responder),
        ("sessions.abort", Protocol::V4) => {
            abort::sessions_abort(gateway, client, &params, responder)
        }
        _ => Err(ErrorShape::invalid_request(format!(
            "unknown method: {method}"
        ))),
    }
}
