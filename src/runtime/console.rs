//! The log: the console of the isolate.

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// Writes a line.
    #[wasm_bindgen(js_namespace = console)]
    pub(crate) fn log(line: &str);
}
