//! A short talk with the gateway over a connection of its own: `talk.js`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use clawfront_core::config::Gateway;
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::failure::{Deadline, Failure};
use js_sys::Promise;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::js_sys::futures::JsFuture;

use crate::runtime::clock::now_ms;
use crate::runtime::upgrade;

#[wasm_bindgen(module = "/src/hub/talk.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn talk(
        socket: &web_sys::WebSocket,
        receive: &Closure<dyn FnMut(Option<String>, u16) -> Option<Vec<String>>>,
        limit_ms: u32,
    ) -> Result<Promise, wasm_bindgen::JsValue>;
}

/// An event of the talk.
pub(crate) enum Event<'a> {
    Frame(&'a str),
    Closed(u16),
}

/// Connects, and gives every event to `receive` until it returns a result. The frames that it adds
/// are sent. All of it takes no longer than `limit`.
pub(crate) async fn talk_with<T: 'static>(
    gateway: &Gateway,
    limit: Duration,
    mut receive: impl FnMut(&Event<'_>, &mut Vec<String>) -> Result<Option<T>, Failure> + 'static,
) -> Result<T, Failure> {
    let until_ms = now_ms().saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    let socket = upgrade::open(gateway, limit)
        .await
        .map_err(|failure| match failure {
            Failure::TimedOut(_) => Failure::TimedOut(Deadline::Handshake),
            other => other,
        })?;
    let outcome = Rc::new(RefCell::new(None));
    let result = Rc::clone(&outcome);
    let step = Closure::new(move |frame: Option<String>, code| {
        let mut outbox = Vec::new();
        let event = frame.as_deref().map_or(Event::Closed(code), Event::Frame);
        let received = receive(&event, &mut outbox).transpose();
        let is_over = received.is_some();
        *result.borrow_mut() = received;
        (!is_over).then_some(outbox)
    });
    let left_ms = u32::try_from(until_ms.saturating_sub(now_ms())).unwrap_or(u32::MAX);
    let broken = |_| Failure::GatewayUnreachable(Diagnosis::ConnectionFailed);
    let over = talk(socket.as_ref(), &step, left_ms).map_err(broken)?;
    // The promise is never rejected.
    JsFuture::from(over).await.map_err(broken)?;
    outcome
        .take()
        .unwrap_or(Err(Failure::TimedOut(Deadline::Handshake)))
}
