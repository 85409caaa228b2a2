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
//! Everything that affects these states is in this file. Only the response to `agent` ends a run: `lifecycle:error` does not (the
//! gateway may try again), nor does `chat:final`. On protocol 3 that response says `ok` of a failed run too, and only
//! `meta.stopReason` tells. What is not of this run is dropped unread.
//!
//! Source of the wire facts: OpenClaw 2026.9.6 and 2026.3.13, recorded; the recordings are in `core/tests/transcripts`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::agent::AgentId;
use crate::error::{Cause, Failure, ProviderFailure};
use crate::gateway::answer::{AnswerText, SEPARATOR, Update};
use crate::gateway::frame::{
    AgentEvent, AgentMeta, AgentParams, AgentResult, AgentsList, AssistantData, AttachmentParams, ChatEvent,
    LifecycleData, NoParams, RunError, RunParams, RunResult, SubscribeParams,
};
use crate::gateway::link::{Incoming, Link, Protocol, Rejection, RequestId};
use crate::gateway::refusal;
use crate::session::SessionKey;
use crate::turn::{AgentChoice, Answer, Finish, RunEvent, Turn, Usage};

/// In the place of a close code where no connection was closed (RFC 6455 section 7.4.1).
const NO_STATUS: u16 = 1005;

/// `status` of the first response to `agent`.
const ACCEPTED: &str = "accepted";
/// The same, to whoever asks again (protocol 4; protocol 3 repeats itself).
const IN_FLIGHT: &str = "in_flight";

/// An agent and a channel that no gateway has: see above.
const NOBODY: &str = "clawfront-nobody";
const NOWHERE: &str = "clawfront-nowhere";

/// One `agent.wait` for a run that is going; the next follows.
const WAIT_MS: u64 = 20_000;

/// For a run that the gateway does not know: its request may still be on its way through a proxy, and protocol 3 forgets after five
/// minutes that a run was accepted, but not that it goes on.
const SEEK_MS: u64 = 10_000;

/// From the end of a run until its final response must be remembered: 10 to 100 ms were measured.
const SETTLE_MS: u64 = 15_000;

/// For the answer to a question, beyond the time that it asks the gateway to take.
const ANSWER_MS: u64 = 30_000;

/// Between two questions about the same run.
const FIRST_PAUSE_MS: u64 = 25;
const MAX_PAUSE_MS: u64 = 1_000;

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
    /// The model came to its answer's end (protocol 4).
    finished_saying: bool,
    /// The class of the last failed attempt at the model.
    provider_failure: Option<ProviderFailure>,
    /// `agent` was sent, and not refused.
    may_have_started: bool,
    /// [`RunEvent::Accepted`] was said.
    accepted: bool,
    recovery: Recovery,
}

/// What is known of a run on another connection than the one that it was started on.
#[derive(Debug, Clone, Default)]
struct Recovery {
    /// Why the connection was lost.
    lost: Option<Failure>,
    knowledge: Knowledge,
    /// The whole answer was told: `chat` said so.
    told: bool,
    /// When what is known changed last.
    since_ms: u64,
    pause_ms: u64,
    /// When the present question is answered at the latest.
    answer_by_ms: u64,
}

/// What this connection showed of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Knowledge {
    #[default]
    Nothing,
    /// The gateway does not know it, and it was waited for.
    Sought,
    /// The gateway answered for it, or told something of it.
    Going,
    Ended,
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
            finished_saying: false,
            provider_failure: None,
            may_have_started: false,
            accepted: false,
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
        let may_be_going = self.is_going() || matches!(self.state, State::Starting { .. } | State::Detached);
        if let Some(target) = &self.target
            && may_be_going
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

    /// Whether the gateway has the run, as far as is known on this connection, and has not said how it ended.
    pub(crate) fn is_going(&self) -> bool {
        matches!(
            self.state,
            State::Running { .. } | State::Claiming { .. } | State::Waiting { .. } | State::Pausing { .. }
        )
    }

    /// The connection was lost, for this reason. What came over it means nothing any more.
    pub(crate) fn detach(&mut self, lost: Failure) {
        self.state = State::Detached;
        self.subscription = None;
        self.unsubscribed = None;
        self.text.interrupt(self.finished_saying);
        self.recovery = Recovery {
            // The first reason is the one that counts.
            lost: self.recovery.lost.take().or(Some(lost)),
            ..Recovery::default()
        };
    }

    /// Whether the run was asked for, and there is no connection over which it can be heard.
    pub(crate) fn is_detached(&self) -> bool {
        matches!(self.state, State::Detached)
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

    /// What to say when a lost connection cannot be made up for; `cause` is for the operator.
    pub(crate) fn lost(&self, cause: Option<Cause>) -> Failure {
        match &self.recovery.lost {
            Some(Failure::Lost { close_code, .. }) => Failure::Lost {
                close_code: *close_code,
                cause,
            },
            Some(other) => other.clone(),
            None => Failure::Protocol("a run was looked for that was not lost"),
        }
    }

    /// When [`Run::tick`] is due.
    pub(crate) fn wake_at_ms(&self) -> Option<u64> {
        match self.state {
            State::Pausing { until_ms } => Some(until_ms),
            State::Claiming { .. } | State::Waiting { .. } => Some(self.recovery.answer_by_ms),
            _ => None,
        }
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now_ms: u64, link: &mut Link, outbox: &mut Vec<String>) -> Result<(), Failure> {
        if self.wake_at_ms().is_none_or(|wake_at_ms| now_ms < wake_at_ms) {
            return Ok(());
        }
        if !matches!(self.state, State::Pausing { .. }) {
            return Err(self.lost(Some(Cause {
                code: "no_answer".into(),
                hint: "the gateway does not say what became of the run".into(),
            })));
        }
        if self.recovery.knowledge == Knowledge::Going {
            self.wait(WAIT_MS, now_ms, link, outbox)
        } else {
            self.claim(now_ms, link, outbox)
        }
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
                    if self.turn.may_exist && is_repeated(&reply, link) {
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

    /// The gateway told something of the run.
    fn hear(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        if self.recovery.knowledge != Knowledge::Ended {
            self.recovery.knowledge = Knowledge::Going;
        }
        self.accept(show);
    }

    /// Takes part in a run that somebody asked for before. What it said so far was not heard; the rest is told as after a loss.
    fn join(
        &mut self,
        reply: &AgentResult<'_>,
        now_ms: u64,
        link: &mut Link,
        outbox: &mut Vec<String>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        self.text.interrupt(false);
        self.look_after(now_ms);
        if reply.status == ACCEPTED || reply.status == IN_FLIGHT {
            self.wait(WAIT_MS, now_ms, link, outbox)
        } else {
            self.finish(reply, show)
        }
    }

    /// The final response may go to somebody else: it is to be claimed.
    fn look_after(&mut self, now_ms: u64) {
        self.recovery = Recovery {
            lost: Some(Failure::Lost {
                close_code: NO_STATUS,
                cause: None,
            }),
            knowledge: Knowledge::Going,
            since_ms: now_ms,
            pause_ms: FIRST_PAUSE_MS,
            ..Recovery::default()
        };
    }

    /// On another connection: hears the session's events again, and asks for what is remembered of the run.
    fn reattach(
        &mut self,
        protocol: Protocol,
        now_ms: u64,
        link: &mut Link,
        outbox: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let Some(target) = &mut self.target else {
            return Err(Failure::Protocol("a run was lost that was not asked for"));
        };
        target.protocol = protocol;
        self.recovery.since_ms = now_ms;
        self.recovery.pause_ms = FIRST_PAUSE_MS;
        self.subscription = subscribe(&target.agent, &target.session, protocol, link, outbox)?;
        self.claim(now_ms, link, outbox)
    }

    fn claim(&mut self, now_ms: u64, link: &mut Link, outbox: &mut Vec<String>) -> Result<(), Failure> {
        let params = AgentParams {
            message: "-",
            agent_id: NOBODY,
            session_key: None,
            channel: Some(NOWHERE),
            idempotency_key: self.turn.run.as_str(),
            extra_system_prompt: None,
            attachments: &[],
        };
        let claim = link.request("agent", &params, outbox)?;
        self.recovery.answer_by_ms = now_ms.saturating_add(ANSWER_MS);
        self.state = State::Claiming { claim };
        Ok(())
    }

    fn wait(&mut self, timeout_ms: u64, now_ms: u64, link: &mut Link, outbox: &mut Vec<String>) -> Result<(), Failure> {
        let params = RunParams {
            session_key: None,
            run_id: self.turn.run.as_str(),
            timeout_ms: Some(timeout_ms),
        };
        let wait = link.request("agent.wait", &params, outbox)?;
        self.recovery.answer_by_ms = now_ms.saturating_add(timeout_ms).saturating_add(ANSWER_MS);
        self.state = State::Waiting { wait };
        Ok(())
    }

    fn pause(&mut self, now_ms: u64) {
        self.state = State::Pausing {
            until_ms: now_ms.saturating_add(self.recovery.pause_ms),
        };
        self.recovery.pause_ms = self.recovery.pause_ms.saturating_mul(2).min(MAX_PAUSE_MS);
    }

    fn receive_claim(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        now_ms: u64,
        link: &mut Link,
        outbox: &mut Vec<String>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let overdue = now_ms >= self.recovery.since_ms.saturating_add(SETTLE_MS);
        match result {
            Ok(payload) => {
                let reply = read_result(payload)?;
                self.hear(show);
                if reply.status != ACCEPTED && reply.status != IN_FLIGHT {
                    self.finish(&reply, show)
                } else if self.recovery.knowledge != Knowledge::Ended {
                    self.wait(WAIT_MS, now_ms, link, outbox)
                } else if overdue {
                    Err(Failure::AnswerLost)
                } else {
                    self.pause(now_ms);
                    Ok(())
                }
            }
            // The final response of a run that failed.
            Err(Rejection { payload: Some(_), .. }) => {
                self.accept(show);
                self.end(Err(self.failed()), show);
                Ok(())
            }
            Err(rejection) => match &*rejection.error.code {
                // Nothing is remembered under the key.
                "INVALID_REQUEST" if self.recovery.knowledge == Knowledge::Ended => Err(Failure::AnswerLost),
                "INVALID_REQUEST" if self.recovery.knowledge != Knowledge::Sought => {
                    self.wait(SEEK_MS, now_ms, link, outbox)
                }
                "UNAVAILABLE" if !overdue => {
                    self.pause(now_ms);
                    Ok(())
                }
                "INVALID_REQUEST" => Err(self.lost(Some(Cause {
                    code: "run_unknown".into(),
                    hint: "the gateway does not know the run (any more): it was probably restarted".into(),
                }))),
                _ => Err(self.lost(refusal::failure(&rejection.error).cause())),
            },
        }
    }

    fn receive_wait(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        now_ms: u64,
        link: &mut Link,
        outbox: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let payload = result.map_err(|rejection| self.lost(refusal::failure(&rejection.error).cause()))?;
        let answer = read_result(payload)?;
        if answer.ended_at.is_some() || matches!(&*answer.status, "ok" | "error") {
            self.recovery.knowledge = Knowledge::Ended;
            self.recovery.since_ms = now_ms;
            self.recovery.pause_ms = FIRST_PAUSE_MS;
            return self.claim(now_ms, link, outbox);
        }
        if self.recovery.knowledge == Knowledge::Going {
            // A gateway about to end answers at once.
            self.pause(now_ms);
            return Ok(());
        }
        self.recovery.knowledge = Knowledge::Sought;
        self.claim(now_ms, link, outbox)
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
                    // Protocol 3 answers `accepted` to two who ask at once, and tells the end to the first of them only.
                    if self.turn.may_exist
                        && data.phase == "end"
                        && !self.is_v4()
                        && matches!(self.state, State::Running { .. })
                    {
                        self.look_after(now_ms);
                        self.pause(now_ms);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes the whole answer so far, where items no longer tell it.
    fn receive_chat(&mut self, payload: &RawValue, show: &mut impl FnMut(RunEvent<'_>)) -> Result<(), Failure> {
        // Protocol 3 joins the items by nothing, so that it cannot be told where one ends.
        if !self.text.is_interrupted() || !self.is_going() || !self.is_v4() {
            return Ok(());
        }
        let Ok(chat) = serde_json::from_str::<ChatEvent<'_>>(payload.get()) else {
            return Ok(());
        };
        if chat.run_id != self.turn.run.as_str() {
            return Ok(());
        }
        self.hear(show);
        let told = chat.state == "final";
        if let Some(message) = chat.message.filter(|_| told || chat.state == "delta") {
            let whole: String = message
                .payloads
                .iter()
                .filter_map(|part| part.text.as_deref())
                .collect();
            let fresh = self.text.update_whole(&whole)?;
            if !fresh.is_empty() {
                show(RunEvent::Text(fresh));
            }
            self.recovery.told = told;
        }
        Ok(())
    }

    fn receive_lifecycle(&mut self, data: &LifecycleData<'_>) {
        match &*data.phase {
            "start" => {
                self.provider_failure = None;
                self.finished_saying = false;
            }
            "finishing" => self.finished_saying = true,
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
            }
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

    /// The same after a connection was lost: what was not heard must be proven to be complete, or is made up for here.
    fn settle_interrupted(
        &mut self,
        result: &RunResult<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let said = || {
            let shown = result.payloads.iter().filter(|payload| !payload.is_error);
            shown.filter_map(|payload| payload.text.as_deref())
        };
        let fresh = if self.is_v4() {
            // Protocol 4 repeats the last message only.
            let last = result.meta.final_assistant_visible_text.as_deref();
            let last = last.or_else(|| said().next()).unwrap_or_default();
            match (self.text.is_settled(), self.recovery.told) {
                (true, true) => return Ok(()),
                (true, false) if self.text.ends_with(last) => return Ok(()),
                (false, true) => return Err(Failure::Retracted),
                _ => {}
            }
            let turns = agent_meta(result.meta.agent_meta).assistant_turns;
            self.text.update_last(last, turns.unwrap_or_default())?
        } else {
            // Protocol 3 repeats all of them.
            let all: Vec<&str> = said().collect();
            self.text.complete(&all.join(SEPARATOR))?
        };
        if !fresh.is_empty() {
            show(RunEvent::Text(fresh));
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
        .ok_or(Failure::Protocol("a response about the run cannot be read"))
}

/// Whether the response to `agent` tells of a run that was there before it was asked for here.
fn is_repeated(reply: &AgentResult<'_>, link: &Link) -> bool {
    reply.status != ACCEPTED || reply.accepted_at.is_some_and(|accepted_at| link.is_older(accepted_at))
}

fn read_list(payload: Option<&RawValue>) -> Option<AgentsList<'_>> {
    serde_json::from_str(payload?.get()).ok()
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
        completion: tokens.output,
    }
}
