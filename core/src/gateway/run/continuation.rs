//! The continuation of a run whose agent waits for its sub-agents (`sessions_yield`).
//!
//! ```text
//!   Running, Claiming ───────────▶ Yielded ──────────────────▶ Waiting ───▶ as after a loss
//!            final response says    ▲   │ an event, or a row    (agent.wait)
//!            that it yielded        └───┘ of the history
//!                                  chat.history
//! ```
//!
//! Such a run ends without an answer. Once the sub-agents have ended, the gateway starts another
//! run of the same session by itself, which may yield again. Its events are sent to every
//! connection that receives the session's. Its final response is remembered under its id, which is
//! its idempotency key. It is claimed like that of a run whose connection was lost.
//!
//! | protocol | id of the continuation |
//! | --- | --- |
//! | 4 | `announce:requester-settle:<agent>:<session>:<child run>,…:yield-<n>`, with `:retry-<n>` after a failure |
//! | 3 | `announce:v1:<child session>:<child run>`, one for each sub-agent |
//!
//! Source: OpenClaw 2026.9.6 (`subagent-announce.requester-settle-wake`) and 2026.3.13, read and
//! recorded (`yield`, `yield_two`).

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::gateway::answer::{AnswerText, Attempts, Emitted};
use crate::gateway::frame::{
    AgentEvent, History, HistoryParams, HistoryRow, Payload, RunResult, Spawn,
};
use crate::gateway::link::{Protocol, Rejection};
use crate::gateway::refusal;
use crate::parse;
use crate::turn::{Progress, RunEvent, Usage, Wait};

use super::io::Io;
use super::recovery::WAIT_MS;
use super::state::{ACCEPTED, IN_FLIGHT, Run, RunName, Search, State, Yielded, read_result};

pub(super) const SETTLED: &str = "announce:requester-settle:";
pub(super) const ANNOUNCED: &str = "announce:v1:";

/// `meta.stopReason` of a run that yielded (protocol 3); no model ends with it on that version.
const YIELD_STOP: &str = "end_turn";

/// Pause between two requests for the history, in milliseconds. Events show the continuation at
/// once; the history shows one whose events were lost.
const SEARCH_PAUSE_MS: u64 = 20_000;

/// Time from the end of the last sub-agent until the continuation, in milliseconds: the gateway
/// tries again after 30 and after 120 s.
const SETTLE_MS: u64 = 200_000;

/// Time from the yield until the continuation on protocol 3, in milliseconds. The gateway does not
/// show whether a sub-agent runs, and ends one after 10 min by default.
const BLIND_MS: u64 = 900_000;

/// Rows of the session that are read: those since the yield.
const HISTORY_ROWS: u32 = 50;

impl Run {
    /// Returns true if the run ended only to wait for its sub-agents.
    pub(super) fn is_yielded(&self, result: &RunResult<'_>) -> bool {
        if self.is_v4() {
            result.meta.yielded
        } else {
            result.meta.stop_reason.as_deref() == Some(YIELD_STOP)
        }
    }

    /// Records that the run ended, and that its continuation has the answer. `earlier` are the
    /// tokens of the runs before it.
    pub(super) fn await_continuation(
        &mut self,
        result: &RunResult<'_>,
        earlier: Usage,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let spawns = result.accepted_session_spawns.map_or("[]", RawValue::get);
        let spawns: Vec<Spawn<'_>> = parse::from_str(spawns).unwrap_or_default();
        let children = spawns.into_iter().map(|spawn| spawn.run_id.into_owned());
        self.begin_wait(children.collect(), earlier, io.now_ms);
        show(RunEvent::Progress(Progress::Waiting(Wait::SubAgents)));
        self.search(io)
    }

    /// Begins to wait for another run, of these `children` if they are known.
    pub(super) fn begin_wait(&mut self, children: Vec<String>, earlier: Usage, now_ms: u64) {
        self.yielded = Some(Yielded {
            by: self.name.id().to_owned(),
            earlier,
            children,
            active_ms: now_ms,
        });
        self.look_after(now_ms);
        self.text = AnswerText::default();
        self.thought.clear();
        self.is_silent = false;
        self.held = None;
        self.emitted = Emitted::Part;
        self.attempts = Attempts::Unknown;
        self.provider_failure = None;
        self.own = None;
    }

    /// Returns true if the event is the first one of the continuation.
    pub(super) fn is_continuation(&self, event: &AgentEvent<'_>) -> bool {
        let Some(target) = &self.target else {
            return false;
        };
        self.yielded.is_some()
            && !matches!(self.state, State::Detached | State::Ended)
            && match target.protocol {
                Protocol::V4 if self.awaits_late() => self.is_late_run(event),
                Protocol::V4 => self.is_continuation_id(&event.run_id),
                // Not all of its events name the session, but the first does.
                Protocol::V3 => {
                    event.run_id.starts_with(ANNOUNCED)
                        && event.session_key.as_deref() == Some(target.session.as_str())
                }
            }
    }

    fn is_continuation_id(&self, id: &str) -> bool {
        let (Some(target), Some(yielded)) = (&self.target, &self.yielded) else {
            return false;
        };
        let names = id
            .strip_prefix(SETTLED)
            .and_then(|rest| rest.strip_prefix(target.agent.as_str()))
            .and_then(|rest| rest.strip_prefix(':'))
            .and_then(|rest| rest.strip_prefix(target.session.as_str()))
            .and_then(|rest| rest.strip_prefix(':'));
        // An earlier turn's sub-agents may end meanwhile.
        names.is_some_and(|names| {
            yielded.children.is_empty()
                || yielded
                    .children
                    .iter()
                    .any(|child| names.contains(child.as_str()))
        })
    }

    /// Continues with the run that the event belongs to.
    pub(super) fn follow(
        &mut self,
        event: &AgentEvent<'_>,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        self.follow_run(&event.run_id, event.stream == "lifecycle", io)
    }

    /// Continues with the run of this id. If not all of it is received, its whole text is awaited.
    pub(super) fn follow_run(
        &mut self,
        id: &str,
        is_whole: bool,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        self.begin_following(id, is_whole, io.now_ms);
        self.wait(WAIT_MS, io)
    }

    /// Takes the run of this id for the one that is going.
    pub(super) fn begin_following(&mut self, id: &str, is_whole: bool, now_ms: u64) {
        self.name = RunName::of(id);
        if let Some(late) = &mut self.late {
            late.read.push(id.to_owned());
        }
        self.yielded = None;
        self.look_after(now_ms);
        self.text = AnswerText::default();
        if !is_whole {
            self.text.interrupt(Emitted::Part);
        }
    }

    /// Requests the history to find the continuation, because its events may have been lost with a
    /// connection.
    pub(super) fn search(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        if self.awaits_late() {
            return self.request_tasks(io);
        }
        let Some(target) = &self.target else {
            return Err(Failure::GatewayProtocolError(
                "a run yielded that was not asked for",
            ));
        };
        let params = HistoryParams {
            session_key: target.session.as_str(),
            limit: HISTORY_ROWS,
        };
        let history = io.request("chat.history", &params)?;
        self.state = State::Yielded {
            search: Search::asked(history, io.now_ms),
        };
        Ok(())
    }

    pub(super) fn receive_history(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        // Without the history, the events can still show it.
        let history = result.ok().flatten();
        let history =
            history.and_then(|payload| parse::from_str::<History<'_>>(payload.get()).ok());
        let history = history.unwrap_or_default();
        if let Some(id) = self.find_continuation(&history) {
            self.name = RunName::of(&id);
            self.look_after(io.now_ms);
            if self.is_v4() {
                self.yielded = None;
            }
            // Its first words may have been missed.
            self.text.interrupt(Emitted::Part);
            return self.claim(io);
        }
        let is_active = history
            .session_info
            .is_some_and(|info| info.has_active_subagent_run);
        if let Some(yielded) = self.yielded.as_mut().filter(|_| is_active) {
            yielded.active_ms = io.now_ms;
        }
        self.pause_search(io.now_ms)
    }

    fn find_continuation(&self, history: &History<'_>) -> Option<String> {
        if self.is_v4() {
            let by = &self.yielded.as_ref()?.by;
            let owners = history.messages.iter().filter_map(|row| row.owner.as_ref());
            let since = owners.skip_while(|owner| owner.run_id != by.as_str());
            let found = since
                .chain(&history.in_flight_run)
                .find(|owner| self.is_continuation_id(&owner.run_id));
            return found.map(|owner| owner.run_id.clone().into_owned());
        }
        // The result of the tool that started the turn's last sub-agent names both parts of the id.
        let mut turn = history
            .messages
            .iter()
            .rev()
            .take_while(|row| row.role != "user" || is_internal(row));
        turn.find_map(spawn_of)
    }

    /// Pauses before the next question, unless no sub-agent was active for too long.
    fn pause_search(&mut self, now_ms: u64) -> Result<(), Failure> {
        let limit_ms = if self.is_v4() { SETTLE_MS } else { BLIND_MS };
        let Some(yielded) = &self.yielded else {
            return Err(Failure::GatewayProtocolError(
                "a continuation was looked for twice",
            ));
        };
        if now_ms >= yielded.active_ms.saturating_add(limit_ms) {
            return Err(Failure::AnswerLost);
        }
        self.state = State::Yielded {
            search: Search::Pause {
                until_ms: now_ms.saturating_add(SEARCH_PAUSE_MS),
            },
        };
        Ok(())
    }

    /// Takes the answer to the claim of a continuation that is only assumed (protocol 3): the
    /// gateway may not have started it yet.
    pub(super) fn receive_continuation_claim(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        match result {
            Ok(payload) => {
                self.yielded = None;
                let reply = read_result(payload)?;
                if reply.status == ACCEPTED || reply.status == IN_FLIGHT {
                    self.wait(WAIT_MS, io)
                } else {
                    self.finish(&reply, io, show)
                }
            }
            Err(Rejection {
                payload: Some(_), ..
            }) => {
                self.end(Err(self.failed()), show);
                Ok(())
            }
            Err(rejection) if rejection.error.code == "INVALID_REQUEST" => {
                self.text = AnswerText::default();
                self.pause_search(io.now_ms)
            }
            Err(rejection) => Err(self.lost(refusal::failure(&rejection.error).cause())),
        }
    }
}

/// The beginning of the gateway's own message about a sub-agent's end, which the history lists as a
/// user's (protocol 3).
const INTERNAL: &str = "OpenClaw runtime context (internal)";

fn is_internal(row: &HistoryRow<'_>) -> bool {
    row.content
        .is_some_and(|content| content.get().contains(INTERNAL))
}

/// Returns the id of the continuation for the sub-agent that starts in this row (protocol 3).
fn spawn_of(row: &HistoryRow<'_>) -> Option<String> {
    if row.role != "toolResult" {
        return None;
    }
    let parts: Vec<Payload<'_>> = parse::from_str(row.content?.get()).ok()?;
    let text = parts.first()?.text.as_deref()?;
    let spawn: Spawn<'_> = parse::from_str(text).ok()?;
    (!spawn.child_session_key.is_empty())
        .then(|| [ANNOUNCED, &spawn.child_session_key, ":", &spawn.run_id].concat())
}
