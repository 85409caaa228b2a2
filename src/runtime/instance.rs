//! The life of a WebAssembly instance, for worker-build's shim: `instance.js`.

use std::panic;

use wasm_bindgen::JsValue;
use wasm_bindgen::handler::{schedule_reinit, set_on_abort};
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/src/runtime/instance.js")]
extern "C" {
    #[wasm_bindgen(thread_local_v2, js_name = state)]
    static STATE: JsValue;

    fn started();

    fn panicked(message: &str);
}

/// Runs when an instance starts: the first one, and the next one after a panic.
#[wasm_bindgen(start, private)]
fn start() {
    panic::set_hook(Box::new(|info| panicked(&info.to_string())));
    started();
    set_on_abort(schedule_reinit);
}

/// Returns the state that the shim reads. Source: worker-build 0.8.7, `src/js/shim.js`.
#[wasm_bindgen(js_name = "__worker_init_state")]
pub fn state() -> JsValue {
    STATE.with(JsValue::clone)
}
