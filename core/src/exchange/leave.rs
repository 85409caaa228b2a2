//! The client that leaves, or whose key expires, before its run has ended.

use crate::access::policy::OnDisconnect;
use crate::failure::Failure;
use crate::gateway::link::Link;

use super::{Exchange, Outcome, Output};

/// Time for a connection whose only purpose is to stop the run of a client that left.
pub(crate) const LEAVE_MS: u64 = 10_000;

impl Exchange {
    /// Handles a client that left. A run that cannot be reached at the moment is stopped on another
    /// connection, if there is one soon.
    pub(super) fn hang_up(&mut self, link: &mut Link, now_ms: u64, out: &mut Output) {
        if self.leave_by_ms.is_some() {
            return;
        }
        if !self.run.is_detached()
            || !self.run.can_be_aborted()
            || self.policy.on_disconnect == OnDisconnect::Finish
        {
            self.leave(link, out);
            return;
        }
        self.leave_by_ms = Some(now_ms.saturating_add(LEAVE_MS));
        if self.is_pausing() {
            self.connect(out);
        }
    }

    pub(super) fn leave(&mut self, link: &mut Link, out: &mut Output) {
        if self.loss.is_none() && self.policy.on_disconnect == OnDisconnect::Abort {
            self.run.abort(link, &mut out.frames);
        }
        if self.has_expired {
            self.fail(Failure::ApiKeyExpired, out);
        } else {
            self.reply.outcome = Outcome::Failed(Failure::ClientClosedRequest);
            out.ended = true;
        }
    }

    /// Ends the exchange because the client's key has expired.
    pub(super) fn expire(&mut self, link: &mut Link, now_ms: u64, out: &mut Output) {
        self.expires_ms = None;
        // A client that left does not receive the reason.
        self.has_expired = self.leave_by_ms.is_none();
        self.hang_up(link, now_ms, out);
    }
}
