//! Random bytes of the platform.

use wasm_bindgen::JsValue;

/// Returns `N` random bytes from the platform.
pub(crate) fn entropy<const N: usize>() -> Result<[u8; N], JsValue> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| JsValue::from(format!("no randomness: {error}")))?;
    Ok(bytes)
}
