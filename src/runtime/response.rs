//! Responses of the runtime.

use clawfront_core::http::head::Head;
use js_sys::Uint8Array;
use web_sys::{ReadableStream, Response, ResponseInit};
use worker::Result;

/// A response whose body is complete.
pub(crate) fn whole(head: &Head, body: &[u8]) -> Result<Response> {
    let body = Uint8Array::from(body);
    Ok(Response::new_with_opt_js_u8_array_and_init(
        Some(&body),
        &init(head)?,
    )?)
}

/// A response without a body.
pub(crate) fn empty(head: &Head) -> Result<Response> {
    Ok(Response::new_with_opt_str_and_init(None, &init(head)?)?)
}

/// A response whose body follows.
pub(crate) fn stream(head: &Head, body: &ReadableStream) -> Result<Response> {
    Ok(Response::new_with_opt_readable_stream_and_init(
        Some(body),
        &init(head)?,
    )?)
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
