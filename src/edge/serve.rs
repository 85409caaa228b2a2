//! The numbered steps of a request at the edge, from its headers to the hub.

use clawfront_core::access::bearer::Bearer;
use clawfront_core::access::origin::Origin;
use clawfront_core::config::Config;
use clawfront_core::failure::Failure;
use clawfront_core::http::head::Head;
use clawfront_core::http::route::{Endpoint, Part, Route};
use clawfront_core::http::url;
use wasm_bindgen::JsValue;
use web_sys::Request;
use worker::Env;

use crate::context::{Rejection, RequestContext};
use crate::edge::admit::{address_of, admit, key_headers};
use crate::edge::forward::{forward, seen_readiness};
use crate::runtime::clock::now_ms;
#[cfg(feature = "panics")]
use crate::runtime::panics;
use crate::runtime::{bindings, response};
use crate::strangers;

/// Serves one request: every error becomes its response here.
pub(crate) async fn serve(request: Request, env: Env) -> web_sys::Response {
    match answer(request, env).await {
        Ok(response) => response,
        Err(error) => {
            web_sys::console::error_1(&error);
            response::broken()
        }
    }
}

/// Answers a request: every rejection becomes its response here.
async fn answer(request: Request, env: Env) -> Result<web_sys::Response, JsValue> {
    let mut context = RequestContext::begin(&request)?;
    let mut is_admitted = false;
    let rejection = match respond(request, &env, &mut context, &mut is_admitted).await {
        Ok(response) => return Ok(response),
        Err(rejection) => rejection,
    };
    // Requests without a valid key get only a few lines a minute.
    context.reject(rejection, &|line| {
        if is_admitted {
            return true;
        }
        let unlogged = strangers::with(|throttle| throttle.log_stranger(now_ms()));
        line.unlogged = unlogged.unwrap_or_default();
        unlogged.is_some()
    })
}

async fn respond(
    request: Request,
    env: &Env,
    context: &mut RequestContext,
    is_admitted: &mut bool,
) -> Result<web_sys::Response, Rejection> {
    #[cfg(feature = "panics")]
    panics::look(panics::AT_PATH, url::path(&request.url()).as_bytes());

    // 1. Origin: a page may read a refusal too, if any key may be used on it.
    let config = bindings::config(env);
    if let Ok(config) = &config {
        note_caller(&request, config, context)?;
    }

    // 2. Route. Public pages need no settings and no key. They are not logged, because probes
    //   request them every minute.
    let route = Route::of(&request.method(), url::path(&request.url()));
    context.line.route = route.as_ref().ok().map(Route::path);
    context.meta.api = route.as_ref().map(Route::api).unwrap_or_default();
    let endpoint = match route {
        Ok(Route::Health) => return page(context.meta.health(), context),
        Ok(Route::About) => {
            let accept = request.headers().get("accept")?.unwrap_or_default();
            return page(context.meta.about(&accept), context);
        }
        Ok(Route::Ready) => None,
        Ok(Route::Api(endpoint)) => Some(Ok(endpoint)),
        Err(failure) => Some(Err(failure)),
    };

    // 3. Settings: closed while one of them is wrong.
    let config = config.map_err(|problems| {
        context.line.hint = Some(problems);
        Failure::Misconfigured
    })?;
    if endpoint.is_none() && key_headers(&request)?.is_empty() {
        // No request reaches the hub or the gateway without a key.
        return page(context.meta.ready_status(seen_readiness()), context);
    }
    if endpoint.is_some() && is_preflight(&request)? {
        // Any page may ask, if only the hub knows the pages of some keys. A preflight grants no
        //   page the response.
        if config.keys_secret.is_some() {
            let origin = request.headers().get("origin")?;
            context.meta.origin = origin.as_deref().and_then(Origin::parse);
        }
        return preflight(&request, context);
    }
    let endpoint = endpoint.transpose()?;
    let scope = endpoint.as_ref().and_then(Endpoint::scope);

    // 4. Key, or the link of a file. Nothing before this line reaches the hub or reads the body.
    let bearer = if is_link(endpoint.as_ref(), &request, &config)? {
        Bearer::OfLink
    } else {
        admit(&request, &config, context)?
    };
    *is_admitted = true;
    if let (Bearer::Listed(client), Some(scope)) = (&bearer, scope) {
        client.require(scope)?;
    }

    // 5. The hub answers.
    forward(&request, env, &config, &bearer, context).await
}

/// Returns true if the request has the link of a file, and no key.
fn is_link(
    endpoint: Option<&Endpoint>,
    request: &Request,
    config: &Config,
) -> Result<bool, JsValue> {
    let (Some(Endpoint::File(id, Part::Content)), Some(secret)) = (endpoint, &config.keys_secret)
    else {
        return Ok(false);
    };
    Ok(key_headers(request)?.is_empty() && secret.made_file(id))
}

/// Answers without the hub.
fn page(
    (head, body): (Head, Vec<u8>),
    context: &RequestContext,
) -> Result<web_sys::Response, Rejection> {
    Ok(context.whole(head, &body)?)
}

/// Notes the client's address for the log, and the page that may read the response.
fn note_caller(
    request: &Request,
    config: &Config,
    context: &mut RequestContext,
) -> Result<(), JsValue> {
    context.line.address = address_of(request)?.map(|address| config.log_key.of_address(address));
    let origin = request.headers().get("origin")?;
    context.meta.origin = origin
        .as_deref()
        .and_then(Origin::parse)
        .filter(|origin| config.clients.any_allows(origin));
    Ok(())
}

fn is_preflight(request: &Request) -> Result<bool, JsValue> {
    Ok(request.method() == "OPTIONS"
        && request.headers().has("origin")?
        && request.headers().has("access-control-request-method")?)
}

fn preflight(
    request: &Request,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    if context.meta.origin.is_none() {
        return Err(Failure::OriginNotAllowed.into());
    }
    let headers = request.headers().get("access-control-request-headers")?;
    let mut head = context.meta.preflight(headers.as_deref());
    context.time(&mut head);
    Ok(response::empty(&head)?)
}
