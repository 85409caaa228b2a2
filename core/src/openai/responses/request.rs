//! Reads a request for a response, up to the turn that it asks for.
//!
//! The items of `input` become messages. From there on a response is made like a chat completion.

use super::echo::{Echo, echo};
use super::id::{CHECK_DIGITS, ID_PREFIX, Origin, WITHHELD, chain, check_digits, run_of};
use super::input;
use super::item::{Reference, messages, unknown_item};
use super::object::Keeping;
use super::writer::Ids;
use crate::access::grant::Grant;
use crate::failure::Failure;
use crate::openai::accept::{Accepted, TurnRequest, accept_turn};
use crate::openai::body::Body;
use crate::openai::delivery::Delivery;
use crate::openai::json::text::Json;
use crate::openai::message::Field;
use crate::openai::models::Aliases;
use crate::openai::request::{Entropy, Request};
use crate::openai::tools::rename;
use crate::session::Session;

/// A request that has become a turn, with the fields that its response repeats.
#[derive(Debug)]
pub struct AcceptedResponse {
    pub accepted: Accepted,
    /// `previous_response_id`, echoed.
    pub previous: Option<String>,
    pub echo: Echo,
    pub keeping: Keeping,
    /// The items of the input of a response that is kept, one in each line.
    pub input: String,
    /// The part of the response's id that names its session.
    chain: String,
    /// The same part if the turn branches off from an earlier response.
    branch_chain: Option<String>,
}

impl AcceptedResponse {
    /// Returns the ids of the response.
    pub fn ids(&self) -> Ids {
        self.ids_with(&self.chain)
    }

    /// Returns its ids if the turn branches off from an earlier response; `None` if it cannot.
    pub fn branch_ids(&self) -> Option<Ids> {
        self.branch_chain
            .as_deref()
            .map(|chain| self.ids_with(chain))
    }

    /// Returns the ids of a response that must not name its session, because another caller's
    /// session has no other name. No other response has the same `unique`.
    pub fn unnamed_ids(&self, unique: &str) -> Ids {
        let mut ids = self.ids();
        if self.chain.len() != CHECK_DIGITS {
            ids.response = [ID_PREFIX, WITHHELD, unique].concat();
        }
        unique.clone_into(&mut ids.items);
        ids
    }

    fn ids_with(&self, chain: &str) -> Ids {
        let run = self.accepted.turn.run.digits();
        Ids {
            response: [ID_PREFIX, chain, &run].concat(),
            items: [chain, &run].concat(),
        }
    }
}

/// Reads a request of `client`.
#[inline(never)]
pub fn accept(
    request: &Request<'_>,
    client: &Grant,
    aliases: &Aliases,
    entropy: &Entropy,
) -> Result<AcceptedResponse, Failure> {
    let json = Json::read(request.body)?;
    let mut body = Body::parse(&json)?;
    check_supported(&body)?;
    let keeping = keeping(&body)?;
    let tools = body.take_tools(client.tools)?;
    if tools.is_some() && keeping == Keeping::Background {
        return Err(Failure::invalid(
            "background",
            "A request whose tools the agent can call is answered while its client waits.",
        ));
    }
    let call = match tools {
        Some(_) => None,
        None => body.take_call(client.tools)?,
    };
    let format = body.take_instruction(call.as_ref())?;
    let echo = echo(&body)?;
    let previous_id = body
        .previous_response_id
        .as_deref()
        .filter(|id| !id.is_empty());
    let previous = previous_id
        .map(|id| Origin::of(&client.id, id))
        .transpose()?;
    let ignored = body.ignored();
    let (mut messages, reference) = messages(body.input.take(), &client.id)?;
    rename(tools.as_ref(), &mut messages);
    let origin = previous
        .as_ref()
        .or(reference.as_ref().map(|reference| &reference.origin));
    let asked = TurnRequest {
        field: Field::Input,
        model: body.model.as_deref(),
        instructions: body.instructions.as_deref(),
        messages: &messages,
        user: body.user.as_deref(),
        previous: match origin {
            Some(Origin::Unnamed(nonce)) => Some(Session::fresh(&client.id, nonce)),
            _ => None,
        },
        previous_run: previous_id.and_then(run_of).map(str::to_owned),
        unshown: reference
            .as_ref()
            .map(|reference| unknown_item(reference.index)),
        metadata: body.client_metadata,
        format,
        delivery: delivery(&body),
        ignored,
        effort: body.effort(),
        tools,
    };
    let accepted = accept_turn(request, asked, client, aliases, entropy)?;
    let place = Place {
        client,
        user: body.user.as_deref(),
        accepted: &accepted,
    };
    place.check(previous.as_ref(), reference.as_ref())?;
    let chain_of_session = place.chain(origin);
    let branch = accepted.turn.origin.as_ref();
    let branch_chain = branch.map(|branch| match branch.session {
        Some(_) => chain(&client.id, &accepted.branch_nonce),
        None => chain_of_session.clone(),
    });
    let input = if keeping == Keeping::Sent {
        String::new()
    } else {
        input::items(&json, &accepted.turn.run.digits())?
    };
    Ok(AcceptedResponse {
        accepted: Accepted { call, ..accepted },
        previous: previous_id.map(str::to_owned),
        echo,
        keeping,
        input,
        chain: chain_of_session,
        branch_chain,
    })
}

/// Returns the time for which the response is kept. OpenAI keeps responses unless `store` is false;
/// here the client must ask for it.
fn keeping(body: &Body<'_>) -> Result<Keeping, Failure> {
    match (body.background, body.store) {
        (Some(true), Some(false)) => Err(Failure::invalid(
            "background",
            "A response in the background is stored: `store` must not be false.",
        )),
        (Some(true), _) => Ok(Keeping::Background),
        (_, Some(true)) => Ok(Keeping::Stored),
        _ => Ok(Keeping::Sent),
    }
}

fn delivery(body: &Body<'_>) -> Delivery {
    if body.stream.unwrap_or(false) {
        Delivery::Stream {
            include_usage: true,
        }
    } else {
        Delivery::Whole
    }
}

/// The session that a request goes to.
struct Place<'a> {
    client: &'a Grant,
    user: Option<&'a str>,
    accepted: &'a Accepted,
}

impl Place<'_> {
    /// Returns true if the session is the one that an id came from.
    fn is_of(&self, origin: &Origin) -> bool {
        let session = &self.accepted.turn.session;
        let has_user = self.user.is_some_and(|user| !user.trim().is_empty());
        match origin {
            Origin::Unnamed(nonce) => {
                !has_user && *session == Session::fresh(&self.client.id, nonce)
            }
            Origin::Named(check) => {
                self.accepted.nonce.is_none()
                    && *check == check_digits(&self.client.id, session.name().as_bytes())
            }
        }
    }

    /// Checks that the ids in the request came from this session.
    fn check(
        &self,
        previous: Option<&Origin>,
        reference: Option<&Reference>,
    ) -> Result<(), Failure> {
        // A UI task does not go to a conversation's session.
        if let Some(previous) = previous.filter(|_| !self.accepted.is_ui_task) {
            self.check_previous(previous)?;
        }
        match reference {
            Some(reference) if !self.is_of(&reference.origin) => Err(unknown_item(reference.index)),
            _ => Ok(()),
        }
    }

    fn check_previous(&self, previous: &Origin) -> Result<(), Failure> {
        if self.is_of(previous) {
            return Ok(());
        }
        let problem = match previous {
            Origin::Named(_) if self.accepted.nonce.is_some() => {
                "That response's session was named by a header or by `user`; send the same name to \
                 continue there."
            }
            Origin::Named(_) => {
                "That response came from another session than the one that a header or `user` \
                 names."
            }
            Origin::Unnamed(_) => {
                "That response's session has no name; send neither `user` nor a header that names \
                 another one."
            }
        };
        Err(Failure::invalid("previous_response_id", problem))
    }

    /// Returns the part of the response's id that names the session.
    fn chain(&self, origin: Option<&Origin>) -> String {
        let client = &self.client.id;
        let session = &self.accepted.turn.session;
        match (origin, self.accepted.nonce) {
            (Some(Origin::Unnamed(nonce)), _) if !self.accepted.is_ui_task => chain(client, nonce),
            (_, Some(nonce)) if !self.accepted.is_ui_task => chain(client, &nonce),
            _ => check_digits(client, session.name().as_bytes()),
        }
    }
}

/// Refuses requests that cannot be fulfilled here, instead of doing half of them.
fn check_supported(body: &Body<'_>) -> Result<(), Failure> {
    match body.stored() {
        Some(field) => Err(Failure::invalid(
            field,
            "Neither conversations nor prompts are stored here. Continue with \
             `previous_response_id` or `user`; send `instructions` and `input`.",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
