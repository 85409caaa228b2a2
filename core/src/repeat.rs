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

use std::cell::Cell;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::access::key::KeyId;
use crate::failure::Failure;
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

/// Requests of one key that are remembered; the oldest are forgotten first.
const MAX_REQUESTS_OF_KEY: usize = 128;

/// Requests that are remembered.
const MAX_REQUESTS: usize = 1024;

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

/// The requests of the hub. Source: the hub's own requests; gone with the object.
#[derive(Debug, Default)]
pub struct Requests(Vec<Request>);

#[derive(Debug)]
struct Request {
    key_id: KeyId,
    fingerprint: Fingerprint,
    /// `x-stainless-retry-count` of the last attempt: 0 for the first.
    attempt: u32,
    entropy: Entropy,
    /// The run, if the client sent an idempotency key.
    keyed_run: Option<String>,
    first_ms: u64,
    receivers: Rc<Receivers>,
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
    /// No run was started, so there is nothing to repeat.
    settled: Cell<bool>,
}

/// One exchange's share in a run, until it is dropped.
#[derive(Debug)]
pub struct Receiver(Rc<Receivers>, u32);

impl Receiver {
    fn new(receivers: &Rc<Receivers>) -> Self {
        receivers.count.set(receivers.count.get().saturating_add(1));
        let number = receivers.latest.get().saturating_add(1);
        receivers.latest.set(number);
        if !receivers.is_session_named.get() {
            receivers.namer.set(number);
        }
        Self(Rc::clone(receivers), number)
    }

    /// Returns true if this response may name the run's session. A request without a key only looks
    /// like a retry. It may come from another caller, and two callers must not continue in one
    /// session. So one response names the session: the first that begins, and before that the
    /// latest.
    pub fn may_name_session(&self) -> bool {
        self.0.is_keyed || self.0.namer.get() == self.1
    }

    /// Records that the response begins.
    pub fn named_session(&self) {
        if self.may_name_session() {
            self.0.is_session_named.set(true);
        }
    }

    /// Returns true if another exchange receives the run, too: then this exchange must not stop it.
    pub fn is_shared(&self) -> bool {
        self.0.count.get() > 1
    }

    /// Records the end of the exchange: `started` if its run was started at all, `has_left` if its
    /// client left before the end.
    pub fn end(&self, started: bool, has_left: bool, now_ms: u64) {
        self.0.left_ms.set(now_ms);
        if self.is_shared() {
            return;
        }
        self.0.is_answered.set(started && !has_left);
        self.0.settled.set(!started);
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
        self.0.count.set(self.0.count.get().saturating_sub(1));
    }
}

impl Requests {
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
        let earlier = |request: &&mut Request| {
            request.keyed_run.is_none()
                && request.key_id == *key_id
                && request.fingerprint == *fingerprint
                && request.attempt < attempt
        };
        let Some(request) = self.0.iter_mut().rfind(earlier) else {
            return Ok(None);
        };
        request.attempt = attempt;
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
        self.0.retain(|request| {
            request.key_id != *key_id || request.keyed_run.is_some() || !request.receivers.is_sent()
        });
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
        self.0.retain(|request| {
            request.key_id != *key_id
                || request.fingerprint != fingerprint
                || request.keyed_run.is_some()
                || !request.receivers.is_sent()
        });
        self.push(Request {
            key_id: key_id.clone(),
            fingerprint,
            attempt,
            entropy,
            keyed_run: None,
            first_ms: now_ms,
            receivers: Rc::default(),
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
            None => Ok(self.push(Request {
                key_id: key_id.clone(),
                fingerprint: body,
                attempt: 0,
                entropy,
                keyed_run: Some(run.to_owned()),
                first_ms: now_ms,
                receivers: Rc::new(Receivers {
                    is_keyed: true,
                    ..Receivers::default()
                }),
            })),
        }
    }

    /// Adds a request, which takes the place of the oldest one if there are too many.
    fn push(&mut self, new: Request) -> Receiver {
        self.forget(new.first_ms);
        let is_of_key = |request: &Request| request.key_id == new.key_id;
        if self.0.iter().filter(|request| is_of_key(request)).count() >= MAX_REQUESTS_OF_KEY {
            self.drop_first(is_of_key);
        } else if self.0.len() >= MAX_REQUESTS {
            self.drop_first(|_| true);
        }
        let receiver = Receiver::new(&new.receivers);
        self.0.push(new);
        receiver
    }

    fn drop_first(&mut self, is_it: impl Fn(&Request) -> bool) {
        if let Some(index) = self.0.iter().position(is_it) {
            self.0.remove(index);
        }
    }

    fn forget(&mut self, now_ms: u64) {
        self.0.retain(|request| {
            let receivers = &request.receivers;
            let since_ms = receivers.left_ms.get().max(request.first_ms);
            !receivers.settled.get()
                && (receivers.count.get() > 0
                    || now_ms < since_ms.saturating_add(receivers.memory_ms()))
        });
    }
}

impl Request {
    /// Joins the run, unless the gateway may have forgotten it while it is active. Such a run is
    /// not requested again, because that could start it a second time.
    fn join(&self, now_ms: u64) -> Result<Receiver, Failure> {
        if !self.receivers.is_answered.get() && now_ms >= self.first_ms.saturating_add(MEMORY_MS) {
            return Err(Failure::RunInProgress);
        }
        Ok(Receiver::new(&self.receivers))
    }
}

#[cfg(test)]
mod tests;
