//! The right to one request for a run.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use clawfront_core::access::grant::Grant;
use clawfront_core::access::key::KeyId;
use clawfront_core::access::places::Ticket;
use clawfront_core::access::quota::Counts;
use clawfront_core::account::{Account, Change};
use clawfront_core::exchange::Exchange;
use clawfront_core::failure::Failure;
use clawfront_core::kept::Kept;
use clawfront_core::repeat::Receiver;

use crate::hub::books::Shared;
use crate::hub::store::Store;
use crate::runtime::clock::now_ms;

/// The right to one request for a run, until it is dropped.
pub(crate) struct Slot {
    books: Shared,
    ticket: Ticket,
    key: KeyId,
    holds_body: Cell<bool>,
    /// Known once the run is about to be requested.
    account: OnceCell<Account>,
}

impl Slot {
    pub(crate) fn take(client: &Grant, books: &Shared) -> Result<Self, Failure> {
        let now_ms = now_ms();
        let ticket = books.counts(|counts| counts.places.enter(client, now_ms))?;
        Ok(Self::new(&client.id, books, ticket))
    }

    /// Takes a place for a run that an earlier hub requested.
    pub(crate) fn adopt(key: &KeyId, kept: &Kept<'_>, receiver: &Receiver, books: &Shared) -> Self {
        let ticket = books.counts_of(key, |counts| counts.places.adopt(key, now_ms()));
        let slot = Self::new(key, books, ticket);
        slot.open_account(kept.run, receiver, kept.asked_ms);
        slot
    }

    fn new(key: &KeyId, books: &Shared, ticket: Ticket) -> Self {
        Self {
            books: Rc::clone(books),
            ticket,
            key: key.clone(),
            holds_body: Cell::new(true),
            account: OnceCell::new(),
        }
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

    /// Records that the body was read and that the run is about to be requested. Refuses it if it
    /// is another run, and the key has as many as it may have.
    pub(crate) fn begin_run(
        &self,
        client: &Grant,
        run: &str,
        receiver: &Receiver,
    ) -> Result<(), Failure> {
        let now_ms = now_ms();
        self.books.counts(|counts| {
            if !counts.usage.is_going(run) {
                counts.places.check(client, now_ms)?;
            }
            counts.places.begin_run(self.ticket, now_ms);
            Ok(())
        })?;
        self.open_account(run, receiver, now_ms);
        Ok(())
    }

    fn open_account(&self, run: &str, receiver: &Receiver, since_ms: u64) {
        let begin = |counts: &mut Counts| {
            Account::begin(&mut counts.usage, &self.key, run, receiver, since_ms)
        };
        self.account.get_or_init(|| self.books.counts(begin));
    }

    /// Records the end of the run, which counts when the slot is dropped.
    pub(crate) fn end_run(&self, exchange: &Exchange) {
        if let Some(account) = self.account.get() {
            account.end(exchange);
        }
    }

    /// Keeps the run in the storage, so that the next object knows it.
    pub(crate) fn keep_run(&self, exchange: &Exchange) {
        if let Some(account) = self.account.get()
            && let Some(row) = account.row(exchange)
        {
            self.write(account.run(), &row);
        }
    }

    /// Writes the row of the run and the usage of its key in one turn, so that both are stored or
    /// neither.
    fn write(&self, run: &str, row: &str) {
        self.books.keep_usage(&self.key);
        self.books.store.write_usages();
        self.books.store.keep_run(run, row);
    }

    pub(crate) fn store(&self) -> &Store {
        &self.books.store
    }

    /// Records that the slot is still in use.
    pub(crate) fn touch(&self, now_ms: u64) {
        self.books
            .counts(|counts| counts.places.touch(self.ticket, now_ms));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.books.counts(|counts| counts.places.leave(self.ticket));
        let leave = |account: &Account| {
            self.books
                .counts(|counts| account.leave(&mut counts.usage, now_ms()))
        };
        match self.account.get().map(|account| (account, leave(account))) {
            Some((account, Change::Write(row))) => return self.write(account.run(), &row),
            Some((account, Change::Delete)) => self.books.store.forget_run(account.run()),
            Some((_, Change::None)) | None => {}
        }
        self.books.keep_usage(&self.key);
    }
}
