//! The connection to the gateway.
//!
//! `upgrade.js` makes it instead of `WebSocket::connect`, which cannot set headers, follows
//! redirects, and returns the same error for every refusal.

use std::time::Duration;

use clawfront_core::config::Gateway;
use clawfront_core::failure::diagnosis::{Diagnosis, MAX_BODY_BYTES, UpgradeResponse};
use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::gateway::upgrade::refused;
use js_sys::Promise;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::futures::JsFuture;

use crate::runtime::bindings;
use crate::runtime::socket::WebSocket;

#[wasm_bindgen(module = "/src/runtime/upgrade.js")]
extern "C" {
    #[wasm_bindgen(js_name = open)]
    fn ask(
        network: &JsValue,
        url: &str,
        headers: Vec<String>,
        limit_ms: u32,
        max_body_bytes: usize,
    ) -> Promise;

    /// The response to a request, or its error.
    pub(crate) type Opened;

    #[wasm_bindgen(method, getter)]
    fn socket(this: &Opened) -> Option<WebSocket>;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn error(this: &Opened) -> Option<String>;

    #[wasm_bindgen(method, getter, js_name = isLate)]
    fn is_late(this: &Opened) -> bool;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn status(this: &Opened) -> Option<u16>;

    /// The next bytes of a stream.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn bytes(this: &Opened) -> Option<Vec<u8>>;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn location(this: &Opened) -> String;

    #[wasm_bindgen(method, getter, js_name = contentType)]
    pub(crate) fn content_type(this: &Opened) -> String;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn body(this: &Opened) -> Vec<u8>;

    #[wasm_bindgen(method, getter, js_name = isStream)]
    pub(crate) fn is_stream(this: &Opened) -> bool;

    #[wasm_bindgen(method, getter, js_name = retryAfter)]
    pub(crate) fn retry_after(this: &Opened) -> u32;
}

/// Time limit for the TCP connection, TLS and the upgrade.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The error of `fetch` for a connection that was refused, or that broke before a response. Source:
/// workerd 1.20261117, measured. For a name without an address and for a failed TLS handshake the
/// error is "internal error" without more detail.
const CONNECTION_LOST: &str = "Network connection lost";

/// Opens the gateway's WebSocket, over the internet or over the binding that replaces it. It is not
/// accepted yet, so no frame is lost before there is a listener.
pub(crate) async fn open(gateway: &Gateway, limit: Duration) -> Result<WebSocket, Failure> {
    let network = bindings::network_or_internet();
    let headers = gateway
        .headers
        .iter()
        .flat_map(|(name, value)| [name.clone(), value.expose().to_owned()])
        .collect();
    let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    let opened = ask(&network, &gateway.url, headers, limit_ms, MAX_BODY_BYTES);
    // The promise is never rejected.
    let opened: Opened = JsFuture::from(opened)
        .await
        .map_err(|_| Failure::InternalError)?
        .unchecked_into();
    if let Some(socket) = opened.socket() {
        return Ok(socket);
    }
    match opened.error() {
        None => Err(refused(&UpgradeResponse {
            status: opened.status().unwrap_or_default(),
            location: &opened.location(),
            content_type: &opened.content_type(),
            body: &opened.body(),
        })),
        Some(_) if opened.is_late() => Err(Failure::TimedOut(Deadline::Connect)),
        Some(error) => Err(unreachable(&error)),
    }
}

/// Returns the failure that an error of `fetch` means.
pub(crate) fn unreachable(error: &str) -> Failure {
    Failure::GatewayUnreachable(if error.contains(CONNECTION_LOST) {
        Diagnosis::ConnectionFailed
    } else {
        Diagnosis::DnsOrTls
    })
}
