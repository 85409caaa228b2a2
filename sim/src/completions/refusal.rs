//! The responses of the endpoint instead of a stream.
//!
//! Source: openclaw 2026.9.6, measured. Those of a proxy are likely.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

const PROXY_ATTRIBUTION: &str = "Proxy client attribution is required. Configure \
                                 gateway.trustedProxies narrowly and make the proxy overwrite or \
                                 safely rebuild forwarded client headers.";

/// Seconds of the gateway's `retry-after`, with 503 and with 429.
const DRAINING_RETRY_AFTER: u32 = 1;
const RATE_LIMIT_RETRY_AFTER: u32 = 300;

/// A response instead of a stream.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    content_type: &'static str,
    body: String,
    header: Option<(HeaderName, String)>,
}

impl Refusal {
    fn new(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
            header: None,
        }
    }

    fn error(status: u16, message: &str, kind: &str) -> Self {
        let body = json!({ "error": { "message": message, "type": kind } });
        Self::new(status, JSON, body.to_string())
    }

    fn with_header(mut self, name: HeaderName, value: &impl ToString) -> Self {
        self.header = Some((name, value.to_string()));
        self
    }

    pub(super) fn invalid(message: impl AsRef<str>) -> Self {
        Self::error(400, message.as_ref(), "invalid_request_error")
    }

    pub(super) fn unauthorized() -> Self {
        Self::error(401, "Unauthorized", "unauthorized")
    }

    pub(super) fn proxy_attribution() -> Self {
        Self::error(403, PROXY_ATTRIBUTION, "proxy_attribution_required")
    }

    pub(super) fn missing_scope(scope: &str) -> Self {
        let body = json!({
            "ok": false,
            "error": {
                "type": "forbidden",
                "message": format!("missing scope: {scope}"),
                "details": { "code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope] },
            },
        });
        Self::new(403, JSON, body.to_string())
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, TEXT, "Not Found")
    }

    pub(super) fn too_large() -> Self {
        Self::error(413, "Payload too large", "invalid_request_error")
            .with_header(header::CONNECTION, &"close")
    }

    pub(super) fn internal() -> Self {
        Self::new(500, TEXT, "Internal Server Error")
    }

    pub(super) fn draining() -> Self {
        let body = json!({ "error": {
            "message": "Gateway is temporarily unavailable while suspending or restarting",
            "type": "service_unavailable",
            "code": "gateway_unavailable",
        } });
        Self::new(503, JSON, body.to_string())
            .with_header(header::RETRY_AFTER, &DRAINING_RETRY_AFTER)
    }

    /// Returns the response for a status of the script: the gateway's own, or that of a proxy.
    pub(super) fn of_status(status: u16, retry_after: Option<u32>) -> Self {
        let refusal = match status {
            400 => Self::invalid("clawfront-sim: http=400"),
            401 => Self::unauthorized(),
            403 => Self::missing_scope("operator.write"),
            404 => Self::not_found(),
            413 => Self::too_large(),
            429 => {
                let message = "Too many failed authentication attempts. Please try again later.";
                Self::error(429, message, "rate_limited")
                    .with_header(header::RETRY_AFTER, &RATE_LIMIT_RETRY_AFTER)
            }
            500 => Self::internal(),
            503 => Self::draining(),
            300..400 => Self::new(status, TEXT, "")
                .with_header(header::LOCATION, &"https://login.example.com/"),
            status => Self::new(
                status,
                HTML,
                "<!doctype html><title>Proxy</title><h1>This is not the gateway</h1>",
            ),
        };
        match retry_after {
            Some(seconds) => refusal.with_header(header::RETRY_AFTER, &seconds),
            None => refusal,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let content_type = [(header::CONTENT_TYPE, self.content_type)];
        let mut response = (status, content_type, self.body).into_response();
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
