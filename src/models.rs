//! `GET /v1/models` and `GET /v1/models/{id}`.

use clawfront_core::config::Config;
use clawfront_core::error::Failure;
use clawfront_core::key::Client;
use clawfront_core::openai::models::{self, SOURCE_HEADER};

use crate::{Stop, Visit, agents};

pub(crate) async fn list(config: &Config, client: &Client, visit: &mut Visit) -> worker::Result<web_sys::Response> {
    let (roster, source, failure) = agents::roster(&config.gateway).await;
    note(visit, failure.as_ref());
    let mut body = Vec::new();
    models::write_list(&models::list(client, &config.aliases, roster.as_deref()), &mut body);
    let mut head = visit.common.json();
    head.headers.push((SOURCE_HEADER, source.name().to_owned()));
    visit.answer(head, &body)
}

pub(crate) async fn one(
    id: &str,
    config: &Config,
    client: &Client,
    visit: &mut Visit,
) -> Result<web_sys::Response, Stop> {
    let (roster, source, failure) = agents::roster(&config.gateway).await;
    note(visit, failure.as_ref());
    let model = models::find(id, client, &config.aliases, roster.as_deref())?;
    let mut body = Vec::new();
    models::write_one(&model, &mut body);
    let mut head = visit.common.json();
    head.headers.push((SOURCE_HEADER, source.name().to_owned()));
    Ok(visit.answer(head, &body)?)
}

/// Says in the log why the gateway did not tell its agents; the client gets what is known without it.
fn note(visit: &mut Visit, failure: Option<&Failure>) {
    let Some(failure) = failure else {
        return;
    };
    visit.line.failed(failure);
    if visit.line.cause.is_none() {
        visit.line.cause = Some(failure.reply().body.code.to_owned());
    }
}
