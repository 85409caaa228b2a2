//! The deadlines of an exchange, and what happens when one is missed.

use crate::failure::{Deadline, Failure};
use crate::gateway::link::Link;
use crate::gateway::run::io::Io;

use super::{ACCEPTANCE_MS, Due, Exchange, HANDSHAKE_MS, Output, RUN_MS};

impl Exchange {
    pub(super) fn tick(&mut self, link: &mut Link, now_ms: u64, out: &mut Output) {
        let missed = self.missed(now_ms);
        if self.stop_at_ms().is_some_and(|stop_ms| now_ms >= stop_ms) {
            self.leave(link, out);
        } else if self
            .expires_ms
            .is_some_and(|expires_ms| now_ms >= expires_ms)
        {
            self.expire(link, now_ms, out);
        } else if self
            .leave_by_ms
            .is_some_and(|leave_by_ms| now_ms >= leave_by_ms)
        {
            self.leave(link, out);
        } else if self.run_ends_ms().is_some_and(|ends_ms| now_ms >= ends_ms) {
            self.give_up(Failure::TimedOut(Deadline::Run), link, out);
        } else if let Some(which) = missed {
            self.miss(which, link, out);
        } else if let Err(failure) = self.run.tick(&mut Io {
            now_ms,
            link,
            outbox: &mut out.frames,
        }) {
            self.give_up(failure, link, out);
        }
        if !out.ended {
            self.write_due(now_ms, out);
        }
    }

    pub(super) fn miss(&mut self, which: Due, link: &mut Link, out: &mut Output) {
        match which {
            Due::Deadline(which) => {
                let failure = self
                    .run
                    .refused()
                    .cloned()
                    .unwrap_or(Failure::TimedOut(which));
                self.give_up(failure, link, out);
            }
            Due::Connection => self.connect(out),
            Due::Recovery => {
                let cause = self.loss.as_mut().and_then(|loss| loss.cause.take());
                self.stay_lost(cause, link, out);
            }
        }
    }

    /// Returns the deadline that has passed.
    pub(super) fn missed(&self, now_ms: u64) -> Option<Due> {
        let (at_ms, which) = self.deadline()?;
        (now_ms >= at_ms).then_some(which)
    }

    pub(super) fn deadline(&self) -> Option<(u64, Due)> {
        if self.is_queued() {
            return None;
        }
        if let Some(deadline) = self.attempt_deadline() {
            return Some(deadline);
        }
        let (limit_ms, which) = if self.awaits_endpoint() {
            (ACCEPTANCE_MS, Deadline::Acceptance)
        } else if self.run.is_going() {
            return None;
        } else if self.run.awaits_acceptance() {
            (ACCEPTANCE_MS, Deadline::Acceptance)
        } else {
            (HANDSHAKE_MS, Deadline::Handshake)
        };
        let at_ms = self.phase_began_ms.saturating_add(limit_ms);
        Some((at_ms, Due::Deadline(which)))
    }

    /// Returns the time at which the run has taken too long.
    pub(super) fn run_ends_ms(&self) -> Option<u64> {
        Some(self.asked_ms?.saturating_add(RUN_MS))
    }
}
