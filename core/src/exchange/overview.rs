//! The state of an exchange, as the operator sees it.

use super::{ClientState, Exchange};

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// The run waits in the hub, because the gateway has as many as it may have.
    Queued,
    /// The gateway has not accepted the run.
    Starting,
    /// The gateway has accepted the run, and has not begun it.
    Waiting,
    Running,
    /// The connection was lost, and the run is searched for.
    Recovering,
}

impl RunState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Recovering => "recovering",
        }
    }
}

impl Exchange {
    pub fn state(&self) -> RunState {
        if self.is_queued() {
            RunState::Queued
        } else if self.loss.is_some() {
            RunState::Recovering
        } else if !self.is_accepted() {
            RunState::Starting
        } else if self.run.waits_to_start() {
            RunState::Waiting
        } else {
            RunState::Running
        }
    }

    /// Returns true while the client receives the answer.
    pub fn has_client(&self) -> bool {
        self.client == ClientState::Present && self.leave_by_ms.is_none()
    }

    /// Returns true if an administrator can have the run stopped: the gateway does not have it yet,
    /// or has protocol 4.
    pub fn can_be_stopped(&self) -> bool {
        !self.may_have_started() || self.run.can_be_aborted()
    }

    /// Returns the time at which the run was requested, or else this one.
    pub fn since_ms(&self, began_ms: u64) -> u64 {
        self.asked_ms
            .map_or(began_ms, |asked_ms| asked_ms.min(began_ms))
    }

    /// Returns the id of the run as its client requested it.
    pub fn run_id(&self) -> &str {
        self.run.requested_id()
    }
}
