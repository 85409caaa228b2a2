//! A run on another connection than the one that requested it: after that connection was lost, or
//! when another request started the run.

use serde_json::value::RawValue;

use crate::agent::AgentId;
use crate::failure::{Cause, Failure};
use crate::gateway::answer::{AnswerText, Attempts, Emitted, MAX_ANSWER_BYTES};
use crate::gateway::frame::{AgentParams, AgentResult, ChatEvent, Json, RunParams};
use crate::gateway::link::{Protocol, Rejection};
use crate::gateway::memory::{self, Look, Recorded};
use crate::gateway::refusal;
use crate::turn::RunEvent;

use super::io::Io;
use super::silence::SILENCE;
use super::state::{
    ACCEPTED, ANSWER_MS, FIRST_PAUSE_MS, IN_FLIGHT, Knowledge, Recovery, Run, Search, State,
    Target, UserQuestion, read_result,
};
use super::subscription::subscribe;

/// An agent and a channel that exist on no gateway: see the module above.
const NOBODY: &str = "clawfront-nobody";
const NOWHERE: &str = "clawfront-nowhere";

/// Duration of one `agent.wait` for a run that is going; the next follows.
pub(super) const WAIT_MS: u64 = 20_000;

/// Time limit for a run that the gateway does not know, in milliseconds. Its request may still be
/// on its way through a proxy. Protocol 3 forgets after five minutes that a run was accepted, but
/// not that it continues.
const SEEK_MS: u64 = 10_000;

/// Age of a request up to which it may be made once more, in milliseconds. It is less than the
/// gateway's own five minutes.
const ASK_AGAIN_MS: u64 = 240_000;

/// Time from the end of a run until its final response must be remembered, in milliseconds: 10 to
/// 100 ms were measured.
const SETTLE_MS: u64 = 15_000;

/// Longest pause between two questions about the same run.
const MAX_PAUSE_MS: u64 = 1_000;

impl Run {
    /// Records that the connection was lost, and the reason. Its earlier frames no longer matter.
    pub(crate) fn detach(&mut self, lost: Failure) {
        self.state = State::Detached;
        self.subscription = None;
        self.own = None;
        self.unsubscribed = None;
        self.settle_again();
        self.postpone_question();
        // No text of a continuation was shown before it is known.
        if self.yielded.is_none() {
            self.text.interrupt(self.emitted);
        }
        self.attempts = Attempts::Unknown;
        self.recovery = Recovery {
            // Only the first reason counts.
            lost: self.recovery.lost.take().or(Some(lost)),
            ..Recovery::default()
        };
    }

    /// Returns the failure for a lost connection that cannot be replaced; `cause` is for the
    /// operator.
    pub(crate) fn lost(&self, cause: Option<Cause>) -> Failure {
        match &self.recovery.lost {
            Some(Failure::GatewayConnectionLost { close_code, .. }) => {
                Failure::GatewayConnectionLost {
                    close_code: *close_code,
                    cause,
                }
            }
            Some(other) => other.clone(),
            None => Failure::Bug("a run was looked for that was not lost"),
        }
    }

    /// Returns the time at which [`Run::tick`] is due.
    pub(crate) fn wake_at_ms(&self) -> Option<u64> {
        let due_ms = match self.state {
            State::Pausing { until_ms } => Some(until_ms),
            State::Claiming { .. } | State::Waiting { .. } | State::Rereading { .. } => {
                Some(self.recovery.answer_by_ms)
            }
            State::Yielded { search } => Some(search.due_ms()),
            _ => None,
        };
        due_ms.into_iter().chain(self.question_due_ms()).min()
    }

    /// Does the steps that are due at this time.
    pub(crate) fn tick(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        if self
            .wake_at_ms()
            .is_none_or(|wake_at_ms| io.now_ms < wake_at_ms)
        {
            return Ok(());
        }
        if self
            .question_due_ms()
            .is_some_and(|due_ms| io.now_ms >= due_ms)
        {
            return self.read_question(io);
        }
        if let State::Yielded {
            search: Search::Pause { .. },
        } = self.state
        {
            return self.search(io);
        }
        if !matches!(self.state, State::Pausing { .. }) {
            return Err(self.lost(Some(Cause::new(
                "no_answer",
                "the gateway does not say what became of the run",
            ))));
        }
        if self.recovery.knowledge == Knowledge::Going {
            self.wait(WAIT_MS, io)
        } else {
            self.claim(io)
        }
    }

    /// Records that the run existed before this request, unless this request was made before.
    pub(super) fn note_joined(&mut self) {
        self.is_joined |= self.recovery.lost.is_none();
    }

    /// Joins a run that an earlier request started. Its text so far was not received; the rest is
    /// handled as after a loss.
    pub(super) fn join(
        &mut self,
        reply: &AgentResult<'_>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        self.note_joined();
        self.session_use = None;
        self.text.interrupt(Emitted::Part);
        self.look_after(io.now_ms);
        if reply.status == ACCEPTED || reply.status == IN_FLIGHT {
            self.wait(WAIT_MS, io)
        } else {
            self.finish(reply, io, show)
        }
    }

    /// Joins a run that the session already has. It is claimed, and never requested.
    pub(super) fn recall(
        &mut self,
        recorded: Recorded,
        agent: AgentId,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let session = self.turn.session.key(&agent);
        let protocol = Protocol::V4;
        self.target = Some(Target {
            agent,
            session,
            protocol,
        });
        self.may_have_started = true;
        self.note_joined();
        self.text.interrupt(Emitted::Part);
        self.look_after(io.now_ms);
        self.recovery.recorded = Some(recorded);
        self.accept(show);
        self.reattach(protocol, io)
    }

    /// Shows the session's record of a run.
    pub(super) fn show_recorded(
        &mut self,
        recorded: Recorded,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        match recorded {
            Recorded::Answered { text, .. } if text.len() > MAX_ANSWER_BYTES => {
                Err(Failure::AnswerTooLarge {
                    limit_bytes: MAX_ANSWER_BYTES,
                })
            }
            // On this protocol the gateway fails such a run.
            Recorded::Answered { text, .. } if text.trim() == SILENCE => Err(self.failed()),
            Recorded::Answered {
                text,
                question,
                summary,
            } => {
                self.outgoing.push(&text, show);
                if let Some(question) = question {
                    self.outgoing.ask(&question, show);
                }
                self.outgoing.finish_run(&[], Vec::new(), show);
                self.show_files(show);
                self.end(Ok(summary), show);
                Ok(())
            }
            Recorded::Failed => Err(self.failed()),
            Recorded::Aborted => Err(Failure::RunAborted),
            Recorded::Unfinished => Err(Failure::RunInterrupted),
            Recorded::Unreadable => Err(Failure::AnswerLost),
        }
    }

    /// Begins on another connection: subscribes to the session's events again, and claims the run.
    pub(super) fn reattach(&mut self, protocol: Protocol, io: &mut Io<'_>) -> Result<(), Failure> {
        let Some(target) = &mut self.target else {
            return Err(Failure::Bug("a run was lost that was not asked for"));
        };
        target.protocol = protocol;
        self.recovery.since_ms = io.now_ms;
        self.recovery.pause_ms = FIRST_PAUSE_MS;
        self.subscription = subscribe(&target.agent, &target.session, protocol, io)?;
        if self.yielded.is_some() {
            return self.search(io);
        }
        self.claim(io)
    }

    pub(super) fn claim(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        let params = AgentParams {
            message: "-",
            agent_id: NOBODY,
            session_key: None,
            channel: Some(NOWHERE),
            session_id: None,
            idempotency_key: self.name.id(),
            extra_system_prompt: None,
            thinking: None,
            attachments: &[],
        };
        let claim = io.request("agent", &params)?;
        self.recovery.answer_by_ms = io.now_ms.saturating_add(ANSWER_MS);
        self.state = State::Claiming { claim };
        Ok(())
    }

    pub(super) fn wait(&mut self, timeout_ms: u64, io: &mut Io<'_>) -> Result<(), Failure> {
        let params = RunParams {
            session_key: None,
            run_id: self.name.id(),
            timeout_ms: Some(timeout_ms),
        };
        let wait = io.request("agent.wait", &params)?;
        self.recovery.answer_by_ms = io
            .now_ms
            .saturating_add(timeout_ms)
            .saturating_add(ANSWER_MS);
        self.state = State::Waiting { wait };
        Ok(())
    }

    pub(super) fn pause(&mut self, now_ms: u64) {
        self.state = State::Pausing {
            until_ms: now_ms.saturating_add(self.recovery.pause_ms),
        };
        self.recovery.pause_ms = self.recovery.pause_ms.saturating_mul(2).min(MAX_PAUSE_MS);
    }

    pub(super) fn receive_claim(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        if self.yielded.is_some() {
            return self.receive_continuation_claim(result, io, show);
        }
        match result {
            Ok(payload) => self.receive_claimed(&read_result(payload)?, io, show),
            // The final response of a run that failed.
            Err(Rejection {
                payload: Some(_), ..
            }) if self.awaits_late() && self.text.is_empty() => {
                self.await_late(None, self.spent, io, show)
            }
            Err(Rejection {
                payload: Some(_), ..
            }) => {
                self.accept(show);
                self.end(Err(self.failed()), show);
                Ok(())
            }
            Err(rejection)
                if rejection.error.code == "INVALID_REQUEST"
                    && self.recovery.recorded.is_some() =>
            {
                self.recovery
                    .recorded
                    .take()
                    .map_or(Ok(()), |recorded| self.show_recorded(recorded, show))
            }
            // Nothing more came of the work.
            Err(rejection)
                if rejection.error.code == "INVALID_REQUEST"
                    && self.awaits_late()
                    && self.text.is_empty() =>
            {
                self.await_late(None, self.spent, io, show)
            }
            Err(rejection) => match &*rejection.error.code {
                // Nothing is remembered under the key.
                "INVALID_REQUEST" if self.recovery.knowledge == Knowledge::Ended => {
                    Err(Failure::AnswerLost)
                }
                "INVALID_REQUEST" if self.may_be_asked_again(io) => self.look_again(io),
                "INVALID_REQUEST" if self.recovery.knowledge != Knowledge::Sought => {
                    self.wait(SEEK_MS, io)
                }
                "UNAVAILABLE" if !self.is_overdue(io.now_ms) => {
                    self.pause(io.now_ms);
                    Ok(())
                }
                "INVALID_REQUEST" => Err(self.lost(Some(Cause::new(
                    "run_unknown",
                    "the gateway does not know the run (any more): it was probably restarted",
                )))),
                _ => Err(self.lost(refusal::failure(&rejection.error).cause())),
            },
        }
    }

    /// Returns true if the request for the run cannot have arrived, and a second one could not
    /// start a second run: the same process of the gateway does not know the run's key. It keeps
    /// the key of a run in the same step in which it looks for an earlier one, and for five
    /// minutes. Source: OpenClaw 2026.9.6, `agent-turn-service.ts`, read; protocol 3 has awaits in
    /// between, and does not name its process.
    fn may_be_asked_again(&self, io: &Io<'_>) -> bool {
        self.recovery.knowledge == Knowledge::Nothing
            && !self.has_begun
            && self.asked_of.as_deref() == Some(io.link.boot_id())
            && io.now_ms < self.asked_ms.saturating_add(ASK_AGAIN_MS)
    }

    /// Looks for the run in the session before it is asked for once more, because a gateway under
    /// load forgets keys earlier: it keeps 1000.
    fn look_again(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        let Some(Target {
            agent,
            session,
            protocol,
        }) = self.target.clone()
        else {
            return Err(Failure::Bug("a run was lost that was not asked for"));
        };
        let rows = memory::request(&session, Look::Run, io.link, io.outbox)?;
        // The first request may still arrive, and then it has the run.
        self.turn.may_exist = true;
        self.text = AnswerText::default();
        self.state = State::Looking {
            rows,
            agent,
            protocol,
        };
        Ok(())
    }

    /// Takes the response to a claim from a gateway that has the run.
    fn receive_claimed(
        &mut self,
        reply: &AgentResult<'_>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        self.record_going(show);
        if reply.status != ACCEPTED && reply.status != IN_FLIGHT {
            return self.finish(reply, io, show);
        }
        let recorded = self.recovery.recorded.take();
        if let Some(UserQuestion::Shown(_)) = self.question {
            // The request to stop the run was lost.
            self.write_abort(io.link, io.outbox);
        } else if let Some(Recorded::Answered {
            question: Some(_), ..
        }) = recorded
        {
            self.expect_question(io.now_ms);
        }
        if self.recovery.knowledge != Knowledge::Ended {
            self.wait(WAIT_MS, io)
        } else if self.is_overdue(io.now_ms) {
            Err(Failure::AnswerLost)
        } else {
            self.pause(io.now_ms);
            Ok(())
        }
    }

    /// Returns true if the gateway should remember the final response by now.
    pub(super) fn is_overdue(&self, now_ms: u64) -> bool {
        now_ms >= self.recovery.since_ms.saturating_add(SETTLE_MS)
    }

    pub(super) fn receive_wait(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let payload = match result {
            Ok(payload) => payload,
            // The gateway has too much to do.
            Err(rejection) if rejection.error.code == "UNAVAILABLE" => {
                self.pause(io.now_ms);
                return Ok(());
            }
            Err(rejection) => return Err(self.lost(refusal::failure(&rejection.error).cause())),
        };
        let answer = read_result(payload)?;
        if answer.ended_at.is_some() || matches!(&*answer.status, "ok" | "error") {
            self.recovery.knowledge = Knowledge::Ended;
            self.recovery.since_ms = io.now_ms;
            self.recovery.pause_ms = FIRST_PAUSE_MS;
            return self.claim(io);
        }
        if self.recovery.knowledge == Knowledge::Going {
            // A gateway that is about to stop answers at once.
            self.pause(io.now_ms);
            return Ok(());
        }
        self.recovery.knowledge = Knowledge::Sought;
        self.claim(io)
    }

    /// Takes the whole answer so far, if items no longer carry it.
    pub(super) fn receive_chat(
        &mut self,
        payload: Json<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        if !self.needs_chat() || !self.is_going() {
            return Ok(());
        }
        let Some(chat) = payload.read::<ChatEvent<'_>>() else {
            return Ok(());
        };
        if chat.run_id != self.id() {
            return Ok(());
        }
        self.record_going(show);
        let is_whole = chat.state == "final";
        if let Some(message) = chat.message.filter(|_| is_whole || chat.state == "delta") {
            let whole: String = message
                .payloads
                .iter()
                .filter_map(|part| part.text.as_deref())
                .collect();
            let fresh = self.text.update_whole(&whole)?;
            self.outgoing.push(fresh, show);
            self.recovery.has_whole_text = is_whole;
        }
        Ok(())
    }
}
