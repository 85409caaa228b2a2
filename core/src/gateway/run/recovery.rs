//! A run on another connection than the one that it was asked for on: after that one was lost, or when somebody else asked for it.

use serde_json::value::RawValue;

use crate::error::{Cause, Failure};
use crate::gateway::frame::{AgentParams, AgentResult, ChatEvent, Json, RunParams, RunResult};
use crate::gateway::link::{Link, Protocol, Rejection};
use crate::gateway::refusal;
use crate::turn::RunEvent;

use super::{ACCEPTED, IN_FLIGHT, Run, State, agent_meta, read_result, said, subscribe};

/// An agent and a channel that no gateway has: see the module above.
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

/// In the place of a close code where no connection was closed (RFC 6455 section 7.4.1).
const NO_STATUS: u16 = 1005;

/// What is known of a run on another connection than the one that it was started on.
#[derive(Debug, Clone, Default)]
pub(super) struct Recovery {
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

impl Run {
    /// The connection was lost, for this reason. What came over it means nothing any more.
    pub(crate) fn detach(&mut self, lost: Failure) {
        self.state = State::Detached;
        self.subscription = None;
        self.own = None;
        self.unsubscribed = None;
        self.text.interrupt(self.finished_saying);
        self.at_first_attempt = false;
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
            return Err(self.lost(Some(Cause::new(
                "no_answer",
                "the gateway does not say what became of the run",
            ))));
        }
        if self.recovery.knowledge == Knowledge::Going {
            self.wait(WAIT_MS, now_ms, link, outbox)
        } else {
            self.claim(now_ms, link, outbox)
        }
    }

    /// Takes part in a run that somebody asked for before. What it said so far was not heard; the rest is told as after a loss.
    pub(super) fn join(
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
    pub(super) fn look_after(&mut self, now_ms: u64) {
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
    pub(super) fn reattach(
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

    pub(super) fn claim(&mut self, now_ms: u64, link: &mut Link, outbox: &mut Vec<String>) -> Result<(), Failure> {
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

    pub(super) fn wait(
        &mut self,
        timeout_ms: u64,
        now_ms: u64,
        link: &mut Link,
        outbox: &mut Vec<String>,
    ) -> Result<(), Failure> {
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

    pub(super) fn pause(&mut self, now_ms: u64) {
        self.state = State::Pausing {
            until_ms: now_ms.saturating_add(self.recovery.pause_ms),
        };
        self.recovery.pause_ms = self.recovery.pause_ms.saturating_mul(2).min(MAX_PAUSE_MS);
    }

    pub(super) fn receive_claim(
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
                "INVALID_REQUEST" => Err(self.lost(Some(Cause::new(
                    "run_unknown",
                    "the gateway does not know the run (any more): it was probably restarted",
                )))),
                _ => Err(self.lost(refusal::failure(&rejection.error).cause())),
            },
        }
    }

    pub(super) fn receive_wait(
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

    /// Takes the whole answer so far, where items no longer tell it.
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

    /// The gateway told something of the run.
    pub(super) fn hear(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        if self.recovery.knowledge != Knowledge::Ended {
            self.recovery.knowledge = Knowledge::Going;
        }
        self.accept(show);
    }

    /// The same after a connection was lost: what was not heard must be proven to be complete, or is made up for here.
    pub(super) fn settle_interrupted(
        &mut self,
        result: &RunResult<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let fresh = if self.is_v4() {
            // Protocol 4 repeats the last message only.
            let last = result.meta.final_assistant_visible_text.as_deref();
            let last = last.or_else(|| said(result).next()).unwrap_or_default();
            match (self.text.is_settled(), self.recovery.told) {
                (true, true) => return Ok(()),
                (true, false) if self.text.ends_with(last) => return Ok(()),
                (false, true) => return Err(Failure::Retracted),
                _ => {}
            }
            let turns = agent_meta(result.meta.agent_meta).assistant_turns;
            self.text.update_last(last, turns.unwrap_or_default())?
        } else {
            let all: Vec<&str> = said(result).collect();
            self.text.complete(&all, self.at_first_attempt)?
        };
        if !fresh.is_empty() {
            show(RunEvent::Text(fresh));
        }
        Ok(())
    }
}
