//! The writes that are due by the clock while the answer is awaited: the head of a stream, the
//! comment about a run that waits for its start, and heartbeats.

use crate::turn::{Progress, Wait};

use super::{Exchange, Output};

/// Time between two writes to a client: proxies give up after 100 s and more, and only a write
/// reveals that the client left.
pub(crate) const HEARTBEAT_MS: u64 = 15_000;

/// Time for which the head of a stream is held after the run was accepted, unless the answer begins
/// before. A failure within it has a status, which more clients accept as final than an error
/// event. Most failures of a provider come sooner, and a client waits no longer for the first
/// words.
const HEAD_HOLD_MS: u64 = 2_000;

/// Time from a run's acceptance, or from the beginning of its wait in the queue, until a comment
/// that the run waits. A gateway runs a few at a time, and does not announce a queue. A run that
/// starts at once was seen to take up to 3.4 s until its first event.
const START_PATIENCE_MS: u64 = 5_000;

impl Exchange {
    /// Writes the bytes that are due.
    pub(super) fn write_due(&mut self, now_ms: u64, out: &mut Output) {
        if self.has_no_reader() {
            return;
        }
        if self.start_wait_at_ms().is_some_and(|at_ms| now_ms >= at_ms) {
            self.has_shown_start_wait = true;
            self.reply.begin_stream(&mut out.head, &mut out.body);
            let wait = if self.is_queued() {
                Wait::Queue
            } else {
                Wait::Start
            };
            self.reply
                .answer
                .progress(&Progress::Waiting(wait), &mut out.body);
        } else if self.head_at_ms().is_some_and(|at_ms| now_ms >= at_ms) {
            self.reply.begin_stream(&mut out.head, &mut out.body);
        } else if self.heartbeat_at_ms().is_some_and(|at_ms| now_ms >= at_ms) {
            self.reply.beat(&mut out.head, &mut out.body);
        }
    }

    /// Returns the time of the next write.
    pub(super) fn write_at_ms(&self) -> Option<u64> {
        if self.has_no_reader() {
            return None;
        }
        let writes = [
            self.heartbeat_at_ms(),
            self.head_at_ms(),
            self.start_wait_at_ms(),
        ];
        writes.into_iter().flatten().min()
    }

    /// Returns true if comments are written without being requested.
    pub(super) fn shows_waits(&self) -> bool {
        self.policy.heartbeat || self.shows_progress
    }

    /// Returns the time at which the head of a stream is due even if the answer has not begun.
    fn head_at_ms(&self) -> Option<u64> {
        let is_held =
            self.reply.answer.is_stream() && !self.reply.head_sent && self.leave_by_ms.is_none();
        let since_ms = self.waits_since_ms().filter(|_| is_held)?;
        Some(since_ms.saturating_add(HEAD_HOLD_MS))
    }

    /// Returns the time at which the comment about a run that waits for its start is due.
    fn start_wait_at_ms(&self) -> Option<u64> {
        let is_due =
            self.reply.answer.is_stream() && self.shows_waits() && !self.has_shown_start_wait;
        let is_waiting = self.is_queued() || self.run.waits_to_start();
        let is_due = is_due && self.leave_by_ms.is_none() && is_waiting;
        let since_ms = self.waits_since_ms().filter(|_| is_due)?;
        Some(since_ms.saturating_add(START_PATIENCE_MS))
    }

    /// Returns the time from which on the client waits for its answer to begin: the run was
    /// accepted, or is in the queue.
    fn waits_since_ms(&self) -> Option<u64> {
        self.reply.accepted_ms.or(self.queued_ms)
    }

    fn heartbeat_at_ms(&self) -> Option<u64> {
        let is_stream = self.reply.answer.is_stream();
        if self.leave_by_ms.is_some() || (is_stream && !self.policy.heartbeat) {
            None
        } else if self.reply.head_sent {
            Some(self.last_write_ms.saturating_add(HEARTBEAT_MS))
        } else if is_stream {
            None
        } else {
            let since_ms = self.waits_since_ms()?;
            Some(since_ms.saturating_add(u64::from(self.policy.keep_alive_s).saturating_mul(1000)))
        }
    }
}
