//! The hub's storage: `store.js`. It holds the keys that the hub has made, the record of their
//! changes, the usage of all keys, and the runs that may have begun, because the platform may reset
//! the object at any time, as every deploy does.

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

    /// Writes the rows of usage that wait.
    #[wasm_bindgen(method, js_name = writeUsages)]
    pub(crate) fn write_usages(this: &Store);

    /// Returns the rows of all keys' usage on these days, one in each line: the key's id, a tab,
    /// the row. The last day is not among them.
    #[wasm_bindgen(method, js_name = usageRows)]
    pub(crate) fn usage_rows(this: &Store, from_day: u32, until_day: u32) -> String;

    /// Returns the rows of all runs, one in each line: the run's id, a tab, the row.
    #[wasm_bindgen(method)]
    pub(crate) fn runs(this: &Store) -> String;

    /// Returns true, once, if the object's former self panicked.
    #[wasm_bindgen(method, js_name = takePanic)]
    pub(crate) fn take_panic(this: &Store) -> bool;

    /// Keeps the row of a run.
    #[wasm_bindgen(method, js_name = keepRun)]
    pub(crate) fn keep_run(this: &Store, run: &str, row: &str);

    /// Deletes the row of a run, if there is one.
    #[wasm_bindgen(method, js_name = forgetRun)]
    pub(crate) fn forget_run(this: &Store, run: &str);

    /// Deletes the rows of runs whose time is over, and has the object woken again.
    #[wasm_bindgen(method)]
    pub(crate) fn sweep(this: &Store);

    /// Returns the rows of all keys, one in each line.
    #[wasm_bindgen(method)]
    pub(crate) fn keys(this: &Store) -> String;

    /// Writes the row of a key, or deletes it if the row is empty, and adds a line to the record of
    /// changes. If it fails, neither is stored. Without an id it only adds the line.
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
}
