//! The end of a request whose instance panicked: `lifeline.js`, which outlives it.

use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::ReadableStreamDefaultController;

#[wasm_bindgen(module = "/src/lifeline.js")]
extern "C" {
    /// Holds what the end of a request takes, for when nobody else can.
    pub(crate) type Lifeline;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(request_id: &str) -> Lifeline;

    /// The handler of an event, which ends the request where it panics or its instance is gone.
    #[wasm_bindgen(method)]
    pub(crate) fn guard(this: &Lifeline, handler: &JsValue) -> Function;

    #[wasm_bindgen(method, setter, js_name = socket)]
    pub(crate) fn set_socket(this: &Lifeline, socket: &JsValue);

    #[wasm_bindgen(method, setter, js_name = body)]
    pub(crate) fn set_body(this: &Lifeline, body: &ReadableStreamDefaultController);

    #[wasm_bindgen(method, setter, js_name = timer)]
    pub(crate) fn set_timer(this: &Lifeline, id: i32);

    #[wasm_bindgen(method, setter, js_name = lastWords)]
    pub(crate) fn set_last_words(this: &Lifeline, frames: Vec<String>);
}
