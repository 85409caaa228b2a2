//! The checks of a deployed Worker, made as its clients would make requests.

use std::env;
use std::time::{Duration, Instant};

use clawfront_core::failure::Failure;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::check::{Depth, State, Subject};
use super::report::Report;
use super::text::printable;
use crate::connection::http::{Answered, Call, call, get};
use crate::connection::place::Place;
use crate::connection::stream::{Broken, Stream, Trust, connect, resolve, secure};
use crate::outcome::{Problem, USAGE};

/// The user agents of OpenAI's libraries. Source: openai-python 2.8 and openai-node 7.57; bot
/// protection matches the beginning.
const USER_AGENTS: [&str; 2] = ["OpenAI/Python 3.54.0", "OpenAI/JS 7.57.0"];

/// The variable with a client key. With the scope `status` the Worker asks its gateway and reports
/// the fault; with the scope `chat` doctor can ask an agent.
const STATUS_KEY: &str = "CLAWFRONT_KEY";

const READY: &str = "/readyz";

/// The end of a client's base URL.
const API: &str = "/v1";

/// Longest time from the question to the last byte: an agent that needs longer for one word is
/// broken.
const CHAT_TIMEOUT: Duration = Duration::from_mins(2);

/// Longest answer that is read: one word and its usage need less than a kilobyte.
const MAX_ANSWER_BYTES: usize = 262_144;

pub(crate) const OWN_USER_AGENT: &str = concat!("clawfront/", env!("CARGO_PKG_VERSION"));

/// Returns the client key of the environment.
pub(super) fn own_key() -> Option<String> {
    env::var(STATUS_KEY).ok().filter(|key| !key.is_empty())
}

/// A deployed Worker, and the client key to ask it with.
struct Worker<'a> {
    place: Place,
    /// The path before `/v1`.
    base: String,
    trust: &'a Trust,
    /// The value of `Authorization`.
    bearer: Option<Zeroizing<String>>,
}

/// Checks a deployed Worker, with a client key if there is one.
pub(crate) fn examine(
    report: &mut Report,
    url: &str,
    trust: &Trust,
    key: Option<&str>,
    depth: Depth,
) -> Result<(), Problem> {
    let worker = Worker::parse(url, trust, key)?;
    if !health(report, worker.ask("/healthz", OWN_USER_AGENT)) {
        report.rest(
            &[Subject::Ready, Subject::Chat, Subject::Bots],
            "needs healthz",
        );
        return Ok(());
    }
    ready(report, &worker.ask(READY, OWN_USER_AGENT));
    match (&worker.bearer, depth) {
        (Some(bearer), Depth::Run) => {
            let began = Instant::now();
            let answer = worker.ask_agent(bearer);
            chat(report, &answer, began.elapsed());
        }
        _ => report.not_checked(
            Subject::Chat,
            "--run asks an agent through the Worker, with a client key in CLAWFRONT_KEY",
        ),
    }
    bots(
        report,
        &USER_AGENTS.map(|user_agent| (user_agent, worker.ask("/v1/models", user_agent))),
    );
    Ok(())
}

impl<'a> Worker<'a> {
    fn parse(url: &str, trust: &'a Trust, key: Option<&str>) -> Result<Self, Problem> {
        let url = url.trim_end_matches('/');
        let url = url.strip_suffix(API).unwrap_or(url);
        let place = Place::parse(url)
            .ok_or_else(|| Problem::with(USAGE, "--worker must begin with https:// or http://"))?;
        Ok(Self {
            base: place.path.trim_end_matches('/').to_owned(),
            place,
            trust,
            bearer: key.map(|key| Zeroizing::new(format!("Bearer {key}"))),
        })
    }

    fn connect(&self) -> Result<Stream, Broken> {
        secure(connect(&resolve(&self.place)?)?, &self.place, self.trust)
    }

    /// Sends a `GET`; only `/readyz` gets the key.
    fn ask(&self, path: &str, user_agent: &str) -> Result<Answered, Broken> {
        let mut stream = self.connect()?;
        let mut fields = vec![("user-agent", user_agent), ("accept", "application/json")];
        if path == READY {
            fields.extend(
                self.bearer
                    .as_ref()
                    .map(|key| ("authorization", key.as_str())),
            );
        }
        let path = format!("{}{path}", self.base);
        get(&mut stream, &self.place, &path, &fields)
    }

    /// Asks for one streamed word, as a client that chose no agent would.
    fn ask_agent(&self, bearer: &str) -> Result<Answered, Broken> {
        let mut stream = self.connect()?;
        let body = json!({
            "model": "openclaw",
            "stream": true,
            "messages": [{ "role": "user", "content": "Answer with the one word: ready" }],
        });
        let request = Call {
            method: "POST",
            path: &format!("{}{API}/chat/completions", self.base),
            fields: &[("user-agent", USER_AGENTS[0]), ("authorization", bearer)],
            body: &body.to_string(),
            timeout: CHAT_TIMEOUT,
            max_bytes: MAX_ANSWER_BYTES,
        };
        call(&mut stream, &self.place, &request)
    }
}

/// Reports the answer of `/healthz`. Returns false if nothing is reached.
fn health(report: &mut Report, answer: Result<Answered, Broken>) -> bool {
    match answer {
        Ok(answered) if answered.status == 200 && is_ours(&answered) => {
            report.ok(Subject::Health, "the Worker answers");
        }
        Ok(answered) if answered.status == 404 && is_ours(&answered) => report.wrong(
            Subject::Health,
            State::Warning,
            "the Worker is older and has no /healthz",
            "deploy this version",
        ),
        Ok(answered) => not_ours(report, Subject::Health, &answered),
        Err(broken) => {
            // Core's messages are about the gateway; here the Worker is not reached.
            report.wrong(
                Subject::Health,
                State::Problem,
                format!("the Worker is not reached: {}", broken.detail),
                "correct --worker, or run clawfront deploy",
            );
            return false;
        }
    }
    true
}

fn ready(report: &mut Report, answer: &Result<Answered, Broken>) {
    match answer {
        Ok(answered) if answered.status == 200 && is_ours(answered) => {
            report.ok(Subject::Ready, "the Worker reaches its gateway");
        }
        Ok(answered) if answered.status == 404 && is_ours(answered) => report.wrong(
            Subject::Ready,
            State::Warning,
            "the Worker is older and has no /readyz",
            "deploy this version",
        ),
        Ok(answered) if answered.status == 401 && is_ours(answered) => report.wrong(
            Subject::Ready,
            State::Warning,
            "the Worker does not know the key in CLAWFRONT_KEY",
            "set it to a key with the scope status, or unset it",
        ),
        Ok(answered) if is_ours(answered) => {
            let ready: Ready<'_> = serde_json::from_slice(&answered.body).unwrap_or_default();
            if ready.status == "unknown" {
                report.wrong(
                    Subject::Ready,
                    State::Warning,
                    "the Worker has not asked its gateway recently",
                    "put a key with the scope status into CLAWFRONT_KEY, so that the Worker asks",
                );
            } else {
                report.wrong(
                    Subject::Ready,
                    State::Problem,
                    format!(
                        "the Worker cannot use its gateway: {}",
                        ready.cause.unwrap_or("no cause given")
                    ),
                    ready.hint.unwrap_or(
                        "read its log (wrangler tail), or put a key with the scope status into \
                         CLAWFRONT_KEY",
                    ),
                );
            }
        }
        Ok(answered) => not_ours(report, Subject::Ready, answered),
        Err(broken) => report.failed(
            Subject::Ready,
            &Failure::GatewayUnreachable(broken.diagnosis),
            &broken.detail,
        ),
    }
}

fn chat(report: &mut Report, answer: &Result<Answered, Broken>, took: Duration) {
    let answered = match answer {
        Ok(answered) => answered,
        Err(broken) => {
            report.wrong(
                Subject::Chat,
                State::Problem,
                format!("the answer is incomplete: {}", broken.detail),
                "read the request's line in the Worker's log (wrangler tail)",
            );
            return;
        }
    };
    let text = String::from_utf8_lossy(&answered.body);
    let failed = text.lines().find_map(|line| {
        let line = line.strip_prefix("data: ").unwrap_or(line);
        serde_json::from_str::<Failed>(line).ok()
    });
    match failed {
        None if answered.status == 200 && text.contains("data: [DONE]") => {
            report.ok(
                Subject::Chat,
                format!(
                    "an agent answered through the Worker after {:.1} s",
                    took.as_secs_f64()
                ),
            );
        }
        None => not_ours(report, Subject::Chat, answered),
        Some(Failed { error }) => report.wrong(
            Subject::Chat,
            if error.code == "missing_scope" {
                State::Warning
            } else {
                State::Problem
            },
            format!(
                "HTTP {}, {}: {}",
                answered.status,
                printable(&error.code),
                printable(&error.message)
            ),
            match error.code.as_str() {
                "invalid_api_key" => {
                    "set CLAWFRONT_KEY to a key of the deployed Worker, or run clawfront keys push"
                }
                "missing_scope" => "set CLAWFRONT_KEY to a key with the scope chat",
                "model_not_found" => {
                    "add default=<agent> to the key's entry, or create the agent at the gateway"
                }
                _ => "read the Worker's log (wrangler tail)",
            },
        ),
    }
}

/// An error, as a body or as an event of a stream.
#[derive(Deserialize)]
struct Failed {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    message: String,
    #[serde(default)]
    code: String,
}

/// The state of the gateway, in the answer of `GET /readyz`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Ready<'a> {
    status: &'a str,
    cause: Option<&'a str>,
    hint: Option<&'a str>,
}

/// Reports user agents that are blocked. The requests have no key, because any answer of the Worker
/// shows that nothing in front of it blocks them.
fn bots(report: &mut Report, answers: &[(&str, Result<Answered, Broken>)]) {
    let blocked: Vec<_> = answers
        .iter()
        .filter_map(|(user_agent, answer)| match answer {
            Ok(answered) if is_ours(answered) => None,
            Ok(answered) => Some(format!("{user_agent} (HTTP {})", answered.status)),
            Err(broken) => Some(format!("{user_agent} ({})", broken.detail)),
        })
        .collect();
    if blocked.is_empty() {
        report.ok(Subject::Bots, "OpenAI/Python and OpenAI/JS are let through");
    } else {
        report.wrong(
            Subject::Bots,
            State::Problem,
            format!(
                "something in front of the Worker blocks {}",
                blocked.join(", ")
            ),
            "at Cloudflare, add a WAF rule that skips bot protection and the browser integrity \
             check for the Worker's host",
        );
    }
}

fn not_ours(report: &mut Report, subject: Subject, answered: &Answered) {
    report.wrong(
        subject,
        State::Problem,
        format!(
            "the server at this address is not the Worker (HTTP {})",
            answered.status
        ),
        "correct --worker; if Access or a firewall protects the host, let API clients through",
    );
}

/// Returns true for an answer of the Worker: JSON, with the id of the request.
fn is_ours(answered: &Answered) -> bool {
    answered
        .header("content-type")
        .starts_with("application/json")
        && !answered.header("x-request-id").is_empty()
}
