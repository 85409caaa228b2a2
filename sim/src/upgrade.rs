//! The HTTP side: the WebSocket upgrade on every path, what goes wrong at it, and where the control API lives.
//!
//! Source: measured on both versions, unless said otherwise.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::fault::Fault;
use crate::frames::{MAX_FRAME_BYTES, Protocol};
use crate::gateway::Gateway;
use crate::{connection, control};

/// What the handshake takes from the upgrade request.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// It came through a proxy, or may as well have.
    pub(crate) proxied: bool,
    pub(crate) host: Option<String>,
    pub(crate) origin: Option<String>,
    /// `x-openclaw-scopes`: a cap on the scopes, on protocol 4.
    pub(crate) scopes_cap: Option<Vec<String>>,
}

impl Upgrade {
    fn of(headers: &HeaderMap, protocol: Protocol) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let host = text("host");
        let proxied = match protocol {
            Protocol::V3 => {
                ["x-forwarded-for", "x-real-ip", "x-forwarded-host"]
                    .iter()
                    .any(|name| headers.contains_key(*name))
                    || !host.as_deref().is_some_and(is_local_host)
            }
            // Neither Host nor CF-Connecting-IP is looked at.
            Protocol::V4 => headers.keys().any(|name| {
                matches!(name.as_str(), "forwarded" | "x-real-ip") || name.as_str().starts_with("x-forwarded-")
            }),
        };
        let scopes_cap = text("x-openclaw-scopes").filter(|_| protocol == Protocol::V4);
        Self {
            proxied,
            origin: text("origin"),
            scopes_cap: scopes_cap.map(|scopes| scopes.split(',').map(|scope| scope.trim().to_owned()).collect()),
            host,
        }
    }
}

/// Everything that is served.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/sim/journal", get(control::journal))
        .route("/sim/reset", post(control::reset))
        .route("/sim/crash", post(control::crash))
        .route("/sim/drop", post(control::drop_connections))
        .route("/sim/fault", post(control::fault))
        .route("/sim/approve", post(control::approve))
        .route("/sim/revoke", post(control::revoke))
        .fallback(upgrade)
        .with_state(gateway)
}

/// Any path upgrades.
async fn upgrade(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Infallible> {
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return Ok((
            StatusCode::NOT_FOUND,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            "Not Found",
        )
            .into_response());
    };
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("<not text>")));
    gateway.state().journal.upgrade(parts.uri.path(), headers);

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

/// The HTTP response in place of the upgrade. Only the first was measured; the others are what proxies answer.
fn refusal(fault: Fault) -> Option<Response> {
    let (status, content_type, body) = match fault {
        Fault::ProxyAttribution => (
            StatusCode::FORBIDDEN,
            "application/json; charset=utf-8",
            PROXY_ATTRIBUTION,
        ),
        Fault::Access302 => {
            let location = "https://team.cloudflareaccess.com/cdn-cgi/access/login/gateway.example.com?kid=0";
            return Some((StatusCode::FOUND, [(header::LOCATION, location)], Body::empty()).into_response());
        }
        Fault::Html200 => (
            StatusCode::OK,
            "text/html; charset=utf-8",
            "<!doctype html><title>Sign in</title><h1>Sign in</h1>",
        ),
        Fault::NotFound404 => (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "Not Found"),
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

fn is_local_host(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]" | "::1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(headers: &[(&'static str, &'static str)], protocol: Protocol) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        Upgrade::of(&headers, protocol).proxied
    }

    #[test]
    fn each_version_has_its_own_idea_of_remote() {
        let local = ("host", "127.0.0.1:1");
        for (headers, on_3, on_4) in [
            (&[local] as &[_], false, false),
            (&[("host", "gw.example.com")], true, false),
            (&[local, ("x-forwarded-for", "203.0.113.7")], true, true),
            (&[local, ("x-forwarded-proto", "https")], false, true),
            (&[local, ("forwarded", "for=203.0.113.7")], false, true),
            (&[local, ("cf-connecting-ip", "203.0.113.7")], false, false),
        ] {
            assert_eq!(
                (proxied(headers, Protocol::V3), proxied(headers, Protocol::V4)),
                (on_3, on_4),
                "{headers:?}"
            );
        }
    }
}
