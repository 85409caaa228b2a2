//! The start of a run: its agent, the content of its session, the request `agent`, and the
//! responses.

use serde_json::value::RawValue;

use crate::agent::AgentId;
use crate::failure::Failure;
use crate::gateway::frame::{AgentParams, AgentResult, AttachmentParams, NoParams};
use crate::gateway::link::{Link, Protocol, Rejection, RequestId};
use crate::gateway::memory::{self, Held, Look};
use crate::gateway::{agent_list, refusal};
use crate::turn::{AgentChoice, Earlier, Otherwise, RunEvent, SessionUse};

use super::io::Io;
use super::state::{ACCEPTED, IN_FLIGHT, Run, State, Target, read_result};
use super::subscription::subscribe;

/// The channel of the gateway's own endpoints. On protocol 4 it gives the `message` tool a target;
/// on protocol 3 no channel does. Source: OpenClaw 2026.9.6 and 2026.3.13, measured.
const CHANNEL: &str = "webchat";

/// Time for which a turn without an end counts as going, in milliseconds: a turn that was stopped
/// early or had no answer never gets one, and a tool may need long for its row.
const OPEN_MS: u64 = 3_600_000;

impl Run {
    /// Begins over a ready link: starts the run, or finds a run again that was started before.
    pub(super) fn begin(&mut self, protocol: Protocol, io: &mut Io<'_>) -> Result<(), Failure> {
        if self.is_detached() {
            return self.reattach(protocol, io);
        }
        match &self.turn.agent {
            AgentChoice::Named(agent) => self.look(agent.clone(), protocol, io),
            AgentChoice::GatewayDefault(_) => {
                let list = io.request("agents.list", &NoParams {})?;
                self.state = State::Choosing { list, protocol };
                Ok(())
            }
        }
    }

    /// Requests the session's last rows, if the turn depends on them; otherwise starts the run.
    fn look(&mut self, agent: AgentId, protocol: Protocol, io: &mut Io<'_>) -> Result<(), Failure> {
        if self.seek_in_copy(&agent, protocol, io)? {
            return Ok(());
        }
        self.look_at_session(agent, protocol, io)
    }

    pub(super) fn look_at_session(
        &mut self,
        agent: AgentId,
        protocol: Protocol,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        // A run that may exist may have begun before the gateway was restarted. Then it must not be
        // requested again. Rows have no ids on protocol 3.
        let is_row_sought = self.turn.may_exist || self.turn.origin.is_some();
        let look = if is_row_sought && protocol == Protocol::V4 {
            Look::Run
        } else if self.expects_content(protocol) {
            Look::Conversation
        } else {
            return self.start(agent, protocol, io);
        };
        let session = self.turn.session.key(&agent);
        let rows = memory::request(&session, look, io.link, io.outbox)?;
        self.state = State::Looking {
            rows,
            agent,
            protocol,
        };
        Ok(())
    }

    /// Returns true if the rows of the session decide about the message. Without an earlier answer
    /// they only do where a session can begin again.
    fn expects_content(&self, protocol: Protocol) -> bool {
        self.turn.earlier.as_ref().is_some_and(|earlier| {
            protocol == Protocol::V4 || !matches!(earlier.otherwise, Otherwise::Begin)
        })
    }

    /// Chooses the message by the rows of the session. If they are unknown, the whole conversation
    /// is sent. A part that is sent twice costs tokens, but a part that is missing is lost.
    ///
    /// Protocol 4 lets a session of ours begin again, which ends a run that it has. So such a run
    /// is left alone, and this one gets a session of its own. A session that a client named by its
    /// whole key has other users, so it never begins again.
    fn choose_message(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        agent: &AgentId,
        protocol: Protocol,
        io: &Io<'_>,
    ) -> Result<(), Failure> {
        let Some(Earlier { turns, otherwise }) = self.turn.earlier.take() else {
            return Ok(());
        };
        let content = match result {
            Ok(payload) => memory::compare(payload, &turns, &self.turn.message),
            Err(rejection) if rejection.error.code == "UNAVAILABLE" => {
                return Err(refusal::failure(&rejection.error));
            }
            // Happens for an unknown agent too: the response to `agent` gives the better reason.
            Err(_) => None,
        };
        let held = content.map(|content| content.held);
        let open_at_ms = content.and_then(|content| content.open_at_ms);
        let is_busy = self.is_session_busy
            || open_at_ms
                .is_some_and(|at_ms| !io.link.is_older(at_ms.saturating_add(OPEN_MS), io.now_ms));
        let is_ours = protocol == Protocol::V4 && !self.turn.session.key(agent).is_raw(agent);
        // The HTTP endpoint cannot let a session begin again.
        let can_renew = !is_busy && self.turn.tools.is_none();
        let again = match (is_ours, can_renew) {
            (false, _) => SessionUse::Added,
            (true, true) => SessionUse::Renewed,
            (true, false) => SessionUse::Aside,
        };
        let (chosen, whole) = match (held, otherwise) {
            (Some(Held::Nothing | Held::Other), Otherwise::Refuse(failure)) => return Err(failure),
            (Some(_), Otherwise::Send(whole)) if again == SessionUse::Aside => (again, Some(whole)),
            // The other run's message comes first.
            (Some(Held::Nothing), Otherwise::Send(whole)) if is_busy => (again, Some(whole)),
            (Some(Held::Nothing), Otherwise::Send(whole)) => (SessionUse::Begun, Some(whole)),
            (Some(Held::Nothing), _) if is_busy => (SessionUse::Unverified, None),
            (Some(Held::Nothing), _) => (SessionUse::Begun, None),
            (Some(Held::Same), _) if self.is_origin_unknown => (SessionUse::Unverified, None),
            (Some(Held::Same), _) => (SessionUse::Continued, None),
            (Some(Held::Changed), Otherwise::Send(whole)) if is_ours => (again, Some(whole)),
            (Some(Held::Changed), Otherwise::Begin) if is_ours => (again, None),
            (Some(Held::Other), Otherwise::Send(whole)) => (again, Some(whole)),
            (None, Otherwise::Send(whole)) => (SessionUse::Added, Some(whole)),
            _ => (SessionUse::Unverified, None),
        };
        if let Some(whole) = whole {
            self.turn.message = whole.message;
            self.turn.answered_images = whole.images.len();
            self.turn.attachments.splice(..0, whole.images);
        }
        if chosen == SessionUse::Aside {
            self.turn.session = self.turn.session.aside(self.turn.run.as_str());
        }
        self.session_use = Some(chosen);
        Ok(())
    }

    /// Requests the run.
    pub(super) fn start(
        &mut self,
        agent: AgentId,
        protocol: Protocol,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        self.turn.origin = None;
        if self.turn.tools.is_some() {
            return self.start_at_endpoint(agent, protocol);
        }
        let session = self.turn.session.key(&agent);
        // Sent before `agent` without waiting for its response. Each text event holds the whole
        // text, so an event before the subscription takes effect is not missed.
        let before = io.outbox.len();
        self.subscription = subscribe(&agent, &session, protocol, io)?;
        let target = Target {
            agent,
            session,
            protocol,
        };
        self.ask(target, io)
            .inspect_err(|_| io.outbox.truncate(before))
    }

    /// Sends the request `agent`.
    fn ask(&mut self, target: Target, io: &mut Io<'_>) -> Result<(), Failure> {
        let Target {
            agent,
            session,
            protocol,
        } = &target;
        let protocol = *protocol;
        let attachments: Vec<_> = self
            .turn
            .attachments
            .iter()
            .zip(1..)
            .map(|(attachment, number)| AttachmentParams {
                kind: "image",
                mime_type: attachment.mime_type(),
                file_name: attachment.file_name(number),
                content: &attachment.content,
            })
            .collect();
        let params = AgentParams {
            message: &self.turn.message,
            agent_id: agent.as_str(),
            session_key: Some(session.as_str()),
            channel: (protocol == Protocol::V4).then_some(CHANNEL),
            session_id: (self.session_use == Some(SessionUse::Renewed))
                .then(|| self.turn.run.as_str()),
            idempotency_key: self.turn.run.as_str(),
            extra_system_prompt: self.turn.extra_system_prompt.as_deref(),
            thinking: self
                .turn
                .thinking
                .as_deref()
                .filter(|_| protocol == Protocol::V4),
            attachments: &attachments,
        };
        let traceparent = self
            .turn
            .traceparent
            .as_deref()
            .filter(|_| protocol == Protocol::V4);
        let request = io
            .link
            .traced_request("agent", &params, traceparent, io.outbox)?;
        let boot_id = io.link.boot_id();
        if protocol == Protocol::V3 || self.may_have_started || boot_id.is_empty() {
            self.free_request();
        } else {
            self.asked_of = Some(boot_id.to_owned());
        }
        self.target = Some(target);
        self.state = State::Starting { agent: request };
        self.asked_ms = io.now_ms;
        self.own = Some(request);
        self.may_have_started = true;
        Ok(())
    }

    /// Takes a response to a request of the run, except those about a recovery.
    pub(super) fn receive_response(
        &mut self,
        id: RequestId,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        match &self.state {
            State::Choosing { list, protocol } if *list == id => {
                let protocol = *protocol;
                let agent = self.choose(result)?;
                self.look(agent, protocol, io)
            }
            State::Looking {
                rows,
                agent,
                protocol,
            } if *rows == id => {
                let (agent, protocol) = (agent.clone(), *protocol);
                if protocol == Protocol::V4 && self.turn.may_exist {
                    check_look(&result)?;
                }
                if let (Ok(payload), Protocol::V4, true) = (&result, protocol, self.turn.may_exist)
                    && let Some(recorded) = memory::recorded(*payload, &self.turn.run)?
                {
                    return self.recall(recorded, agent, io, show);
                }
                if let (Ok(payload), Protocol::V4) = (&result, protocol)
                    && (self.seek_aside(*payload, &agent, io)?
                        || self.branch_off(*payload, &agent, io)?)
                {
                    return Ok(());
                }
                self.choose_message(result, &agent, protocol, io)?;
                self.start(agent, protocol, io)
            }
            State::Branching { asked, agent, step } if *asked == id => {
                let (agent, step) = (agent.clone(), step.clone());
                self.receive_branch(&step, agent, result, io, show)
            }
            State::Starting { agent } if *agent == id => self.receive_start(id, result, io, show),
            State::Running { agent } if *agent == id => self.receive_later(&result, io, show),
            State::Explaining { list, refused } if *list == id => {
                let refused = refused.clone();
                Err(if self.is_unknown_agent(result) {
                    Failure::ModelNotFound
                } else {
                    refused
                })
            }
            // We were polling because the final response might go to another connection; it came
            // over this one.
            State::Claiming { .. } | State::Waiting { .. } | State::Pausing { .. }
                if self.own == Some(id) =>
            {
                self.receive_later(&result, io, show)
            }
            _ => Ok(()),
        }
    }

    /// Takes a response to `agent` after the run has begun.
    fn receive_later(
        &mut self,
        result: &Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let Ok(payload) = result else {
            self.end(Err(self.failed()), show);
            return Ok(());
        };
        let reply = read_result(*payload)?;
        let is_running = matches!(self.state, State::Running { .. });
        match &*reply.status {
            IN_FLIGHT if is_running => self.join(&reply, io, show),
            // The acceptance may come after the run's first event, and after we began to poll.
            ACCEPTED | IN_FLIGHT => Ok(()),
            _ => self.finish(&reply, io, show),
        }
    }

    /// Takes the first response to `agent`.
    fn receive_start(
        &mut self,
        agent: RequestId,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        match result {
            Ok(payload) => {
                let reply = read_result(payload)?;
                self.state = State::Running { agent };
                self.accept(show);
                self.check_subscription()?;
                // A request that its own retry overtook also gets `in_flight`.
                if reply.status == IN_FLIGHT
                    || (self.turn.may_exist && self.is_repeated(&reply, io.link))
                {
                    self.join(&reply, io, show)
                } else if reply.status == ACCEPTED {
                    Ok(())
                } else {
                    self.finish(&reply, io, show)
                }
            }
            // The final response of a failed run that an earlier request started.
            Err(Rejection {
                payload: Some(_), ..
            }) if self.turn.may_exist => {
                self.note_joined();
                self.accept(show);
                self.end(Err(self.failed()), show);
                Ok(())
            }
            Err(rejection) => self.refuse(&rejection, io),
        }
    }

    /// Returns true if the response to `agent` is about a run that existed before this request.
    fn is_repeated(&self, reply: &AgentResult<'_>, link: &Link) -> bool {
        let is_older = |accepted_at| link.is_older(accepted_at, self.asked_ms);
        reply.status != ACCEPTED || reply.accepted_at.is_some_and(is_older)
    }

    /// Takes the refusal of `agent`. The gateway has one code for every mistake, so we request the
    /// list of agents to see whether the agent is unknown.
    fn refuse(&mut self, rejection: &Rejection<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
        let refused = refusal::failure(&rejection.error);
        self.may_have_started = false;
        // It refuses an image for a model that reads none, and for its size.
        let is_kept = self.keeps_request() && rejection.error.code == "INVALID_REQUEST";
        if is_kept
            && self.turn.drop_answered_images()
            && let Some(target) = self.target.take()
        {
            return self.ask(target, io);
        }
        self.free_request();
        self.state = State::Ended;
        match &*rejection.error.code {
            "INVALID_REQUEST" => {}
            // The scopes for `agent` were checked at hello, so the message itself needs more.
            // Source: OpenClaw 2026.9.6, `/new` and `/reset` need operator.admin.
            "FORBIDDEN" => return Err(Failure::CommandNotAllowed),
            _ => return Err(refused),
        }
        let list = io.request("agents.list", &NoParams {})?;
        self.state = State::Explaining { list, refused };
        Ok(())
    }

    /// Returns the gateway's default agent, if this client may reach it.
    fn choose(&self, result: Result<Option<&RawValue>, Rejection<'_>>) -> Result<AgentId, Failure> {
        let payload = result.map_err(|rejection| refusal::failure(&rejection.error))?;
        let known = agent_list::read(payload).ok_or(Failure::GatewayProtocolError(
            "the response to agents.list cannot be read",
        ))?;
        let AgentChoice::GatewayDefault(allowed) = &self.turn.agent else {
            return Err(Failure::Bug("an agent was chosen that was not asked for"));
        };
        known
            .default_agent
            .filter(|agent| allowed.allows(agent))
            .ok_or(Failure::ModelNotFound)
    }

    /// Returns true if the gateway's list does not have the agent that it has just refused to run.
    fn is_unknown_agent(&self, result: Result<Option<&RawValue>, Rejection<'_>>) -> bool {
        let (Ok(payload), Some(target)) = (result, &self.target) else {
            return false;
        };
        agent_list::read(payload).is_some_and(|known| !known.agents.contains(&target.agent))
    }
}

/// Checks that the session's rows show whether a run that its client named exists. Without them the
/// run is not requested, because it may exist, and would then have its effects twice. The code for
/// an unknown agent passes: no session of that agent has the run, and the response to `agent` gives
/// the better reason.
pub(super) fn check_look(result: &Result<Option<&RawValue>, Rejection<'_>>) -> Result<(), Failure> {
    match result {
        Ok(payload) if memory::has_rows(*payload) => Ok(()),
        Ok(_) => Err(Failure::GatewayProtocolError(
            "the session's rows cannot be read",
        )),
        Err(rejection) if rejection.error.code == "INVALID_REQUEST" => Ok(()),
        Err(rejection) => Err(refusal::failure(&rejection.error)),
    }
}
