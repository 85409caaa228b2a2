//! Turns the request in a body into the turn of an agent, for both endpoints.

use serde_json::value::RawValue;

use super::delivery::Delivery;
use super::effort::Effort;
use super::forced::ForcedCall;
use super::message::{Field, Message};
use super::models::{Aliases, DEFAULT, MAX_MODEL_BYTES, agent_of};
use super::naming::Name;
use super::prompt::{self, Memory, Shown, system};
use super::request::{AGENT_HEADER, Entropy, Request};
use super::stop::Stop;
use super::ui_task::is_ui_task;
use crate::access::grant::Grant;
use crate::access::key;
use crate::access::policy::TaskPolicy;
use crate::agent::{AgentId, AgentList};
use crate::failure::Failure;
use crate::session::{Session, SessionError};
use crate::turn::{AgentChoice, Branch, ClientTools, Earlier, Otherwise, RunId, Turn};

/// Names the session of a request.
pub(crate) const SESSION_HEADER: &str = "x-openclaw-session-key";

/// Source: W3C Trace Context, section 3.2.
const TRACE_HEADER: &str = "traceparent";

/// `on` or `off`: whether the response carries the model's thoughts.
pub(crate) const REASONING_HEADER: &str = "x-clawfront-reasoning";

/// `on` or `off`: whether the response reports the agent's progress.
const PROGRESS_HEADER: &str = "x-clawfront-progress";

/// A request that has become a turn.
#[derive(Debug)]
pub struct Accepted {
    pub turn: Turn,
    pub delivery: Delivery,
    /// The model as the client wrote it. The response repeats it.
    pub model: String,
    /// Parameters that were sent and that the agent API cannot take, in alphabetical order.
    pub ignored: Vec<&'static str>,
    /// The effort that the client asks for, if the run can have one.
    pub effort: Option<Effort>,
    /// The sequences that end the answer's text.
    pub stop: Stop,
    /// The function call that the answer becomes.
    pub call: Option<ForcedCall>,
    /// A chat UI's own call, which was sent to a session of its own.
    pub is_ui_task: bool,
    /// The client named the run: by an `Idempotency-Key`, or as a turn of Codex.
    pub is_keyed: bool,
    /// The nonce of the turn's session, if the client did not name one.
    pub(super) nonce: Option<[u8; 16]>,
    /// The nonce of the session that the turn gets if it branches off.
    pub(super) branch_nonce: [u8; 16],
}

impl Accepted {
    /// Sets the level of the model's thinking by the gateway's list, if the client asks for one.
    pub fn set_thinking(&mut self, known: Option<&AgentList>) {
        if let (Some(effort), Some(known)) = (&self.effort, known) {
            effort.apply(&mut self.turn, &mut self.ignored, known);
        }
    }
}

/// The fields of a body that make a turn, for either endpoint.
pub(crate) struct TurnRequest<'a> {
    /// The field that holds `messages`.
    pub field: Field,
    pub model: Option<&'a str>,
    pub instructions: Option<&'a str>,
    pub messages: &'a [Message<'a>],
    pub user: Option<&'a str>,
    /// The session of an earlier response that this request continues.
    pub previous: Option<Session>,
    /// The digits of that response's run.
    pub previous_run: Option<String>,
    /// The refusal if the session does not hold the conversation. Set if the request names earlier
    /// answers instead of showing them, because then there is no conversation to send instead.
    pub unshown: Option<Failure>,
    /// Names the run, if Codex sent it.
    pub metadata: Option<&'a RawValue>,
    /// The instruction about the format of the answer.
    pub format: Option<String>,
    pub delivery: Delivery,
    pub ignored: Vec<&'static str>,
    pub effort: Option<Effort>,
    /// The client's tools that the agent can call.
    pub tools: Option<ClientTools>,
}

/// Replaces an answer that the request names by its id. It is never sent to an agent.
pub(crate) const REFERENCE: &str = "[an earlier answer]";

/// The destination of a turn.
struct Destination {
    agent: AgentChoice,
    session: Session,
    memory: Memory,
    nonce: Option<[u8; 16]>,
    branch_nonce: [u8; 16],
    run: RunId,
    is_keyed: bool,
    is_ui_task: bool,
}

/// Makes the turn that a request asks for.
pub(crate) fn accept_turn(
    request: &Request<'_>,
    asked: TurnRequest<'_>,
    client: &Grant,
    aliases: &Aliases,
    entropy: &Entropy,
) -> Result<Accepted, Failure> {
    let model = asked.model.map_or("", str::trim);
    let to = destination(request, &asked, client, aliases, entropy)?;
    system::check(
        client.system,
        asked.field,
        asked.instructions,
        asked.messages,
    )?;
    let prompt = prompt::fold(asked.field, asked.instructions, asked.messages, to.memory)?;
    // A link is no JSON, nor is a further text, and nobody reads a chat UI's own call.
    let takes_more = asked.format.is_none() && !to.is_ui_task;
    let linger_s = client.streams.linger_s.filter(|_| takes_more);
    let instructions: Vec<String> = prompt.system.into_iter().chain(asked.format).collect();
    let instructions = system::place(client.system, &instructions.join("\n\n"));
    let continues = to.memory == Memory::Session && asked.previous.as_ref() == Some(&to.session);
    let (mut turns, whole) = match prompt.shown {
        Some(Shown { turns, mut whole }) => {
            whole.message = instructions.before(whole.message);
            (turns, Some(whole))
        }
        None => (Vec::new(), None),
    };
    // An answer that the request names by its id.
    if turns.first().is_some_and(|turn| turn.answer == REFERENCE) {
        turns.clear();
    }
    let earlier = (to.memory == Memory::Session).then(|| Earlier {
        turns,
        otherwise: match (asked.unshown, whole) {
            (Some(failure), _) => Otherwise::Refuse(failure),
            (None, Some(whole)) => Otherwise::Send(whole),
            (None, None) if continues => Otherwise::Refuse(lost_conversation()),
            (None, None) => Otherwise::Begin,
        },
    });
    let branch = |run| Branch {
        run,
        session: continues.then(|| Session::fresh(&client.id, &to.branch_nonce)),
    };
    Ok(Accepted {
        // The model of a session that a client named by its whole key may not be its agent's.
        effort: asked.effort.filter(|_| to.session.agent().is_none()),
        turn: Turn {
            origin: asked
                .previous_run
                .filter(|_| to.memory == Memory::Session)
                .map(branch),
            agent: to.agent,
            session: to.session,
            run: to.run,
            may_exist: request.is_repeated || to.is_keyed,
            wants_thoughts: switch(request, REASONING_HEADER)?.unwrap_or(client.reasoning),
            wants_progress: switch(request, PROGRESS_HEADER)?.unwrap_or(client.progress),
            wants_files: client.files && takes_more,
            linger_s: linger_s.unwrap_or_default(),
            message: instructions.before(prompt.message),
            earlier,
            extra_system_prompt: instructions.into_system_prompt(),
            traceparent: traceparent(request),
            thinking: None,
            attachments: prompt.attachments,
            answered_images: prompt.answered_images,
            tools: asked.tools,
        },
        delivery: asked.delivery,
        model: if model.is_empty() { DEFAULT } else { model }.to_owned(),
        ignored: asked.ignored,
        stop: Stop::default(),
        call: None,
        is_ui_task: to.is_ui_task,
        is_keyed: to.is_keyed,
        nonce: to.nonce,
        branch_nonce: to.branch_nonce,
    })
}

fn destination(
    request: &Request<'_>,
    asked: &TurnRequest<'_>,
    client: &Grant,
    aliases: &Aliases,
    entropy: &Entropy,
) -> Result<Destination, Failure> {
    let model = asked.model.map_or("", str::trim);
    if model.len() > MAX_MODEL_BYTES {
        return Err(Failure::ModelNotFound);
    }
    let named = session(request, asked.previous.clone(), asked.user, client)?;
    let requested = requested_agent(request, model, aliases)?;
    let agent = agent(requested, named.as_ref().and_then(Session::agent), client)?;
    let is_ui_task =
        client.tasks == TaskPolicy::Aside && named.is_some() && is_ui_task(asked.messages);
    let name = Name::of(request, asked.metadata)?;
    let entropy = name.as_ref().map_or(*entropy, |name| {
        name.entropy(client, &agent, named.as_ref())
    });
    let run = match name {
        // The session is derived from the name and the body.
        Some(_) => RunId::named(&entropy.run, &entropy.session),
        None => RunId::from_entropy(&entropy.run),
    };
    let (session, memory, nonce) = match named {
        Some(session) if !is_ui_task => (session, Memory::Session, None),
        _ => (
            Session::fresh(&client.id, &entropy.session),
            Memory::None,
            Some(entropy.session),
        ),
    };
    Ok(Destination {
        agent,
        session,
        memory,
        nonce,
        branch_nonce: entropy.session,
        run,
        is_keyed: name.is_some(),
        is_ui_task,
    })
}

/// Returns the agent that the header or else the model names; `None` for the default one.
fn requested_agent(
    request: &Request<'_>,
    model: &str,
    aliases: &Aliases,
) -> Result<Option<AgentId>, Failure> {
    match (request.header)(AGENT_HEADER).as_deref().map(str::trim) {
        Some(id) if !id.is_empty() => AgentId::parse(id)
            .filter(|_| !key::is_in(id))
            .map(Some)
            .ok_or(Failure::ModelNotFound),
        _ if model.is_empty() => Err(Failure::invalid(
            "model",
            "model is required: an agent, or `openclaw` for the default one.",
        )),
        _ => agent_of(model, aliases),
    }
}

fn lost_conversation() -> Failure {
    Failure::invalid(
        "previous_response_id",
        "The gateway no longer holds this response's conversation. Send the whole conversation in \
         `input`, without `previous_response_id`.",
    )
}

/// Returns the client's trace, if it has the form of W3C's Trace Context:
/// `00-<32 hex>-<16 hex>-<2 hex>`.
fn traceparent(request: &Request<'_>) -> Option<String> {
    let value = (request.header)(TRACE_HEADER)?;
    let is_hex = |text: &str, len: usize| {
        text.len() == len
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |text: &str, len: usize| is_hex(text, len) && text.bytes().any(|byte| byte != b'0');
    let mut parts = value.split('-');
    let is_trace = parts.next() == Some("00")
        && parts.next().is_some_and(|trace| is_id(trace, 32))
        && parts.next().is_some_and(|parent| is_id(parent, 16))
        && parts.next().is_some_and(|flags| is_hex(flags, 2))
        && parts.next().is_none();
    is_trace.then_some(value)
}

/// Reads a header that is `on` or `off`; `None` if it is absent or blank.
fn switch(request: &Request<'_>, header: &str) -> Result<Option<bool>, Failure> {
    match (request.header)(header).as_deref().map(str::trim) {
        None | Some("") => Ok(None),
        Some("on") => Ok(Some(true)),
        Some("off") => Ok(Some(false)),
        Some(_) => Err(Failure::invalid(header, format!("{header} is on or off."))),
    }
}

/// Returns the session that a request names. The order is: the session header, a header of the
/// key's list of conversations, the previous response, the user. `None`: the request names none.
fn session(
    request: &Request<'_>,
    previous: Option<Session>,
    user: Option<&str>,
    client: &Grant,
) -> Result<Option<Session>, Failure> {
    let refuse = |param: &str| {
        let param = param.to_owned();
        move |error: SessionError| Failure::invalid(param.clone(), format!("{param} {error}."))
    };
    // Names are not trimmed, because two different names are two sessions.
    let named = |name: &&str| !name.trim().is_empty();
    let header = |name: &str| (request.header)(name).filter(|value| named(&value.as_str()));
    if let Some(name) = header(SESSION_HEADER) {
        let session =
            Session::named(&client.id, client.sessions, &name).map_err(refuse(SESSION_HEADER))?;
        return Ok(Some(session));
    }
    let conversation = client
        .conversations
        .iter()
        .find_map(|name| Some((name, header(name)?)));
    if let Some((name, id)) = conversation {
        let session = Session::of_conversation(&client.id, name, &id).map_err(refuse(name))?;
        return Ok(Some(session));
    }
    if previous.is_some() {
        return Ok(previous);
    }
    if let Some(user) = user.filter(named) {
        let session = Session::of_user(&client.id, user).map_err(refuse("user"))?;
        return Ok(Some(session));
    }
    Ok(None)
}

/// Returns the agent of a request. The order is: the header or the model, a raw session key, the
/// default agent.
fn agent(
    requested: Option<AgentId>,
    of_session: Option<&AgentId>,
    client: &Grant,
) -> Result<AgentChoice, Failure> {
    let chosen = match (requested, of_session) {
        (Some(requested), Some(of_session)) if requested != *of_session => {
            return Err(Failure::invalid(
                SESSION_HEADER,
                "The session belongs to another agent than the requested one.",
            ));
        }
        (Some(agent), _) => Some(agent),
        (None, Some(agent)) => Some(agent.clone()),
        (None, None) => client.default_agent.clone(),
    };
    match chosen {
        Some(agent) if client.agents.allows(&agent) => Ok(AgentChoice::Named(agent)),
        Some(_) => Err(Failure::ModelNotFound),
        None => Ok(AgentChoice::GatewayDefault(client.agents.clone())),
    }
}
