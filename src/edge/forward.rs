//! The way of an admitted request to the hub, and of the hub's response to the client.

use std::cell::RefCell;

use clawfront_core::access::bearer::Bearer;
use clawfront_core::config::{Config, HUB};
use clawfront_core::failure::Failure;
use clawfront_core::http::head::{
    ID_HEADER, KEY_HEADER, READINESS_HEADER, REQUEST_ID_HEADER, RESPONSE_ID_HEADER, SeenReadiness,
};
use clawfront_core::openai::{Delivery, lost_body};
use js_sys::{Promise, Reflect, Uint8Array, encode_uri_component};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::Env;
use worker::js_sys::futures::JsFuture;

use crate::context::{Rejection, RequestContext};
use crate::runtime::clock::now_ms;

#[wasm_bindgen(module = "/src/edge/forward.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn ask(
        namespace: &JsValue,
        location: Option<&str>,
        request: &web_sys::Request,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = handOn)]
    fn hand_on(
        response: &web_sys::Response,
        own: Vec<String>,
        lost: &Uint8Array,
        request_id: &str,
    ) -> Result<web_sys::Response, JsValue>;
}

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

thread_local! {
    /// Source: the hub's responses to this isolate. Stale after a minute at most.
    static SEEN: RefCell<SeenReadiness> = RefCell::default();
}

/// Returns the gateway's state as this isolate last saw it.
pub(crate) fn seen_readiness() -> &'static str {
    SEEN.with_borrow(|seen| seen.state(now_ms()))
}

/// Sends the request of `bearer` to the hub, and returns the response. The body is not read, and
/// the request is never sent twice: it may have started a run.
pub(crate) async fn forward(
    request: &web_sys::Request,
    env: &Env,
    config: &Config,
    bearer: &Bearer<'_>,
    context: &RequestContext,
) -> Result<web_sys::Response, Rejection> {
    let method = request.method();
    let is_read_only = method != "POST" && method != "DELETE";
    let request = named(request, bearer, context)?;
    let namespace = Reflect::get(env, &HUB.into())?;
    let response = match ask(&namespace, config.location, &request) {
        Ok(response) => JsFuture::from(response).await,
        Err(error) => Err(error),
    };
    let response: web_sys::Response = match response {
        Ok(response) => response.dyn_into()?,
        Err(error) => return Err(lost(&error, is_read_only).into()),
    };
    let header = |name| response.headers().get(name).ok().flatten();
    if let Some(state) = header(READINESS_HEADER) {
        SEEN.with_borrow_mut(|seen| seen.note(&state, now_ms()));
    }
    let kind = header("content-type").unwrap_or_default();
    let delivery = if kind.starts_with("text/event-stream") {
        Delivery::Stream {
            include_usage: false,
        }
    } else {
        Delivery::Whole
    };
    // A body that is sent in pieces, as the hub says to the proxies on its way.
    let end = if header("x-accel-buffering").is_some() {
        let id = header(RESPONSE_ID_HEADER).unwrap_or_default();
        lost_body(context.meta.api, delivery, &id, now_ms() / SECOND_MS)
    } else {
        Vec::new()
    };
    let own = vec![READINESS_HEADER.to_owned(), RESPONSE_ID_HEADER.to_owned()];
    // A copy: a slice would be a view of memory that holds something else by the time it is sent.
    let end = Uint8Array::from(end.as_slice());
    let handed = hand_on(&response, own, &end, &context.meta.request_id);
    Ok(handed?)
}

/// Returns the request with the names that the hub knows its client and itself by.
fn named(
    request: &web_sys::Request,
    bearer: &Bearer<'_>,
    context: &RequestContext,
) -> Result<web_sys::Request, JsValue> {
    let headers = web_sys::Headers::new_with_headers(&request.headers())?;
    // The key; and the hub has no upgrade to offer.
    for name in ["authorization", "x-api-key", "api-key", "upgrade"] {
        headers.delete(name)?;
    }
    // A header has bytes, and a label any characters.
    let entry = String::from(encode_uri_component(&bearer.header()));
    headers.set(KEY_HEADER, &entry)?;
    headers.set(ID_HEADER, &context.id)?;
    headers.set(REQUEST_ID_HEADER, &context.meta.request_id)?;
    let init = web_sys::RequestInit::new();
    init.set_headers(&headers);
    web_sys::Request::new_with_request_and_init(request, &init)
}

/// Returns the failure for an error of the hub. An overloaded hub has not received the request.
/// After any other error a request for a run may have started it. Source: Cloudflare's
/// documentation, "Error handling" of Durable Objects.
fn lost(error: &JsValue, is_read_only: bool) -> Failure {
    let is_overloaded =
        Reflect::get(error, &"overloaded".into()).is_ok_and(|value| value.is_truthy());
    if is_read_only || is_overloaded {
        Failure::HubUnavailable
    } else {
        Failure::HubLost
    }
}
