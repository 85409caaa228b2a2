//! Work that goes on after an answer: media that is made in the background (an image, a video,
//! music), and sub-agents whose agent does not wait for them.
//!
//! ```text
//!   Running ──────────▶ Yielded ────────────────▶ Waiting ───▶ as after a loss ───▶ Yielded
//!    final response      ▲   │  a run that shows     (agent.wait)                    │
//!                        └───┘  what was done                              nothing is left: Ended
//!                      tasks.list
//! ```
//!
//! A tool only starts such work. The agent's answer ends before it, and the result comes in a
//! further run of the session, whose final response is remembered under its id:
//!
//! | work | id of the run |
//! | --- | --- |
//! | media | `image_generate:<task>:ok:agent-loop`, also for a task that failed |
//! | a sub-agent | `announce:v1:<its session>:<its run>`, also for one that failed |
//! | the last of several sub-agents | also `announce:requester-settle:<agent>:<session>:<run>,…` |
//!
//! The gateway's list of tasks shows what is to come: media that is being made, and sub-agents
//! whose result is not delivered. The result of a sub-agent that ends before the answer does is a
//! message in the answer's own run, and there is no further one. The id of a report's run is known
//! before, so one whose events were missed is claimed all the same.
//!
//! Source: OpenClaw 2026.9.6, measured.

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::gateway::frame::{
    AgentEvent, MAKER, RunResult, Spawn, Task, TaskList, TasksParams, is_media_run,
};
use crate::gateway::link::Rejection;
use crate::parse;
use crate::turn::{Finish, Progress, RunEvent, RunSummary, ToolEnd, Usage, Wait};

use super::continuation::{ANNOUNCED, SETTLED};
use super::io::Io;
use super::state::{Child, Knowledge, Late, Run, Search, State};

/// The end of the kind of a task that makes media.
const TASK: &str = "_generation";

/// Longest time from an answer until its media, in milliseconds. A video takes minutes.
const MEDIA_MS: u64 = 600_000;

/// Pause between two requests for the tasks, in milliseconds. Events show the run at once. In the
/// last one, the run after the last of several sub-agents begins: half a second later was measured.
const PAUSE_MS: u64 = 5_000;

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// States of tasks that are not over.
const GOING: [&str; 2] = ["queued", "running"];

/// States of a result that the agent has not got.
const OPEN: [&str; 2] = ["pending", "session_queued"];

/// Tasks that are requested: each run of the session is one, too.
const TASKS: u32 = 50;

impl Run {
    /// Notes that a task may have begun, if its file can be shown: an answer of another format, as
    /// JSON is, takes no further text.
    pub(super) fn note_media(&mut self, progress: &Progress<'_>) {
        if let Progress::ToolEnded { name, end } = progress
            && name.ends_with(MAKER)
            && *end == ToolEnd::Completed
            && self.turn.wants_files
        {
            self.late.get_or_insert_default().makes_media = true;
        }
    }

    /// Notes the sub-agents that a run has left behind, if the answer is to have their results
    /// (protocol 4).
    pub(super) fn note_children(&mut self, result: &RunResult<'_>) {
        // An agent that waits for its sub-agents has their results; its continuation is followed.
        let has_results = result.meta.yielded && !self.awaits_late();
        if self.turn.linger_s == 0 || !self.is_v4() || has_results {
            return;
        }
        let spawns = result.accepted_session_spawns.map_or("[]", RawValue::get);
        let spawns: Vec<Spawn<'_>> = parse::from_str(spawns).unwrap_or_default();
        let awaits = self.awaits_late();
        if spawns.is_empty() {
            return;
        }
        let late = self.late.get_or_insert_default();
        // The end of an answer may be read again.
        if awaits || late.children.is_empty() {
            late.children.extend(spawns.iter().map(Child::of));
        }
    }

    /// Returns true if work may follow the answer.
    pub(super) fn expects_late(&self) -> bool {
        self.late.is_some() && !self.is_unread
    }

    /// Returns true if the answer ended, and work may follow.
    pub(crate) fn awaits_late(&self) -> bool {
        let late = self.late.as_ref();
        late.is_some_and(|late| late.finish.is_some())
    }

    /// Returns true if a part of a run that shows work was shown, and its end was not read.
    pub(crate) fn shows_late(&self) -> bool {
        self.awaits_late() && !self.text.is_empty()
    }

    /// Notes a run that shows work and begins while another run is read.
    pub(super) fn note_late_run(&mut self, event: &AgentEvent<'_>) {
        if self.yielded.is_none()
            && !self.name.is(&event.run_id)
            && self.is_late_run(event)
            && let Some(late) = &mut self.late
            && !late.seen.iter().any(|seen| *seen == event.run_id)
        {
            late.seen.push(event.run_id.clone().into_owned());
        }
    }

    /// Returns true if a run with this id may show work, and was not read.
    pub(super) fn is_late_id(&self, id: &str) -> bool {
        self.late.as_ref().is_some_and(|late| late.has(id))
    }

    /// Returns true if the event is of a run that shows work of the session.
    pub(super) fn is_late_run(&self, event: &AgentEvent<'_>) -> bool {
        let session = self.target.as_ref().map(|target| target.session.as_str());
        self.is_late_id(&event.run_id)
            && event.session_key.is_some()
            && event.session_key.as_deref() == session
    }

    /// Takes the end of the answer, or of a run that shows work, and waits for what is to come. An
    /// end that failed changes nothing of the answer before it, if nothing of its run was shown.
    pub(super) fn await_late(
        &mut self,
        finish: Option<Finish>,
        earlier: Usage,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let linger_ms = u64::from(self.turn.linger_s).saturating_mul(SECOND_MS);
        let Some(late) = &mut self.late else {
            return Err(Failure::Bug("work was awaited that nobody does"));
        };
        let finish = late.finish.or(finish);
        if late.makes_media && late.media_until_ms == 0 {
            late.media_until_ms = io.now_ms.saturating_add(MEDIA_MS);
        }
        if late.finish.is_none() {
            late.until_ms = io.now_ms.saturating_add(linger_ms);
            late.finish = finish;
            self.name.id().clone_into(&mut late.of);
            late.earlier = earlier;
            let wait = if late.children.is_empty() {
                Wait::Media
            } else {
                Wait::SubAgents
            };
            show(RunEvent::Progress(Progress::Waiting(wait)));
        }
        let seen = (!late.seen.is_empty()).then(|| late.seen.remove(0));
        self.begin_wait(Vec::new(), earlier, io.now_ms);
        match seen {
            Some(id) => self.claim_late(&id, io),
            None => self.request_tasks(io),
        }
    }

    /// Reads a run that may be over, and that the gateway may have forgotten.
    fn claim_late(&mut self, id: &str, io: &mut Io<'_>) -> Result<(), Failure> {
        self.begin_following(id, false, io.now_ms);
        self.recovery.knowledge = Knowledge::Nothing;
        self.claim(io)
    }

    pub(super) fn request_tasks(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        let Some(target) = &self.target else {
            return Err(Failure::Bug("work was awaited of no session"));
        };
        let params = TasksParams {
            session_key: target.session.as_str(),
            limit: TASKS,
        };
        let asked = io.request("tasks.list", &params)?;
        self.state = State::Yielded {
            search: Search::asked(asked, io.now_ms),
        };
        Ok(())
    }

    /// Ends the answer if no task of the session goes on. Without the list it is not known.
    pub(super) fn receive_tasks(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let list = result.ok().flatten();
        let list: TaskList<'_> = list
            .and_then(|list| parse::from_str(list.get()).ok())
            .unwrap_or_default();
        let session = self.target.as_ref().map(|target| target.session.as_str());
        let Some(late) = self.late.as_mut().filter(|_| !self.is_unread) else {
            self.finish_late(show);
            return Ok(());
        };
        let of_session = |task: &&Task<'_>| Some(&*task.session_key) == session;
        let tasks: Vec<_> = list.tasks.iter().filter(of_session).collect();
        let makes_media = tasks
            .iter()
            .any(|task| task.kind.ends_with(TASK) && GOING.contains(&&*task.status));
        let mut waits_for_child = false;
        for child in &late.children {
            if late.read.contains(&child.report) {
                continue;
            }
            let is_open = |task: &&Task<'_>| {
                task.run_id == child.run_id.as_str()
                    && (GOING.contains(&&*task.status) || OPEN.contains(&&*task.delivery_status))
            };
            if !tasks.iter().any(is_open) {
                // Its run is over, if it had one.
                let id = child.report.clone();
                return self.claim_late(&id, io);
            }
            waits_for_child = true;
        }
        let has_settled = late.read.iter().any(|id| id.starts_with(SETTLED));
        let is_settling = late.children.len() > 1 && !has_settled && !late.is_settling;
        let waits_for_media = makes_media && io.now_ms < late.media_until_ms;
        let lingers = (waits_for_child || is_settling) && io.now_ms < late.until_ms;
        if waits_for_media || lingers {
            late.is_settling = !waits_for_media && !waits_for_child;
            self.state = State::Yielded {
                search: Search::Pause {
                    until_ms: io.now_ms.saturating_add(PAUSE_MS),
                },
            };
        } else {
            self.finish_late(show);
        }
        Ok(())
    }

    /// Records that a connection was lost, on which the run after the last report may have begun.
    pub(super) fn settle_again(&mut self) {
        if let Some(late) = &mut self.late {
            late.is_settling = false;
        }
    }

    /// Ends the answer, with the files of all its runs.
    pub(crate) fn finish_late(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        let finish = self.late.take().and_then(|late| late.finish);
        self.show_files(show);
        let summary = RunSummary {
            finish: finish.unwrap_or(Finish::Stop),
            usage: self.spent,
        };
        self.state = State::Ended;
        show(RunEvent::Ended(Ok(summary)));
    }
}

impl Late {
    /// Returns true if a run with this id may show work, and was not read.
    fn has(&self, id: &str) -> bool {
        let is_of = |child: &Child| {
            child.report == id || (id.starts_with(SETTLED) && id.contains(&child.run_id))
        };
        let is_known = (self.makes_media && is_media_run(id)) || self.children.iter().any(is_of);
        is_known && !self.read.iter().any(|read| read == id)
    }
}

impl Child {
    fn of(spawn: &Spawn<'_>) -> Self {
        Self {
            report: [ANNOUNCED, &spawn.child_session_key, ":", &spawn.run_id].concat(),
            run_id: spawn.run_id.clone().into_owned(),
        }
    }
}
