//! `POST /v1/audio/speech`, once the request is admitted and its body read.

use std::rc::Rc;

use clawfront_core::access::grant::Grant;
use clawfront_core::config::Config;
use clawfront_core::openai::speech;

use crate::context::{Rejection, RequestContext};
use crate::hub::common::Common;

/// Answers with the gateway's speech.
pub(crate) async fn answer(
    body: &[u8],
    common: &Common,
    config: &Rc<Config>,
    client: &Grant,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    let asked = speech::read(body)?;
    let audio = common.link(config).speak(&client.id, asked.text).await?;
    context.meta.ignored = asked.ignored;
    let head = context.meta.whole(audio.content_type);
    Ok(context.answer(head, &audio.bytes)?)
}
