//! Attempts to connect: again at the first connection, and after the loss of one with a run.

use crate::failure::diagnosis::Diagnosis;
use crate::failure::{Cause, Failure};
use crate::gateway::link::Link;

use super::{Due, Exchange, HANDSHAKE_MS, Loss, Output, Step, adopt};

/// Time from a lost connection until there is another: a gateway that is restarted takes 10 to 40
/// s, a tunnel less.
pub(crate) const RECONNECT_MS: u64 = 60_000;

/// Pauses before the attempts to connect again, from the first on.
const PAUSES_MS: [u64; 4] = [100, 300, 900, 2_700];

/// Pause before each later attempt.
const LAST_PAUSE_MS: u64 = 5_000;

/// Pauses before further attempts at the first connection, if the failure may pass. A gateway that
/// is starting reports that for up to 6 s, and a short wait serves the client better than its own
/// retry. All of them fit in the time for the handshake.
const FIRST_PAUSES_MS: [u64; 3] = [250, 750, 2_000];

/// Time for which a connection must hold so that its loss counts as a new one.
const STABLE_MS: u64 = 10_000;

/// Connections of one request: the platform allows 50 subrequests on its free plan.
pub(crate) const MAX_CONNECTIONS: u32 = 40;

impl Exchange {
    /// Schedules another attempt after one that failed for this reason, if it may pass, and returns
    /// true then.
    pub(super) fn connect_again(&mut self, failure: &Failure, link: &Link, now_ms: u64) -> bool {
        !link.is_ready() && self.schedule_retry(may_pass(failure), now_ms)
    }

    /// Schedules another attempt at a connection, while there are some left, and returns true then.
    /// Nothing is repeated, because no run was requested before the gateway's hello, or on a
    /// connection that closed while the run was being prepared.
    fn schedule_retry(&mut self, may_pass: bool, now_ms: u64) -> bool {
        let again_at_ms = FIRST_PAUSES_MS
            .get(self.first_attempts)
            .map(|pause_ms| now_ms.saturating_add(*pause_ms))
            .filter(|at_ms| may_pass && *at_ms < self.phase_began_ms.saturating_add(HANDSHAKE_MS));
        self.again_at_ms = again_at_ms;
        if again_at_ms.is_some() {
            self.first_attempts = self.first_attempts.saturating_add(1);
        }
        again_at_ms.is_some()
    }

    /// Handles the end of a connection on which the run was not requested. After the hello its code
    /// says nothing about this request, because all runs share the connection: the next handshake
    /// shows whether the gateway still takes us.
    pub(super) fn prepare_again(
        &mut self,
        failure: Failure,
        link: &Link,
        now_ms: u64,
        out: &mut Output,
    ) {
        if let Some(refused) = self.run.refused() {
            self.fail(refused.clone(), out);
        } else if !self.schedule_retry(link.is_ready() || may_pass(&failure), now_ms) {
            self.fail(failure, out);
        }
    }

    /// Handles a lost connection. The run is not lost: it is searched for on another connection.
    pub(super) fn lose(&mut self, lost: Failure, link: &mut Link, now_ms: u64, out: &mut Output) {
        self.run.detach(lost);
        if now_ms >= self.connected_ms.saturating_add(STABLE_MS) {
            self.failed_attempts = 0;
        }
        self.loss = Some(Loss {
            since_ms: now_ms,
            step: Step::Attempt,
            cause: None,
        });
        self.pause(None, link, now_ms, out);
    }

    /// Handles a failed attempt to connect again. A failure that ends a first attempt for good does
    /// not end these, because the run is going, and a login page, a proxy without a route or a
    /// gateway of another version may be there for seconds only. A refused credential ends them:
    /// the gateway locks our address out for five minutes after ten of these in a minute. Source:
    /// OpenClaw 2026.9.6, measured.
    pub(super) fn retry(
        &mut self,
        failure: &Failure,
        link: &mut Link,
        now_ms: u64,
        out: &mut Output,
    ) {
        let is_final = failure
            .diagnosis()
            .is_some_and(Diagnosis::refuses_credential);
        if is_final && !self.is_adopted() {
            self.stay_lost(failure.cause(), link, out);
        } else {
            self.pause(failure.cause(), link, now_ms, out);
        }
    }

    fn pause(&mut self, cause: Option<Cause>, link: &mut Link, now_ms: u64, out: &mut Output) {
        let last_ms = if self.is_adopted() {
            adopt::PAUSE_MS
        } else {
            LAST_PAUSE_MS
        };
        let pause_ms = PAUSES_MS.get(self.failed_attempts).copied();
        self.failed_attempts = self.failed_attempts.saturating_add(1);
        if self.connections >= MAX_CONNECTIONS && !self.is_adopted() {
            self.stay_lost(cause, link, out);
        } else if let Some(loss) = &mut self.loss {
            loss.cause = cause.or(loss.cause.take());
            loss.step = Step::Pause {
                until_ms: now_ms.saturating_add(pause_ms.unwrap_or(last_ms)),
            };
        }
    }

    /// Asks for another attempt.
    pub(super) fn connect(&mut self, out: &mut Output) {
        if let Some(loss) = &mut self.loss {
            loss.step = Step::Attempt;
        }
        self.again_at_ms = None;
        self.connections = self.connections.saturating_add(1);
        out.connect = true;
    }

    /// Handles the end of all attempts: there will be no other connection.
    pub(super) fn stay_lost(&mut self, cause: Option<Cause>, link: &mut Link, out: &mut Output) {
        if self.leave_by_ms.is_some() {
            self.leave(link, out);
        } else {
            self.fail_run(self.run.lost(cause), out);
        }
    }

    pub(super) fn is_pausing(&self) -> bool {
        matches!(
            self.loss,
            Some(Loss {
                step: Step::Pause { .. },
                ..
            })
        )
    }

    /// Returns the next deadline of the attempts, while there are any.
    pub(super) fn attempt_deadline(&self) -> Option<(u64, Due)> {
        let Some(loss) = &self.loss else {
            return Some((self.again_at_ms?, Due::Connection));
        };
        let limit_ms = if self.is_adopted() {
            adopt::GIVE_UP_MS
        } else {
            RECONNECT_MS
        };
        let end = (loss.since_ms.saturating_add(limit_ms), Due::Recovery);
        Some(match loss.step {
            Step::Pause { until_ms } if until_ms < end.0 => (until_ms, Due::Connection),
            Step::Pause { .. } | Step::Attempt => end,
        })
    }
}

/// Returns true if another attempt may succeed where this one failed.
fn may_pass(failure: &Failure) -> bool {
    failure.diagnosis().is_some_and(Diagnosis::is_passing)
}
