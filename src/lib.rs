//! The Worker: the only crate that names the runtime. It moves bytes; what they mean is decided in `clawfront-core`.

mod bindings;
mod body;
mod relay;
mod respond;
mod upgrade;

use std::rc::Rc;

use clawfront_core::config::Config;
use clawfront_core::error::Failure;
use clawfront_core::exchange::Exchange;
use clawfront_core::log::Line;
use clawfront_core::openai::chat::{self, Accepted, Entropy};
use clawfront_core::openai::{Completion, Form};
use clawfront_core::respond::Common;
use clawfront_core::route::Route;
use clawfront_core::turn::RunId;
use clawfront_core::{bearer, key, respond as refusal};
use worker::{Context, Env, Request, event};

use crate::relay::Relay;

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// Serves one request.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    let mut line = Line {
        time_ms: now_ms(),
        request_id: RunId::from_entropy(&entropy()?).as_str().to_owned(),
        ..Line::default()
    };
    let failure = match serve(request, &env, &context, &mut line).await {
        Ok(response) => return Ok(response),
        Err(Stop::Failure(failure)) => failure,
        Err(Stop::Runtime(error)) => {
            line.cause = Some(error.to_string());
            Failure::Internal
        }
    };
    let (head, body) = refusal::refuse(&failure, &line.request_id);
    line.failed(&failure);
    line.duration_ms = now_ms().saturating_sub(line.time_ms);
    worker::console_log!("{}", line.to_json());
    respond::whole(&head, &body)
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

async fn serve(mut request: Request, env: &Env, context: &Context, line: &mut Line) -> Result<web_sys::Response, Stop> {
    // 1. Closed while anything is wrong with the settings.
    let config = bindings::config(env).map_err(|problems| {
        line.hint = Some(problems);
        Failure::Misconfigured
    })?;

    // 2. Where to.
    let Route::ChatCompletions = Route::of(request.method().as_ref(), &request.path())?;

    // 3. Who. Nothing before this line reaches the gateway, and nothing of the body was read.
    let authorization = request.headers().get("authorization")?;
    let client = bearer::admit(&config, authorization.as_deref()).inspect_err(|_| {
        line.key = authorization
            .as_deref()
            .and_then(bearer::token)
            .and_then(key::id_of)
            .map(str::to_owned);
    })?;
    line.key = Some(client.id.to_string());

    // 4. What.
    let body = body::read(&mut request, chat::MAX_BODY_BYTES).await?;
    let agent = request.headers().get(chat::AGENT_HEADER)?;
    let session = request.headers().get(chat::SESSION_HEADER)?;
    let accepted = chat::accept(
        &chat::Request {
            body: &body,
            agent: agent.as_deref(),
            session: session.as_deref(),
        },
        client,
        &Entropy {
            run: entropy()?,
            session: entropy()?,
        },
    )?;
    drop(body);

    // 5. The run, until its response begins.
    Ok(run(&request, context, &config, accepted, line).await?)
}

async fn run(
    request: &Request,
    context: &Context,
    config: &Rc<Config>,
    accepted: Accepted,
    line: &Line,
) -> worker::Result<web_sys::Response> {
    let form = if accepted.stream {
        Form::Chunks {
            include_usage: accepted.include_usage,
        }
    } else {
        Form::Whole
    };
    let completion = Completion::new(
        form,
        format!("chatcmpl-{}", line.request_id),
        accepted.model,
        line.time_ms / SECOND_MS,
    );
    let line = Line {
        run: Some(accepted.turn.run.as_str().to_owned()),
        ..line.clone()
    };
    let exchange = Exchange::new(
        accepted.turn,
        completion,
        Common {
            request_id: line.request_id.clone(),
            ignored: accepted.ignored,
        },
        now_ms(),
    );
    let relay = Relay::new(exchange, Rc::clone(config), line);
    let response = relay.response();
    relay.watch(&request.inner().signal());
    // Beyond the response, and beyond the client: a hang-up still has to reach the gateway.
    context.wait_until(relay.ended());
    relay.connect().await;
    response.await
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> u64 {
    worker::Date::now().as_millis()
}

fn entropy<const N: usize>() -> worker::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| worker::Error::RustError(format!("no randomness: {error}")))?;
    Ok(bytes)
}
