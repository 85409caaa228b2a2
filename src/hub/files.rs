//! The endpoints of files: `/v1/files/{id}` and `…/content`.

use std::net::IpAddr;
use std::rc::Rc;

use clawfront_core::access::grant::Grant;
use clawfront_core::config::Config;
use clawfront_core::failure::diagnosis::UpgradeResponse;
use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::file::{MAX_FILE_BYTES, Row, range as range_of};
use clawfront_core::gateway::media_route;
use clawfront_core::gateway::upgrade::refused;
use clawfront_core::http::route::Part;
use js_sys::Promise;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ReadableStream, Request};
use worker::js_sys::futures::JsFuture;

use crate::context::{Rejection, RequestContext};
use crate::hub::common::Common;
use crate::runtime::bindings;
use crate::runtime::clock::now_ms;
use crate::runtime::upgrade::unreachable;

#[wasm_bindgen(module = "/src/runtime/media.js")]
extern "C" {
    fn ask(
        network: &JsValue,
        url: &str,
        query: Vec<String>,
        headers: Vec<String>,
        method: &str,
    ) -> Promise;

    /// The gateway's response, or the `error` without one.
    type Fetched;

    #[wasm_bindgen(method, getter)]
    fn error(this: &Fetched) -> Option<String>;

    #[wasm_bindgen(method, getter, js_name = isLate)]
    fn is_late(this: &Fetched) -> bool;

    #[wasm_bindgen(method, getter)]
    fn status(this: &Fetched) -> u16;

    /// The response has the name and the length of a file.
    #[wasm_bindgen(method, getter, js_name = isFile)]
    fn is_file(this: &Fetched) -> bool;

    #[wasm_bindgen(method, getter)]
    fn location(this: &Fetched) -> String;

    #[wasm_bindgen(method, getter, js_name = contentType)]
    fn content_type(this: &Fetched) -> String;

    /// The number of bytes, or the highest number if there are more.
    #[wasm_bindgen(method, getter)]
    fn length(this: &Fetched) -> u32;

    /// The header `Content-Range`.
    #[wasm_bindgen(method, getter)]
    fn range(this: &Fetched) -> Option<String>;

    #[wasm_bindgen(method, getter)]
    fn body(this: &Fetched) -> Option<ReadableStream>;
}

/// Returns the client whose file has this id, if its key is valid.
pub(crate) fn holder(
    id: &str,
    address: Option<IpAddr>,
    config: &Config,
    common: &Common,
) -> Option<Grant> {
    let row = common.store.file(id)?;
    let key = Row::read(&row)?.key;
    let now_ms = now_ms();
    let is_listed = config
        .clients
        .iter()
        .any(|client| client.id.as_str() == key);
    if is_listed {
        return config.clients.holder(key, now_ms, address).cloned();
    }
    common.keys(|keys| keys.holder(key, now_ms, address).cloned())
}

/// Answers a request about a file of the client.
pub(crate) async fn answer(
    request: &Request,
    id: &str,
    part: Part,
    config: &Rc<Config>,
    client: &Grant,
    common: &Common,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    let row = find(id, config, client, common)?;
    let is_whole = part == Part::Content && request.method() != "HEAD";
    let asked = request_file(request, &row, is_whole, config)?;
    // The promise is never rejected.
    let response = JsFuture::from(asked).await?;
    let response: Fetched = response.unchecked_into();
    match part {
        Part::Object => describe(id, &row, &response, context),
        Part::Content => hand_on(&row, &response, context),
    }
}

/// Returns the row of a file of the client.
#[inline(never)]
fn find(id: &str, config: &Config, client: &Grant, common: &Common) -> Result<String, Failure> {
    let secret = config.keys_secret.as_ref();
    let is_id = secret.is_some_and(|secret| secret.made_file(id));
    let row = is_id.then(|| common.store.file(id)).flatten();
    let now_ms = now_ms();
    let row = row.filter(|row| Row::read(row).is_some_and(|row| row.is_of(client, now_ms)));
    let row = row.ok_or(Failure::FileNotFound)?;
    common.counts(|counts| counts.file(&client.id, now_ms))?;
    Ok(row)
}

/// Asks the gateway for a file, or only whether it has the file.
#[inline(never)]
fn request_file(
    request: &Request,
    row: &str,
    is_whole: bool,
    config: &Config,
) -> Result<Promise, Rejection> {
    let file = Row::read(row).ok_or(Failure::FileNotFound)?;
    let range = request.headers().get("range")?;
    let range = range.filter(|_| is_whole).as_deref().and_then(range_of);
    let gateway = &config.gateway;
    Ok(ask(
        &bindings::network_or_internet(),
        &[gateway.url.trim_end_matches('/'), media_route::PATH].concat(),
        media_route::query(file.source, file.session, file.agent),
        media_route::headers(&gateway.headers, &gateway.credential, range),
        if is_whole { "GET" } else { "HEAD" },
    ))
}

/// Answers with the description of a file.
#[inline(never)]
fn describe(
    id: &str,
    row: &str,
    response: &Fetched,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    check(response)?;
    let file = Row::read(row).ok_or(Failure::FileNotFound)?;
    let object = file.object(id, response.length());
    let head = context.meta.json();
    Ok(context.answer(head, &object)?)
}

/// Answers with the bytes of a file.
#[inline(never)]
fn hand_on(
    row: &str,
    response: &Fetched,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    check(response)?;
    if response.length() > MAX_FILE_BYTES {
        return Err(Failure::invalid(
            "range",
            "The file has more than 100 MiB: ask for a part of it, with `Range`.",
        )
        .into());
    }
    let file = Row::read(row).ok_or(Failure::FileNotFound)?;
    let mut head = file.head(&context.meta, &response.content_type());
    head.status = response.status();
    if let Some(part) = response.range() {
        head.headers.push(("content-range", part));
    }
    Ok(match response.body() {
        Some(body) => context.answer_stream(head, &body)?,
        None => context.answer(head, &[])?,
    })
}

/// Checks that the gateway has the file.
fn check(response: &Fetched) -> Result<(), Failure> {
    if let Some(error) = response.error() {
        return Err(if response.is_late() {
            Failure::TimedOut(Deadline::Connect)
        } else {
            unreachable(&error)
        });
    }
    match response.status() {
        200 | 206 if response.is_file() => Ok(()),
        416 => Ok(()),
        404 => Err(Failure::FileNotFound),
        status => Err(refused(&UpgradeResponse {
            status,
            location: &response.location(),
            content_type: &response.content_type(),
            body: &[],
        })),
    }
}
