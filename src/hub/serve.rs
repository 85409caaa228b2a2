//! The steps of a request in the hub: which endpoint answers which client.

use std::rc::Rc;

use clawfront_core::access::entry::{Client, from_header};
use clawfront_core::access::grant::Grant;
use clawfront_core::access::origin;
use clawfront_core::access::policy::Scope;
use clawfront_core::access::status;
use clawfront_core::access::usage::LastUse;
use clawfront_core::config::Config;
use clawfront_core::failure::{Denial, Failure};
use clawfront_core::http::head::{Detail, KEY_HEADER, READINESS_HEADER};
use clawfront_core::http::route::{Endpoint, Route};
use clawfront_core::http::url;
use clawfront_core::openai::models::Names;
use wasm_bindgen::JsValue;
use web_sys::Request;
use worker::Env;

use crate::context::{Rejection, RequestContext};
use crate::hub::adopt::adopt;
use crate::hub::common::Common;
use crate::hub::{admin, agents, files, models, responses, run};
use crate::runtime::bindings;
use crate::runtime::clock::now_ms;
use crate::runtime::panic_guard::PanicGuard;
use crate::strangers;

/// Serves one request of the edge: every rejection becomes its response here.
pub(crate) async fn serve(
    request: Request,
    env: &Env,
    common: &Common,
) -> Result<web_sys::Response, JsValue> {
    // Until there is a response, the edge waits for this future.
    let _panic_guard = PanicGuard::new("");
    let mut context = RequestContext::handed_on(&request)?;
    match respond(request, env, common, &mut context).await {
        Ok(response) => Ok(response),
        Err(rejection) => context.reject(rejection, &|_| true),
    }
}

async fn respond(
    request: Request,
    env: &Env,
    common: &Common,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    let config = bindings::config(env).map_err(|problems| {
        context.line.hint = Some(problems);
        Failure::Misconfigured
    })?;
    adopt(&config, common);
    let route = Route::of(&request.method(), url::path(&request.url()))?;
    context.line.route = Some(route.path());
    context.meta.api = route.api();
    let client = &client_of(&request, &route, &config, common, context)?;
    let Route::Api(endpoint) = route else {
        return ready(&config, client, common, context).await;
    };
    // The edge has checked it for the keys that it knows.
    if let Some(scope) = endpoint.scope() {
        client.require(scope)?;
    }
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Responses | Endpoint::Speech => {
            run::answer(&endpoint, request, common, &config, client, context).await
        }
        Endpoint::Response(id, action) => {
            responses::answer(&request, &id, action, &config, client, common, context).await
        }
        Endpoint::File(id, part) => {
            files::answer(&request, &id, part, &config, client, common, context).await
        }
        Endpoint::Models => {
            let names = Names::of(url::query(&request.url()), client);
            Ok(models::list(names, &config, client, common, context).await?)
        }
        Endpoint::Model(id) => models::one(&id, &config, client, common, context).await,
        Endpoint::Key => {
            let mut body = Vec::new();
            common.counts_of(&client.id, |counts| {
                status::write(client, None, counts, now_ms(), &mut body);
            });
            Ok(context.answer(context.meta.json(), &body)?)
        }
        Endpoint::Admin(resource) => {
            // A page of the key's `origins` was let through above.
            let headers = request.headers();
            if headers.has("origin")?
                && context.meta.origin.is_none()
                && !origin::is_own_page(|name| headers.get(name))?
            {
                return Err(Failure::OriginNotAllowed.into());
            }
            admin::answer(request, &resource, client, &config, common, context).await
        }
    }
}

/// Returns the client that the edge has admitted, or whose key the hub has made.
fn client_of(
    request: &Request,
    route: &Route,
    config: &Rc<Config>,
    common: &Common,
    context: &mut RequestContext,
) -> Result<Grant, Rejection> {
    let headers = request.headers();
    let client = headers
        .get(KEY_HEADER)?
        .and_then(|header| from_header(&header))
        // An entry with a field that only a newer version knows.
        .ok_or(Failure::HubUnavailable)?;
    let address = headers.get("cf-connecting-ip")?;
    let address = address.and_then(|address| address.parse().ok());
    context.line.address = address.map(|address| config.log_key.of_address(address));
    let mut is_own = true;
    let client = match client {
        Client::Listed(client) => *client,
        Client::OfLink => {
            is_own = false;
            let client = match route {
                Route::Api(Endpoint::File(id, _)) => files::holder(id, address, config, common),
                _ => None,
            };
            client.ok_or_else(|| {
                let none = Failure::FileNotFound;
                strangers::with(|throttle| throttle.failed_attempt(address, none, now_ms()))
            })?
        }
        Client::OfHub { id, digest } => {
            context.line.key = Some(id.to_string());
            common
                .keys(|keys| keys.admit(&id, &digest, now_ms(), address).cloned())
                // An id of `CLIENT_KEYS` belongs to the key there.
                .and_then(|client| {
                    if config.clients.lists(&id) {
                        return Err(Denial::WrongSecret);
                    }
                    Ok(client)
                })
                .map_err(|denial| {
                    let denied = Failure::InvalidApiKey(denial);
                    strangers::with(|throttle| throttle.failed_attempt(address, denied, now_ms()))
                })?
        }
    };
    context.line.key = Some(client.id.to_string());
    let origin = headers.get("origin")?;
    context.meta.origin = client.check_origin(origin.as_deref())?;
    // The bearer of a file's link need not have the key.
    if is_own {
        let user_agent = headers.get("user-agent")?.unwrap_or_default();
        common.note_use(&client.id, LastUse::of(now_ms(), address, &user_agent));
    }
    Ok(client)
}

/// Reports whether the gateway can be used. Only a key with the scope `status` or `admin` makes us
/// connect to the gateway, and gets more than yes or no. Another gets the last known state.
async fn ready(
    config: &Rc<Config>,
    client: &Grant,
    common: &Common,
    context: &RequestContext,
) -> Result<web_sys::Response, Rejection> {
    let mut detail = Detail::Status;
    if client.may(Scope::Status) || client.may(Scope::Admin) {
        detail = Detail::Full;
        agents::check(config, common).await;
    }
    let readiness = common.agents(|agents| agents.readiness(now_ms()));
    let (mut head, body) = context.meta.ready(&readiness, detail);
    head.headers
        .push((READINESS_HEADER, readiness.name().to_owned()));
    Ok(context.whole(head, &body)?)
}
