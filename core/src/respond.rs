//! The head of every response, and the whole of those that are not an exchange's.

use serde::Serialize;

use crate::error::{Failure, RETRY_AFTER_S, Reply};
use crate::limit::Allowance;
use crate::openai::write_error;
use crate::origin::Origin;

/// Seconds for which a browser may remember the answer to a preflight request: the most that Chromium keeps.
const PREFLIGHT_MAX_AGE_S: u32 = 7200;

/// Longest list of header names that a preflight is granted, in bytes: the SDKs' own are 600.
const MAX_REQUESTED_HEADERS_BYTES: usize = 4096;

/// Response headers that a page may read. Source: what our responses carry beyond those that the Fetch standard always lets through.
const EXPOSED: &str = "x-request-id, openai-processing-ms, retry-after, x-should-retry, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, \
                       x-ratelimit-reset-requests, x-clawfront-ignored, x-clawfront-models";

/// Names a request in the log. Source: OpenAI's API reference, where a client's own name is `X-Client-Request-Id`; gateways and
/// tracing proxies send this one.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Longest id of a request that a client may choose, in bytes: enough for two UUIDs.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// A client's own name for its request, where it is one that can stand in a header and in a log: letters, digits and `._:-`.
pub fn request_id(header: Option<String>) -> Option<String> {
    header.filter(|id| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
    })
}

/// What this is, for programs and for people.
const ABOUT_JSON: &str = concat!(
    r#"{"object":"service","name":"clawfront","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#"","description":"OpenAI API in front of an OpenClaw gateway","#,
    r#""endpoints":["POST /v1/chat/completions","POST /v1/responses","GET /v1/models","GET /v1/models/{id}","GET /v1/key","GET /healthz","GET /readyz"],"#,
    r#""authentication":"Authorization: Bearer claw_..."}"#,
);
const ABOUT_TEXT: &str = concat!(
    "Clawfront ",
    env!("CARGO_PKG_VERSION"),
    ": the OpenAI API in front of an OpenClaw gateway.\n\n",
    "Point an OpenAI client at this address with /v1 behind it, and give it a key of this deployment (claw_...).\n",
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
    /// Says how long the head took, from the request on.
    pub fn after_ms(&mut self, duration_ms: u64) {
        self.headers.push(("openai-processing-ms", duration_ms.to_string()));
    }
}

/// What is known of the gateway, and for how long, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Nobody asked lately.
    Unknown,
    /// It let us in, with the scopes that a run takes, and told its agents.
    Ready {
        agents: usize,
        age_ms: u64,
    },
    NotReady {
        failure: Failure,
        age_ms: u64,
    },
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

/// What all responses to one request carry.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// `x-request-id`, also in the log.
    pub request_id: String,
    /// `x-clawfront-ignored`: parameters that were sent and had no effect.
    pub ignored: Vec<&'static str>,
    /// `x-ratelimit-…-requests`: what is left of the key's requests.
    pub allowance: Option<Allowance>,
    /// `access-control-allow-origin`: the page that may read the response.
    pub origin: Option<Origin>,
}

impl Common {
    /// The head of a stream of server-sent events.
    pub(crate) fn stream(&self) -> Head {
        let mut head = self.head(200, "text/event-stream; charset=utf-8");
        head.headers.extend(unbuffered());
        head
    }

    /// The head of one JSON object that is not there yet; blank lines come before it.
    pub(crate) fn awaited_json(&self) -> Head {
        let mut head = self.head(200, "application/json");
        head.headers.extend(unbuffered());
        head
    }

    /// The head of one JSON object.
    pub fn json(&self) -> Head {
        let mut head = self.head(200, "application/json");
        head.headers.push(("cache-control", "no-store".to_owned()));
        head
    }

    /// The head of an error. `may_repeat` is false once a run may have started, and where repeating cannot help: the official
    /// SDKs then do not send the request again by themselves.
    pub(crate) fn error(&self, reply: &Reply, may_repeat: bool) -> Head {
        let mut head = self.head(reply.status, "application/json");
        head.headers.push(("cache-control", "no-store".to_owned()));
        if let Some(seconds) = reply.retry_after_s {
            head.headers.push(("retry-after", seconds.to_string()));
        }
        if let Some(allow) = reply.allow {
            head.headers.push(("allow", allow.to_owned()));
        }
        if reply.status == 401 {
            // RFC 6750 section 3.
            head.headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        if !may_repeat {
            head.headers.push(("x-should-retry", "false".to_owned()));
        }
        head
    }

    /// The response to whoever looks what is here: `is_browser` gets a text to read, a program an object.
    pub fn about(&self, is_browser: bool) -> (Head, Vec<u8>) {
        let mut head = self.json();
        if !is_browser {
            return (head, ABOUT_JSON.into());
        }
        for (name, value) in &mut head.headers {
            if *name == "content-type" {
                "text/plain; charset=utf-8".clone_into(value);
            }
        }
        (head, ABOUT_TEXT.into())
    }

    /// The response that says that the Worker runs.
    pub fn health(&self) -> (Head, Vec<u8>) {
        (self.json(), br#"{"status":"ok"}"#.to_vec())
    }

    /// The response that says whether the gateway can be used; `is_told_why` is for its operator.
    pub fn ready(&self, readiness: &Readiness, is_told_why: bool) -> (Head, Vec<u8>) {
        let mut head = self.json();
        if !matches!(readiness, Readiness::Ready { .. }) {
            head.status = 503;
            head.headers.push(("retry-after", RETRY_AFTER_S.to_string()));
        }
        let mut shown = Shown {
            status: match readiness {
                Readiness::Unknown => "unknown",
                Readiness::Ready { .. } => "ready",
                Readiness::NotReady { .. } => "not_ready",
            },
            ..Shown::default()
        };
        let cause = match readiness {
            Readiness::NotReady { failure, .. } => failure.cause(),
            _ => None,
        };
        if is_told_why {
            match readiness {
                Readiness::Ready { agents, age_ms } => {
                    shown.agents = Some(*agents);
                    shown.checked_s_ago = Some(age_ms.saturating_div(1000));
                }
                Readiness::NotReady { age_ms, .. } => shown.checked_s_ago = Some(age_ms.saturating_div(1000)),
                Readiness::Unknown => {}
            }
            if let Some(cause) = &cause {
                shown.cause = Some(&cause.code);
                shown.hint = Some(&cause.hint);
            }
        }
        let mut body = Vec::new();
        // Into memory, of a type whose serialisation cannot fail.
        let written = serde_json::to_writer(&mut body, &shown);
        debug_assert!(written.is_ok());
        (head, body)
    }

    /// The response to a preflight request: `headers` is what the page wants to send. Asked before it shows a key, so it says yes to
    /// what some key may do; what this one may is decided when it comes.
    pub fn preflight(&self, headers: Option<&str>) -> Head {
        let mut head = Head {
            status: 204,
            headers: vec![
                ("access-control-allow-methods", "GET, POST".to_owned()),
                ("access-control-max-age", PREFLIGHT_MAX_AGE_S.to_string()),
                (REQUEST_ID_HEADER, self.request_id.clone()),
            ],
        };
        if let Some(headers) = headers.filter(|headers| is_header_list(headers)) {
            head.headers.push(("access-control-allow-headers", headers.to_owned()));
        }
        self.share(&mut head);
        head
    }

    /// The response to a request that failed before there was a run.
    pub fn refuse(&self, failure: &Failure) -> (Head, Vec<u8>) {
        let reply = failure.reply();
        let mut body = Vec::new();
        write_error(&reply.body, &mut body);
        let common = match failure {
            Failure::RateLimited(allowance) => &Self {
                allowance: Some(*allowance),
                ..self.clone()
            },
            _ => self,
        };
        (common.error(&reply, !failure.is_permanent()), body)
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
            head.headers.push(("x-clawfront-ignored", self.ignored.join(", ")));
        }
        if let Some(allowance) = &self.allowance {
            head.headers.extend([
                ("x-ratelimit-limit-requests", allowance.limit.to_string()),
                ("x-ratelimit-remaining-requests", allowance.remaining.to_string()),
                ("x-ratelimit-reset-requests", format!("{}s", allowance.reset_s)),
            ]);
        }
        self.share(&mut head);
        head
    }

    /// Lets the page read the response. Never with credentials: a key is no cookie.
    fn share(&self, head: &mut Head) {
        if let Some(origin) = &self.origin {
            head.headers.extend([
                ("access-control-allow-origin", origin.to_string()),
                ("access-control-expose-headers", EXPOSED.to_owned()),
            ]);
        }
        // Without an origin, too: a cache must not show one page what was meant for another.
        head.headers.push(("vary", VARY.to_owned()));
    }
}

/// What an answer depends on beside its URL and its key.
const VARY: &str = "Origin, Access-Control-Request-Headers";

/// Each keeps one kind of proxy from holding back what was sent: caches, nginx, and whatever compresses.
fn unbuffered() -> [(&'static str, String); 3] {
    [
        ("cache-control", "no-cache, no-transform".to_owned()),
        ("x-accel-buffering", "no".to_owned()),
        ("content-encoding", "identity".to_owned()),
    ]
}

/// Whether it is header names with commas between them, and can be said back.
fn is_header_list(text: &str) -> bool {
    text.len() <= MAX_REQUESTED_HEADERS_BYTES
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b',' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common() -> Common {
        Common {
            request_id: "r1".into(),
            ..Common::default()
        }
    }

    fn headers(head: &Head) -> Vec<(&str, &str)> {
        head.headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }

    #[test]
    fn a_page_that_may_is_told_so_and_a_preflight_says_back_what_it_asked_for() {
        let common = Common {
            origin: Origin::parse("https://chat.example.com"),
            ..common()
        };
        let shared = [
            ("access-control-allow-origin", "https://chat.example.com"),
            ("access-control-expose-headers", EXPOSED),
            ("vary", "Origin, Access-Control-Request-Headers"),
        ];
        let (head, _) = common.refuse(&Failure::UnknownPath);
        assert!(shared.iter().all(|pair| headers(&head).contains(pair)), "{head:?}");
        let asked = "authorization, content-type, x-stainless-arch";
        assert_eq!(
            headers(&common.preflight(Some(asked))),
            [
                &[
                    ("access-control-allow-methods", "GET, POST"),
                    ("access-control-max-age", "7200"),
                    ("x-request-id", "r1"),
                    ("access-control-allow-headers", asked),
                ][..],
                &shared[..]
            ]
            .concat()
        );
        let odd = common.preflight(Some("x\r\nset-cookie: a=b"));
        assert!(
            !headers(&odd)
                .iter()
                .any(|(name, _)| *name == "access-control-allow-headers")
        );
    }

    #[test]
    fn a_request_keeps_its_clients_name_for_it_if_that_is_harmless() {
        let longest = "x".repeat(MAX_REQUEST_ID_BYTES);
        for good in ["7f3c", "req_1:a.b-C", &longest] {
            assert_eq!(request_id(Some(good.to_owned())).as_deref(), Some(good));
        }
        for bad in ["", " ", "a b", "a,b", "a\nb", "\u{fc}", "{}", &format!("{longest}x")] {
            assert_eq!(request_id(Some(bad.to_owned())), None, "{bad}");
        }
        assert_eq!(request_id(None), None);
    }

    #[test]
    fn other_pages_are_told_nothing() {
        let (head, _) = common().refuse(&Failure::UnknownPath);
        assert!(!head.headers.iter().any(|(name, _)| name.starts_with("access-control")));
    }

    #[test]
    fn what_is_left_is_said_in_openais_headers() {
        let common = Common {
            allowance: Some(Allowance {
                limit: 30,
                remaining: 29,
                reset_s: 60,
            }),
            ..common()
        };
        let head = common.json();
        for pair in [
            ("x-ratelimit-limit-requests", "30"),
            ("x-ratelimit-remaining-requests", "29"),
            ("x-ratelimit-reset-requests", "60s"),
        ] {
            assert!(headers(&head).contains(&pair), "{head:?}");
        }
    }
}
