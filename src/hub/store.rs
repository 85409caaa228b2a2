//! The hub's storage: `store.js`. It holds the keys that the hub has made, the record of their
//! changes, the usage of all keys, and the runs that must not go on without their client, because
//! the platform may reset the object at any time, as every deploy does.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/src/hub/store.js")]
extern "C" {
    pub(crate) type Store;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(state: &JsValue) -> Store;

    /// Returns the latest row of a key's usage.
    #[wasm_bindgen(method)]
    pub(crate) fn usage(this: &Store, key: &str) -> Option<String>;

    /// Keeps the row of a key's usage, within seconds.
    #[wasm_bindgen(method, js_name = keepUsage)]
    pub(crate) fn keep_usage(this: &Store, key: &str, row: &str);

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

    /// Returns the rows of all keys, one in each line.
    #[wasm_bindgen(method)]
    pub(crate) fn keys(this: &Store) -> String;

    /// Writes the row of a key, or deletes it if the row is empty, and adds a line to the record of
    /// changes. If it fails, neither is stored.
    #[wasm_bindgen(method, catch, js_name = changeKey)]
    pub(crate) fn change_key(
        this: &Store,
        id: &str,
        row: &str,
        record: &str,
    ) -> Result<(), JsValue>;

    /// Returns the record of changes, the latest first, with commas between them.
    #[wasm_bindgen(method)]
    pub(crate) fn records(this: &Store) -> String;

    /// Forgets the runs of the last look, which were stopped.
    #[wasm_bindgen(method)]
    pub(crate) fn stopped(this: &Store);
}
