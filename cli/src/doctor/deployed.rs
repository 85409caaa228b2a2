//! A deployed Worker, as its clients see it.

use std::env;

use clawfront_core::error::Failure;
use serde::Deserialize;

use super::report::{Report, State, Subject};
use crate::Problem;
use crate::connection::{Answered, Broken, Place, Trust, connect, get, resolve, secure};

/// What OpenAI's libraries call themselves. Source: openai-python 2.8 and openai-node 7.57; bot protection goes by the beginning.
const USER_AGENTS: [&str; 2] = ["OpenAI/Python 3.54.0", "OpenAI/JS 7.57.0"];

/// A client key with the scope `status`: with it the Worker asks its gateway, and says what is wrong.
const STATUS_KEY: &str = "CLAWFRONT_KEY";

const READY: &str = "/readyz";

const OWN_USER_AGENT: &str = concat!("clawfront/", env!("CARGO_PKG_VERSION"));

pub(super) fn examine(report: &mut Report, url: &str, trust: &Trust) -> Result<(), Problem> {
    let url = url.trim_end_matches('/');
    let place = Place::parse(url).ok_or_else(|| {
        Problem::with(
            crate::USAGE,
            "--worker takes a URL that begins with https:// or http://",
        )
    })?;
    let base = place.path.trim_end_matches('/').to_owned();
    let key = env::var(STATUS_KEY)
        .ok()
        .filter(|key| !key.is_empty())
        .map(|key| format!("Bearer {key}"));
    let ask = |path: &str, user_agent: &str| -> Result<Answered, Broken> {
        let mut stream = secure(connect(&resolve(&place)?)?, &place, trust)?;
        let mut fields = vec![("user-agent", user_agent), ("accept", "application/json")];
        if path == READY {
            fields.extend(key.as_deref().map(|key| ("authorization", key)));
        }
        get(&mut stream, &place, &format!("{base}{path}"), &fields)
    };
    match ask("/healthz", OWN_USER_AGENT) {
        Ok(answered) if answered.status == 200 && is_ours(&answered) => {
            report.ok(Subject::Health, "the Worker answers");
        }
        Ok(answered) if answered.status == 404 && is_ours(&answered) => report.wrong(
            Subject::Health,
            State::Warning,
            "an older Worker, without /healthz",
            "deploy this version",
        ),
        Ok(answered) => not_ours(report, Subject::Health, &answered),
        Err(broken) => {
            // Core's words speak of the gateway; here it is the Worker that is not reached.
            report.wrong(
                Subject::Health,
                State::Problem,
                format!("the Worker is not reached: {}", broken.detail),
                "correct --worker, or deploy it",
            );
            report.not_checked(Subject::Ready, "needs healthz");
            report.not_checked(Subject::Bots, "needs healthz");
            return Ok(());
        }
    }
    ready(report, &ask(READY, OWN_USER_AGENT));
    bots(
        report,
        &USER_AGENTS.map(|user_agent| (user_agent, ask("/v1/models", user_agent))),
    );
    Ok(())
}

fn ready(report: &mut Report, answer: &Result<Answered, Broken>) {
    match answer {
        Ok(answered) if answered.status == 200 && is_ours(answered) => {
            report.ok(Subject::Ready, "the Worker reaches its gateway");
        }
        Ok(answered) if answered.status == 404 && is_ours(answered) => report.wrong(
            Subject::Ready,
            State::Warning,
            "an older Worker, without /readyz",
            "deploy this version",
        ),
        Ok(answered) if answered.status == 401 && is_ours(answered) => report.wrong(
            Subject::Ready,
            State::Warning,
            "the key in CLAWFRONT_KEY is not one of the Worker's",
            "set it to a key with the scope status, or unset it",
        ),
        Ok(answered) if is_ours(answered) => {
            let said: Ready<'_> = serde_json::from_slice(&answered.body).unwrap_or_default();
            if said.status == "unknown" {
                report.wrong(
                    Subject::Ready,
                    State::Warning,
                    "the Worker has not asked its gateway lately",
                    "let it ask: put a key with the scope status into CLAWFRONT_KEY",
                );
            } else {
                report.wrong(
                    Subject::Ready,
                    State::Problem,
                    format!(
                        "the Worker cannot use its gateway: {}",
                        said.cause.unwrap_or("it does not say why")
                    ),
                    said.hint.unwrap_or(
                        "its log names the cause (wrangler tail), or a key with the scope status in CLAWFRONT_KEY",
                    ),
                );
            }
        }
        Ok(answered) => not_ours(report, Subject::Ready, answered),
        Err(broken) => report.failed(Subject::Ready, &Failure::Unreachable(broken.diagnosis), &broken.detail),
    }
}

/// What the Worker says of its gateway.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Ready<'a> {
    status: &'a str,
    cause: Option<&'a str>,
    hint: Option<&'a str>,
}

/// Asked without a key: whatever the Worker itself answers shows that nothing stopped the request before it.
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
            format!("something in front of the Worker stops {}", blocked.join(", ")),
            "at Cloudflare, let a WAF rule skip bot protection and the browser integrity check for the Worker's host",
        );
    }
}

fn not_ours(report: &mut Report, subject: Subject, answered: &Answered) {
    report.wrong(
        subject,
        State::Problem,
        format!("what answers is not the Worker (HTTP {})", answered.status),
        "correct --worker; where Access or a firewall stands in front of it, let API clients through",
    );
}

/// The Worker says its own in JSON, with the id of the request.
fn is_ours(answered: &Answered) -> bool {
    answered.header("content-type").starts_with("application/json") && !answered.header("x-request-id").is_empty()
}
