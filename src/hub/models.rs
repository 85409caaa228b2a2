//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::rc::Rc;

use clawfront_core::access::grant::Grant;
use clawfront_core::config::Config;
use clawfront_core::failure::Failure;
use clawfront_core::openai::loggable;
use clawfront_core::openai::models::{self, Names, SOURCE_HEADER};
use wasm_bindgen::JsValue;

use crate::context::{Rejection, RequestContext};
use crate::hub::agents;
use crate::hub::common::Common;

/// Answers with the models that the key may use.
pub(crate) async fn list(
    names: Names,
    config: &Rc<Config>,
    client: &Grant,
    common: &Common,
    context: &mut RequestContext,
) -> Result<web_sys::Response, JsValue> {
    let known = agents::known(config, common).await;
    note(context, known.failure.as_ref());
    let mut body = Vec::new();
    let models = models::list(client, &config.aliases, known.list.as_deref(), names);
    models::write_list(&models, &mut body);
    let mut head = context.meta.json();
    head.headers
        .push((SOURCE_HEADER, known.source.name().to_owned()));
    context.answer(head, &body)
}

/// Answers with one model.
pub(crate) async fn one(
    id: &str,
    config: &Rc<Config>,
    client: &Grant,
    common: &Common,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    let known = agents::known(config, common).await;
    note(context, known.failure.as_ref());
    context.line.asked = Some(loggable(id));
    let model = models::find(id, client, &config.aliases, known.list.as_deref())?;
    let mut body = Vec::new();
    models::write_one(&model, &mut body);
    let mut head = context.meta.json();
    head.headers
        .push((SOURCE_HEADER, known.source.name().to_owned()));
    Ok(context.answer(head, &body)?)
}

/// Records in the log why the list could not be fetched. The client gets the agents that are known
/// without it.
fn note(context: &mut RequestContext, failure: Option<&Failure>) {
    let Some(failure) = failure else {
        return;
    };
    context.line.failed(failure);
    if context.line.cause.is_none() {
        context.line.cause = Some(failure.code().to_owned());
    }
}
