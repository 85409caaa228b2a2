//! Reads a chat completion request, up to the turn that it asks for.

use crate::access::grant::Grant;
use crate::failure::Failure;
use crate::openai::accept::{Accepted, TurnRequest, accept_turn};
use crate::openai::body::Body;
use crate::openai::delivery::Delivery;
use crate::openai::json::text::Json;
use crate::openai::message::Field;
use crate::openai::models::Aliases;
use crate::openai::request::{Entropy, Request};
use crate::openai::stop::Stop;
use crate::openai::tools::rename;

/// Reads a request of `client`.
#[inline(never)]
pub fn accept(
    request: &Request<'_>,
    client: &Grant,
    aliases: &Aliases,
    entropy: &Entropy,
) -> Result<Accepted, Failure> {
    let json = Json::read(request.body)?;
    let mut body = Body::parse(&json)?;
    body.check_supported()?;
    let tools = body.take_tools(client.tools)?;
    rename(tools.as_ref(), &mut body.messages);
    let call = match tools {
        Some(_) => None,
        None => body.take_call(client.tools)?,
    };
    let format = body.take_instruction(call.as_ref())?;
    // A call is written whole, so no sequence cuts it.
    let stop = if call.is_some() {
        Stop::default()
    } else {
        body.take_stop()?
    };
    let include_usage = body
        .stream_options
        .as_ref()
        .and_then(|options| options.include_usage);
    let asked = TurnRequest {
        field: Field::Messages,
        model: body.model.as_deref(),
        instructions: None,
        messages: &body.messages,
        user: body.user.as_deref(),
        previous: None,
        previous_run: None,
        unshown: None,
        metadata: None,
        format,
        delivery: if body.stream.unwrap_or(false) {
            Delivery::Stream {
                include_usage: include_usage.unwrap_or(false),
            }
        } else {
            Delivery::Whole
        },
        ignored: body.ignored(),
        effort: body.effort(),
        tools,
    };
    let mut accepted = accept_turn(request, asked, client, aliases, entropy)?;
    // A sequence could cut a link, and the answer is over after it.
    if stop != Stop::default() {
        accepted.turn.wants_files = false;
        accepted.turn.linger_s = 0;
    }
    Ok(Accepted {
        stop,
        call,
        ..accepted
    })
}

#[cfg(test)]
mod tests;
