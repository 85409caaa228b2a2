//! The proof that a request's key is valid, and may be used from this page.

use std::net::IpAddr;

use clawfront_core::access::bearer::{self, Bearer};
use clawfront_core::access::key;
use clawfront_core::config::Config;
use wasm_bindgen::JsValue;
use web_sys::Request;

use crate::context::{Rejection, RequestContext};
use crate::runtime::clock::now_ms;
use crate::strangers;

/// The client's address. Source: Cloudflare sets it on every request, and overwrites the value that
/// a client sends.
const ADDRESS_HEADER: &str = "cf-connecting-ip";

/// Returns the client whose key the request carries. A key that the hub has made is checked there.
pub(crate) fn admit<'c>(
    request: &Request,
    config: &'c Config,
    context: &mut RequestContext,
) -> Result<Bearer<'c>, Rejection> {
    let presented = key_headers(request)?;
    let address = address_of(request)?;
    let secret = config.keys_secret.as_ref();
    match bearer::admit(&config.clients, secret, &presented, now_ms(), address) {
        Ok(bearer) => {
            context.line.key = bearer.id().map(ToString::to_string);
            if let Bearer::Listed(client) = &bearer {
                let origin = request.headers().get("origin")?;
                context.meta.origin = None;
                context.meta.origin = client.check_origin(origin.as_deref())?;
            }
            Ok(bearer)
        }
        Err(denied) => {
            context.line.key = presented
                .token()
                .and_then(key::loggable_id_of)
                .map(str::to_owned);
            Err(
                strangers::with(|throttle| throttle.failed_attempt(address, denied, now_ms()))
                    .into(),
            )
        }
    }
}

/// Reads the headers that may carry a key.
pub(crate) fn key_headers(request: &Request) -> Result<bearer::Headers, JsValue> {
    let headers = request.headers();
    bearer::Headers::read(|name| headers.get(name))
}

/// Returns the client's address.
pub(crate) fn address_of(request: &Request) -> Result<Option<IpAddr>, JsValue> {
    let address = request.headers().get(ADDRESS_HEADER)?;
    Ok(address.and_then(|address| address.parse().ok()))
}
