//! Repeated requests: by an `Idempotency-Key`, or by an SDK that retries on its own.
//!
//! The gateway knows a run by its idempotency key. Another request with this key gets the existing
//! run, for five minutes and until the gateway restarts. This file remembers less: the run of each
//! request, so that a retry gets the same run, and the body that each key came with.
//!
//! A request without a key is forgotten soon after its end was sent: then the same words are
//! another request. It is not forgotten at once, because the end can get lost on its way, and an
//! SDK then retries. Within these seconds the number of the attempt separates the two: a client
//! that sends the same words again sends a first attempt, and no SDK marks a retry as the first.
//!
//! The next hub knows the requests by the rows of their runs ([`Kept`]).

use std::cell::Cell;
use std::rc::Rc;

use base16ct::lower as hex;
use sha2::{Digest, Sha256};

use crate::access::key::KeyId;
use crate::failure::Failure;
use crate::kept::{Facts, Kept};
use crate::openai::Entropy;
use crate::turn::RunId;

/// Time for which a request is remembered after its exchange, and greatest age at which it is
/// joined, in milliseconds. It is less than the gateway's own five minutes, because after them
/// OpenClaw 2026.3 would start a run again that is still active.
const MEMORY_MS: u64 = 240_000;

/// Time for which a request without a key is remembered after its end was sent, in milliseconds.
/// The official SDKs retry at most eight seconds after they have noticed the loss. Source:
/// `MAX_RETRY_DELAY` in openai-python 3.54, `maxRetryDelay` in openai-node 7.57.
pub(crate) const SENT_MS: u64 = 20_000;

/// Requests of one key that are remembered. Those whose time is over first make room, so first the
/// ones whose end was sent, and none that is going: their number has limits of its own.
const MAX_REQUESTS_OF_KEY: usize = 256;

/// Requests that are remembered.
const MAX_REQUESTS: usize = 2048;

/// Headers that make two requests with the same body different: they choose an agent, or give the
/// client's address.
const HEADERS: [&str; 2] = ["x-openclaw-agent-id", "cf-connecting-ip"];

/// Words in the names of headers that identify the user or the conversation. Source: the headers
/// that Open WebUI sends (`X-OpenWebUI-User-Id`, `-Chat-Id`, `-Message-Id`), that LibreChat's
/// documentation proposes, and that identity proxies add (`X-Forwarded-User`). Other headers do not
/// count, because proxies and tracing libraries give each attempt values of its own.
const WORDS: [&str; 14] = [
    "account",
    "chat",
    "conversation",
    "customer",
    "email",
    "identity",
    "member",
    "message",
    "person",
    "profile",
    "session",
    "tenant",
    "thread",
    "user",
];

/// A hash that identifies a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Hashes all parts of a request that identify it: its body, and the headers for the user, the
    /// agent, the address and the conversation. Names of headers are in lower case.
    pub fn of(
        conversations: &[String],
        headers: impl Iterator<Item = (String, String)>,
        body: &[u8],
    ) -> Self {
        Self::of_parts(&HEADERS, conversations, headers, body)
    }

    /// Hashes the headers for the user and the conversation. The address is not hashed: a client
    /// that names its run stays the same client at another address.
    pub fn of_caller(
        conversations: &[String],
        headers: impl Iterator<Item = (String, String)>,
    ) -> [u8; 32] {
        Self::of_parts(&[], conversations, headers, &[]).0
    }

    fn of_parts(
        further: &[&str],
        conversations: &[String],
        headers: impl Iterator<Item = (String, String)>,
        body: &[u8],
    ) -> Self {
        let counts = |name: &str| {
            further.contains(&name)
                || conversations
                    .iter()
                    .any(|conversation| conversation == name)
                || name.split(['-', '_']).any(|word| WORDS.contains(&word))
        };
        // A list that stays sorted, because the code of a sort is larger than what it saves here.
        let mut sorted: Vec<(String, String)> = Vec::new();
        for header in headers.filter(|(name, _)| counts(name)) {
            sorted.insert(sorted.partition_point(|other| *other < header), header);
        }
        let mut hash = Sha256::new();
        for text in sorted.iter().flat_map(|(name, value)| [name, value]) {
            // A zero byte is a safe separator, because no name and no value contains one.
            hash.update(text);
            hash.update([0]);
        }
        hash.update([0]);
        hash.update(body);
        Self(hash.finalize().into())
    }

    /// Hashes a run that its client named: the run's id depends on the whole request, the body
    /// included.
    pub fn of_run(run: &RunId) -> Self {
        Self(Sha256::digest(run.as_str()).into())
    }
}

/// The requests of the hub. Source: the hub's own requests, and the rows that an earlier hub left.
#[derive(Debug, Default)]
pub struct Requests(Vec<Rc<Request>>);

/// A request that is remembered. The exchanges that receive its run share it.
#[derive(Debug)]
pub struct Request {
    key_id: KeyId,
    fingerprint: Fingerprint,
    /// `x-stainless-retry-count` of the last attempt: 0 for the first.
    attempt: Cell<u32>,
    entropy: Entropy,
    /// The run, if the client sent an idempotency key.
    keyed_run: Option<String>,
    first_ms: u64,
    /// The time at which the run was requested first; 0 before.
    asked_ms: Cell<u64>,
    /// An earlier hub had the request, and the session shows whether the gateway has its run.
    can_recall: bool,
    /// The run is in its key's usage, or was not started for this request.
    is_counted: Cell<bool>,
    /// The run's row says that it may be going.
    is_written_as_going: Cell<bool>,
    receivers: Receivers,
}

/// The exchanges that receive a request's run.
#[derive(Debug, Default)]
struct Receivers {
    count: Cell<u32>,
    /// The number of the latest exchange.
    latest: Cell<u32>,
    /// True if an exchange sent the session's name to its client, or may have sent it.
    is_session_named: Cell<bool>,
    /// The number of the exchange that may send the session's name. Requests that only look equal
    /// share one such exchange.
    namer: Cell<u32>,
    /// The time at which the last exchange ended.
    left_ms: Cell<u64>,
    is_keyed: bool,
    /// The end was sent to the client.
    is_answered: Cell<bool>,
    /// The gateway has reported the end.
    is_over: Cell<bool>,
    /// No run was started, so there is nothing to repeat.
    settled: Cell<bool>,
}

/// One exchange's share in a run, until it is dropped.
#[derive(Debug)]
pub struct Receiver(Rc<Request>, u32);

/// The end of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeEnd {
    /// No run was started.
    NotStarted,
    /// The client received the end.
    Sent,
    /// The client left before the end.
    Left,
    /// The gateway has reported the end, and there was no client.
    Unsent,
}

impl Receiver {
    fn new(request: &Rc<Request>) -> Self {
        let receivers = &request.receivers;
        receivers.count.set(receivers.count.get().saturating_add(1));
        let number = receivers.latest.get().saturating_add(1);
        receivers.latest.set(number);
        if !receivers.is_session_named.get() {
            receivers.namer.set(number);
        }
        Self(Rc::clone(request), number)
    }

    pub fn request(&self) -> &Rc<Request> {
        &self.0
    }

    /// Returns true if this exchange's request was the first for its run, and no other exchange
    /// receives the run.
    pub fn is_alone(&self) -> bool {
        self.1 == 1 && !self.is_shared()
    }

    /// Returns true if this response may name the run's session. A request without a key only looks
    /// like a retry. It may come from another caller, and two callers must not continue in one
    /// session. So one response names the session: the first that begins, and before that the
    /// latest.
    pub fn may_name_session(&self) -> bool {
        self.0.receivers.is_keyed || self.0.receivers.namer.get() == self.1
    }

    /// Records that the response begins.
    pub fn named_session(&self) {
        if self.may_name_session() {
            self.0.receivers.is_session_named.set(true);
        }
    }

    /// Returns true if another exchange receives the run, too: then this exchange must not stop it.
    pub fn is_shared(&self) -> bool {
        self.0.receivers.count.get() > 1
    }

    /// Records the end of the exchange.
    pub fn end(&self, end: ExchangeEnd, now_ms: u64) {
        let receivers = &self.0.receivers;
        receivers.left_ms.set(now_ms);
        if end == ExchangeEnd::Unsent {
            receivers.is_over.set(true);
        }
        if self.is_shared() {
            return;
        }
        let is_started = end != ExchangeEnd::NotStarted;
        // A retry that was refused forgets no run.
        if is_started || self.1 == 1 || !self.0.was_asked() {
            receivers.is_answered.set(end == ExchangeEnd::Sent);
            receivers.settled.set(!is_started);
        }
    }
}

impl Receivers {
    fn is_sent(&self) -> bool {
        self.is_answered.get() && self.count.get() == 0
    }

    /// Returns the time for which a request is remembered after its end. A key keeps its run for
    /// longer.
    fn memory_ms(&self) -> u64 {
        if self.is_answered.get() && !self.is_keyed {
            SENT_MS
        } else {
            MEMORY_MS
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let count = &self.0.receivers.count;
        count.set(count.get().saturating_sub(1));
    }
}

impl Requests {
    /// Takes a row that an earlier hub left. Returns a share in its run, which the run's exchange
    /// gets if it may be going; `None` if the row cannot be read.
    #[inline(never)]
    pub fn restore(&mut self, kept: &Kept<'_>) -> Option<Receiver> {
        let request = Rc::new(Request::restore(kept)?);
        let receiver = Receiver::new(&request);
        // A retry gets the latest request that fits.
        let place = self
            .0
            .partition_point(|other| other.first_ms <= request.first_ms);
        self.0.insert(place, Rc::clone(&request));
        self.limit(&request.key_id);
        Some(receiver)
    }

    /// Returns the ids of the attempt that this one retries, if any. When identical requests are in
    /// flight, each retry is matched to a different one.
    pub fn recall(
        &mut self,
        key_id: &KeyId,
        fingerprint: &Fingerprint,
        attempt: u32,
        now_ms: u64,
    ) -> Result<Option<(Entropy, Receiver)>, Failure> {
        self.forget(now_ms);
        let earlier = |request: &&Rc<Request>| {
            request.keyed_run.is_none()
                && request.key_id == *key_id
                && request.fingerprint == *fingerprint
                && request.attempt.get() < attempt
        };
        let Some(request) = self.0.iter().rfind(earlier) else {
            return Ok(None);
        };
        request.attempt.set(attempt);
        request
            .join(now_ms)
            .map(|receiver| Some((request.entropy, receiver)))
    }

    /// Records that a request was refused before it was read. A later attempt then retries this
    /// request, and not an earlier one that was answered.
    ///
    /// Only a refused first attempt begins another request. If a later attempt is refused, the
    /// answer that it retries is kept.
    pub fn refused(&mut self, key_id: &KeyId, attempt: u32) {
        if attempt > 0 {
            return;
        }
        self.drop_sent(|request| request.key_id == *key_id);
    }

    /// Remembers a request without a key, and its ids. A client that sends the same words as
    /// another first attempt has received the answer to the earlier request, which is forgotten.
    pub fn remember(
        &mut self,
        key_id: &KeyId,
        fingerprint: Fingerprint,
        attempt: u32,
        entropy: Entropy,
        now_ms: u64,
    ) -> Receiver {
        self.drop_sent(|request| request.key_id == *key_id && request.fingerprint == fingerprint);
        self.push(Request {
            attempt: Cell::new(attempt),
            ..Request::new(key_id, fingerprint, entropy, None, now_ms)
        })
    }

    /// Remembers a request whose run the client named. The same name with another body is refused.
    pub fn remember_keyed(
        &mut self,
        key_id: &KeyId,
        run: &str,
        body: Fingerprint,
        entropy: Entropy,
        now_ms: u64,
    ) -> Result<Receiver, Failure> {
        self.forget(now_ms);
        match self
            .0
            .iter()
            .find(|request| request.keyed_run.as_deref() == Some(run))
        {
            Some(earlier) if earlier.fingerprint != body => Err(Failure::IdempotencyKeyReused),
            Some(earlier) => earlier.join(now_ms),
            None => Ok(self.push(Request::new(key_id, body, entropy, Some(run), now_ms))),
        }
    }

    /// Forgets the requests without a key whose ends were sent.
    fn drop_sent(&mut self, is_it: impl Fn(&Request) -> bool) {
        self.0.retain(|request| {
            !is_it(request) || request.keyed_run.is_some() || !request.receivers.is_sent()
        });
    }

    /// Adds a request, which takes the place of the oldest one if there are too many.
    fn push(&mut self, new: Request) -> Receiver {
        self.forget(new.first_ms);
        let new = Rc::new(new);
        let receiver = Receiver::new(&new);
        self.0.push(Rc::clone(&new));
        self.limit(&new.key_id);
        receiver
    }

    /// Forgets a request if this key has one too many, or all keys have.
    fn limit(&mut self, key_id: &KeyId) {
        let is_of_key = |request: &Rc<Request>| request.key_id == *key_id;
        if self.0.iter().filter(|other| is_of_key(other)).count() > MAX_REQUESTS_OF_KEY {
            self.drop_first(is_of_key);
        } else if self.0.len() > MAX_REQUESTS {
            self.drop_first(|_| true);
        }
    }

    /// Forgets the one of these requests that would be forgotten first, unless all are going.
    fn drop_first(&mut self, is_it: impl Fn(&Rc<Request>) -> bool) {
        let is_over = |request: &Rc<Request>| request.receivers.count.get() == 0;
        let all = self.0.iter().enumerate();
        let over = all.filter(|(_, request)| is_over(request) && is_it(request));
        let first = over.min_by_key(|(_, request)| request.until_ms());
        if let Some(index) = first.map(|(index, _)| index) {
            self.0.remove(index);
        }
    }

    fn forget(&mut self, now_ms: u64) {
        self.0.retain(|request| {
            let receivers = &request.receivers;
            !receivers.settled.get() && (receivers.count.get() > 0 || now_ms < request.until_ms())
        });
    }
}

impl Request {
    fn new(
        key_id: &KeyId,
        fingerprint: Fingerprint,
        entropy: Entropy,
        keyed_run: Option<&str>,
        now_ms: u64,
    ) -> Self {
        Self {
            key_id: key_id.clone(),
            fingerprint,
            attempt: Cell::new(0),
            entropy,
            keyed_run: keyed_run.map(str::to_owned),
            first_ms: now_ms,
            asked_ms: Cell::default(),
            can_recall: false,
            is_counted: Cell::new(false),
            is_written_as_going: Cell::new(false),
            receivers: Receivers {
                is_keyed: keyed_run.is_some(),
                ..Receivers::default()
            },
        }
    }

    fn restore(kept: &Kept<'_>) -> Option<Self> {
        let mut bytes = [0; 64];
        if hex::decode(kept.request, &mut bytes).ok()?.len() != 64 {
            return None;
        }
        let (run, rest) = bytes.split_first_chunk()?;
        let (session, fingerprint) = rest.split_first_chunk()?;
        let entropy = Entropy {
            run: *run,
            session: *session,
        };
        let request = Self {
            attempt: Cell::new(u32::try_from(kept.attempt).ok()?),
            asked_ms: Cell::new(kept.asked_ms),
            can_recall: kept.is_going() && kept.facts.has(Facts::V4),
            is_counted: Cell::new(kept.facts.has(Facts::COUNTED)),
            is_written_as_going: Cell::new(kept.is_going()),
            ..Self::new(
                &KeyId::parse(kept.key)?,
                Fingerprint(fingerprint.try_into().ok()?),
                entropy,
                RunId::name_of(kept.run),
                kept.first_ms,
            )
        };
        let receivers = &request.receivers;
        let has = |fact| kept.facts.has(fact);
        receivers.is_session_named.set(has(Facts::SESSION_NAMED));
        receivers.is_answered.set(has(Facts::ANSWERED));
        receivers.is_over.set(has(Facts::OVER));
        receivers.left_ms.set(kept.left_ms);
        Some(request)
    }

    /// Returns the row of the request's run. `kept` has what is known of a run that may be going, and
    /// is empty if it has ended.
    pub fn row(&self, kept: Kept<'_>) -> String {
        let Entropy { run, session } = &self.entropy;
        let bytes = [&run[..], session, &self.fingerprint.0].concat();
        let digits = hex::encode_string(&bytes);
        let receivers = &self.receivers;
        let mut kept = Kept {
            request: &digits,
            key: self.key_id.as_str(),
            attempt: self.attempt.get().into(),
            first_ms: self.first_ms,
            ..kept
        };
        self.is_written_as_going.set(!kept.id.is_empty());
        if kept.id.is_empty() {
            kept.until_ms = self.until_ms();
            kept.left_ms = receivers.left_ms.get();
        } else if self.asked_ms.get() == 0 {
            self.asked_ms.set(kept.asked_ms.max(self.first_ms));
        }
        kept.facts = kept
            .facts
            .with(Facts::SESSION_NAMED, receivers.is_session_named.get())
            .with(Facts::COUNTED, self.is_counted.get())
            .with(Facts::ANSWERED, receivers.is_answered.get())
            .with(Facts::OVER, receivers.is_over.get());
        kept.asked_ms = self.asked_ms.get();
        kept.row()
    }

    /// Returns true if the run may have been requested.
    pub fn was_asked(&self) -> bool {
        self.asked_ms.get() > 0
    }

    pub fn is_counted(&self) -> bool {
        self.is_counted.get()
    }

    /// Returns true if the run's row says that the run may be going.
    pub fn is_written_as_going(&self) -> bool {
        self.is_written_as_going.get()
    }

    /// Records that the run must not be counted again.
    pub fn set_counted(&self) {
        self.is_counted.set(true);
    }

    /// Returns the time until which the request is remembered, if no exchange receives its run.
    fn until_ms(&self) -> u64 {
        let since_ms = self.receivers.left_ms.get().max(self.first_ms);
        since_ms.saturating_add(self.receivers.memory_ms())
    }

    /// Joins the run, unless the gateway may have forgotten it while it is active. Such a run is
    /// not requested again, because that could start it a second time.
    fn join(self: &Rc<Self>, now_ms: u64) -> Result<Receiver, Failure> {
        let is_known = self.receivers.is_answered.get() || self.receivers.is_over.get();
        let can_recall = self.can_recall && self.receivers.is_keyed;
        if !(is_known || can_recall) && now_ms >= self.first_ms.saturating_add(MEMORY_MS) {
            return Err(Failure::RunInProgress);
        }
        Ok(Receiver::new(self))
    }
}

#[cfg(test)]
mod tests;
