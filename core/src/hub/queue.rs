//! The queue of exchanges whose runs the gateway does not get yet, because the number that it may
//! have at a time is limited.
//!
//! The next exchange is one of the key that has the fewest runs, and of these the first. So a key
//! with many exchanges in the queue does not delay another key's first one.

use crate::access::key::KeyId;
use crate::exchange;
use crate::failure::Failure;

use super::{Entry, Hub, MAX_WAITING};

impl Hub {
    /// Limits the runs that the gateway gets at a time.
    #[must_use]
    pub fn with_max_runs(self, max_runs: Option<usize>) -> Self {
        Self { max_runs, ..self }
    }

    /// Puts the exchange that has just begun into the queue, if the gateway has as many runs as it
    /// may have. Refuses it if the queue is full.
    pub(super) fn enqueue(&mut self, index: usize, now_ms: u64) {
        let (Some(max_runs), Some(new)) = (self.max_runs, self.entries.get(index)) else {
            return;
        };
        // The exchange itself is among those that are going. The gateway has the run of an earlier
        // hub.
        if self.count(is_going) <= max_runs
            || self.shares_run(new)
            || new.exchange.may_have_started()
        {
            return;
        }
        let key = new.exchange.key();
        let own = self.count(|entry| entry.exchange.is_queued() && entry.exchange.key() == key);
        let free = MAX_WAITING.saturating_sub(self.count(|entry| entry.exchange.is_queued()));
        if own >= free {
            let failure = Failure::TooManyStreams;
            self.give(index, exchange::Input::Failed(failure), now_ms);
        } else if let Some(entry) = self.entries.get_mut(index) {
            entry.exchange.enter_queue(now_ms);
        }
    }

    /// Lets exchanges out of the queue, as long as the gateway may have more runs.
    pub(super) fn dequeue(&mut self, now_ms: u64) {
        while let Some(index) = self.next_in_queue() {
            self.needs_connection(now_ms);
            if let Some(entry) = self.entries.get_mut(index) {
                entry.exchange.leave_queue(now_ms);
            }
            self.schedule(index);
        }
    }

    fn next_in_queue(&self) -> Option<usize> {
        let is_full = self.count(is_going) >= self.max_runs?;
        let may_go =
            |entry: &Entry| entry.exchange.is_queued() && (!is_full || self.shares_run(entry));
        let runs_of = |key: Option<&KeyId>| {
            self.count(|entry| is_going(entry) && entry.exchange.key() == key)
        };
        let waiting = self.entries.iter().enumerate();
        let (index, _) = waiting
            .filter(|(_, entry)| may_go(entry))
            .min_by_key(|(_, entry)| (runs_of(entry.exchange.key()), entry.id))?;
        Some(index)
    }

    /// Returns true if another exchange has the same run at the gateway: this one only joins it.
    fn shares_run(&self, entry: &Entry) -> bool {
        self.entries.iter().any(|other| {
            other.id != entry.id
                && !other.exchange.is_queued()
                && other.exchange.running_id() == entry.exchange.running_id()
        })
    }

    fn count(&self, is_counted: impl Fn(&Entry) -> bool) -> usize {
        self.entries
            .iter()
            .filter(|entry| is_counted(entry))
            .count()
    }
}

/// Returns true for a run that takes a place of the gateway: not once it has answered.
fn is_going(entry: &Entry) -> bool {
    !entry.exchange.is_queued() && !entry.exchange.lingers()
}
