//! One run, made as the Worker makes it, in a session that nobody uses again.

use std::time::{Duration, Instant};

use clawfront_core::agent::{AgentId, Roster};
use clawfront_core::config::Config;
use clawfront_core::exchange::{Exchange, Input, Outcome, Output};
use clawfront_core::key::{Clients, KeyId, NewKey, edit};
use clawfront_core::openai::chat::{self, Entropy};
use clawfront_core::openai::{Completion, Rendition};
use clawfront_core::respond::Common;
use serde_json::json;
use tungstenite::Message;

use super::gateway::{Received, open, read};
use super::report::{Report, Subject};
use crate::connection::Trust;
use crate::{Problem, entropy, now_ms};

/// An agent that answers one word and takes longer is broken.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Frames that come while a run says one word; beyond them something is wrong.
const MAX_FRAMES: usize = 10_000;

pub(super) fn examine(report: &mut Report, config: &Config, trust: &Trust, roster: &Roster) -> Result<(), Problem> {
    let Some(agent) = agent(config, roster) else {
        report.not_checked(Subject::Run, "no key may reach an agent that there is");
        return Ok(());
    };
    // Somebody who may reach every agent, for this one request; nobody has the key.
    let id = KeyId::parse("doctor").ok_or_else(|| Problem::new("no id"))?;
    let entry = edit::write(&id, &NewKey::from_entropy(&id, &entropy()?).hash, [("agents", "*")]);
    let mut clients = Clients::default();
    clients.extend(&entry, &mut Vec::new());
    let client = clients.iter().next().ok_or_else(|| Problem::new("no client"))?;
    let body = json!({
        "model": format!("openclaw/{agent}"),
        "messages": [{ "role": "user", "content": "Answer with the one word: ready" }],
    })
    .to_string();
    let request = chat::Request {
        body: body.as_bytes(),
        header: &|_| None,
        is_repeated: false,
    };
    let random = Entropy {
        run: entropy()?,
        session: entropy()?,
    };
    let accepted = match chat::accept(&request, client, &config.aliases, &random) {
        Ok(accepted) => accepted,
        Err(failure) => {
            report.failed(Subject::Run, &failure, "");
            return Ok(());
        }
    };
    let completion = Completion::new(accepted.form, "doctor".to_owned(), accepted.model, now_ms()? / 1000);
    let mut exchange = Exchange::new(
        accepted.turn,
        Rendition::Chat(completion),
        Common::default(),
        client.streams,
        now_ms()?,
    );
    let mut socket = match open(&config.gateway, trust) {
        Ok(socket) => socket,
        Err((failure, detail)) => {
            report.failed(Subject::Run, &failure, &detail);
            return Ok(());
        }
    };
    let began = Instant::now();
    let until = began.checked_add(TIMEOUT);
    let mut out = Output::default();
    for _ in 0..MAX_FRAMES {
        let received = read(&mut socket, until);
        let input = match &received {
            Received::Frame(frame) => Input::Frame(frame),
            Received::Closed(code) => Input::Closed { code: *code },
            Received::Nothing => Input::HungUp,
        };
        let is_over = !matches!(received, Received::Frame(_));
        exchange.handle(input, &config.gateway, now_ms()?, &mut out);
        for frame in out.frames.drain(..) {
            // One that cannot be sent is followed by the socket's end.
            let _ = socket.send(Message::text(frame));
        }
        if is_over || !matches!(exchange.outcome(), Outcome::Pending) {
            break;
        }
    }
    let _ = socket.close(None).and_then(|()| socket.flush());
    match exchange.outcome() {
        Outcome::Answered(_) => report.ok(
            Subject::Run,
            format!("{agent} answered after {:.1} s", began.elapsed().as_secs_f64()),
        ),
        Outcome::Failed(failure) => report.failed(Subject::Run, failure, ""),
        Outcome::Pending => report.wrong(
            Subject::Run,
            super::report::State::Problem,
            format!("no answer within {} s", TIMEOUT.as_secs()),
            "the gateway's log says what the agent does",
        ),
    }
    Ok(())
}

/// The gateway's default, else the first one; in any case one that some key may reach.
fn agent<'a>(config: &Config, roster: &'a Roster) -> Option<&'a AgentId> {
    let is_reachable = |agent: &&AgentId| config.clients.iter().any(|client| client.agents.allows(agent));
    let mut candidates = roster.default_agent.iter().chain(&roster.agents);
    candidates.find(is_reachable)
}
