//! The headers of a request.

use js_sys::Array;
use wasm_bindgen::JsCast;
use web_sys::Headers;

/// Returns the names of all headers, in lower case, and their values.
pub(crate) fn entries(headers: &Headers) -> impl Iterator<Item = (String, String)> {
    headers.entries().into_iter().flatten().filter_map(|entry| {
        let entry: Array = entry.unchecked_into();
        Some((entry.get(0).as_string()?, entry.get(1).as_string()?))
    })
}
