//! The state of the connection: when it is made, and when it is given up.

use crate::exchange;
use crate::failure::Failure;

use super::{Hub, State};

/// Age of the last frame from which on an idle connection is not used: a tick is missing, so the
/// connection may have died without a word.
const STALE_MS: u64 = 35_000;

impl Hub {
    /// Handles an attempt that failed, or a connection that cannot be used.
    pub(super) fn fail(&mut self, failure: &Failure, now_ms: u64) {
        self.lose(failure, now_ms, || exchange::Input::Failed(failure.clone()));
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
        self.give_all(now_ms, input);
        self.link.reset();
        self.answer(Some(Err(failure.clone())), now_ms);
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

    /// Connects if there is no connection, or if an unused one may be dead. Returns true if one is
    /// ready.
    pub(super) fn needs_connection(&mut self, now_ms: u64) -> bool {
        match self.state {
            State::Open { last_frame_ms }
                if self.is_unused() && now_ms >= last_frame_ms.saturating_add(STALE_MS) =>
            {
                self.disconnect();
                self.connect(now_ms);
                false
            }
            State::Open { .. } => true,
            State::Opening { .. } => false,
            State::Closed => {
                self.connect(now_ms);
                false
            }
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        self.entries.is_empty() && self.question.is_none()
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
