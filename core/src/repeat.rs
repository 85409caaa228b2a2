//! Requests that were made before: by an `Idempotency-Key`, or by an SDK that tries again on its own.
//!
//! The gateway knows a run by its idempotency key, and answers whoever asks for it again with the run that is there, for five minutes and
//! until it is restarted. What is remembered here is less: which run a request was given, so that its repetition can be given the same
//! one, and which body a key came with.

use sha2::{Digest, Sha256};

use crate::error::Failure;
use crate::key::KeyId;
use crate::openai::chat::Entropy;

/// How long a request is remembered, in milliseconds: less than the gateway's own five minutes, beyond which OpenClaw 2026.3 would start a
/// run again that it is still running.
const MEMORY_MS: u64 = 240_000;

/// Requests that are remembered; the oldest are forgotten first.
const MAX_REQUESTS: usize = 1024;

/// Headers beside the body that make a request another one.
const HEADERS: [&str; 3] = ["x-openclaw-agent-id", "x-openclaw-session-key", "idempotency-key"];

/// What a request says, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub fn of(kid: &KeyId, conversations: &[String], header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(kid.as_str());
        for name in HEADERS.into_iter().chain(conversations.iter().map(String::as_str)) {
            hash.update([0]);
            hash.update(header(name).unwrap_or_default());
        }
        hash.update([0]);
        hash.update(body);
        Self(hash.finalize().into())
    }
}

/// The requests of one isolate. Source: the isolate's own; forgotten after [`MEMORY_MS`], and with the isolate.
#[derive(Debug, Default)]
pub struct Requests(Vec<Request>);

#[derive(Debug)]
struct Request {
    fingerprint: Fingerprint,
    /// `x-stainless-retry-count`: 0 for the first.
    attempt: u32,
    entropy: Entropy,
    /// The run, if the client gave it a key.
    keyed_run: Option<String>,
    at_ms: u64,
}

impl Requests {
    /// What an earlier attempt of the same request was given, if this is a later one. Two that are equal in all are told apart by taking
    /// each only once.
    pub fn recall(&mut self, fingerprint: &Fingerprint, attempt: u32, now_ms: u64) -> Option<Entropy> {
        self.forget(now_ms);
        let earlier = |request: &Request| request.fingerprint == *fingerprint && request.attempt < attempt;
        let index = self.0.iter().rposition(earlier)?;
        Some(self.0.remove(index).entropy)
    }

    /// Remembers what a request was given; `keyed_run` is its run, if the client named it by a key, which must always come with the same
    /// request.
    pub fn remember(
        &mut self,
        fingerprint: Fingerprint,
        attempt: u32,
        entropy: Entropy,
        keyed_run: Option<&str>,
        now_ms: u64,
    ) -> Result<(), Failure> {
        self.forget(now_ms);
        if let Some(run) = keyed_run
            && let Some(earlier) = self.0.iter().find(|request| request.keyed_run.as_deref() == Some(run))
        {
            return if earlier.fingerprint == fingerprint {
                Ok(())
            } else {
                Err(Failure::KeyReused)
            };
        }
        if self.0.len() >= MAX_REQUESTS {
            self.0.remove(0);
        }
        self.0.push(Request {
            fingerprint,
            attempt,
            entropy,
            keyed_run: keyed_run.map(str::to_owned),
            at_ms: now_ms,
        });
        Ok(())
    }

    fn forget(&mut self, now_ms: u64) {
        self.0
            .retain(|request| now_ms < request.at_ms.saturating_add(MEMORY_MS));
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

    fn fingerprint(body: &str) -> Fingerprint {
        Fingerprint::of(&KeyId::parse("phone").unwrap(), &[], &|_| None, body.as_bytes())
    }

    #[test]
    fn a_later_attempt_gets_what_the_earlier_one_got() {
        let mut requests = Requests::default();
        requests.remember(fingerprint("a"), 0, FIRST, None, 0).unwrap();
        assert!(
            requests.recall(&fingerprint("a"), 0, 1).is_none(),
            "the same attempt is another request"
        );
        assert!(requests.recall(&fingerprint("b"), 1, 1).is_none());
        assert_eq!(requests.recall(&fingerprint("a"), 1, 1).unwrap().run, FIRST.run);
        assert!(requests.recall(&fingerprint("a"), 1, 1).is_none(), "each only once");
        requests.remember(fingerprint("a"), 1, FIRST, None, 1).unwrap();
        assert_eq!(requests.recall(&fingerprint("a"), 2, 2).unwrap().run, FIRST.run);
    }

    #[test]
    fn two_equal_requests_are_each_repeated_by_themselves() {
        let mut requests = Requests::default();
        requests.remember(fingerprint("a"), 0, FIRST, None, 0).unwrap();
        requests.remember(fingerprint("a"), 0, SECOND, None, 0).unwrap();
        let runs = [1, 1].map(|attempt| requests.recall(&fingerprint("a"), attempt, 1).unwrap().run);
        assert_eq!(runs, [SECOND.run, FIRST.run]);
    }

    #[test]
    fn what_is_older_than_the_gateways_memory_is_forgotten() {
        let mut requests = Requests::default();
        requests.remember(fingerprint("a"), 0, FIRST, None, 0).unwrap();
        assert!(requests.recall(&fingerprint("a"), 1, MEMORY_MS).is_none());
        for n in 0..2 * MAX_REQUESTS {
            requests
                .remember(fingerprint(&n.to_string()), 0, FIRST, None, MEMORY_MS)
                .unwrap();
        }
        assert_eq!(requests.0.len(), MAX_REQUESTS);
    }

    #[test]
    fn a_key_comes_with_one_request_only() {
        let mut requests = Requests::default();
        assert_eq!(requests.remember(fingerprint("a"), 0, FIRST, Some("run"), 0), Ok(()));
        assert_eq!(requests.remember(fingerprint("a"), 0, FIRST, Some("run"), 1), Ok(()));
        assert_eq!(
            requests.remember(fingerprint("b"), 0, FIRST, Some("run"), 1),
            Err(Failure::KeyReused)
        );
        assert_eq!(requests.remember(fingerprint("b"), 0, FIRST, Some("other"), 1), Ok(()));
    }

    #[test]
    fn what_makes_a_request_another_one_is_in_its_fingerprint() {
        let of = |id: &str, header: &dyn Fn(&str) -> Option<String>, body: &str| {
            let conversations = ["x-session-id".to_owned()];
            Fingerprint::of(&KeyId::parse(id).unwrap(), &conversations, header, body.as_bytes())
        };
        let none = of("phone", &|_| None, "a");
        assert_ne!(none, of("bot", &|_| None, "a"));
        assert_ne!(none, of("phone", &|_| None, "b"));
        for name in [
            "x-openclaw-agent-id",
            "x-openclaw-session-key",
            "idempotency-key",
            "x-session-id",
        ] {
            assert_ne!(
                none,
                of("phone", &|asked| (asked == name).then(|| "v".to_owned()), "a"),
                "{name}"
            );
        }
    }
}
