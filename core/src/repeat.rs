//! Requests that were made before: by an `Idempotency-Key`, or by an SDK that tries again on its own.
//!
//! The gateway knows a run by its idempotency key, and answers whoever asks for it again with the run that is there, for five minutes and
//! until it is restarted. What is remembered here is less: which run a request was given, so that its repetition can be given the same
//! one, and which body a key came with. A request without a key is forgotten soon after its end was sent: from then on the same words are
//! another request. Not at once: what was sent can get lost on its way, and an SDK then asks again. Within these seconds a client that
//! says the same anew is told from one that repeats by its first attempt, which no SDK calls a repetition.

use std::cell::Cell;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::error::Failure;
use crate::key::KeyId;
use crate::openai::chat::Entropy;

/// How long a request is remembered beyond its exchange, and how old it may be to be joined, in milliseconds: less than the gateway's own
/// five minutes, beyond which OpenClaw 2026.3 would start a run again that it is still running.
const MEMORY_MS: u64 = 240_000;

/// How long a request without a key is remembered after its end was sent, in milliseconds: the official SDKs ask again at most eight
/// seconds after they have noticed that it got lost. Source: `MAX_RETRY_DELAY` in openai-python 3.54, `maxRetryDelay` in openai-node 7.57.
const SENT_MS: u64 = 20_000;

/// Requests of one key that are remembered; the oldest are forgotten first.
const MAX_REQUESTS_OF_KEY: usize = 128;

/// Requests that are remembered.
const MAX_REQUESTS: usize = 1024;

/// Headers beside the body that make a request another one.
const HEADERS: [&str; 2] = ["x-openclaw-agent-id", "x-openclaw-session-key"];

/// What a request says, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of all that makes the request.
    pub fn of(conversations: &[String], header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for name in HEADERS.into_iter().chain(conversations.iter().map(String::as_str)) {
            hash.update(header(name).unwrap_or_default());
            hash.update([0]);
        }
        hash.update(body);
        Self(hash.finalize().into())
    }

    /// Of its body alone, where all else is in its run's id.
    pub fn of_body(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

/// The requests of one isolate. Source: the isolate's own; gone with the isolate.
#[derive(Debug, Default)]
pub struct Requests(Vec<Request>);

#[derive(Debug)]
struct Request {
    kid: KeyId,
    fingerprint: Fingerprint,
    /// `x-stainless-retry-count` of the last one: 0 for the first.
    attempt: u32,
    entropy: Entropy,
    /// The run, if the client gave it a key.
    keyed_run: Option<String>,
    first_ms: u64,
    hearers: Rc<Hearers>,
}

/// Whoever hears a request's run.
#[derive(Debug, Default)]
struct Hearers {
    count: Cell<u32>,
    /// When the last of them left.
    left_ms: Cell<u64>,
    is_keyed: bool,
    /// The end was sent to the client.
    is_answered: Cell<bool>,
    /// There is nothing to repeat.
    settled: Cell<bool>,
}

/// One exchange's share in a run, until it is dropped.
#[derive(Debug)]
pub struct Hearing(Rc<Hearers>);

impl Hearing {
    fn new(hearers: &Rc<Hearers>) -> Self {
        hearers.count.set(hearers.count.get().saturating_add(1));
        Self(Rc::clone(hearers))
    }

    /// Whether somebody else hears the run: then it is not this exchange's to stop.
    pub fn is_shared(&self) -> bool {
        self.0.count.get() > 1
    }

    /// The exchange is over: whether its run was started at all, and whether its client left before the end.
    pub fn end(&self, started: bool, has_left: bool, now_ms: u64) {
        self.0.left_ms.set(now_ms);
        if self.is_shared() {
            return;
        }
        self.0.is_answered.set(started && !has_left);
        self.0.settled.set(!started);
    }
}

impl Hearers {
    fn is_sent(&self) -> bool {
        self.is_answered.get() && self.count.get() == 0
    }

    /// How long after their end they are remembered; a key goes on to stand for its run.
    fn memory_ms(&self) -> u64 {
        if self.is_answered.get() && !self.is_keyed {
            SENT_MS
        } else {
            MEMORY_MS
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get().saturating_sub(1));
    }
}

impl Requests {
    /// What an earlier attempt of the same request was given, if this is a later one. Two that are equal in all are told apart by
    /// giving each to one later attempt.
    pub fn recall(
        &mut self,
        kid: &KeyId,
        fingerprint: &Fingerprint,
        attempt: u32,
        now_ms: u64,
    ) -> Result<Option<(Entropy, Hearing)>, Failure> {
        self.forget(now_ms);
        let earlier = |request: &&mut Request| {
            request.keyed_run.is_none()
                && request.kid == *kid
                && request.fingerprint == *fingerprint
                && request.attempt < attempt
        };
        let Some(request) = self.0.iter_mut().rfind(earlier) else {
            return Ok(None);
        };
        request.attempt = attempt;
        request.join(now_ms).map(|hearing| Some((request.entropy, hearing)))
    }

    /// A request was refused before it was read: a later attempt at it is not one at what was answered before.
    pub fn refused(&mut self, kid: &KeyId) {
        self.0
            .retain(|request| request.kid != *kid || request.keyed_run.is_some() || !request.hearers.is_sent());
    }

    /// Remembers a request without a key, and what it was given. A client that says the same words anew has heard the answer before.
    pub fn remember(
        &mut self,
        kid: &KeyId,
        fingerprint: Fingerprint,
        attempt: u32,
        entropy: Entropy,
        now_ms: u64,
    ) -> Hearing {
        self.0.retain(|request| {
            request.kid != *kid
                || request.fingerprint != fingerprint
                || request.keyed_run.is_some()
                || !request.hearers.is_sent()
        });
        self.push(kid, fingerprint, attempt, entropy, None, now_ms)
    }

    /// Remembers a request whose run the client named. The name must always come with the same body.
    pub fn remember_keyed(
        &mut self,
        kid: &KeyId,
        run: &str,
        body: Fingerprint,
        entropy: Entropy,
        now_ms: u64,
    ) -> Result<Hearing, Failure> {
        self.forget(now_ms);
        match self.0.iter().find(|request| request.keyed_run.as_deref() == Some(run)) {
            Some(earlier) if earlier.fingerprint != body => Err(Failure::KeyReused),
            Some(earlier) => earlier.join(now_ms),
            None => Ok(self.push(kid, body, 0, entropy, Some(run.to_owned()), now_ms)),
        }
    }

    fn push(
        &mut self,
        kid: &KeyId,
        fingerprint: Fingerprint,
        attempt: u32,
        entropy: Entropy,
        keyed_run: Option<String>,
        now_ms: u64,
    ) -> Hearing {
        self.forget(now_ms);
        if self.0.iter().filter(|request| request.kid == *kid).count() >= MAX_REQUESTS_OF_KEY {
            self.drop_first(|request| request.kid == *kid);
        } else if self.0.len() >= MAX_REQUESTS {
            self.drop_first(|_| true);
        }
        let hearers = Rc::new(Hearers {
            is_keyed: keyed_run.is_some(),
            ..Hearers::default()
        });
        let hearing = Hearing::new(&hearers);
        self.0.push(Request {
            kid: kid.clone(),
            fingerprint,
            attempt,
            entropy,
            keyed_run,
            first_ms: now_ms,
            hearers,
        });
        hearing
    }

    fn drop_first(&mut self, is_it: impl Fn(&Request) -> bool) {
        if let Some(index) = self.0.iter().position(is_it) {
            self.0.remove(index);
        }
    }

    fn forget(&mut self, now_ms: u64) {
        self.0.retain(|request| {
            let hearers = &request.hearers;
            let since_ms = hearers.left_ms.get().max(request.first_ms);
            !hearers.settled.get() && (hearers.count.get() > 0 || now_ms < since_ms.saturating_add(hearers.memory_ms()))
        });
    }
}

impl Request {
    /// One that the gateway may have forgotten while it runs is not asked for again.
    fn join(&self, now_ms: u64) -> Result<Hearing, Failure> {
        if !self.hearers.is_answered.get() && now_ms >= self.first_ms.saturating_add(MEMORY_MS) {
            return Err(Failure::StillRunning);
        }
        Ok(Hearing::new(&self.hearers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Entropy = Entropy {
        run: [1; 16],
        session: [2; 16],
    };
    const SECOND: Entropy = Entropy {
        run: [3; 16],
        session: [4; 16],
    };

    fn kid(id: &str) -> KeyId {
        KeyId::parse(id).unwrap()
    }

    fn fingerprint(body: &str) -> Fingerprint {
        Fingerprint::of(&[], &|_| None, body.as_bytes())
    }

    fn recalled(requests: &mut Requests, body: &str, attempt: u32, now_ms: u64) -> Option<[u8; 16]> {
        let (entropy, hearing) = requests
            .recall(&kid("phone"), &fingerprint(body), attempt, now_ms)
            .unwrap()?;
        hearing.end(true, true, now_ms);
        Some(entropy.run)
    }

    #[test]
    fn a_later_attempt_gets_what_the_earlier_one_got() {
        let mut requests = Requests::default();
        let _live = requests.remember(&kid("phone"), fingerprint("a"), 0, FIRST, 0);
        assert_eq!(
            recalled(&mut requests, "a", 0, 1),
            None,
            "the same attempt is another request"
        );
        assert_eq!(recalled(&mut requests, "b", 1, 1), None);
        assert!(requests.recall(&kid("bot"), &fingerprint("a"), 1, 1).unwrap().is_none());
        assert_eq!(recalled(&mut requests, "a", 1, 1), Some(FIRST.run));
        assert_eq!(recalled(&mut requests, "a", 1, 1), None, "each only once");
        assert_eq!(recalled(&mut requests, "a", 2, 2), Some(FIRST.run));
    }

    #[test]
    fn two_equal_requests_are_each_repeated_by_themselves() {
        let mut requests = Requests::default();
        let _first = requests.remember(&kid("phone"), fingerprint("a"), 0, FIRST, 0);
        let _second = requests.remember(&kid("phone"), fingerprint("a"), 0, SECOND, 0);
        let runs = [1, 1].map(|attempt| recalled(&mut requests, "a", attempt, 1).unwrap());
        assert_eq!(runs, [SECOND.run, FIRST.run]);
    }

    /// A request whose end was sent.
    fn sent(requests: &mut Requests, entropy: Entropy, now_ms: u64) {
        let hearing = requests.remember(&kid("phone"), fingerprint("a"), 0, entropy, now_ms);
        hearing.end(true, false, now_ms);
    }

    #[test]
    fn an_end_that_got_lost_can_be_asked_for_by_a_later_attempt_but_not_for_long() {
        let mut requests = Requests::default();
        sent(&mut requests, FIRST, 1);
        assert_eq!(recalled(&mut requests, "a", 0, 2), None, "the same words anew");
        let (_, hearing) = requests
            .recall(&kid("phone"), &fingerprint("a"), 1, SENT_MS)
            .unwrap()
            .unwrap();
        hearing.end(true, false, SENT_MS);
        drop(hearing);
        assert_eq!(recalled(&mut requests, "a", 2, 2 * SENT_MS), None);
    }

    #[test]
    fn words_that_are_said_anew_are_not_answered_with_what_was_heard_before() {
        let mut requests = Requests::default();
        // Its second time nothing was started.
        sent(&mut requests, FIRST, 0);
        requests
            .remember(&kid("phone"), fingerprint("a"), 0, SECOND, 1)
            .end(false, false, 2);
        assert_eq!(recalled(&mut requests, "a", 1, 3), None);
        // Its second time it was refused before it was read.
        sent(&mut requests, FIRST, 4);
        requests.refused(&kid("bot"));
        assert_eq!(requests.0.len(), 1);
        requests.refused(&kid("phone"));
        assert_eq!(recalled(&mut requests, "a", 1, 5), None);
    }

    #[test]
    fn one_whose_client_left_is_remembered_for_a_while() {
        let mut requests = Requests::default();
        let hearing = requests.remember(&kid("phone"), fingerprint("a"), 0, FIRST, 0);
        hearing.end(true, true, 100_000);
        drop(hearing);
        assert_eq!(recalled(&mut requests, "a", 1, 239_999), Some(FIRST.run));
        assert_eq!(
            requests.recall(&kid("phone"), &fingerprint("a"), 2, MEMORY_MS).err(),
            Some(Failure::StillRunning)
        );
        assert_eq!(recalled(&mut requests, "a", 3, 239_999 + MEMORY_MS), None);
    }

    #[test]
    fn a_run_that_the_gateway_may_have_forgotten_is_not_asked_for_again() {
        let mut requests = Requests::default();
        let _live = requests.remember(&kid("phone"), fingerprint("a"), 0, FIRST, 0);
        let late = requests.recall(&kid("phone"), &fingerprint("a"), 1, MEMORY_MS);
        assert_eq!(late.err(), Some(Failure::StillRunning));
        let _keyed = requests
            .remember_keyed(&kid("phone"), "run", fingerprint("a"), FIRST, 0)
            .unwrap();
        let late = requests.remember_keyed(&kid("phone"), "run", fingerprint("a"), FIRST, MEMORY_MS);
        assert_eq!(late.err(), Some(Failure::StillRunning));
    }

    #[test]
    fn a_run_is_shared_while_two_hear_it() {
        let mut requests = Requests::default();
        let first = requests
            .remember_keyed(&kid("phone"), "run", fingerprint("a"), FIRST, 0)
            .unwrap();
        assert!(!first.is_shared());
        let second = requests
            .remember_keyed(&kid("phone"), "run", fingerprint("a"), FIRST, 1)
            .unwrap();
        assert!(first.is_shared() && second.is_shared());
        drop(first);
        assert!(!second.is_shared());
    }

    #[test]
    fn a_key_comes_with_one_body_only_until_it_turns_out_that_nothing_was_started() {
        let mut requests = Requests::default();
        let phone = kid("phone");
        let hearing = requests
            .remember_keyed(&phone, "run", fingerprint("a"), FIRST, 0)
            .unwrap();
        let other = requests.remember_keyed(&phone, "run", fingerprint("b"), FIRST, 1);
        assert_eq!(other.err(), Some(Failure::KeyReused));
        assert!(
            requests
                .remember_keyed(&phone, "other", fingerprint("b"), FIRST, 1)
                .is_ok()
        );
        hearing.end(true, false, 1);
        assert!(
            requests
                .remember_keyed(&phone, "run", fingerprint("b"), FIRST, 1)
                .is_err()
        );
        hearing.end(false, false, 1);
        assert!(
            requests
                .remember_keyed(&phone, "run", fingerprint("b"), FIRST, 1)
                .is_ok()
        );
    }

    #[test]
    fn one_keys_flood_drives_out_nobody_elses_memory() {
        let mut requests = Requests::default();
        let mut live = vec![requests.remember(&kid("phone"), fingerprint("a"), 0, FIRST, 0)];
        for n in 0..2 * MAX_REQUESTS {
            live.push(requests.remember(&kid("bot"), fingerprint(&n.to_string()), 0, FIRST, 0));
        }
        assert_eq!(requests.0.len(), 1 + MAX_REQUESTS_OF_KEY);
        assert_eq!(recalled(&mut requests, "a", 1, 1), Some(FIRST.run));
    }

    #[test]
    fn what_makes_a_request_another_one_is_in_its_fingerprint() {
        let of = |header: &dyn Fn(&str) -> Option<String>, body: &str| {
            Fingerprint::of(&["x-session-id".to_owned()], header, body.as_bytes())
        };
        let none = of(&|_| None, "a");
        assert_ne!(none, of(&|_| None, "b"));
        for name in ["x-openclaw-agent-id", "x-openclaw-session-key", "x-session-id"] {
            assert_ne!(
                none,
                of(&|asked| (asked == name).then(|| "v".to_owned()), "a"),
                "{name}"
            );
        }
    }
}
