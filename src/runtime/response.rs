//! Responses of the runtime.

use clawfront_core::http::head::Head;
use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use web_sys::{ReadableStream, Response, ResponseInit};

type Result<T> = std::result::Result<T, JsValue>;

/// Status of a response if no other could be made.
const BROKEN_STATUS: u16 = 500;

/// A response whose body is complete.
pub(crate) fn whole(head: &Head, body: &[u8]) -> Result<Response> {
    let body = Uint8Array::from(body);
    Response::new_with_opt_js_u8_array_and_init(Some(&body), &init(head)?)
}

/// A response without a body.
pub(crate) fn empty(head: &Head) -> Result<Response> {
    Response::new_with_opt_str_and_init(None, &init(head)?)
}

/// A response whose body follows.
pub(crate) fn stream(head: &Head, body: &ReadableStream) -> Result<Response> {
    Response::new_with_opt_readable_stream_and_init(Some(body), &init(head)?)
}

/// The response if no other could be made.
pub(crate) fn broken() -> Response {
    let init = ResponseInit::new();
    init.set_status(BROKEN_STATUS);
    Response::new_with_opt_str_and_init(Some("INTERNAL SERVER ERROR"), &init)
        .unwrap_or_else(|_| Response::error())
}

fn init(head: &Head) -> Result<ResponseInit> {
    let headers = web_sys::Headers::new()?;
    for (name, value) in &head.headers {
        headers.append(name, value)?;
    }
    let init = ResponseInit::new();
    init.set_status(head.status);
    init.set_headers(&headers);
    Ok(init)
}
