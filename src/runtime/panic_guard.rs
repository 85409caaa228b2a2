//! The end of a request whose instance panicked: `panic_guard.js`, which outlives it.

use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::ReadableStreamDefaultController;

#[wasm_bindgen(module = "/src/runtime/panic_guard.js")]
extern "C" {
    /// Holds the data that is needed to end a request after its instance has panicked.
    pub(crate) type PanicGuard;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(request_id: &str) -> PanicGuard;

    /// Returns the handler of an event, which ends the request if it panics or its instance is
    /// gone.
    #[wasm_bindgen(method)]
    pub(crate) fn guard(this: &PanicGuard, handler: &JsValue) -> Function;

    #[wasm_bindgen(method, setter, js_name = socket)]
    pub(crate) fn set_socket(this: &PanicGuard, socket: &JsValue);

    #[wasm_bindgen(method, setter, js_name = body)]
    pub(crate) fn set_body(this: &PanicGuard, body: &ReadableStreamDefaultController);

    #[wasm_bindgen(method, setter, js_name = timer)]
    pub(crate) fn set_timer(this: &PanicGuard, id: i32);

    #[wasm_bindgen(method, setter, js_name = abortFrames)]
    pub(crate) fn set_abort_frames(this: &PanicGuard, frames: Vec<String>);
}
