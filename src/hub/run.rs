//! The endpoints that run an agent: `POST /v1/chat/completions` and `POST /v1/responses`. Speech
//! begins in the same way, and is no run.

use std::rc::Rc;

use clawfront_core::access::grant::Grant;
use clawfront_core::config::Config;
use clawfront_core::exchange::Exchange;
use clawfront_core::failure::Failure;
use clawfront_core::file::{Links, origin};
use clawfront_core::http::head::ResponseMeta;
use clawfront_core::http::route::{Api, Endpoint};
use clawfront_core::hub::Input;
use clawfront_core::log::LogLine;
use clawfront_core::openai::chat::{self, ChatWriter};
use clawfront_core::openai::responses::{self, Keeping, ResponseFields, ResponsesWriter};
use clawfront_core::openai::{
    self, Accepted, Entropy, Request as Asked, Writer, asked_model, loggable,
};
use clawfront_core::repeat::{ExchangeEnd, Fingerprint, Receiver};
use clawfront_core::turn::Turn;
use wasm_bindgen::JsValue;
use web_sys::Request;

use crate::context::{Rejection, RequestContext};
use crate::hub::agents;
use crate::hub::attempt::{self, Attempt};
use crate::hub::body;
use crate::hub::common::Common;
use crate::hub::relay::{Keep, Relay};
use crate::hub::responses as stored;
use crate::hub::slot::Slot;
use crate::hub::speech;
use crate::runtime::clock::now_ms;
use crate::runtime::headers::entries;

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// Answers a request with a run.
pub(crate) async fn answer(
    endpoint: &Endpoint,
    request: Request,
    common: &Common,
    config: &Rc<Config>,
    client: &Grant,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    // 1. Budgets and rate. Checked before the body, because reading one is work too.
    let attempt = attempt::number_of(&request)?;
    let refused = |_: &_| common.requests(|requests| requests.refused(&client.id, attempt));
    let allowance = common.counts_of(&client.id, |counts| {
        context.meta.tokens = counts.usage.tokens(client, now_ms());
        counts.request(client, now_ms())
    });
    context.meta.allowance = allowance.inspect_err(refused)?;

    // 2. Body, if there is room for it. From here on the request counts for its key, also if the
    //   body is invalid.
    let slot = Slot::take(client, common).inspect_err(refused)?;
    let body = body::read(&request, &slot, openai::MAX_BODY_BYTES)
        .await
        .inspect_err(refused)?;
    #[cfg(feature = "panics")]
    crate::runtime::panics::look(crate::runtime::panics::AT_BODY, &body);
    if matches!(endpoint, Endpoint::Speech) {
        return speech::answer(&body, common, config, client, context).await;
    }
    let headers = request.headers();
    let header = |name: &str| headers.get(name).ok().flatten();

    // 3. Repetition: an SDK may send the request again on its own.
    let fingerprint = Fingerprint::of(&client.conversations, entries(&headers), &body);
    let attempt = Attempt::recall(attempt, fingerprint, client, common)?;
    let asked = Asked {
        body: &body,
        header: &header,
        caller: Fingerprint::of_caller(&client.conversations, entries(&headers)),
        is_repeated: attempt.is_repeated(),
    };
    let accepted = accept(&asked, config, client, attempt.entropy(), context);
    let (mut accepted, writer, keep) = accepted.inspect_err(|failure| {
        if *failure == Failure::ModelNotFound {
            context.line.asked = Some(asked_model(&body, &header));
        }
    })?;
    let receiver = attempt.remember(&accepted, client, common)?;
    if accepted.turn.tools.is_some() {
        check_endpoint(config, &receiver)?;
    }
    if accepted.is_keyed
        && let Some(response) = stored::begun(&writer, config, client, common, context)?
    {
        return Ok(response);
    }
    drop(body);
    context.line.is_ui_task = accepted.is_ui_task;

    if accepted.effort.is_some() {
        let known = agents::known(config, common).await;
        accepted.set_thinking(known.list.as_deref());
    }

    // 4. The run, until its response begins.
    let begun = slot.begin_run(client, accepted.turn.run.as_str(), &receiver);
    let is_past = |time_ms| now_ms() >= time_ms;
    // Meanwhile the key may have expired, or may have been revoked.
    let ends_ms = common.ends_ms(client);
    let refused = if let Err(failure) = begun {
        Some(failure)
    } else if ends_ms.is_some_and(is_past) {
        Some(Failure::ApiKeyExpired)
    } else if request.signal().aborted() {
        Some(Failure::ClientClosedRequest)
    } else {
        None
    };
    if let Some(refused) = refused {
        receiver.end(ExchangeEnd::NotStarted, now_ms());
        return Err(refused.into());
    }
    let start = Start {
        config,
        client,
        accepted,
        writer,
        keep,
        slot,
        receiver,
    };
    Ok(run(&request, start, common, context).await?)
}

/// Refuses a run at the gateway's HTTP endpoint that is not allowed, or that may have begun: the
/// endpoint would start it once more.
fn check_endpoint(config: &Config, receiver: &Receiver) -> Result<(), Failure> {
    if !receiver.is_alone() {
        return Err(Failure::RunInProgress);
    }
    if config.gateway.endpoint.is_none() {
        receiver.end(ExchangeEnd::NotStarted, now_ms());
        return Err(Failure::invalid(
            "tools",
            "The key lets the agent call the client's tools, which is switched off here. Fix: its \
             operator sets GATEWAY_HTTP, or tools=ignore for the key.",
        ));
    }
    Ok(())
}

/// Reads the request, and begins its response.
fn accept(
    asked: &Asked<'_>,
    config: &Config,
    client: &Grant,
    entropy: &Entropy,
    context: &RequestContext,
) -> Result<(Accepted, Writer, Option<Keep>), Failure> {
    let created_s = context.line.time_ms / SECOND_MS;
    match context.meta.api {
        Api::Chat => {
            let accepted = chat::accept(asked, client, &config.aliases, entropy)?;
            let id = format!("{}{}", chat::ID_PREFIX, context.id);
            let writer = ChatWriter::new(accepted.delivery, id, accepted.model.clone(), created_s)
                .ending_before(accepted.stop.clone())
                .calling(accepted.call.clone());
            Ok((accepted, Writer::Chat(writer), None))
        }
        Api::Responses => {
            let response = responses::accept(asked, client, &config.aliases, entropy)?;
            let (ids, branch_ids) = (response.ids(), response.branch_ids());
            let unnamed_ids = response.unnamed_ids(&context.id);
            let keep = (response.keeping != Keeping::Sent).then(|| Keep {
                key: client.id.to_string(),
                name: String::new(),
                input: response.input,
                time_ms: config.store_ms,
            });
            let accepted = response.accepted;
            let fields = ResponseFields {
                ids,
                unnamed_ids,
                branch_ids,
                previous: response.previous,
                model: accepted.model.clone(),
                created_s,
                echo: response.echo,
                keeping: response.keeping,
            };
            let call = accepted.call.clone();
            let response = ResponsesWriter::new(accepted.delivery, fields).calling(call);
            Ok((accepted, Writer::Responses(response), keep))
        }
    }
}

/// A request whose run is about to start.
struct Start<'a> {
    config: &'a Rc<Config>,
    client: &'a Grant,
    accepted: Accepted,
    writer: Writer,
    keep: Option<Keep>,
    slot: Slot,
    receiver: Receiver,
}

/// Starts the run, and returns the response once it begins.
async fn run(
    request: &Request,
    start: Start<'_>,
    common: &Common,
    context: &RequestContext,
) -> Result<web_sys::Response, JsValue> {
    let Start {
        config,
        client,
        mut accepted,
        writer,
        keep,
        slot,
        receiver,
    } = start;
    let line = LogLine {
        run: Some(accepted.turn.run.as_str().to_owned()),
        asked: Some(loggable(&accepted.model)),
        ..context.line.clone()
    };
    let meta = ResponseMeta {
        ignored: accepted.ignored,
        ..context.meta.clone()
    };
    let links = links(request, &mut accepted.turn, config, client)?;
    if keep.is_some() {
        // A hub that restarts could not take back what is stored of a report.
        accepted.turn.linger_s = 0;
    }
    let mut exchange = Exchange::new(accepted.turn, writer, meta, client.streams, now_ms());
    if let Some(links) = links {
        exchange.link_files(links);
    }
    exchange.expire_at(common.ends_ms(client));
    exchange.set_key(client.id.clone());
    let connection = common.link(config);
    let relay = Relay::new(Rc::clone(config), line, slot);
    relay.keep(keep);
    let response = relay.response();
    let hub = connection.clone();
    let hang_up = move |id| hub.handle(Input::HungUp(id));
    relay.watch(&request.signal(), hang_up);
    connection.begin(exchange, receiver, relay);
    response.await
}

/// Returns the maker of links to the answer's files. Without the secret of the hub's keys there are
/// none.
fn links(
    request: &Request,
    turn: &mut Turn,
    config: &Config,
    client: &Grant,
) -> Result<Option<Links>, JsValue> {
    let secret = config.keys_secret.as_ref();
    let mut headers = config.gateway.headers.iter();
    // The gateway's route for files takes the device's token in this header.
    let is_taken = headers.any(|(name, _)| name == "authorization");
    let Some(secret) = secret.filter(|_| turn.wants_files && !is_taken) else {
        turn.wants_files = false;
        return Ok(None);
    };
    let forwarded = request.headers().get("x-forwarded-proto")?;
    Ok(Some(Links {
        secret: secret.clone(),
        origin: config
            .public_url
            .clone()
            .unwrap_or_else(|| origin(&request.url(), forwarded.as_deref())),
        key: client.id.clone(),
        run: turn.run.as_str().to_owned(),
    }))
}
