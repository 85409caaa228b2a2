//! The hub's storage: `store.js`. It holds the runs that must not go on without their client, because
//! the platform may reset the object while they are going, as every deploy does.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/src/hub/store.js")]
extern "C" {
    pub(crate) type Store;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(state: &JsValue) -> Store;

    /// Counts a request of a run: it is not stopped.
    #[wasm_bindgen(method)]
    pub(crate) fn join(this: &Store, run: &str);

    /// Keeps a run, and the frames that stop it.
    #[wasm_bindgen(method)]
    pub(crate) fn keep(this: &Store, run: &str, frames: Vec<String>);

    /// Forgets one request of a run, and the run with the last one.
    #[wasm_bindgen(method)]
    pub(crate) fn leave(this: &Store, run: &str);

    /// Returns the frames that stop the runs without a request.
    #[wasm_bindgen(method)]
    pub(crate) fn look(this: &Store) -> Promise;

    /// Forgets the runs of the last look, which were stopped.
    #[wasm_bindgen(method)]
    pub(crate) fn stopped(this: &Store);
}
