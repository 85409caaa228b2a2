//! A request to the gateway's HTTP endpoint: `endpoint.js`. It is closed when it is dropped.

use clawfront_core::config::Gateway;
use clawfront_core::failure::diagnosis::{MAX_BODY_BYTES, UpgradeResponse};
use clawfront_core::gateway::endpoint::{Event, Identity, PATH, Request, Response};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::futures::JsFuture;

use crate::runtime::bindings;
use crate::runtime::upgrade::{Opened, unreachable};

#[wasm_bindgen(module = "/src/runtime/endpoint.js")]
extern "C" {
    #[derive(Clone)]
    pub(crate) type Asked;

    #[wasm_bindgen(constructor)]
    fn new(
        network: &JsValue,
        url: &str,
        headers: Vec<String>,
        body: &[u8],
        max_refusal_bytes: usize,
    ) -> Asked;

    #[wasm_bindgen(method)]
    fn head(this: &Asked) -> Promise;

    #[wasm_bindgen(method)]
    fn bytes(this: &Asked) -> Promise;

    /// Closes the request.
    #[wasm_bindgen(method)]
    pub(crate) fn stop(this: &Asked);
}

impl Asked {
    /// Sends a request of the key with the id `key`.
    pub(crate) fn send(
        request: &Request,
        gateway: &Gateway,
        identity: &Identity,
        key: &str,
    ) -> Self {
        let headers = request.headers(&gateway.headers, identity, key);
        let url = [gateway.url.trim_end_matches('/'), PATH].concat();
        let network = bindings::network_or_internet();
        Self::new(&network, &url, headers, &request.body, MAX_BODY_BYTES)
    }

    /// Gives the events of the request to `take`, until it returns false or nothing follows.
    pub(crate) async fn read(&self, mut take: impl FnMut(Event<'_>) -> bool) {
        // The promises are never rejected.
        let Ok(head) = JsFuture::from(self.head()).await else {
            return;
        };
        let head: Opened = head.unchecked_into();
        if let Some(error) = head.error() {
            take(Event::Failed(unreachable(&error)));
            return;
        }
        if !head.is_stream() {
            let retry_after = head.retry_after();
            take(Event::Refused(Response {
                refusal: UpgradeResponse {
                    status: head.status(),
                    location: &head.location(),
                    content_type: &head.content_type(),
                    body: &head.body(),
                },
                retry_after_s: Some(retry_after).filter(|seconds| *seconds > 0),
            }));
            return;
        }
        let mut goes_on = take(Event::Answered);
        while goes_on {
            let bytes = JsFuture::from(self.bytes()).await.ok();
            let bytes = bytes.and_then(|bytes| bytes.dyn_into::<Uint8Array>().ok());
            let Some(bytes) = bytes else {
                take(Event::Ended);
                return;
            };
            goes_on = take(Event::Bytes(&bytes.to_vec()));
        }
    }
}
