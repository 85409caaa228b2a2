//! The end of a request whose instance panicked: `panic_guard.js`, which outlives it.

use std::ops::Deref;

use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/src/runtime/panic_guard.js")]
extern "C" {
    /// Resets this Durable Object after a panic. Its requests would wait in silence otherwise.
    pub(crate) fn watch(state: &JsValue, probe: &JsValue);

    /// Holds the data that is needed to end a request after its instance has panicked.
    #[wasm_bindgen(js_name = PanicGuard)]
    pub(crate) type Source;

    #[wasm_bindgen(constructor, js_class = "PanicGuard")]
    fn new(request_id: Option<&str>) -> Source;

    /// Returns the handler of an event, which ends the request if it panics or its instance is
    /// gone.
    #[wasm_bindgen(method)]
    pub(crate) fn guard(this: &Source, handler: &JsValue) -> Function;

    /// Forgets the request, which has ended, and drops its later events.
    #[wasm_bindgen(method)]
    pub(crate) fn release(this: &Source);

    /// Sets the socket over which the runs are stopped.
    #[wasm_bindgen(js_name = setLink)]
    pub(crate) fn set_link(socket: Option<&web_sys::WebSocket>);

    #[wasm_bindgen(method, setter, js_name = abortFrame)]
    pub(crate) fn set_abort_frame(this: &Source, frame: Option<String>);
}

/// The guard of one request, until it is dropped.
pub(crate) struct PanicGuard(Source);

impl PanicGuard {
    pub(crate) fn new(request_id: &str) -> Self {
        Self(Source::new(Some(request_id)))
    }

    /// Returns a guard for the events of the object, which has no request to end.
    pub(crate) fn of_object() -> Self {
        Self(Source::new(None))
    }
}

impl Deref for PanicGuard {
    type Target = Source;

    fn deref(&self) -> &Source {
        &self.0
    }
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        self.0.release();
    }
}
