//! The state of the connection: when it is made, and when it is given up.

use crate::exchange;
use crate::failure::{Deadline, Failure};

use super::{Entry, Hub, SILENCE_MS, State};

/// Age of the last frame from which on a connection is not used for another run: a tick is missing,
/// so the connection may have died without a word.
const STALE_MS: u64 = 35_000;

/// Time from a request of an exchange until any frame: a gateway answers the first request of a run
/// within milliseconds, and a cold one was seen to take 1.3 s.
const ANSWER_MS: u64 = 10_000;

impl Hub {
    /// Handles an attempt that failed, or a connection that cannot be used. An attempt that took
    /// too long did not take too long for those who came later: they get another one.
    pub(super) fn fail(&mut self, failure: &Failure, now_ms: u64) {
        let mut late = Vec::new();
        if let (State::Opening { since_ms }, Failure::TimedOut(_)) = (self.state, failure) {
            let came_later = |entry: &Entry| entry.began_ms > since_ms;
            let (later, others) = std::mem::take(&mut self.entries)
                .into_iter()
                .partition(came_later);
            (late, self.entries) = (later, others);
        }
        self.lose(failure, now_ms, || exchange::Input::Failed(failure.clone()));
        if !late.is_empty() {
            self.entries.append(&mut late);
            self.needs_connection(now_ms);
        }
    }

    /// Reports to all exchanges that the connection is gone, and answers the question with the
    /// reason.
    pub(super) fn lose<'a>(
        &mut self,
        failure: &Failure,
        now_ms: u64,
        input: impl Fn() -> exchange::Input<'a>,
    ) {
        // Those that ask for another one at once get it after this.
        self.state = State::Closed;
        self.orders.disconnect = true;
        self.orders.connect = false;
        for entry in &mut self.entries {
            entry.announced_ms = None;
            entry.is_answered = false;
        }
        self.give_all(now_ms, input);
        self.link.reset();
        self.answer(Some(Err(failure.clone())), now_ms);
        self.fail_speeches(None, failure);
    }

    pub(super) fn disconnect(&mut self) {
        self.state = State::Closed;
        self.orders.disconnect = true;
        self.link.reset();
    }

    pub(super) fn connect(&mut self, now_ms: u64) {
        self.state = State::Opening { since_ms: now_ms };
        self.orders.connect = true;
    }

    /// Connects if there is no connection, or if the present one may be dead. Returns true if one
    /// is ready.
    pub(super) fn needs_connection(&mut self, now_ms: u64) -> bool {
        if let State::Open { last_frame_ms } = self.state
            && now_ms >= last_frame_ms.saturating_add(STALE_MS)
        {
            self.fall_silent(now_ms);
        }
        if matches!(self.state, State::Closed) {
            self.connect(now_ms);
        }
        matches!(self.state, State::Open { .. })
    }

    /// Returns the time at which a connection counts as dead. An exchange that has made a request
    /// gets an answer soon, long before its run ends.
    pub(super) fn silent_at_ms(&self, last_frame_ms: u64) -> u64 {
        let asking = self.entries.iter().filter(|entry| !entry.is_answered);
        let asked_ms = asking.filter_map(|entry| entry.announced_ms);
        asked_ms
            .filter(|asked_ms| last_frame_ms <= *asked_ms)
            .map(|asked_ms| asked_ms.saturating_add(ANSWER_MS))
            .fold(last_frame_ms.saturating_add(SILENCE_MS), u64::min)
    }

    /// Handles a connection that brings nothing any more.
    pub(super) fn fall_silent(&mut self, now_ms: u64) {
        let failure = Failure::TimedOut(Deadline::Handshake);
        self.lose(&failure, now_ms, || exchange::Input::Silent);
    }

    pub(super) fn is_unused(&self) -> bool {
        self.entries.is_empty() && self.question.is_none() && !self.is_speaking()
    }

    /// Counts the time from which on nothing uses the connection.
    pub(super) fn release(&mut self, now_ms: u64) {
        if self.is_unused() {
            self.idle_since_ms = now_ms;
            self.close_if_idle(now_ms);
        }
    }

    pub(super) fn idle_ends_ms(&self) -> Option<u64> {
        self.is_unused()
            .then(|| self.idle_since_ms.saturating_add(self.idle_ms))
    }

    pub(super) fn close_if_idle(&mut self, now_ms: u64) {
        let is_over = self.idle_ends_ms().is_some_and(|ends_ms| now_ms >= ends_ms);
        if is_over && matches!(self.state, State::Open { .. }) {
            self.disconnect();
        }
    }
}
