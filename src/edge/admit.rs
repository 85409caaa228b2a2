//! The proof that a request's key is valid, may be used from this page, and has the scope.

use std::net::IpAddr;

use clawfront_core::access::grant::Grant;
use clawfront_core::access::origin::Origin;
use clawfront_core::access::policy::Scope;
use clawfront_core::access::{bearer, key};
use clawfront_core::config::Config;
use clawfront_core::failure::Failure;
use worker::Request;

use crate::context::{Rejection, RequestContext};
use crate::edge::strangers;
use crate::runtime::clock::now_ms;

/// The client's address. Source: Cloudflare sets it on every request, and overwrites the value that
/// a client sends.
const ADDRESS_HEADER: &str = "cf-connecting-ip";

/// Returns the client whose valid key the request carries.
pub(crate) fn admit<'c>(
    request: &Request,
    config: &'c Config,
    context: &mut RequestContext,
) -> Result<&'c Grant, Rejection> {
    let presented = key_headers(request)?;
    let address = address_of(request)?;
    match bearer::admit(&config.clients, &presented, now_ms(), address) {
        Ok(client) => {
            context.line.key = Some(client.id.to_string());
            check_origin(request, client, context)?;
            Ok(client)
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
pub(crate) fn key_headers(request: &Request) -> worker::Result<bearer::Headers> {
    let headers = request.headers();
    bearer::Headers::read(|name| headers.get(name))
}

/// Checks that the key may be used on the page that the request comes from. A key without pages
/// belongs to a program: no page can read its responses.
fn check_origin(
    request: &Request,
    client: &Grant,
    context: &mut RequestContext,
) -> Result<(), Rejection> {
    let is_own = |origin: &Origin| client.origins.contains(origin);
    if context.meta.origin.as_ref().is_some_and(is_own) {
        return Ok(());
    }
    context.meta.origin = None;
    if request.headers().has("origin")? && !client.origins.is_empty() {
        return Err(Failure::OriginNotAllowed.into());
    }
    Ok(())
}

/// Returns the client's address.
pub(crate) fn address_of(request: &Request) -> worker::Result<Option<IpAddr>> {
    let address = request.headers().get(ADDRESS_HEADER)?;
    Ok(address.and_then(|address| address.parse().ok()))
}

/// Checks that the client's key has the scope.
pub(crate) fn require(client: &Grant, scope: Scope) -> Result<(), Failure> {
    if client.may(scope) {
        Ok(())
    } else {
        Err(Failure::MissingScope(scope.name()))
    }
}
