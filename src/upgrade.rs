//! The connection to the gateway.
//!
//! By hand rather than by `WebSocket::connect`, which can set no headers, follows redirects, and calls every refusal the same.

use std::pin::pin;
use std::time::Duration;

use clawfront_core::config::Gateway;
use clawfront_core::error::{Deadline, Failure};
use clawfront_core::gateway::upgrade::{MAX_REFUSAL_BYTES, refused};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use worker::{
    AbortController, Delay, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, Response, WebSocket,
};

/// For the TCP connection, TLS and the upgrade.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Status of an upgrade that was granted.
const SWITCHING_PROTOCOLS: u16 = 101;

/// Opens the gateway's WebSocket; it is not accepted yet, so no frame is lost before somebody listens.
pub(crate) async fn open(gateway: &Gateway) -> Result<WebSocket, Failure> {
    let request = request(gateway).map_err(|_| Failure::Unreachable)?;
    let controller = AbortController::default();
    let signal = controller.signal();
    let fetch = Fetch::Request(request);
    // The body of a refusal too: what never ends must not hold the request.
    let answer = pin!(async {
        let response = fetch
            .send_with_signal(&signal)
            .await
            .map_err(|_| Failure::Unreachable)?;
        let status = response.status_code();
        if status != SWITCHING_PROTOCOLS {
            return Err(refused(status, &beginning(response).await));
        }
        response.websocket().ok_or(Failure::Unreachable)
    });
    match select(answer, Delay::from(CONNECT_TIMEOUT)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => {
            controller.abort();
            Err(Failure::TimedOut(Deadline::Connect))
        }
    }
}

fn request(gateway: &Gateway) -> worker::Result<Request> {
    let headers = Headers::new();
    headers.set("upgrade", "websocket")?;
    let mut init = RequestInit::new();
    init.with_method(Method::Get)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual);
    Request::new_with_init(&gateway.url, &init)
}

/// As much of a refusal as says why.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let Ok(mut chunks) = response.stream() else {
        return body;
    };
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_REFUSAL_BYTES {
            body.truncate(MAX_REFUSAL_BYTES);
            break;
        }
    }
    body
}
