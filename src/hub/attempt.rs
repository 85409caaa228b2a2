//! A request as an attempt: an SDK sends the request again on its own if it fails.

use clawfront_core::access::grant::Grant;
use clawfront_core::failure::Failure;
use clawfront_core::openai::{Accepted, Entropy};
use clawfront_core::repeat::{Fingerprint, Receiver};
use wasm_bindgen::JsValue;
use web_sys::Request;

use crate::context::Rejection;
use crate::hub::books::Shared;
use crate::runtime::clock::now_ms;
use crate::runtime::entropy::entropy;

/// The number of earlier attempts, as the official SDKs count them.
const ATTEMPT_HEADER: &str = "x-stainless-retry-count";

/// Returns the number of earlier attempts of a request.
pub(crate) fn number_of(request: &Request) -> Result<u32, JsValue> {
    let count = request.headers().get(ATTEMPT_HEADER)?;
    Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
}

/// A request whose body was read, and the ids of its run.
pub(crate) struct Attempt {
    number: u32,
    fingerprint: Fingerprint,
    entropy: Entropy,
    /// The share in the run of the attempt that this one retries.
    earlier: Option<Receiver>,
}

impl Attempt {
    /// Takes the ids of the attempt that this one retries, or new ones.
    pub(crate) fn recall(
        number: u32,
        fingerprint: Fingerprint,
        client: &Grant,
        books: &Shared,
    ) -> Result<Self, Rejection> {
        let earlier = books
            .requests(|requests| requests.recall(&client.id, &fingerprint, number, now_ms()))?;
        let (entropy, earlier) = match earlier {
            Some((entropy, receiver)) => (entropy, Some(receiver)),
            None => (
                Entropy {
                    run: entropy()?,
                    session: entropy()?,
                },
                None,
            ),
        };
        Ok(Self {
            number,
            fingerprint,
            entropy,
            earlier,
        })
    }

    pub(crate) fn is_repeated(&self) -> bool {
        self.earlier.is_some()
    }

    pub(crate) fn entropy(&self) -> &Entropy {
        &self.entropy
    }

    /// Remembers the request for its retries, and returns its share in the run.
    pub(crate) fn remember(
        self,
        accepted: &Accepted,
        client: &Grant,
        books: &Shared,
    ) -> Result<Receiver, Failure> {
        let Self {
            number,
            fingerprint,
            entropy,
            earlier,
        } = self;
        let run = &accepted.turn.run;
        books.requests(|requests| match earlier {
            _ if accepted.is_keyed => requests.remember_keyed(
                &client.id,
                run.name().unwrap_or_default(),
                Fingerprint::of_run(run),
                entropy,
                now_ms(),
            ),
            Some(receiver) => Ok(receiver),
            None => Ok(requests.remember(&client.id, fingerprint, number, entropy, now_ms())),
        })
    }
}
