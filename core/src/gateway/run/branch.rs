//! A turn that goes on from an earlier response of its session (protocol 4).
//!
//! The rows of the session show whether other turns followed the response. If so, the gateway
//! copies the session up to there, with the calls of tools and the images, and the run is in the
//! copy. `sessions.fork` chooses the copy's key itself, so a second copy gets a key of ours, and
//! the first one is deleted. Source: OpenClaw 2026.9.6, measured.

use serde_json::value::RawValue;

use crate::agent::AgentId;
use crate::failure::Failure;
use crate::gateway::frame::{
    ArchiveParams, CopyParams, CopyResult, DeleteParams, ErrorShape, ForkParams, ForkResult,
};
use crate::gateway::link::{Protocol, Rejection, RequestId};
use crate::gateway::memory::{self, After, Look};
use crate::gateway::refusal;
use crate::parse::{self, Value};
use crate::session::Session;
use crate::turn::{Earlier, Otherwise, RunEvent, SessionUse};

use super::io::Io;
use super::start::check_look;
use super::state::{Run, State, Step};

/// The end of the idempotency key of a copy: two requests for a run make one copy.
const COPY_SUFFIX: &str = ":branch";

impl Run {
    /// Looks for the run in the copy that an earlier attempt may have made. Returns false if there
    /// is no such copy.
    pub(super) fn seek_in_copy(
        &mut self,
        agent: &AgentId,
        protocol: Protocol,
        io: &mut Io<'_>,
    ) -> Result<bool, Failure> {
        let copy = self.copy().filter(|_| self.turn.may_exist);
        let Some(copy) = copy.filter(|_| protocol == Protocol::V4) else {
            return Ok(false);
        };
        let asked = memory::request(&copy.key(agent), Look::Run, io.link, io.outbox)?;
        self.enter(asked, agent.clone(), Step::Seek);
        Ok(true)
    }

    /// Asks for a copy of the session up to the response that the turn goes on from, if other turns
    /// followed it. Returns false if none did, or if it is unknown.
    pub(super) fn branch_off(
        &mut self,
        rows: Option<&RawValue>,
        agent: &AgentId,
        io: &mut Io<'_>,
    ) -> Result<bool, Failure> {
        let Some(origin) = &self.turn.origin else {
            return Ok(false);
        };
        let session = self.turn.session.key(agent);
        let entry = match memory::turn_after(rows, &origin.run) {
            After::Nothing => return Ok(false),
            // Others use a session that a client named by its whole key.
            After::Message(entry) if !session.is_raw(agent) => entry,
            _ => {
                self.is_origin_unknown = true;
                return Ok(false);
            }
        };
        if origin.session.is_none() && self.is_session_busy {
            // The gateway would end the run that the session has, if it has not begun.
            return Err(refusal::failure(&ErrorShape {
                code: "UNAVAILABLE".into(),
                ..ErrorShape::default()
            }));
        }
        if let Some(of) = self.fork.clone() {
            self.request_copy(of, agent, io)?;
            return Ok(true);
        }
        let params = ForkParams {
            session_key: session.as_str(),
            entry_id: &entry,
        };
        let asked = io.request("sessions.fork", &params)?;
        self.enter(asked, agent.clone(), Step::Fork);
        Ok(true)
    }

    /// Looks for a run that may exist, and that its session does not have, in the session of its
    /// own that it may have got because another run was going. The other run's message makes the
    /// session another conversation's. Returns false if it cannot have such a session.
    pub(super) fn seek_aside(
        &mut self,
        rows: Option<&RawValue>,
        agent: &AgentId,
        io: &mut Io<'_>,
    ) -> Result<bool, Failure> {
        let earlier = self.turn.earlier.as_ref();
        let earlier = earlier.filter(|_| self.turn.may_exist && !self.is_not_aside);
        let may_be_aside = earlier.is_some_and(|Earlier { turns, otherwise }| {
            let held = memory::compare(rows, turns, &self.turn.message);
            let is_other = held.is_some_and(|content| content.held.is_other());
            is_other && !matches!(otherwise, Otherwise::Refuse(_))
        });
        if !may_be_aside || self.turn.session.key(agent).is_raw(agent) {
            return Ok(false);
        }
        self.is_not_aside = true;
        let aside = self.turn.session.aside(self.turn.run.as_str()).key(agent);
        let asked = memory::request(&aside, Look::Run, io.link, io.outbox)?;
        self.enter(asked, agent.clone(), Step::SeekAside);
        Ok(true)
    }

    /// Takes the response to a step's request.
    pub(super) fn receive_branch(
        &mut self,
        step: &Step,
        agent: AgentId,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        if let Step::Seek | Step::SeekAside = step {
            check_look(&result)?;
            let rows = result.ok().flatten();
            let recorded = memory::recorded(rows, &self.turn.run)?;
            if let (Step::SeekAside, Some(recorded)) = (step, &recorded) {
                self.turn.session = self.turn.session.aside(self.turn.run.as_str());
                return self.recall(recorded.clone(), agent, io, show);
            }
            if matches!(step, Step::SeekAside) || memory::is_empty(rows) {
                return self.look_at_session(agent, Protocol::V4, io);
            }
            self.enter_copy(show);
            // Nobody else knows the copy, so nothing was added to it.
            return match recorded {
                Some(recorded) => self.recall(recorded, agent, io, show),
                None => self.start_in_copy(agent, io),
            };
        }
        let payload = result.map_err(|rejection| refusal::failure(&rejection.error))?;
        let Step::Copy { of } = step else {
            let forked: ForkResult<'_> = read(payload).ok_or(Failure::GatewayProtocolError(
                "the response to sessions.fork cannot be read",
            ))?;
            let of = forked.session_key.into_owned();
            self.fork = Some(of.clone());
            return self.request_copy(of, &agent, io);
        };
        let copied: Option<CopyResult<'_>> = read(payload);
        self.enter_copy(show);
        self.start_in_copy(agent, io)?;
        if let Some(source) = copied.and_then(|copied| copied.entry.fork_source) {
            tidy(of, &source.session_id, io);
        }
        Ok(())
    }

    fn start_in_copy(&mut self, agent: AgentId, io: &mut Io<'_>) -> Result<(), Failure> {
        self.session_use = Some(SessionUse::Branched);
        self.turn.earlier = None;
        self.start(agent, Protocol::V4, io)
    }

    fn request_copy(
        &mut self,
        of: String,
        agent: &AgentId,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let target = self.copy().unwrap_or(&self.turn.session).key(agent);
        let params = CopyParams {
            key: target.as_str(),
            agent_id: agent.as_str(),
            parent_session_key: &of,
            fork: true,
            idempotency_key: &[self.turn.run.as_str(), COPY_SUFFIX].concat(),
        };
        let asked = io.request("sessions.create", &params)?;
        self.enter(asked, agent.clone(), Step::Copy { of });
        Ok(())
    }

    /// Returns the session that the run gets if the turn branches off, unless it is the same one.
    fn copy(&self) -> Option<&Session> {
        self.turn.origin.as_ref()?.session.as_ref()
    }

    fn enter(&mut self, asked: RequestId, agent: AgentId, step: Step) {
        self.state = State::Branching { asked, agent, step };
    }

    /// From here on the run and the turns after it are in the copy.
    fn enter_copy(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        if let Some(copy) = self.turn.origin.take().and_then(|origin| origin.session) {
            self.turn.session = copy;
        }
        show(RunEvent::Branched);
    }
}

/// Deletes the first copy. Nothing waits for it: a copy that stays is only in the operator's list.
fn tidy(key: &str, session_id: &str, io: &mut Io<'_>) {
    let archive = ArchiveParams {
        key,
        archived: true,
        expected_session_id: session_id,
    };
    let delete = DeleteParams {
        key,
        archived_only: true,
        delete_transcript: true,
        expected_session_id: session_id,
    };
    if io.request("sessions.patch", &archive).is_ok() {
        let _ = io.request("sessions.delete", &delete);
    }
}

fn read<'a, T: Value<'a>>(payload: Option<&'a RawValue>) -> Option<T> {
    parse::from_str(payload?.get()).ok()
}
