//! The Worker: the only crate that names the runtime. It moves bytes; `clawfront-core` decides.
//!
//! `edge` takes a request through its first steps and hands it on. `hub` is the Durable Object that
//! answers it. `runtime` wraps what the platform offers.

mod context;
mod edge;
mod hub;
mod runtime;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

pub use crate::hub::Hub;
pub use crate::runtime::instance::state;

/// Serves one request.
#[wasm_bindgen(wasm_bindgen_futures = js_sys::futures)]
pub async fn fetch(request: web_sys::Request, env: JsValue) -> Result<web_sys::Response, JsValue> {
    edge::serve(request, env).await
}
