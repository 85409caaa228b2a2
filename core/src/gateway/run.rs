//! One run of an agent, from the ready link to the final response.
//!
//! ```text
//!         ready, agent named                            accepted
//!   Idle ───────────────────────────────▶ Starting ──────────────────▶ Running ───▶ Ended
//!     │                                    ▲    │                         final response
//!     │ ready, gateway's default agent     │    │ INVALID_REQUEST
//!     └───────────▶ Choosing ──────────────┘    └────▶ Explaining ───▶ Ended
//!                   (agents.list)                      (agents.list)
//!
//!                    connection lost                ready                        the final response
//!   Starting, Running ───────────────▶ Detached ───────────▶ Claiming ─────────────────────────────▶ Ended
//!                                        ▲                    ▲    │ it is going, or unknown
//!                    connection lost     │       it ended     │    ▼
//!                    again ──────────────┘     ┌──────────────┤  Waiting (agent.wait)
//!                                              │              │    │
//!                                            Waiting ◀──── Pausing ◀┘ it is still going
//! ```
//!
//! A run outlives its connection, but its final response goes only to the connection that asked for it. On another one it is
//! **claimed**: `agent` with the same idempotency key, which answers what the gateway remembers under it. The gateway looks there
//! first, and then refuses the request for its agent and its channel, which do not exist: a claim never starts a run, whatever
//! the gateway has forgotten. A run that is still going is answered for with `accepted` or `in_flight`; then `agent.wait` says when
//! it ended, which is some 50 ms before its final response can be claimed.
//!
//! A run that somebody may have asked for before (`may_exist`) is asked for all the same, under its key: the gateway answers for the one
//! that is there, within its memory of five minutes. Such a run is **joined**: from `Starting` it goes to `Waiting`, or to its end.
//!
//! Everything that affects these states is in this file and, from `Detached` on, in `recovery`. Only the response to `agent` ends a run: `lifecycle:error` does not (the
//! gateway may try again), nor does `chat:final`. On protocol 3 that response says `ok` of a failed run too, and only
//! `meta.stopReason` tells. What is not of this run is dropped unread.
//!
//! Source of the wire facts: OpenClaw 2026.9.6 and 2026.3.13, recorded; the recordings are in `core/tests/transcripts`.

mod recovery;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::agent::AgentId;
use crate::error::{Failure, ProviderFailure};
use crate::gateway::answer::{AnswerText, Update};
use crate::gateway::frame::{
    AgentEvent, AgentMeta, AgentParams, AgentResult, AssistantData, AttachmentParams, LifecycleData, NoParams,
    RunError, RunParams, RunResult, SubscribeParams, ThinkingData,
};
use crate::gateway::link::{Incoming, Link, Protocol, Rejection, RequestId};
use crate::gateway::{progress, refusal, roster};
use crate::session::SessionKey;
use crate::turn::{AgentChoice, Answer, Finish, Progress, RunEvent, Turn, Usage};

use recovery::Recovery;

/// `status` of the first response to `agent`.
const ACCEPTED: &str = "accepted";
/// The same, to whoever asks again (protocol 4; protocol 3 repeats itself).
const IN_FLIGHT: &str = "in_flight";

/// One run.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five facts, none of which follows from another"
)]
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
    /// What the model thought last, as far as it was shown.
    thought: String,
    /// The model came to its answer's end (protocol 4).
    finished_saying: bool,
    /// The run came to its end without a failed attempt at the model (protocol 3).
    at_first_attempt: bool,
    /// The class of the last failed attempt at the model.
    provider_failure: Option<ProviderFailure>,
    /// `agent` was sent, and not refused.
    may_have_started: bool,
    /// [`RunEvent::Accepted`] was said.
    accepted: bool,
    /// Others hear the run, too.
    is_shared: bool,
    /// Its request on this connection, whose final response may still come.
    own: Option<RequestId>,
    recovery: Recovery,
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
    Detached,
    Claiming { claim: RequestId },
    Waiting { wait: RequestId },
    Pausing { until_ms: u64 },
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
            thought: String::new(),
            finished_saying: false,
            at_first_attempt: false,
            provider_failure: None,
            may_have_started: false,
            accepted: false,
            is_shared: false,
            own: None,
            recovery: Recovery::default(),
        }
    }

    /// Takes what came over the link; requests go into the outbox, what the run says goes to `show`.
    pub(crate) fn receive(
        &mut self,
        incoming: Incoming<'_>,
        now_ms: u64,
        link: &mut Link,
        outbox: &mut Vec<String>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) {
        if link.take_gap() && self.is_v4() {
            // What is missing may have been said by this run: from here on only the whole answer counts.
            self.text.interrupt(self.finished_saying);
        }
        let result = match incoming {
            Incoming::Ignored => Ok(()),
            Incoming::Ready(hello) => self.begin(hello.protocol, now_ms, link, outbox),
            Incoming::Response { id, result } if self.subscription == Some(id) => self.receive_subscription(result),
            Incoming::Response { id, result } => match self.state {
                State::Claiming { claim } if claim == id => self.receive_claim(result, now_ms, link, outbox, show),
                State::Waiting { wait } if wait == id => self.receive_wait(result, now_ms, link, outbox),
                _ => self.receive_response(id, result, now_ms, link, outbox, show),
            },
            Incoming::Agent(event) => self.receive_event(&event, now_ms, show),
            Incoming::Chat(payload) => self.receive_chat(payload, show),
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
        self.write_abort(link, outbox);
        self.state = State::Ended;
    }

    /// What stops the run, for whoever sends it.
    pub(crate) fn write_abort(&self, link: &mut Link, outbox: &mut Vec<String>) {
        let may_be_going = self.is_going() || matches!(self.state, State::Starting { .. } | State::Detached);
        if let Some(target) = &self.target
            && may_be_going
            && !self.is_shared
            && self.can_be_aborted()
        {
            let params = RunParams {
                session_key: Some(target.session.as_str()),
                run_id: self.turn.run.as_str(),
                timeout_ms: None,
            };
            // Nobody is left to be told if it cannot be written.
            let _ = link.request("chat.abort", &params, outbox);
        }
    }

    /// Whether the gateway may have begun the run, so that to ask for it again could run it twice.
    pub(crate) fn may_have_started(&self) -> bool {
        self.may_have_started
    }

    pub(crate) fn share(&mut self, is_shared: bool) {
        self.is_shared = is_shared;
    }

    /// Why the gateway refused the run, while it is asked what that means.
    pub(crate) fn refused(&self) -> Option<&Failure> {
        match &self.state {
            State::Explaining { refused, .. } => Some(refused),
            _ => None,
        }
    }

    /// Whether the gateway has the run, as far as is known on this connection, and has not said how it ended.
    pub(crate) fn is_going(&self) -> bool {
        matches!(
            self.state,
            State::Running { .. } | State::Claiming { .. } | State::Waiting { .. } | State::Pausing { .. }
        )
    }

    /// Whether the gateway lets us stop the run.
    pub(crate) fn can_be_aborted(&self) -> bool {
        self.is_v4()
    }

    fn is_v4(&self) -> bool {
        self.target
            .as_ref()
            .is_some_and(|target| target.protocol == Protocol::V4)
    }

    /// Whether `agent` was sent and the gateway has not said whether it takes it.
    pub(crate) fn awaits_acceptance(&self) -> bool {
        matches!(self.state, State::Starting { .. })
    }

    pub(crate) fn id(&self) -> &str {
        self.turn.run.as_str()
    }

    /// Whether the answer is taken from the event `chat`, where items no longer tell it. Protocol 3 joins them by nothing there, so that
    /// it cannot be told where one ends.
    pub(crate) fn needs_chat(&self) -> bool {
        self.text.is_interrupted() && self.is_v4()
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

    fn begin(
        &mut self,
        protocol: Protocol,
        now_ms: u64,
        link: &mut Link,
        outbox: &mut Vec<String>,
    ) -> Result<(), Failure> {
        if self.is_detached() {
            return self.reattach(protocol, now_ms, link, outbox);
        }
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
        // In front of `agent`, and not waited for: each text event tells the whole text, so none that comes before the
        // subscription holds is missed.
        self.subscription = subscribe(&agent, &session, protocol, link, outbox)?;
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
            session_key: Some(session.as_str()),
            channel: None,
            idempotency_key: self.turn.run.as_str(),
            extra_system_prompt: self.turn.extra_system_prompt.as_deref(),
            attachments: &attachments,
        };
        let traceparent = self.turn.traceparent.as_deref().filter(|_| protocol == Protocol::V4);
        let request = link.traced_request("agent", &params, traceparent, outbox)?;
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
        self.own = Some(request);
        self.may_have_started = true;
        Ok(())
    }

    fn receive_response(
        &mut self,
        id: RequestId,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        now_ms: u64,
        link: &mut Link,
        outbox: &mut Vec<String>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
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
                    self.accept(show);
                    self.check_subscription()?;
                    // Also of a request that its own repetition overtook.
                    if reply.status == IN_FLIGHT || (self.turn.may_exist && is_repeated(&reply, link)) {
                        self.join(&reply, now_ms, link, outbox, show)
                    } else if reply.status == ACCEPTED {
                        Ok(())
                    } else {
                        self.finish(&reply, show)
                    }
                }
                // The final response of a run that was asked for before, and failed.
                Err(Rejection { payload: Some(_), .. }) if self.turn.may_exist => {
                    self.accept(show);
                    self.end(Err(self.failed()), show);
                    Ok(())
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
                } else if reply.status == IN_FLIGHT {
                    self.join(&reply, now_ms, link, outbox, show)
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
            // Looked after as another's, it was this one's after all.
            State::Claiming { .. } | State::Waiting { .. } | State::Pausing { .. } if self.own == Some(id) => {
                let Ok(payload) = result else {
                    self.end(Err(self.failed()), show);
                    return Ok(());
                };
                let reply = read_result(payload)?;
                if reply.status == ACCEPTED || reply.status == IN_FLIGHT {
                    Ok(())
                } else {
                    self.finish(&reply, show)
                }
            }
            _ => Ok(()),
        }
    }

    /// A run whose session's events are refused shows no text, and its final response has the last message only: it is given up.
    /// While it is not accepted, the answer to `agent` says more about what is wrong.
    fn check_subscription(&self) -> Result<(), Failure> {
        match (&self.unsubscribed, &self.state) {
            (Some(refused), _) if self.is_going() => Err(refused.clone()),
            _ => Ok(()),
        }
    }

    fn receive_subscription(&mut self, result: Result<Option<&RawValue>, Rejection<'_>>) -> Result<(), Failure> {
        self.unsubscribed = match result {
            Ok(payload) => {
                // What cannot be read is taken for consent, as an empty response is.
                let subscribed = read_result(payload).ok().and_then(|answer| answer.subscribed) != Some(false);
                // Source: OpenClaw 2026.9.6, `sessions-subscriptions.ts`: said to a connection that is about to end.
                (!subscribed).then_some(Failure::Protocol("the gateway does not tell the run's events"))
            }
            Err(rejection) => Some(refusal::failure(&rejection.error)),
        };
        self.check_subscription()
    }

    fn accept(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        if !self.accepted {
            self.accepted = true;
            show(RunEvent::Accepted);
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
        let roster = roster::read(payload).ok_or(Failure::Protocol("the response to agents.list cannot be read"))?;
        let AgentChoice::GatewayDefault(allowed) = &self.turn.agent else {
            return Err(Failure::Protocol("agents.list answered twice"));
        };
        roster
            .default_agent
            .filter(|agent| allowed.allows(agent))
            .ok_or(Failure::ModelNotFound)
    }

    /// Whether the gateway's list lacks the agent that it just refused to run.
    fn is_unknown_agent(&self, result: Result<Option<&RawValue>, Rejection<'_>>) -> bool {
        let (Ok(payload), Some(target)) = (result, &self.target) else {
            return false;
        };
        roster::read(payload).is_some_and(|roster| !roster.agents.contains(&target.agent))
    }

    fn receive_event(
        &mut self,
        event: &AgentEvent<'_>,
        now_ms: u64,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        if event.run_id != self.turn.run.as_str() {
            return Ok(());
        }
        match self.state {
            State::Running { .. } => {}
            // Whether it is the run's beginning is not known yet; what is told now, the next event tells again.
            State::Starting { .. } if self.turn.may_exist => return Ok(()),
            State::Starting { agent } => {
                self.state = State::Running { agent };
                self.accept(show);
                self.check_subscription()?;
            }
            State::Claiming { .. } | State::Waiting { .. } | State::Pausing { .. } => {
                self.hear(show);
            }
            _ => return Ok(()),
        }
        match &*event.stream {
            "assistant" => {
                let Some(data) = event.data.read::<AssistantData<'_>>() else {
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
            "thinking" if self.turn.wants_thoughts => {
                if let Some(data) = event.data.read::<ThinkingData<'_>>() {
                    self.think(&data.text, show);
                }
            }
            "lifecycle" => {
                if let Some(data) = event.data.read::<LifecycleData<'_>>() {
                    self.receive_lifecycle(&data, event.session_key.is_some(), show);
                    // Protocol 3 answers `accepted` to two who ask at once, and tells the end to the first of them only.
                    if self.turn.may_exist
                        && data.phase == "end"
                        && !self.is_v4()
                        && matches!(self.state, State::Running { .. })
                    {
                        // What was said before it was known whose it is may be missing.
                        self.text.interrupt(false);
                        self.look_after(now_ms);
                        self.pause(now_ms);
                    }
                }
            }
            stream if self.turn.wants_progress => {
                let protocol = self.target.as_ref().map(|target| target.protocol);
                if let Some(progress) = protocol.and_then(|protocol| progress::read(protocol, stream, event.data)) {
                    show(RunEvent::Progress(progress));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Shows what is new of a thought; one that does not go on from the last is another one.
    fn think(&mut self, thought: &str, show: &mut impl FnMut(RunEvent<'_>)) {
        let fresh = thought.strip_prefix(self.thought.as_str()).unwrap_or(thought);
        if !fresh.is_empty() {
            show(RunEvent::Thought(fresh));
            thought.clone_into(&mut self.thought);
        }
    }

    fn receive_lifecycle(
        &mut self,
        data: &LifecycleData<'_>,
        names_session: bool,
        show: &mut impl FnMut(RunEvent<'_>),
    ) {
        match &*data.phase {
            "start" => {
                self.provider_failure = None;
                self.finished_saying = false;
                self.at_first_attempt = false;
            }
            "finishing" => self.finished_saying = true,
            "end" => self.at_first_attempt = names_session,
            // Protocol 3 tells a failed attempt this way, and then begins its text anew.
            "error"
                if self
                    .target
                    .as_ref()
                    .is_some_and(|target| target.protocol == Protocol::V3) =>
            {
                self.text.restart();
                if self.turn.wants_progress {
                    show(RunEvent::Progress(Progress::AttemptFailed));
                }
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
        if self.text.is_interrupted() {
            return self.settle_interrupted(&reply.result, show);
        }
        if self.text.lacks_words() {
            return Err(Failure::Protocol("a part of the answer could not be read"));
        }
        if !self.text.is_settled() {
            return Err(Failure::Retracted);
        }
        if !self.text.is_empty() {
            // Protocol 4 repeats the last message.
            if let Some(last) = reply.result.meta.final_assistant_visible_text.as_deref() {
                let turns = agent_meta(reply.result.meta.agent_meta).assistant_turns;
                let untold = self.text.check_last(last, turns.unwrap_or_default())?;
                if !untold.is_empty() {
                    show(RunEvent::Text(untold));
                }
            } else if !self.is_v4() {
                let all: Vec<&str> = said(&reply.result).collect();
                let untold = self.text.check_whole(&all, self.at_first_attempt)?;
                if !untold.is_empty() {
                    show(RunEvent::Text(untold));
                }
            }
            return Ok(());
        }
        // An answer that no model wrote, such as a command's, is not streamed.
        for text in said(&reply.result) {
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

/// What a final response repeats of the answer: protocol 4 its last message, protocol 3 all of them.
fn said<'a>(result: &'a RunResult<'_>) -> impl Iterator<Item = &'a str> {
    let shown = result.payloads.iter().filter(|payload| !payload.is_error);
    shown.filter_map(|payload| payload.text.as_deref())
}

fn read_result(payload: Option<&RawValue>) -> Result<AgentResult<'_>, Failure> {
    payload
        .and_then(|payload| serde_json::from_str(payload.get()).ok())
        .ok_or(Failure::Protocol("a response about the run cannot be read"))
}

/// Whether the response to `agent` tells of a run that was there before it was asked for here.
fn is_repeated(reply: &AgentResult<'_>, link: &Link) -> bool {
    reply.status != ACCEPTED || reply.accepted_at.is_some_and(|accepted_at| link.is_older(accepted_at))
}

/// Asks for the events of the run's session; protocol 3 sends those of every session unasked.
fn subscribe(
    agent: &AgentId,
    session: &SessionKey,
    protocol: Protocol,
    link: &mut Link,
    outbox: &mut Vec<String>,
) -> Result<Option<RequestId>, Failure> {
    if protocol == Protocol::V3 {
        return Ok(None);
    }
    let params = SubscribeParams {
        key: session.as_str(),
        agent_id: agent.as_str(),
    };
    link.request("sessions.messages.subscribe", &params, outbox).map(Some)
}

fn agent_meta(meta: Option<&RawValue>) -> AgentMeta {
    meta.and_then(|meta| serde_json::from_str(meta.get()).ok())
        .unwrap_or_default()
}

fn usage(meta: Option<&RawValue>) -> Usage {
    let tokens = agent_meta(meta).usage;
    Usage {
        prompt: tokens
            .input
            .saturating_add(tokens.cache_read)
            .saturating_add(tokens.cache_write),
        cached: tokens.cache_read,
        cache_written: tokens.cache_write,
        completion: tokens.output,
    }
}
