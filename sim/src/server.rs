//! The HTTP side: the WebSocket upgrade on every path, its faults, and the routes of completions
//! and the control API.
//!
//! Source: measured on both versions, unless noted otherwise.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::fault::Fault;
use crate::frames::MAX_FRAME_BYTES;
use crate::gateway::Gateway;
use crate::upgrade::Upgrade;
use crate::{completions, connection, control, media};

/// Everything that is served.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/sim/journal", get(control::journal))
        .route("/sim/reset", post(control::reset))
        .route("/sim/crash", post(control::crash))
        .route("/sim/session-reset", post(control::reset_session))
        .route("/sim/drop", post(control::drop_connections))
        .route("/sim/resume", post(control::resume))
        .route("/sim/fault", post(control::fault))
        .route("/sim/approve", post(control::approve))
        .route("/sim/revoke", post(control::revoke))
        .route(
            "/v1/chat/completions",
            post(completions::post).fallback(upgrade),
        )
        .route("/__openclaw__/assistant-media", get(media::get))
        .fallback(upgrade)
        .with_state(gateway)
}

/// Any path upgrades.
async fn upgrade(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Infallible> {
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return Ok((
            StatusCode::NOT_FOUND,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            "Not Found",
        )
            .into_response());
    };
    gateway
        .state()
        .journal
        .upgrade(parts.uri.path(), &parts.headers);

    let fault = gateway.next_fault();
    if let Some(refusal) = fault.and_then(refusal) {
        return Ok(refusal);
    }
    let request = Upgrade::of(&parts.headers, gateway.protocol());
    Ok(upgrade
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .on_upgrade(move |socket| connection::serve(socket, gateway, request, fault)))
}

/// Returns the HTTP response instead of the upgrade. Only the first was measured; the others are
/// responses of proxies.
fn refusal(fault: Fault) -> Option<Response> {
    let (status, content_type, body) = match fault {
        Fault::ProxyAttribution => (
            StatusCode::FORBIDDEN,
            "application/json; charset=utf-8",
            PROXY_ATTRIBUTION,
        ),
        Fault::Access302 => {
            let location =
                "https://team.cloudflareaccess.com/cdn-cgi/access/login/gateway.example.com?kid=0";
            return Some(
                (
                    StatusCode::FOUND,
                    [(header::LOCATION, location)],
                    Body::empty(),
                )
                    .into_response(),
            );
        }
        Fault::Html200 => (
            StatusCode::OK,
            "text/html; charset=utf-8",
            "<!doctype html><title>Sign in</title><h1>Sign in</h1>",
        ),
        Fault::NotFound404 => (
            StatusCode::NOT_FOUND,
            "text/plain; charset=utf-8",
            "Not Found",
        ),
        Fault::Upgrade426 => (
            StatusCode::UPGRADE_REQUIRED,
            "text/plain; charset=utf-8",
            "Upgrade Required",
        ),
        Fault::Status503 => (
            StatusCode::SERVICE_UNAVAILABLE,
            "text/plain; charset=utf-8",
            "Service Unavailable",
        ),
        _ => return None,
    };
    Some((status, [(header::CONTENT_TYPE, content_type)], body).into_response())
}

const PROXY_ATTRIBUTION: &str = r#"{"error":{"message":"Proxy client attribution is required. Configure gateway.trustedProxies narrowly and make the proxy overwrite or safely rebuild forwarded client headers.","type":"proxy_attribution_required"}}"#;
