//! The part of one request in its run's usage, and in the run's row in the storage. A run counts
//! once, however many requests share it, and however often the hub is reset.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use crate::access::key::KeyId;
use crate::access::usage::{Counter, RunEnd, Usage};
use crate::exchange::Exchange;
use crate::kept::Kept;
use crate::repeat::{Receiver, Request};

/// The account of one request, from the moment before its run is requested.
#[derive(Debug)]
pub struct Account {
    run: String,
    key: KeyId,
    since_ms: u64,
    request: Rc<Request>,
    /// No other request had the run before this one.
    is_first: bool,
    end: Cell<Option<RunEnd>>,
    /// The agent of the exchange that has ended.
    agent: OnceCell<String>,
}

/// The change of a run's row that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    None,
    /// The row is written, with the key's usage, so that both are stored or neither.
    Write(String),
    Delete,
}

impl Account {
    /// Begins with a request that is about to start the run, or to join it.
    pub fn begin(
        usage: &mut Usage,
        key: &KeyId,
        run: &str,
        receiver: &Receiver,
        since_ms: u64,
    ) -> Self {
        usage.begin(key, run, since_ms);
        Self {
            run: run.to_owned(),
            key: key.clone(),
            since_ms,
            request: Rc::clone(receiver.request()),
            is_first: receiver.is_alone(),
            end: Cell::default(),
            agent: OnceCell::new(),
        }
    }

    pub fn run(&self) -> &str {
        &self.run
    }

    /// Returns the row of a run that may have begun. It is written before the run's frames are
    /// sent, and again if the id of the run changes, or the knowledge about its start.
    pub fn row(&self, exchange: &Exchange) -> Option<String> {
        let kept = exchange.kept()?;
        self.note_start(exchange);
        Some(self.request.row(kept))
    }

    /// Records the end of the exchange, and of the run, if it has ended with this exchange.
    pub fn end(&self, exchange: &Exchange) {
        let end = exchange.run_end();
        if end.is_some() {
            self.note_start(exchange);
            self.end.set(end);
        }
        // A client can name agents that do not exist.
        let agent = exchange.agent().filter(|_| exchange.may_have_started());
        if let Some(agent) = agent {
            self.agent.get_or_init(|| agent.to_string());
        }
    }

    /// Takes the request from the run, whose end counts with it. Its share in the run has ended
    /// before. A run that was never started leaves no row. A failure of this request alone is not
    /// the end of a run that another request still has.
    #[inline(never)]
    pub fn leave(&self, usage: &mut Usage, now_ms: u64) -> Change {
        let request = &self.request;
        let requests = usage.requests(&self.run);
        let is_last = requests == 1;
        let is_open = is_last && !request.is_counted();
        let is_own = |end: &RunEnd| end.outcome == Counter::OtherFailures && requests > 1;
        let mut end = self.end.get().filter(|end| !is_own(end));
        let agent = self.agent.get().map_or("", String::as_str);
        if is_open && !self.is_first && request.was_asked() {
            // A retry failed before it had the run, and the first request has left: nobody knows
            // how the run ends.
            end = end.or(Some(RunEnd::of(Counter::OtherFailures)));
        }
        if let Some(end) = &end {
            if !request.is_counted() {
                usage.start(&self.run);
            }
            usage.end(&self.run, agent, end, now_ms);
            request.set_counted();
        }
        usage.request_of(&self.key, agent, self.since_ms, now_ms);
        usage.leave(&self.run);
        match end {
            Some(_) => Change::Write(request.row(Kept::default())),
            None if is_open => Change::Delete,
            // A retry failed, of a run that had ended before it.
            None if is_last && request.is_written_as_going() => {
                Change::Write(request.row(Kept::default()))
            }
            None => Change::None,
        }
    }

    /// Records a run that the gateway had before its first request here: it was counted then.
    fn note_start(&self, exchange: &Exchange) {
        if self.is_first && !exchange.has_started_run() {
            self.request.set_counted();
        }
    }
}
