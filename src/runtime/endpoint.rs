//! A request to the gateway's HTTP endpoint: `endpoint.js`. It is closed when it is dropped.

use clawfront_core::config::Gateway;
use clawfront_core::failure::diagnosis::{MAX_BODY_BYTES, UpgradeResponse};
use clawfront_core::gateway::endpoint::{Event, Identity, PATH, Request, Response};
use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::runtime::bindings;
use crate::runtime::panic_guard::PanicGuard;
use crate::runtime::upgrade::{Opened, unreachable};

#[wasm_bindgen(module = "/src/runtime/endpoint.js")]
extern "C" {
    #[wasm_bindgen(js_name = Asked)]
    type Source;

    #[wasm_bindgen(constructor, js_class = "Asked")]
    fn new(network: &JsValue, max_refusal_bytes: usize, on: &Function) -> Source;

    #[wasm_bindgen(method)]
    fn send(this: &Source, url: &str, headers: Vec<String>, body: &[u8], before: &JsValue);

    #[wasm_bindgen(method)]
    fn stop(this: &Source);
}

/// A request that was sent.
pub(crate) struct Asked {
    source: Source,
    _handler: Closure<dyn FnMut(Opened)>,
}

impl Asked {
    /// Sends a request of the key with the id `key` after the promise `before`, if it is one, and
    /// gives its events to `take`.
    pub(crate) fn send(
        request: &Request,
        gateway: &Gateway,
        identity: &Identity,
        key: &str,
        before: &JsValue,
        guard: &PanicGuard,
        take: impl Fn(Event<'_>) + 'static,
    ) -> Self {
        let headers = request.headers(&gateway.headers, Some(identity), key);
        let url = [gateway.url.trim_end_matches('/'), PATH].concat();
        let network = bindings::network_or_internet();
        let handler: Closure<dyn FnMut(Opened)> = Closure::new(move |event| give(&event, &take));
        let on = guard.guard(handler.as_ref());
        let source = Source::new(&network, MAX_BODY_BYTES, &on);
        source.send(&url, headers, &request.body, before);
        Self {
            source,
            _handler: handler,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.source.stop();
    }
}

fn give(event: &Opened, take: &impl Fn(Event<'_>)) {
    if let Some(bytes) = event.bytes() {
        take(Event::Bytes(&bytes));
    } else if event.is_stream() {
        take(Event::Answered);
    } else if let Some(error) = event.error() {
        take(Event::Failed(unreachable(&error)));
    } else if let Some(status) = event.status() {
        let retry_after = event.retry_after();
        take(Event::Refused(Response {
            refusal: UpgradeResponse {
                status,
                location: &event.location(),
                content_type: &event.content_type(),
                body: &event.body(),
            },
            retry_after_s: Some(retry_after).filter(|seconds| *seconds > 0),
        }));
    } else {
        take(Event::Ended);
    }
}
