//! One run of an agent, from the ready link to the final response.
//!
//! ```text
//!         ready, agent named                            accepted
//!   Idle ───────────────────────────────▶ Starting ──────────────────▶ Running ───▶ Ended
//!     │                                    ▲    │                         final response
//!     │ ready, gateway's default agent     │    │ INVALID_REQUEST
//!     └───────────▶ Choosing ──────────────┘    └────▶ Explaining ───▶ Ended
//!                   (agents.list)                      (agents.list)
//! ```
//!
//! Everything that affects these states is in this file. Only the response to `agent` ends a run: `lifecycle:error` does not (the
//! gateway may try again), nor does `chat:final`. On protocol 3 that response says `ok` of a failed run too, and only
//! `meta.stopReason` tells. What is not of this run is dropped unread.
//!
//! Source of the wire facts: OpenClaw 2026.9.6 and 2026.3.13, recorded; the recordings are in `core/tests/transcripts`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::agent::AgentId;
use crate::error::{Failure, ProviderFailure};
use crate::gateway::answer::{AnswerText, Update};
use crate::gateway::frame::{
    AbortParams, AgentEvent, AgentMeta, AgentParams, AgentResult, AgentsList, AssistantData, AttachmentParams,
    LifecycleData, NoParams, RunError, SubscribeParams, TokenUsage,
};
use crate::gateway::link::{Incoming, Link, Protocol, Rejection, RequestId};
use crate::gateway::refusal;
use crate::session::SessionKey;
use crate::turn::{AgentChoice, Answer, Finish, RunEvent, Turn, Usage};

/// `status` of the first response to `agent`.
const ACCEPTED: &str = "accepted";

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    turn: Turn,
    state: State,
    /// Known once the agent is.
    target: Option<Target>,
    /// The request that subscribed to the session's events (protocol 4).
    subscription: Option<RequestId>,
    /// Why it was refused.
    unsubscribed: Option<Failure>,
    text: AnswerText,
    /// The class of the last failed attempt at the model.
    provider_failure: Option<ProviderFailure>,
    /// `agent` was sent, and not refused.
    may_have_started: bool,
}

#[derive(Debug, Clone)]
struct Target {
    agent: AgentId,
    session: SessionKey,
    protocol: Protocol,
}

#[derive(Debug, Clone)]
enum State {
    Idle,
    Choosing { list: RequestId, protocol: Protocol },
    Starting { agent: RequestId },
    Explaining { list: RequestId, refused: Failure },
    Running { agent: RequestId },
    Ended,
}

impl Run {
    pub(crate) fn new(turn: Turn) -> Self {
        Self {
            turn,
            state: State::Idle,
            target: None,
            subscription: None,
            unsubscribed: None,
            text: AnswerText::default(),
            provider_failure: None,
            may_have_started: false,
        }
    }

    /// Takes what came over the link; requests go into the outbox, what the run says goes to `show`.
    pub(crate) fn receive(
        &mut self,
        incoming: Incoming<'_>,
        link: &mut Link,
        outbox: &mut Vec<String>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) {
        let result = match incoming {
            Incoming::Ignored => Ok(()),
            Incoming::Ready(hello) => self.begin(hello.protocol, link, outbox),
            Incoming::Response { id, result } => self.receive_response(id, result, link, outbox, show),
            Incoming::Agent(event) => self.receive_event(&event, show),
        };
        if let Err(failure) = result {
            // Whatever of it is still going has nobody left to answer to.
            self.abort(link, outbox);
            show(RunEvent::Ended(Err(failure)));
        }
    }

    /// Asks the gateway to stop the run, where there may be one and the gateway lets us.
    ///
    /// Protocol 3 has no way to abort an `agent` run with `operator.write`: there it goes on to its end.
    pub(crate) fn abort(&mut self, link: &mut Link, outbox: &mut Vec<String>) {
        let may_be_going = matches!(self.state, State::Starting { .. } | State::Running { .. });
        if let Some(target) = &self.target
            && may_be_going
            && target.protocol == Protocol::V4
        {
            let params = AbortParams {
                session_key: target.session.as_str(),
                run_id: self.turn.run.as_str(),
            };
            // Nobody is left to be told if it cannot be written.
            let _ = link.request("chat.abort", &params, outbox);
        }
        self.state = State::Ended;
    }

    /// Whether the gateway may have begun the run, so that to ask for it again could run it twice.
    pub(crate) fn may_have_started(&self) -> bool {
        self.may_have_started
    }

    /// Why the gateway refused the run, while it is asked what that means.
    pub(crate) fn refused(&self) -> Option<&Failure> {
        match &self.state {
            State::Explaining { refused, .. } => Some(refused),
            _ => None,
        }
    }

    /// Whether the gateway took the run and has not said how it ended.
    pub(crate) fn is_going(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Whether `agent` was sent and the gateway has not said whether it takes it.
    pub(crate) fn awaits_acceptance(&self) -> bool {
        matches!(self.state, State::Starting { .. })
    }

    pub(crate) fn agent(&self) -> Option<&AgentId> {
        match (&self.target, &self.turn.agent) {
            (Some(target), _) => Some(&target.agent),
            (None, AgentChoice::Named(agent)) => Some(agent),
            (None, AgentChoice::GatewayDefault(_)) => None,
        }
    }

    pub(crate) fn session(&self) -> Option<&SessionKey> {
        self.target.as_ref().map(|target| &target.session)
    }

    fn begin(&mut self, protocol: Protocol, link: &mut Link, outbox: &mut Vec<String>) -> Result<(), Failure> {
        match &self.turn.agent {
            AgentChoice::Named(agent) => self.start(agent.clone(), protocol, link, outbox),
            AgentChoice::GatewayDefault(_) => {
                let list = link.request("agents.list", &NoParams {}, outbox)?;
                self.state = State::Choosing { list, protocol };
                Ok(())
            }
        }
    }

    fn start(
        &mut self,
        agent: AgentId,
        protocol: Protocol,
        link: &mut Link,
        outbox: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let session = self.turn.session.key(&agent);
        if protocol == Protocol::V4 {
            // In front of `agent`, and not waited for: each text event tells the whole text, so none that comes before the
            // subscription holds is missed.
            let params = SubscribeParams {
                key: session.as_str(),
                agent_id: agent.as_str(),
            };
            self.subscription = Some(link.request("sessions.messages.subscribe", &params, outbox)?);
        }
        let attachments: Vec<_> = self
            .turn
            .attachments
            .iter()
            .map(|attachment| AttachmentParams {
                kind: "image",
                mime_type: &attachment.mime_type,
                file_name: &attachment.file_name,
                content: &attachment.content,
            })
            .collect();
        let params = AgentParams {
            message: &self.turn.message,
            agent_id: agent.as_str(),
            session_key: session.as_str(),
            idempotency_key: self.turn.run.as_str(),
            extra_system_prompt: self.turn.extra_system_prompt.as_deref(),
            attachments: &attachments,
        };
        let request = link.request("agent", &params, outbox)?;
        // It is never sent again, and may be megabytes: a run of hours need not hold them.
        self.turn.message = String::new();
        self.turn.extra_system_prompt = None;
        self.turn.attachments = Vec::new();
        self.target = Some(Target {
            agent,
            session,
            protocol,
        });
        self.state = State::Starting { agent: request };
        self.may_have_started = true;
        Ok(())
    }

    fn receive_response(
        &mut self,
        id: RequestId,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        link: &mut Link,
        outbox: &mut Vec<String>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        if self.subscription == Some(id) {
            self.unsubscribed = result.err().map(|rejection| refusal::failure(&rejection.error));
            return self.check_subscription();
        }
        match &self.state {
            State::Choosing { list, protocol } if *list == id => {
                let protocol = *protocol;
                let agent = self.choose(result)?;
                self.start(agent, protocol, link, outbox)
            }
            State::Starting { agent } if *agent == id => match result {
                Ok(payload) => {
                    let request = *agent;
                    let reply = read_result(payload)?;
                    self.state = State::Running { agent: request };
                    show(RunEvent::Accepted);
                    self.check_subscription()?;
                    if reply.status == ACCEPTED {
                        Ok(())
                    } else {
                        self.finish(&reply, show)
                    }
                }
                Err(rejection) => self.refuse(&rejection, link, outbox),
            },
            State::Running { agent } if *agent == id => {
                let Ok(payload) = result else {
                    self.end(Err(self.failed()), show);
                    return Ok(());
                };
                let reply = read_result(payload)?;
                // The acceptance may come behind the run's first event.
                if reply.status == ACCEPTED {
                    Ok(())
                } else {
                    self.finish(&reply, show)
                }
            }
            State::Explaining { list, refused } if *list == id => {
                let refused = refused.clone();
                Err(if self.is_unknown_agent(result) {
                    Failure::ModelNotFound
                } else {
                    refused
                })
            }
            _ => Ok(()),
        }
    }

    /// A run whose session's events are refused shows no text, and its final response has the last message only: it is given up.
    /// While it is not accepted, the answer to `agent` says more about what is wrong.
    fn check_subscription(&self) -> Result<(), Failure> {
        match (&self.unsubscribed, &self.state) {
            (Some(refused), State::Running { .. }) => Err(refused.clone()),
            _ => Ok(()),
        }
    }

    /// Takes the refusal of `agent`. One code stands for every mistake, an unknown agent among them, so the gateway is asked.
    fn refuse(&mut self, rejection: &Rejection<'_>, link: &mut Link, outbox: &mut Vec<String>) -> Result<(), Failure> {
        let refused = refusal::failure(&rejection.error);
        self.may_have_started = false;
        self.state = State::Ended;
        match &*rejection.error.code {
            "INVALID_REQUEST" => {}
            // The scopes that `agent` takes were checked at hello: what is missing, the message asked for.
            // Source: OpenClaw 2026.9.6, `/new` and `/reset` need operator.admin.
            "FORBIDDEN" => return Err(Failure::Forbidden),
            _ => return Err(refused),
        }
        let list = link.request("agents.list", &NoParams {}, outbox)?;
        self.state = State::Explaining { list, refused };
        Ok(())
    }

    /// The gateway's default agent, if this client may reach it.
    fn choose(&self, result: Result<Option<&RawValue>, Rejection<'_>>) -> Result<AgentId, Failure> {
        let payload = result.map_err(|rejection| refusal::failure(&rejection.error))?;
        let list = read_list(payload).ok_or(Failure::Protocol("the response to agents.list cannot be read"))?;
        let AgentChoice::GatewayDefault(allowed) = &self.turn.agent else {
            return Err(Failure::Protocol("agents.list answered twice"));
        };
        list.default_id
            .filter(|_| !list.selection_required)
            .and_then(|id| AgentId::parse(&id))
            .filter(|agent| allowed.allows(agent))
            .ok_or(Failure::ModelNotFound)
    }

    /// Whether the gateway's list lacks the agent that it just refused to run.
    fn is_unknown_agent(&self, result: Result<Option<&RawValue>, Rejection<'_>>) -> bool {
        let (Ok(payload), Some(target)) = (result, &self.target) else {
            return false;
        };
        read_list(payload).is_some_and(|list| {
            !list
                .agents
                .iter()
                .any(|agent| AgentId::parse(&agent.id).as_ref() == Some(&target.agent))
        })
    }

    fn receive_event(&mut self, event: &AgentEvent<'_>, show: &mut impl FnMut(RunEvent<'_>)) -> Result<(), Failure> {
        if event.run_id != self.turn.run.as_str() {
            return Ok(());
        }
        match self.state {
            State::Running { .. } => {}
            State::Starting { agent } => {
                self.state = State::Running { agent };
                show(RunEvent::Accepted);
                self.check_subscription()?;
            }
            _ => return Ok(()),
        }
        match &*event.stream {
            "assistant" => {
                let Ok(data) = serde_json::from_str::<AssistantData<'_>>(event.data.get()) else {
                    // No reason to end the run, and none to call what was shown its answer.
                    self.text.miss();
                    return Ok(());
                };
                let delta: Cow<'_, str> = match (&data.item_id, data.delta) {
                    (None, Some(delta)) => serde_json::from_str(delta.get()).unwrap_or_default(),
                    _ => Cow::Borrowed(""),
                };
                let fresh = self.text.update(Update {
                    item: data.item_id.as_deref(),
                    text: &data.text,
                    delta: if data.replace { "" } else { &delta },
                })?;
                if !fresh.is_empty() {
                    show(RunEvent::Text(fresh));
                }
            }
            "lifecycle" => {
                if let Ok(data) = serde_json::from_str::<LifecycleData<'_>>(event.data.get()) {
                    self.receive_lifecycle(&data);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn receive_lifecycle(&mut self, data: &LifecycleData<'_>) {
        match &*data.phase {
            "start" => self.provider_failure = None,
            // Protocol 3 tells a failed attempt this way, and then begins its text anew.
            "error"
                if self
                    .target
                    .as_ref()
                    .is_some_and(|target| target.protocol == Protocol::V3) =>
            {
                self.text.restart();
            }
            _ => {}
        }
        if let Some(observation) = &data.error_observation {
            let reason = observation.failover_reason.as_deref().unwrap_or_default();
            self.provider_failure = Some(ProviderFailure::of(reason));
        }
    }

    /// Takes the final response of a run; what it says of success is read with care.
    fn finish(&mut self, reply: &AgentResult<'_>, show: &mut impl FnMut(RunEvent<'_>)) -> Result<(), Failure> {
        let meta = &reply.result.meta;
        let result = match (&*reply.status, meta.stop_reason.as_deref()) {
            ("ok", _) if meta.aborted => Err(Failure::Aborted),
            ("ok", _) if meta.error.is_some() => Err(self.failed_with(meta.error.as_ref())),
            ("ok", Some("error")) | ("error", _) => Err(self.failed()),
            ("ok", stop_reason) => self.settle(reply, show).map(|()| Answer {
                finish: if stop_reason == Some("length") {
                    Finish::Length
                } else {
                    Finish::Stop
                },
                usage: usage(meta.agent_meta),
            }),
            ("timeout", _) => Err(Failure::Aborted),
            _ => return Err(Failure::Protocol("the run ended with a status nobody knows")),
        };
        self.end(result, show);
        Ok(())
    }

    /// Makes sure that what was shown is the answer.
    fn settle(&mut self, reply: &AgentResult<'_>, show: &mut impl FnMut(RunEvent<'_>)) -> Result<(), Failure> {
        if self.text.lacks_words() {
            return Err(Failure::Protocol("a part of the answer could not be read"));
        }
        if !self.text.is_settled() {
            return Err(Failure::Retracted);
        }
        if !self.text.is_empty() {
            return Ok(());
        }
        // An answer that no model wrote, such as a command's, is not streamed.
        for payload in reply.result.payloads.iter().filter(|payload| !payload.is_error) {
            let text = payload.text.as_deref().unwrap_or_default();
            let fresh = self.text.update(Update {
                item: None,
                text,
                delta: text,
            })?;
            if !fresh.is_empty() {
                show(RunEvent::Text(fresh));
            }
        }
        Ok(())
    }

    fn failed_with(&self, error: Option<&RunError<'_>>) -> Failure {
        match error.map(|error| &*error.kind) {
            Some("context_overflow" | "compaction_failure") => Failure::Provider(ProviderFailure::ContextOverflow),
            _ => self.failed(),
        }
    }

    fn failed(&self) -> Failure {
        Failure::Provider(self.provider_failure.unwrap_or(ProviderFailure::Unclassified))
    }

    fn end(&mut self, result: Result<Answer, Failure>, show: &mut impl FnMut(RunEvent<'_>)) {
        if !matches!(self.state, State::Ended) {
            self.state = State::Ended;
            show(RunEvent::Ended(result));
        }
    }
}

fn read_result(payload: Option<&RawValue>) -> Result<AgentResult<'_>, Failure> {
    payload
        .and_then(|payload| serde_json::from_str(payload.get()).ok())
        .ok_or(Failure::Protocol("a response to agent cannot be read"))
}

fn read_list(payload: Option<&RawValue>) -> Option<AgentsList<'_>> {
    serde_json::from_str(payload?.get()).ok()
}

fn usage(agent_meta: Option<&RawValue>) -> Usage {
    let tokens: TokenUsage = agent_meta
        .and_then(|meta| serde_json::from_str::<AgentMeta>(meta.get()).ok())
        .unwrap_or_default()
        .usage;
    Usage {
        prompt: tokens
            .input
            .saturating_add(tokens.cache_read)
            .saturating_add(tokens.cache_write),
        cached: tokens.cache_read,
        completion: tokens.output,
    }
}
