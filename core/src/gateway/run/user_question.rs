//! The end of a run whose agent asks its user a question.
//!
//! ```text
//!   the tool starts      after a second       the rows have the question
//!  ────────────────▶ Due ────────────▶ Read ────────────────────────────▶ Shown ───▶ Ended
//!                     │                 │                                 chat.abort
//!                     └─ the tool ended ┴──▶ the run goes on
//! ```
//!
//! The events that we receive have no choices of the question, but the session's rows do.

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::gateway::link::{Rejection, RequestId};
use crate::gateway::memory::{self, Look, Recorded};
use crate::gateway::user_question::TOOL;
use crate::turn::{Finish, Progress, RunEvent, RunSummary, Usage, Wait};

use super::io::Io;
use super::state::{Run, UserQuestion};

/// Time from the start of the tool until the rows are read, in milliseconds: a question that the
/// gateway refuses ends within 50 ms, and the agent goes on.
const REFUSED_WITHIN_MS: u64 = 1_000;

impl Run {
    /// Notes the start or the end of the tool.
    pub(super) fn note_question(&mut self, progress: &Progress<'_>, now_ms: u64) {
        match progress {
            Progress::ToolStarted { name } if name == TOOL => self.expect_question(now_ms),
            Progress::ToolEnded { name, .. }
                if name == TOOL && !matches!(self.question, Some(UserQuestion::Shown(_))) =>
            {
                self.question = None;
            }
            _ => {}
        }
    }

    /// Has the rows read, unless the tool ends before.
    pub(super) fn expect_question(&mut self, now_ms: u64) {
        let due_ms = now_ms.saturating_add(REFUSED_WITHIN_MS);
        self.question = Some(UserQuestion::Due(due_ms));
    }

    /// Has the rows read on the next connection, if the question was not shown on this one.
    pub(super) fn postpone_question(&mut self) {
        if let Some(UserQuestion::Due(_) | UserQuestion::Read(_)) = self.question {
            self.question = Some(UserQuestion::Due(0));
        }
    }

    /// Returns the time at which the rows are to be requested.
    pub(super) fn question_due_ms(&self) -> Option<u64> {
        match self.question {
            Some(UserQuestion::Due(due_ms)) if self.is_going() => Some(due_ms),
            _ => None,
        }
    }

    /// Returns the request for the rows.
    pub(super) fn question_request(&self) -> Option<RequestId> {
        match self.question {
            Some(UserQuestion::Read(rows)) => Some(rows),
            _ => None,
        }
    }

    /// Goes on without rows that cannot be read. Returns true if these rows were awaited.
    pub(crate) fn pass_over(&mut self, id: RequestId) -> bool {
        let is_it = matches!(self.question, Some(UserQuestion::Read(rows)) if rows == id);
        self.question = self.question.filter(|_| !is_it);
        is_it
    }

    /// Requests the session's rows.
    pub(super) fn read_question(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        self.question = None;
        if let Some(target) = &self.target {
            let rows = memory::request(&target.session, Look::Question, io.link, io.outbox)?;
            self.question = Some(UserQuestion::Read(rows));
        }
        Ok(())
    }

    /// Shows the question as the end of the answer, and asks the gateway to stop the run. If it
    /// cannot be read, the run waits as the gateway has it.
    pub(super) fn receive_question(
        &mut self,
        result: &Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        self.question = None;
        let recorded = match result {
            Ok(payload) => memory::recorded(*payload, &self.turn.run),
            Err(_) => Ok(None),
        };
        if let Ok(Some(Recorded::Answered {
            text,
            question: Some(question),
            summary,
        })) = recorded
        {
            // The text before the question may have been missed.
            let fresh = self.text.update_whole(&text)?;
            self.outgoing.push(fresh, show);
            self.outgoing.ask(&question, show);
            self.question = Some(UserQuestion::Shown(summary.usage));
            self.write_abort(io.link, io.outbox);
        } else {
            show(RunEvent::Progress(Progress::Waiting(Wait::Question)));
        }
        Ok(())
    }

    /// Ends a run that was stopped at its question.
    pub(super) fn finish_question(&mut self, used: Usage, show: &mut impl FnMut(RunEvent<'_>)) {
        self.spent = self.spent.plus(used);
        self.outgoing.finish_run(&[], Vec::new(), show);
        self.show_files(show);
        let summary = RunSummary {
            finish: Finish::Stop,
            usage: self.spent,
        };
        self.end(Ok(summary), show);
    }
}
