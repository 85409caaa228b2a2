//! The whole answer of a run that ended, from the rows of its session.
//!
//! ```text
//!   Claiming ───────────────────────▶ Rereading ───────────▶ Ended
//!     ▲       final response, and      │      the rows have the answer
//!     │       earlier text is missing  │ not yet
//!     └──────────── Pausing ◀──────────┘
//! ```
//!
//! The final response of protocol 4 repeats the last message of an answer only. An agent that used
//! tools wrote text before it. A request that joins the run after its end did not receive that
//! text, nor did one whose connection was lost meanwhile. The rows have all of it, and name the
//! run.
//!
//! Source: OpenClaw 2026.9.6, measured.

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::gateway::frame::RunResult;
use crate::gateway::link::Rejection;
use crate::gateway::memory::{self, Look, Recorded};
use crate::turn::{Finish, RunEvent, Usage};

use super::io::Io;
use super::settle::{files, last_text, split};
use super::state::{ANSWER_MS, Ending, FIRST_PAUSE_MS, Knowledge, Run, State};

impl Run {
    /// Returns true if the rows may have what the final response lacks. They name the run that was
    /// requested, and none that continues it.
    pub(super) fn can_reread(&self) -> bool {
        self.is_v4() && self.name.is(self.requested_id())
    }

    /// Requests the rows for the answer of a run that ended with this result. `earlier` are the
    /// tokens of the runs before it.
    pub(super) fn reread(
        &mut self,
        result: &RunResult<'_>,
        finish: Finish,
        earlier: Usage,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let Some(target) = &self.target else {
            return Err(Failure::Bug("an answer was read that was not asked for"));
        };
        let rows = memory::request(&target.session, Look::Run, io.link, io.outbox)?;
        self.before_end = Some(earlier);
        if self.recovery.lost.is_none() {
            // Events were missed on the connection that the run was requested on.
            self.look_after(io.now_ms);
        }
        let recovery = &mut self.recovery;
        recovery.answer_by_ms = io.now_ms.saturating_add(ANSWER_MS);
        if recovery.knowledge != Knowledge::Ended {
            recovery.knowledge = Knowledge::Ended;
            recovery.since_ms = io.now_ms;
            recovery.pause_ms = FIRST_PAUSE_MS;
        }
        let (_, answer) = split(result);
        self.state = State::Rereading {
            rows,
            ending: Box::new(Ending {
                finish,
                earlier,
                last: last_text(result, &answer),
                files: files(result),
            }),
        };
        Ok(())
    }

    /// Takes the rows.
    pub(super) fn receive_reread(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        ending: Ending,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let recorded = result.ok();
        let recorded = recorded.and_then(|rows| memory::recorded(rows, &self.turn.run).ok()?);
        let text = match recorded {
            Some(Recorded::Answered {
                text,
                question: None,
                ..
            }) if ends_with(&text, &ending.last) => text,
            // Another end is that of an earlier attempt, or of a text that is not yet there.
            Some(Recorded::Unfinished | Recorded::Answered { .. })
                if !self.is_overdue(io.now_ms) =>
            {
                // The row with the end is being written.
                self.pause(io.now_ms);
                return Ok(());
            }
            _ => return self.end_reread(Err(Failure::AnswerLost), ending.earlier, io, show),
        };
        let result = match self.text.complete_with(&text) {
            Ok(fresh) => {
                self.outgoing.push(fresh, show);
                self.conclude(&[], ending.files, show);
                Ok(ending.finish)
            }
            Err(failure) => Err(failure),
        };
        self.end_reread(result, ending.earlier, io, show)
    }

    /// Ends the run, whose end is not read again.
    fn end_reread(
        &mut self,
        result: Result<Finish, Failure>,
        earlier: Usage,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        self.before_end = None;
        self.end_with(result, earlier, io, show)
    }
}

/// Returns true if the text ends with the last one, white space aside. A text that is not empty
/// does not end with an empty one: the gateway does not repeat silence.
fn ends_with(text: &str, last: &str) -> bool {
    let letters = |text: &str| -> String { text.split_whitespace().collect() };
    let last = letters(last);
    !last.is_empty() && letters(text).ends_with(&last)
}
