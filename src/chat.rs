//! What runs an agent: `POST /v1/chat/completions` and `POST /v1/responses`.

use std::cell::RefCell;
use std::rc::Rc;

use clawfront_core::config::Config;
use clawfront_core::error::Failure;
use clawfront_core::exchange::Exchange;
use clawfront_core::key::Client;
use clawfront_core::log::Line;
use clawfront_core::openai::chat::{self, Accepted, Entropy, Request as Asked};
use clawfront_core::openai::{Completion, Rendition, Response, responses};
use clawfront_core::repeat::{Fingerprint, Hearing, Requests};
use clawfront_core::respond::Common;
use worker::{Context, Env, Request};

use crate::limits::{self, Slot};
use crate::relay::Relay;
use crate::{Stop, Visit, body, entropy, now_ms};

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// How often the official SDKs have sent the request before.
const ATTEMPT_HEADER: &str = "x-stainless-retry-count";

thread_local! {
    /// Source: this isolate's requests of the last minutes. Gone with the isolate: a repetition that comes to another one is not recognised.
    static REQUESTS: RefCell<Requests> = RefCell::new(Requests::default());
}

/// Which of the two.
#[derive(Clone, Copy)]
pub(crate) enum Api {
    Chat,
    Responses,
}

pub(crate) async fn answer(
    api: Api,
    mut request: Request,
    env: &Env,
    context: &Context,
    config: &Rc<Config>,
    client: &Client,
    visit: &mut Visit,
) -> Result<web_sys::Response, Stop> {
    // 1. How often. Before the body: reading one is work too.
    let refused = |_: &_| REQUESTS.with_borrow_mut(|requests| requests.refused(&client.id));
    visit.common.allowance = limits::request(client, env).await.inspect_err(refused)?;

    // 2. What, if there is room for it.
    let slot = Slot::take().inspect_err(refused)?;
    let body = body::read(&mut request, chat::MAX_BODY_BYTES).await?;
    #[cfg(feature = "panics")]
    crate::panics::look(crate::panics::AT_BODY, &body);
    let headers = request.headers();
    let header = |name: &str| headers.get(name).ok().flatten();

    // 3. Whether it was asked before, by an SDK that tries again on its own.
    let attempt = header(ATTEMPT_HEADER).and_then(|count| count.parse().ok()).unwrap_or(0);
    let fingerprint = Fingerprint::of(&client.conversations, &header, &body);
    let earlier = REQUESTS.with_borrow_mut(|requests| requests.recall(&client.id, &fingerprint, attempt, now_ms()))?;
    let (entropy, earlier) = match earlier {
        Some((entropy, hearing)) => (entropy, Some(hearing)),
        None => (
            Entropy {
                run: entropy()?,
                session: entropy()?,
            },
            None,
        ),
    };
    let asked = Asked {
        body: &body,
        header: &header,
        is_repeated: earlier.is_some(),
    };
    let (accepted, rendition) = accept(api, &asked, config, client, &entropy, visit)?;
    let hearing = REQUESTS.with_borrow_mut(|requests| match earlier {
        _ if accepted.is_keyed => {
            let run = accepted.turn.run.as_str();
            requests.remember_keyed(&client.id, run, Fingerprint::of_body(&body), entropy, now_ms())
        }
        Some(hearing) => Ok(hearing),
        None => Ok(requests.remember(&client.id, fingerprint, attempt, entropy, now_ms())),
    })?;
    drop(body);
    visit.line.aside = accepted.aside;

    // 4. The run, until its response begins.
    if let Err(failure) = slot.begin_run(client) {
        hearing.end(false, false, now_ms());
        return Err(failure.into());
    }
    Ok(run(
        &request,
        context,
        config,
        client,
        (accepted, rendition),
        visit,
        (slot, hearing),
    )
    .await?)
}

/// Reads the request, and begins what it is answered with.
fn accept(
    api: Api,
    asked: &Asked<'_>,
    config: &Config,
    client: &Client,
    entropy: &Entropy,
    visit: &Visit,
) -> Result<(Accepted, Rendition), Failure> {
    let created_s = visit.line.time_ms / SECOND_MS;
    match api {
        Api::Chat => {
            let accepted = chat::accept(asked, client, &config.aliases, entropy)?;
            let id = format!("chatcmpl-{}", visit.id);
            let completion = Completion::new(accepted.form, id, accepted.model.clone(), created_s);
            Ok((accepted, Rendition::Chat(completion)))
        }
        Api::Responses => {
            let response = responses::accept(asked, client, &config.aliases, entropy)?;
            let id = response.id(&visit.id);
            let accepted = response.accepted;
            let response = Response::new(
                response.is_stream,
                id,
                visit.id.clone(),
                response.previous,
                accepted.model.clone(),
                created_s,
            );
            Ok((accepted, Rendition::Response(response)))
        }
    }
}

async fn run(
    request: &Request,
    context: &Context,
    config: &Rc<Config>,
    client: &Client,
    (accepted, rendition): (Accepted, Rendition),
    visit: &Visit,
    shares: (Slot, Hearing),
) -> worker::Result<web_sys::Response> {
    let line = Line {
        run: Some(accepted.turn.run.as_str().to_owned()),
        ..visit.line.clone()
    };
    let common = Common {
        ignored: accepted.ignored,
        ..visit.common.clone()
    };
    let exchange = Exchange::new(accepted.turn, rendition, common, client.streams, now_ms());
    let relay = Relay::new(exchange, Rc::clone(config), line, shares);
    let response = relay.response();
    relay.watch(&request.inner().signal());
    // Beyond the response, and beyond the client: a hang-up still has to reach the gateway.
    context.wait_until(relay.ended());
    relay.connect().await;
    response.await
}
