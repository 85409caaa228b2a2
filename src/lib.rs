//! The Worker: the only crate that names the runtime. It moves bytes; what they mean is decided in `clawfront-core`.

mod agents;
mod bindings;
mod body;
mod chat;
mod frames;
mod lifeline;
mod limits;
mod listener;
mod models;
#[cfg(feature = "panics")]
mod panics;
mod relay;
mod respond;
mod socket;
mod upgrade;

use std::net::IpAddr;

use clawfront_core::config::Config;
use clawfront_core::error::Failure;
use clawfront_core::key::{Client, Scope, status};
use clawfront_core::log::Line;
use clawfront_core::origin::Origin;
use clawfront_core::respond::{Common, Head, REQUEST_ID_HEADER, request_id};
use clawfront_core::route::{Endpoint, Route};
use clawfront_core::turn::RunId;
use clawfront_core::{bearer, key};
use worker::{Context, Env, Request, event};

use crate::chat::Api;

/// The caller's address. Source: Cloudflare sets it on every request, and overwrites what a caller sends.
const ADDRESS_HEADER: &str = "cf-connecting-ip";

/// One request on its way: what its response will carry, and what its line in the log will say.
struct Visit {
    /// Of no other request; what the client calls its own may be.
    id: String,
    common: Common,
    line: Line,
}

/// Why a request goes no further.
enum Stop {
    Failure(Failure),
    Runtime(worker::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<worker::Error> for Stop {
    fn from(error: worker::Error) -> Self {
        Self::Runtime(error)
    }
}

/// Serves one request.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    let id = RunId::from_entropy(&entropy()?).as_str().to_owned();
    let request_id = request_id(request.headers().get(REQUEST_ID_HEADER)?).unwrap_or_else(|| id.clone());
    let mut visit = Visit {
        id,
        line: Line {
            time_ms: now_ms(),
            request_id: request_id.clone(),
            ..Line::default()
        },
        common: Common {
            request_id,
            ..Common::default()
        },
    };
    let failure = match serve(request, &env, &context, &mut visit).await {
        Ok(response) => return Ok(response),
        Err(Stop::Failure(failure)) => failure,
        Err(Stop::Runtime(error)) => {
            visit.line.cause = Some(error.to_string());
            Failure::Internal
        }
    };
    let (head, body) = visit.common.refuse(&failure);
    let response = visit.whole(head, &body);
    visit.line.failed(&failure);
    // Scanners come by the thousand.
    let is_stranger = visit.line.key.is_none() && failure.is_strangers();
    if failure.is_logged() && (!is_stranger || limits::with(|counts| counts.may_log_stranger(now_ms()))) {
        visit.log();
    }
    response
}

async fn serve(request: Request, env: &Env, context: &Context, visit: &mut Visit) -> Result<web_sys::Response, Stop> {
    #[cfg(feature = "panics")]
    panics::look(panics::AT_PATH, request.path().as_bytes());

    // 1. Where to. What anybody may ask needs nothing, and is not logged: probes come by the minute.
    let endpoint = match Route::of(request.method().as_ref(), &request.path()) {
        Ok(Route::Health) => {
            let (head, body) = visit.common.health();
            return Ok(visit.whole(head, &body)?);
        }
        Ok(Route::About) => {
            let accept = request.headers().get("accept")?.unwrap_or_default();
            let (head, body) = visit.common.about(accept.contains("text/html"));
            return Ok(visit.whole(head, &body)?);
        }
        Ok(Route::Ready) => return ready(&request, env, visit).await,
        Ok(Route::Api(endpoint)) => Ok(endpoint),
        Err(failure) => Err(failure),
    };

    // 2. Closed while anything is wrong with the settings.
    let config = bindings::config(env).map_err(|problems| {
        visit.line.hint = Some(problems);
        Failure::Misconfigured
    })?;

    // 3. From where: a page may read even a refusal, if some key may be used on it.
    let origin = request.headers().get("origin")?;
    let known_origin = origin
        .as_deref()
        .and_then(Origin::parse)
        .filter(|origin| config.clients.any_allows(origin));
    visit.common.origin.clone_from(&known_origin);
    if is_preflight(&request)? {
        return preflight(&request, visit);
    }

    let endpoint = endpoint?;

    // 4. Who. Nothing before this line reaches the gateway, and nothing of the body was read.
    let client = admit(&request, &config, visit)?;
    visit.line.key = Some(client.id.to_string());
    let is_own_origin = known_origin.is_some_and(|origin| client.origins.contains(&origin));
    if !is_own_origin {
        visit.common.origin = None;
        if origin.is_some() && !client.origins.is_empty() {
            return Err(Failure::OriginNotAllowed.into());
        }
    }

    // 5. What.
    match endpoint {
        Endpoint::ChatCompletions => {
            require(client, Scope::Chat)?;
            chat::answer(Api::Chat, request, env, context, &config, client, visit).await
        }
        Endpoint::Responses => {
            require(client, Scope::Responses)?;
            chat::answer(Api::Responses, request, env, context, &config, client, visit).await
        }
        Endpoint::Models => {
            require(client, Scope::Models)?;
            Ok(models::list(&config, client, visit).await?)
        }
        Endpoint::Model(id) => {
            require(client, Scope::Models)?;
            models::one(&id, &config, client, visit).await
        }
        Endpoint::Key => {
            let mut body = Vec::new();
            limits::with(|counts| status::write(client, counts, now_ms(), &mut body));
            Ok(visit.answer(visit.common.json(), &body)?)
        }
    }
}

/// Whether the gateway can be used. Only a key with the scope `status` has it asked, and is told more than yes or no: whoever has none
/// hears what is known, so that nobody reaches the gateway without a key.
async fn ready(request: &Request, env: &Env, visit: &mut Visit) -> Result<web_sys::Response, Stop> {
    let config = bindings::config(env).map_err(|problems| {
        visit.line.hint = Some(problems);
        Failure::Misconfigured
    })?;
    let mut is_operator = false;
    if request.headers().has("authorization")? {
        let client = admit(request, &config, visit)?;
        visit.line.key = Some(client.id.to_string());
        is_operator = client.may(Scope::Status);
    }
    if is_operator {
        agents::check(&config.gateway).await;
    }
    let (head, body) = visit.common.ready(&agents::readiness(), is_operator);
    Ok(visit.whole(head, &body)?)
}

fn is_preflight(request: &Request) -> worker::Result<bool> {
    Ok(request.method() == worker::Method::Options
        && request.headers().has("origin")?
        && request.headers().has("access-control-request-method")?)
}

fn preflight(request: &Request, visit: &mut Visit) -> Result<web_sys::Response, Stop> {
    if visit.common.origin.is_none() {
        return Err(Failure::OriginNotAllowed.into());
    }
    let headers = request.headers().get("access-control-request-headers")?;
    let mut head = visit.common.preflight(headers.as_deref());
    visit.time(&mut head);
    Ok(respond::empty(&head)?)
}

fn admit<'c>(request: &Request, config: &'c Config, visit: &mut Visit) -> Result<&'c Client, Stop> {
    let authorization = request.headers().get("authorization")?;
    let address: Option<IpAddr> = request
        .headers()
        .get(ADDRESS_HEADER)?
        .and_then(|address| address.parse().ok());
    let admitted = bearer::admit(&config.clients, authorization.as_deref(), now_ms(), address);
    admitted.map_err(|denied| {
        visit.line.key = authorization
            .as_deref()
            .and_then(bearer::token)
            .and_then(key::id_of)
            .map(str::to_owned);
        limits::with(|counts| counts.failed_attempt(address, denied, now_ms())).into()
    })
}

fn require(client: &Client, scope: Scope) -> Result<(), Failure> {
    if client.may(scope) {
        Ok(())
    } else {
        Err(Failure::MissingScope(scope))
    }
}

impl Visit {
    /// The response to a request that needs no run.
    fn answer(&mut self, head: Head, body: &[u8]) -> worker::Result<web_sys::Response> {
        self.line.status = head.status;
        self.line.end = "ok";
        self.log();
        self.whole(head, body)
    }

    fn whole(&self, mut head: Head, body: &[u8]) -> worker::Result<web_sys::Response> {
        self.time(&mut head);
        respond::whole(&head, body)
    }

    fn time(&self, head: &mut Head) {
        head.after_ms(now_ms().saturating_sub(self.line.time_ms));
    }

    fn log(&mut self) {
        self.line.duration_ms = now_ms().saturating_sub(self.line.time_ms);
        worker::console_log!("{}", self.line.to_json());
    }
}

/// Milliseconds since the Unix epoch.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`Date.now()` is a whole number above zero and below 2^53"
)]
fn now_ms() -> u64 {
    js_sys::Date::now() as u64
}

fn entropy<const N: usize>() -> worker::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| worker::Error::RustError(format!("no randomness: {error}")))?;
    Ok(bytes)
}
