//! `POST /v1/chat/completions`.

use std::rc::Rc;

use clawfront_core::config::Config;
use clawfront_core::exchange::Exchange;
use clawfront_core::key::Client;
use clawfront_core::log::Line;
use clawfront_core::openai::chat::{self, Accepted, Entropy};
use clawfront_core::openai::{Completion, Form};
use clawfront_core::respond::Common;
use worker::{Context, Env, Request};

use crate::limits::{self, Slot};
use crate::relay::Relay;
use crate::{Stop, Visit, body, entropy, now_ms};

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

pub(crate) async fn completions(
    mut request: Request,
    env: &Env,
    context: &Context,
    config: &Rc<Config>,
    client: &Client,
    visit: &mut Visit,
) -> Result<web_sys::Response, Stop> {
    // 1. How often. Before the body: reading one is work too.
    visit.common.allowance = limits::request(client, env).await?;

    // 2. What, if there is room for it.
    let slot = Slot::take()?;
    let body = body::read(&mut request, chat::MAX_BODY_BYTES).await?;
    let headers = request.headers();
    let accepted = chat::accept(
        &chat::Request {
            body: &body,
            header: &|name| headers.get(name).ok().flatten(),
        },
        client,
        &config.aliases,
        &Entropy {
            run: entropy()?,
            session: entropy()?,
        },
    )?;
    drop(body);
    visit.line.aside = accepted.aside;

    // 3. The run, until its response begins.
    slot.begin_run(client)?;
    Ok(run(&request, context, config, client, accepted, visit, slot).await?)
}

async fn run(
    request: &Request,
    context: &Context,
    config: &Rc<Config>,
    client: &Client,
    accepted: Accepted,
    visit: &Visit,
    slot: Slot,
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
        format!("chatcmpl-{}", visit.line.request_id),
        accepted.model,
        visit.line.time_ms / SECOND_MS,
    );
    let line = Line {
        run: Some(accepted.turn.run.as_str().to_owned()),
        ..visit.line.clone()
    };
    let common = Common {
        ignored: accepted.ignored,
        ..visit.common.clone()
    };
    let exchange = Exchange::new(accepted.turn, completion, common, client.streams, now_ms());
    let relay = Relay::new(exchange, Rc::clone(config), line, slot);
    let response = relay.response();
    relay.watch(&request.inner().signal());
    // Beyond the response, and beyond the client: a hang-up still has to reach the gateway.
    context.wait_until(relay.ended());
    relay.connect().await;
    response.await
}
