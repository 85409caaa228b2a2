//! A deployed Worker, as its clients see it.

use clawfront_core::error::Failure;

use super::report::{Report, State, Subject};
use crate::Problem;
use crate::connection::{Answered, Broken, Place, Trust, connect, get, resolve, secure};

/// What OpenAI's libraries call themselves. Source: openai-python 2.8 and openai-node 7.57; bot protection goes by the beginning.
const USER_AGENTS: [&str; 2] = ["OpenAI/Python 2.8.0", "OpenAI/JS 7.57.0"];

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
    let ask = |path: &str, user_agent: &str| -> Result<Answered, Broken> {
        let mut stream = secure(connect(&resolve(&place)?)?, &place, trust)?;
        get(
            &mut stream,
            &place,
            &format!("{base}{path}"),
            &[("user-agent", user_agent), ("accept", "application/json")],
        )
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
    ready(report, &ask("/readyz", OWN_USER_AGENT));
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
        Ok(answered) if is_ours(answered) => report.wrong(
            Subject::Ready,
            State::Problem,
            format!("the Worker cannot use its gateway (HTTP {})", answered.status),
            "its log names the cause: wrangler tail",
        ),
        Ok(answered) => not_ours(report, Subject::Ready, answered),
        Err(broken) => report.failed(Subject::Ready, &Failure::Unreachable(broken.diagnosis), &broken.detail),
    }
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
