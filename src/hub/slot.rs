//! The right to one request for a run.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use clawfront_core::access::grant::Grant;
use clawfront_core::access::key::KeyId;
use clawfront_core::access::places::Ticket;
use clawfront_core::exchange::Exchange;
use clawfront_core::failure::Failure;

use crate::hub::books::Shared;
use crate::runtime::clock::now_ms;

/// The right to one request for a run, until it is dropped.
pub(crate) struct Slot {
    books: Shared,
    ticket: Ticket,
    key: KeyId,
    holds_body: Cell<bool>,
    /// The run of this request.
    run: OnceCell<String>,
}

impl Slot {
    pub(crate) fn take(client: &Grant, books: &Shared) -> Result<Self, Failure> {
        let now_ms = now_ms();
        let ticket = books.counts(|counts| counts.places.enter(client, now_ms))?;
        Ok(Self {
            books: Rc::clone(books),
            ticket,
            key: client.id.clone(),
            holds_body: Cell::new(true),
            run: OnceCell::new(),
        })
    }

    /// Counts `bytes` of the request's body.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<(), Failure> {
        self.books
            .counts(|counts| counts.places.reserve(self.ticket, bytes, now_ms()))
    }

    /// Records that the body is no longer held.
    pub(crate) fn release_body(&self) {
        if self.holds_body.replace(false) {
            self.books
                .counts(|counts| counts.places.release_body(self.ticket));
        }
    }

    /// Records that the body was read and that the run is about to be requested.
    pub(crate) fn begin_run(&self, run: &str) {
        let now_ms = now_ms();
        self.books.counts(|counts| {
            counts.places.begin_run(self.ticket, now_ms);
            counts.usage.begin(&self.key, run, now_ms);
        });
        self.books
            .store
            .join(self.run.get_or_init(|| run.to_owned()));
    }

    /// Counts the run of an exchange that has ended.
    pub(crate) fn end_run(&self, exchange: &Exchange) {
        let Some(run) = self.run.get() else {
            return;
        };
        self.books.counts(|counts| {
            if exchange.has_started_run() {
                counts.usage.start(run);
            }
            if let Some(end) = exchange.run_end() {
                counts.usage.end(run, &end, now_ms());
            }
        });
    }

    /// Keeps the run in the storage, so that these frames stop it if the object is reset before
    /// this slot is dropped.
    pub(crate) fn keep_run(&self, frames: Vec<String>) {
        if let Some(run) = self.run.get() {
            self.books.store.keep(run, frames);
        }
    }

    /// Records that the slot is still in use.
    pub(crate) fn touch(&self, now_ms: u64) {
        self.books
            .counts(|counts| counts.places.touch(self.ticket, now_ms));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.books.counts(|counts| {
            counts.places.leave(self.ticket);
            if let Some(run) = self.run.get() {
                counts.usage.leave(run);
            }
        });
        if let Some(run) = self.run.get() {
            self.books.store.leave(run);
        }
        self.books.keep_usage(&self.key);
    }
}
