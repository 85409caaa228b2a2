//! The record of a run, through which requests abort it and wait for its end.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::frames::Reply;
use crate::journal::AbortedBy;
use crate::request::Responder;

/// A run as requests see it; the run itself is a task.
#[derive(Debug)]
pub(crate) struct RunRecord {
    pub(crate) session_key: String,
    pub(crate) agent_id: String,
    pub(crate) origin: Origin,
    /// The device that started it. All clients that have only the shared secret count as one.
    pub(crate) owner: Option<String>,
    pub(crate) accepted: Reply,
    pub(crate) aborts: UnboundedSender<Abort>,
    pub(crate) ended: watch::Receiver<Option<Arc<Ended>>>,
    pub(crate) task: Option<AbortHandle>,
}

/// The way in which a run was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    WebSocket,
    /// `chat.abort` does not know such a run, and any client may stop it with `sessions.abort`.
    Http,
}

impl RunRecord {
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }
}

/// The result of a run that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its last response, sent again for a repeated idempotency key.
    pub(crate) reply: Reply,
    /// The time from which the reply is sent again; `agent.wait` returns earlier.
    pub(crate) claimable_at: tokio::time::Instant,
    /// The answer of `agent.wait`.
    pub(crate) wait: serde_json::Value,
}

/// An abort, and the response that goes out in the middle of its events.
#[derive(Debug)]
pub(crate) struct Abort {
    pub(crate) by: AbortedBy,
    pub(crate) answer: Option<Box<(Responder, Reply)>>,
}
