//! The heads of all responses, and the bodies of those that do not come from an exchange.

use serde::Serialize;

use crate::access::key;
use crate::access::origin::Origin;
use crate::failure::{Allowance, Failure, RETRY_AFTER_S};
use crate::http::route::Api;
use crate::turn::SessionUse;

/// Seconds for which a browser may cache the response to a preflight request: the maximum in
/// Chromium.
const PREFLIGHT_MAX_AGE_S: u32 = 7200;

/// Longest list of header names that a preflight is granted, in bytes: the SDKs' own are 600.
const MAX_REQUESTED_HEADERS_BYTES: usize = 4096;

/// Response headers that a page may read. Source: the headers of our responses, without those that
/// the Fetch standard always exposes.
const EXPOSED: &str = "x-request-id, openai-processing-ms, retry-after, x-should-retry, \
                       x-ratelimit-limit-requests, x-ratelimit-remaining-requests, \
                       x-ratelimit-reset-requests, x-ratelimit-limit-tokens, \
                       x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, \
                       x-clawfront-ignored, x-clawfront-memory, x-clawfront-models";

/// Names a request in the log. Source: OpenAI's API reference, where a client's own name is
/// `X-Client-Request-Id`; gateways and tracing proxies send this one.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Longest request id that a client may choose, in bytes: enough for two UUIDs.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Returns the client's id for its request, if it may stand in a header and in a log. It has
/// letters, digits and `._:-`, and nothing that looks like a key or a part of one.
pub fn request_id(header: Option<String>) -> Option<String> {
    header.filter(|id| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
            && !id.to_ascii_lowercase().contains(key::PREFIX)
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
    })
}

/// The description of this Worker, for programs and for people.
pub(crate) const ABOUT_JSON: &str = concat!(
    r#"{"object":"service","name":"clawfront","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#"","description":"OpenAI API in front of an OpenClaw gateway","#,
    r#""endpoints":["POST /v1/chat/completions","POST /v1/responses","GET /v1/responses/{id}","POST /v1/audio/speech","GET /v1/files/{id}","GET /v1/models","GET /v1/models/{id}","GET /v1/key","GET /healthz","GET /readyz"],"#,
    r#""authentication":"Authorization: Bearer claw_..."}"#,
);
const ABOUT_TEXT: &str = concat!(
    "Clawfront ",
    env!("CARGO_PKG_VERSION"),
    ": the OpenAI API in front of an OpenClaw gateway.\n\n",
    "Point an OpenAI client at this address with /v1 behind it, and give it a key of this \
     deployment (claw_...).\n",
    "GET /v1/key with that key says what it may do; GET /v1/models lists its agents.\n",
    "Its operator finds the documentation in the project's README and docs/.\n",
);

/// Status and headers of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
}

impl Head {
    /// Adds the time that the head took, from the request on.
    pub fn after_ms(&mut self, duration_ms: u64) {
        self.headers
            .push(("openai-processing-ms", duration_ms.to_string()));
    }
}

/// Status of `GET /readyz` while the gateway cannot be used.
const NOT_READY_STATUS: u16 = 503;

/// The part of the readiness that a response shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Yes or no: for everybody.
    Status,
    /// Also the agents, the cause and the fix: for the operator.
    Full,
}

/// The known state of the gateway, and how long it stays known, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// No request has checked lately.
    Unknown,
    /// The gateway accepted us with the scopes that a run needs, and sent its agents.
    Ready {
        agents: usize,
        age_ms: u64,
    },
    NotReady {
        failure: Failure,
        age_ms: u64,
    },
}

/// The hub sends the gateway's state to the edge with this header, which no client receives. Its
/// value is a [`Readiness::name`].
pub const READINESS_HEADER: &str = "x-clawfront-readiness";

/// The hub sends the id of a streamed response to the edge with this header, which no client
/// receives.
pub const RESPONSE_ID_HEADER: &str = "x-clawfront-response-id";

/// The edge sends the grant of the client's key to the hub with this header
/// ([`from_header`](crate::access::entry::from_header)). It overwrites the value that a client sends.
pub const KEY_HEADER: &str = "x-clawfront-key";

/// The edge sends its own id of the request to the hub with this header, because the client's may
/// repeat. It overwrites the value that a client sends.
pub const ID_HEADER: &str = "x-clawfront-id";

impl Readiness {
    /// Returns the state as `GET /readyz` shows it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown => UNKNOWN,
            Self::Ready { .. } => READY,
            Self::NotReady { .. } => NOT_READY,
        }
    }
}

const UNKNOWN: &str = "unknown";
pub const READY: &str = "ready";
pub const NOT_READY: &str = "not_ready";

/// Time for which a client without a key receives a state of the gateway that somebody else has
/// learned, in milliseconds.
pub const KNOWN_MS: u64 = 60_000;

/// The gateway's state as one isolate of the edge last saw it in a response of the hub.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeenReadiness(Option<(&'static str, u64)>);

impl SeenReadiness {
    /// Notes the state that a response of the hub has.
    pub fn note(&mut self, state: &str, now_ms: u64) {
        if let Some(known) = [READY, NOT_READY].into_iter().find(|known| *known == state) {
            self.0 = Some((known, now_ms));
        }
    }

    /// Returns the state, if it was seen within [`KNOWN_MS`].
    pub fn state(&self, now_ms: u64) -> &'static str {
        self.0
            .filter(|(_, at_ms)| now_ms < at_ms.saturating_add(KNOWN_MS))
            .map_or(UNKNOWN, |(state, _)| state)
    }
}

#[derive(Default, Serialize)]
struct Shown<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_s_ago: Option<u64>,
}

/// The values that all responses to one request contain.
#[derive(Debug, Clone, Default)]
pub struct ResponseMeta {
    /// The API of the request, because errors differ.
    pub api: Api,
    /// `x-request-id`, also in the log.
    pub request_id: String,
    /// `x-clawfront-ignored`: parameters that were sent and had no effect.
    pub ignored: Vec<&'static str>,
    /// `x-clawfront-memory`: the part of the conversation that the agent got.
    pub memory: Option<SessionUse>,
    /// `x-ratelimit-…-requests`: the remaining requests of the key.
    pub allowance: Option<Allowance>,
    /// `x-ratelimit-…-tokens`: the remaining tokens of the key.
    pub tokens: Option<Allowance>,
    /// `access-control-allow-origin`: the page that may read the response.
    pub origin: Option<Origin>,
}

impl ResponseMeta {
    /// Returns the head of a stream of server-sent events.
    pub fn stream(&self) -> Head {
        let mut head = self.head(200, "text/event-stream; charset=utf-8");
        head.headers.extend(unbuffered());
        head
    }

    /// Returns the head of one JSON object that is not there yet; blank lines come before it.
    pub(crate) fn awaited_json(&self) -> Head {
        let mut head = self.head(200, "application/json");
        head.headers.extend(unbuffered());
        head
    }

    /// Returns the head of one JSON object.
    pub fn json(&self) -> Head {
        self.whole("application/json")
    }

    /// Returns the head of a body of this type that is complete, and that nobody may store.
    pub fn whole(&self, content_type: &str) -> Head {
        let mut head = self.head(200, content_type);
        head.headers.push(("cache-control", "no-store".to_owned()));
        head
    }

    /// Returns the head of a file of this type: a browser keeps it, and runs nothing in it.
    pub(crate) fn file(&self, content_type: &str) -> Head {
        let mut head = self.head(200, content_type);
        let headers = [
            ("accept-ranges", "bytes"),
            ("cache-control", "private, max-age=60"),
            ("content-security-policy", "sandbox; default-src 'none'"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("x-content-type-options", "nosniff"),
        ];
        let headers = headers.map(|(name, value)| (name, value.to_owned()));
        head.headers.extend(headers);
        head
    }

    /// Returns the description of this Worker for a client with this `Accept` header: a text for a
    /// browser, an object for a program.
    pub fn about(&self, accept: &str) -> (Head, Vec<u8>) {
        let mut head = self.json();
        if !accept.contains("text/html") {
            return (head, ABOUT_JSON.into());
        }
        for (name, value) in &mut head.headers {
            if *name == "content-type" {
                "text/plain; charset=utf-8".clone_into(value);
            }
        }
        (head, ABOUT_TEXT.into())
    }

    /// Returns the response of a Worker that runs.
    pub fn health(&self) -> (Head, Vec<u8>) {
        (self.json(), br#"{"status":"ok"}"#.to_vec())
    }

    /// Returns the response with the gateway's readiness.
    pub fn ready(&self, readiness: &Readiness, detail: Detail) -> (Head, Vec<u8>) {
        if detail == Detail::Status {
            return self.ready_status(readiness.name());
        }
        let mut shown = Shown {
            status: readiness.name(),
            ..Shown::default()
        };
        let cause = match readiness {
            Readiness::NotReady { failure, .. } => failure.cause(),
            _ => None,
        };
        match readiness {
            Readiness::Ready { agents, age_ms } => {
                shown.agents = Some(*agents);
                shown.checked_s_ago = Some(age_ms.saturating_div(1000));
            }
            Readiness::NotReady { age_ms, .. } => {
                shown.checked_s_ago = Some(age_ms.saturating_div(1000));
            }
            Readiness::Unknown => {}
        }
        if let Some(cause) = &cause {
            shown.cause = Some(&cause.code);
            shown.hint = Some(&cause.fix);
        }
        self.readiness(&shown)
    }

    /// Returns the response with the gateway's state, and nothing more.
    pub fn ready_status(&self, status: &'static str) -> (Head, Vec<u8>) {
        self.readiness(&Shown {
            status,
            ..Shown::default()
        })
    }

    fn readiness(&self, shown: &Shown<'_>) -> (Head, Vec<u8>) {
        let mut head = self.json();
        if shown.status != READY {
            head.status = NOT_READY_STATUS;
            head.headers
                .push(("retry-after", RETRY_AFTER_S.to_string()));
        }
        let mut body = Vec::new();
        // Writing to memory a type whose serialisation cannot fail.
        let written = serde_json::to_writer(&mut body, shown);
        debug_assert!(written.is_ok());
        (head, body)
    }

    /// Returns the response to a preflight request: `headers` are the headers that the page wants
    /// to send. A preflight has no key, so it allows the headers that any key may use. The rights
    /// of the key are checked when it arrives.
    pub fn preflight(&self, headers: Option<&str>) -> Head {
        let mut head = Head {
            status: 204,
            headers: vec![
                (
                    "access-control-allow-methods",
                    "GET, POST, DELETE".to_owned(),
                ),
                ("access-control-max-age", PREFLIGHT_MAX_AGE_S.to_string()),
                (REQUEST_ID_HEADER, self.request_id.clone()),
            ],
        };
        if let Some(headers) = headers.filter(|headers| is_header_list(headers)) {
            head.headers
                .push(("access-control-allow-headers", headers.to_owned()));
        }
        self.share(&mut head);
        head
    }

    fn head(&self, status: u16, content_type: &str) -> Head {
        let mut head = Head {
            status,
            headers: vec![
                ("content-type", content_type.to_owned()),
                (REQUEST_ID_HEADER, self.request_id.clone()),
            ],
        };
        if !self.ignored.is_empty() {
            head.headers
                .push(("x-clawfront-ignored", self.ignored.join(", ")));
        }
        if let Some(memory) = self.memory {
            head.headers
                .push(("x-clawfront-memory", memory.name().to_owned()));
        }
        if let Some(allowance) = &self.allowance {
            head.headers.extend([
                ("x-ratelimit-limit-requests", allowance.limit.to_string()),
                (
                    "x-ratelimit-remaining-requests",
                    allowance.remaining.to_string(),
                ),
                (
                    "x-ratelimit-reset-requests",
                    format!("{}s", allowance.reset_s),
                ),
            ]);
        }
        if let Some(tokens) = &self.tokens {
            head.headers.extend([
                ("x-ratelimit-limit-tokens", tokens.limit.to_string()),
                ("x-ratelimit-remaining-tokens", tokens.remaining.to_string()),
                ("x-ratelimit-reset-tokens", duration(tokens.reset_s)),
            ]);
        }
        self.share(&mut head);
        head
    }

    /// Lets the page read the response. Never with credentials: a key is not a cookie.
    fn share(&self, head: &mut Head) {
        if let Some(origin) = &self.origin {
            head.headers.extend([
                ("access-control-allow-origin", origin.to_string()),
                ("access-control-expose-headers", EXPOSED.to_owned()),
            ]);
        }
        // Without an origin, too: a cache must not send one page the response for another.
        head.headers.push(("vary", VARY.to_owned()));
    }
}

/// Returns a time as OpenAI's headers have it: `1h0m7s`, `6m0s`, `7s`.
fn duration(seconds: u32) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The request headers that a response depends on, besides its URL and its key.
const VARY: &str = "Origin, Access-Control-Request-Headers";

/// Headers against buffering. Each keeps one kind of proxy from holding the stream back: caches,
/// nginx, and compressing proxies.
fn unbuffered() -> [(&'static str, String); 3] {
    [
        ("cache-control", "no-cache, no-transform".to_owned()),
        ("x-accel-buffering", "no".to_owned()),
        ("content-encoding", "identity".to_owned()),
    ]
}

/// Returns true if the text is header names with commas between them, and may be sent back.
fn is_header_list(text: &str) -> bool {
    text.len() <= MAX_REQUESTED_HEADERS_BYTES
        && !key::is_in(text)
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b',' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> ResponseMeta {
        ResponseMeta {
            request_id: "r1".into(),
            ..ResponseMeta::default()
        }
    }

    fn headers(head: &Head) -> Vec<(&str, &str)> {
        head.headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }

    #[test]
    fn an_allowed_page_may_read_the_response_and_a_preflight_repeats_its_headers() {
        let meta = ResponseMeta {
            origin: Origin::parse("https://chat.example.com"),
            ..meta()
        };
        let shared = [
            ("access-control-allow-origin", "https://chat.example.com"),
            ("access-control-expose-headers", EXPOSED),
            ("vary", "Origin, Access-Control-Request-Headers"),
        ];
        let head = meta.json();
        assert!(
            shared.iter().all(|pair| headers(&head).contains(pair)),
            "{head:?}"
        );
        let asked = "authorization, content-type, x-stainless-arch";
        assert_eq!(
            headers(&meta.preflight(Some(asked))),
            [
                &[
                    ("access-control-allow-methods", "GET, POST, DELETE"),
                    ("access-control-max-age", "7200"),
                    ("x-request-id", "r1"),
                    ("access-control-allow-headers", asked),
                ][..],
                &shared[..]
            ]
            .concat()
        );
        let odd = meta.preflight(Some("x\r\nset-cookie: a=b"));
        assert!(
            !headers(&odd)
                .iter()
                .any(|(name, _)| *name == "access-control-allow-headers")
        );
    }

    #[test]
    fn a_harmless_request_id_of_the_client_is_kept() {
        let longest = "x".repeat(MAX_REQUEST_ID_BYTES);
        for good in ["7f3c", "req_1:a.b-C", &longest] {
            assert_eq!(request_id(Some(good.to_owned())).as_deref(), Some(good));
        }
        let too_long = format!("{longest}x");
        for bad in [
            "",
            " ",
            "a b",
            "a,b",
            "a\nb",
            "\u{fc}",
            "{}",
            "claw_phone_x",
            "x-CLAW_y",
            &too_long,
        ] {
            assert_eq!(request_id(Some(bad.to_owned())), None, "{bad}");
        }
        assert_eq!(request_id(None), None);
    }

    #[test]
    fn other_pages_get_no_cors_headers() {
        let head = meta().json();
        assert!(
            !head
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("access-control"))
        );
    }

    #[test]
    fn openais_headers_have_the_remaining_tokens() {
        for (reset_s, text) in [
            (0, "0s"),
            (59, "59s"),
            (360, "6m0s"),
            (3600, "1h0m0s"),
            (86_399, "23h59m59s"),
        ] {
            let meta = ResponseMeta {
                tokens: Some(Allowance {
                    limit: 5000,
                    remaining: 17,
                    reset_s,
                }),
                ..meta()
            };
            let head = meta.json();
            for pair in [
                ("x-ratelimit-limit-tokens", "5000"),
                ("x-ratelimit-remaining-tokens", "17"),
                ("x-ratelimit-reset-tokens", text),
            ] {
                assert!(headers(&head).contains(&pair), "{head:?}");
            }
        }
    }

    #[test]
    fn openais_headers_have_the_remaining_requests() {
        let meta = ResponseMeta {
            allowance: Some(Allowance {
                limit: 30,
                remaining: 29,
                reset_s: 60,
            }),
            ..meta()
        };
        let head = meta.json();
        for pair in [
            ("x-ratelimit-limit-requests", "30"),
            ("x-ratelimit-remaining-requests", "29"),
            ("x-ratelimit-reset-requests", "60s"),
        ] {
            assert!(headers(&head).contains(&pair), "{head:?}");
        }
    }

    #[test]
    fn a_state_that_was_seen_is_known_for_a_minute() {
        let mut seen = SeenReadiness::default();
        assert_eq!(seen.state(0), UNKNOWN);
        seen.note(READY, 1000);
        seen.note(UNKNOWN, 2000);
        assert_eq!(seen.state(60_999), READY);
        assert_eq!(seen.state(61_000), UNKNOWN);
        seen.note(NOT_READY, 62_000);
        assert_eq!(seen.state(62_000), NOT_READY);
    }
}
