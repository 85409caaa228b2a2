//! The client that leaves, or whose key expires, or whose run an administrator stops, before the
//! run has ended.

use crate::access::policy::OnDisconnect;
use crate::failure::Failure;
use crate::gateway::link::Link;

use super::{ClientState, Exchange, Outcome, Output, StoppedBy};

/// Time for a connection whose only purpose is to stop the run of a client that left.
pub(crate) const LEAVE_MS: u64 = 10_000;

impl Exchange {
    /// Handles a client that left. A run that cannot be reached at the moment is stopped on another
    /// connection, if there is one soon.
    pub(super) fn hang_up(&mut self, link: &mut Link, now_ms: u64, out: &mut Output) {
        if self.leave_by_ms.is_some() {
            return;
        }
        let is_stopped = self.stopped_by.is_some() || self.client == ClientState::Expired;
        if self.is_in_background() && !is_stopped {
            self.client = ClientState::Gone;
            return;
        }
        if self.run.awaits_late() && !is_stopped {
            // The answer is complete, and nothing of what goes on is ours.
            return self.finish_late(out);
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

    /// Returns true if the client has left and the run goes on without it, because its key wants
    /// that, or because the gateway cannot stop it.
    pub fn goes_on(&self) -> bool {
        let is_kept =
            self.policy.on_disconnect == OnDisconnect::Finish || !self.run.can_be_aborted();
        is_kept
            && matches!(self.outcome(), Outcome::Failed(failure) if failure.is_of_client())
            && self.run.may_have_started()
            && !self.run.is_shared()
            && !self.run.has_ended()
    }

    /// Follows a run that goes on to its end, for the key's usage. Bytes for the client, which is
    /// gone, are dropped.
    pub(crate) fn follow(&mut self) {
        self.client = ClientState::Gone;
        self.reply.head_sent = true;
        self.reply.record = None;
        self.reply.outcome = Outcome::Pending;
        self.leave_by_ms = None;
        self.expires_ms = None;
    }

    /// Ends the exchange because its run is to be stopped: by an administrator for all who share
    /// it.
    pub(super) fn stop(&mut self, by: StoppedBy, link: &mut Link, now_ms: u64, out: &mut Output) {
        let is_first = self.stopped_by.is_none();
        if self.stopped_by != Some(StoppedBy::Administrator) {
            self.stopped_by = Some(by);
        }
        self.policy.on_disconnect = OnDisconnect::Abort;
        self.stop_soon();
        // The run of an earlier hub is tried for longer, and so is that of a response in the
        // background. They are stopped on the next connection.
        let is_tried = self.is_adopted() || self.is_in_background();
        if !is_tried || self.loss.is_none() || !self.run.can_be_aborted() {
            self.hang_up(link, now_ms, out);
        } else if is_first && self.is_pausing() && !self.is_adopted() {
            self.connect(out);
        }
    }

    pub(super) fn leave(&mut self, link: &mut Link, out: &mut Output) {
        if self.stopped_by == Some(StoppedBy::Administrator) {
            self.run.share(false);
        }
        if self.loss.is_none()
            && self.policy.on_disconnect == OnDisconnect::Abort
            && self.run.can_be_aborted()
        {
            self.run.abort(link, &mut out.frames);
        }
        if self.stopped_by.is_some() && self.loss.is_some() && self.run.can_be_aborted() {
            // Without a connection the run was not stopped.
            self.fail(self.run.lost(None), out);
        } else if self.stopped_by == Some(StoppedBy::Administrator) {
            self.fail(Failure::RunAborted, out);
        } else if self.stopped_by == Some(StoppedBy::Client) {
            self.reply.answer.cancel(&mut out.body);
            self.reply.outcome = Outcome::Failed(Failure::ClientClosedRequest);
            out.ended = true;
        } else if self.client == ClientState::Expired || self.is_in_background() {
            self.fail(Failure::ApiKeyExpired, out);
        } else {
            self.reply.outcome = Outcome::Failed(Failure::ClientClosedRequest);
            out.ended = true;
        }
    }

    /// Ends the exchange because the client's key has expired.
    pub(super) fn expire(&mut self, link: &mut Link, now_ms: u64, out: &mut Output) {
        self.expires_ms = None;
        if self.is_in_background() {
            self.policy.on_disconnect = OnDisconnect::Abort;
        }
        if self.is_adopted() {
            self.stop_soon();
            return;
        }
        // A client that left does not receive the reason.
        if self.leave_by_ms.is_none() {
            self.client = ClientState::Expired;
        }
        self.hang_up(link, now_ms, out);
    }
}
