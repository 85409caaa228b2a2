//! The connection to the gateway.
//!
//! Written by hand instead of with `WebSocket::connect`, which cannot set headers, follows
//! redirects, and returns the same error for every refusal.

use std::pin::pin;
use std::time::Duration;

use clawfront_core::config::Gateway;
use clawfront_core::failure::diagnosis::{Diagnosis, MAX_BODY_BYTES, UpgradeResponse};
use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::gateway::upgrade::refused;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::futures::JsFuture;
use worker::{
    AbortController, AbortSignal, Delay, Headers, Method, Request, RequestInit, RequestRedirect,
    Response, WebSocket,
};

use crate::runtime::bindings;

/// Time limit for the TCP connection, TLS and the upgrade.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Status of an upgrade that was granted.
const SWITCHING_PROTOCOLS: u16 = 101;

/// The error of `fetch` for a connection that was refused, or that broke before a response. Source:
/// workerd 1.20261117, measured. For a name without an address and for a failed TLS handshake the
/// error is "internal error" without more detail.
const CONNECTION_LOST: &str = "Network connection lost";

/// Opens the gateway's WebSocket. It is not accepted yet, so no frame is lost before there is a
/// listener. If the caller drops the future, no open socket remains.
pub(crate) async fn open(gateway: &Gateway) -> Result<WebSocket, Failure> {
    let controller = AbortController::default();
    let signal = controller.signal();
    let mut attempt = Attempt(Some(controller));
    let opened = match select(pin!(ask(gateway, &signal)), Delay::from(CONNECT_TIMEOUT)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => return Err(Failure::TimedOut(Deadline::Connect)),
    };
    attempt.0 = None;
    opened
}

/// An upgrade in progress; it is aborted when it is dropped.
struct Attempt(Option<AbortController>);

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}

/// Reads the body of a refusal too, because a body without an end must not hold the request.
async fn ask(gateway: &Gateway, signal: &AbortSignal) -> Result<WebSocket, Failure> {
    let request = request(gateway).map_err(|error| unreachable(&error))?;
    let response = send(&request, signal)
        .await
        .map_err(|error| unreachable(&error))?;
    let status = response.status_code();
    let header = |name| {
        response
            .headers()
            .get(name)
            .ok()
            .flatten()
            .unwrap_or_default()
    };
    let (location, content_type) = (header("location"), header("content-type"));
    let body = if status == SWITCHING_PROTOCOLS {
        match response.websocket() {
            Some(socket) => return Ok(socket),
            None => Vec::new(),
        }
    } else {
        beginning(response).await
    };
    Err(refused(&UpgradeResponse {
        status,
        location: &location,
        content_type: &content_type,
        body: &body,
    }))
}

/// Sends the request over the internet, or over the binding that replaces it.
async fn send(request: &Request, signal: &AbortSignal) -> worker::Result<Response> {
    let network: JsValue = bindings::network().map_or_else(|| js_sys::global().into(), Into::into);
    let fetch: Function = Reflect::get(&network, &"fetch".into())?.dyn_into()?;
    let init = Object::new();
    Reflect::set(&init, &"signal".into(), signal)?;
    let answer: Promise = fetch.call2(&network, request.inner(), &init)?.dyn_into()?;
    let response: web_sys::Response = JsFuture::from(answer).await?.dyn_into()?;
    Ok(response.into())
}

fn unreachable(error: &worker::Error) -> Failure {
    Failure::GatewayUnreachable(if error.to_string().contains(CONNECTION_LOST) {
        Diagnosis::ConnectionFailed
    } else {
        Diagnosis::DnsOrTls
    })
}

fn request(gateway: &Gateway) -> worker::Result<Request> {
    let headers = Headers::new();
    for (name, value) in &gateway.headers {
        headers.set(name, value.expose())?;
    }
    headers.set("upgrade", "websocket")?;
    let mut init = RequestInit::new();
    init.with_method(Method::Get)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual);
    Request::new_with_init(&gateway.url, &init)
}

/// Reads the beginning of a refusal's body, which gives the reason.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let Ok(mut chunks) = response.stream() else {
        return body;
    };
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_BODY_BYTES {
            body.truncate(MAX_BODY_BYTES);
            break;
        }
    }
    body
}
