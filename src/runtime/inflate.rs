//! Inflates the bodies of requests, by the runtime's zlib: `inflate.js`. It is smaller than code of
//! our own, which was a fiftieth of the Worker.

use clawfront_core::http::coding::{Format, Inflated};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/src/runtime/inflate.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = inflate)]
    fn inflate_into(data: &[u8], is_gzip: bool, out: &mut [u8]) -> Result<Option<u32>, JsValue>;
}

/// Inflates `data` into `out`.
pub(crate) fn inflate(format: Format, data: &[u8], out: &mut [u8]) -> Inflated {
    match inflate_into(data, format == Format::Gzip, out) {
        Ok(Some(written)) => Inflated::Whole(usize::try_from(written).unwrap_or(usize::MAX)),
        Ok(None) => Inflated::Full,
        Err(_) => Inflated::Malformed,
    }
}
