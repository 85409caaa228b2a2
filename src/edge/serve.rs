//! The numbered steps of a request, from its headers to the room that answers it.

use clawfront_core::access::origin::Origin;
use clawfront_core::access::policy::Scope;
use clawfront_core::access::status;
use clawfront_core::config::Config;
use clawfront_core::failure::Failure;
use clawfront_core::http::head::Detail;
use clawfront_core::http::route::Api;
use clawfront_core::http::route::{Endpoint, Route};
use clawfront_core::openai::models::Names;
use worker::{Context, Env, Request};

use crate::edge::admit::{address_of, admit, key_headers, require};
use crate::edge::context::{Platform, Rejection, RequestContext};
use crate::edge::{agents, models, run};
use crate::limits;
use crate::runtime::clock::now_ms;
#[cfg(feature = "panics")]
use crate::runtime::panics;
use crate::runtime::{bindings, response};

/// Serves one request: every rejection becomes its response here.
pub(crate) async fn serve(
    request: Request,
    env: Env,
    worker: Context,
) -> worker::Result<web_sys::Response> {
    let mut context = RequestContext::begin(&request)?;
    let platform = Platform {
        env: &env,
        worker: &worker,
    };
    match respond(request, &platform, &mut context).await {
        Ok(response) => Ok(response),
        Err(rejection) => context.reject(rejection),
    }
}

async fn respond(
    request: Request,
    platform: &Platform<'_>,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    #[cfg(feature = "panics")]
    panics::look(panics::AT_PATH, request.path().as_bytes());

    // 1. Origin: a page may read a refusal too, if any key may be used on it.
    let config = bindings::config(platform.env);
    if let Ok(config) = &config {
        note_caller(&request, config, context)?;
    }

    // 2. Route. Public pages need no settings and no key. They are not logged, because probes
    //   request them every minute.
    let route = Route::of(request.method().as_ref(), &request.path());
    context.line.route = route.as_ref().ok().map(Route::path);
    let endpoint = match route {
        Ok(Route::Health) => {
            let (head, body) = context.meta.health();
            return Ok(context.whole(head, &body)?);
        }
        Ok(Route::About) => {
            let accept = request.headers().get("accept")?.unwrap_or_default();
            let (head, body) = context.meta.about(&accept);
            return Ok(context.whole(head, &body)?);
        }
        Ok(Route::Ready) => None,
        Ok(Route::Api(endpoint)) => Some(Ok(endpoint)),
        Err(failure) => Some(Err(failure)),
    };
    if matches!(endpoint, Some(Ok(Endpoint::Responses))) {
        context.meta.api = Api::Responses;
    }

    // 3. Settings: closed while one of them is wrong.
    let config = config.map_err(|problems| {
        context.line.hint = Some(problems);
        Failure::Misconfigured
    })?;
    let Some(endpoint) = endpoint else {
        return ready(&request, &config, context).await;
    };
    if is_preflight(&request)? {
        return preflight(&request, context);
    }
    let endpoint = endpoint?;

    // 4. Key. Nothing before this line reaches the gateway or reads the body.
    let client = admit(&request, &config, context)?;

    // 5. Endpoint.
    match endpoint {
        Endpoint::ChatCompletions => {
            require(client, Scope::Chat)?;
            run::answer(request, platform, &config, client, context).await
        }
        Endpoint::Responses => {
            require(client, Scope::Responses)?;
            run::answer(request, platform, &config, client, context).await
        }
        Endpoint::Models => {
            require(client, Scope::Models)?;
            // `Request::url` parses the whole address, and its tables for host names are as large
            // as half the Worker.
            let url = request.inner().url();
            let names = Names::of(url.split_once('?').map(|(_, query)| query), client);
            Ok(models::list(names, &config, client, context).await?)
        }
        Endpoint::Model(id) => {
            require(client, Scope::Models)?;
            models::one(&id, &config, client, context).await
        }
        Endpoint::Key => {
            let mut body = Vec::new();
            limits::with(|counts| status::write(client, counts, now_ms(), &mut body));
            Ok(context.answer(context.meta.json(), &body)?)
        }
    }
}

/// Notes the client's address for the log, and the page that may read the response.
fn note_caller(
    request: &Request,
    config: &Config,
    context: &mut RequestContext,
) -> worker::Result<()> {
    context.line.address = address_of(request)?.map(|address| config.log_key.of_address(address));
    let origin = request.headers().get("origin")?;
    context.meta.origin = origin
        .as_deref()
        .and_then(Origin::parse)
        .filter(|origin| config.clients.any_allows(origin));
    Ok(())
}

/// Reports whether the gateway can be used. Only a key with the scope `status` makes us connect to
/// the gateway, and gets more than yes or no. A client without it gets the last known state, so
/// that no request reaches the gateway without a key.
async fn ready(
    request: &Request,
    config: &Config,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    let mut detail = Detail::Status;
    if !key_headers(request)?.is_empty() {
        let client = admit(request, config, context)?;
        if client.may(Scope::Status) {
            detail = Detail::Full;
        }
    }
    if detail == Detail::Full {
        agents::check(&config.gateway).await;
    }
    let (head, body) = context.meta.ready(&agents::readiness(), detail);
    Ok(context.whole(head, &body)?)
}

fn is_preflight(request: &Request) -> worker::Result<bool> {
    Ok(request.method() == worker::Method::Options
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
