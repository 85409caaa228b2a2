//! One run, made as the Worker makes it, in a session of its own.

use std::thread;
use std::time::{Duration, Instant};

use clawfront_core::access::admit::Grants;
use clawfront_core::access::edit;
use clawfront_core::access::key::{KeyId, NewKey};
use clawfront_core::agent::{AgentId, AgentList};
use clawfront_core::config::{Config, Gateway};
use clawfront_core::exchange::{Exchange, Outcome};
use clawfront_core::failure::Failure;
use clawfront_core::http::head::ResponseMeta;
use clawfront_core::hub::{Hub, Input};
use clawfront_core::openai::chat::ChatWriter;
use clawfront_core::openai::models::Aliases;
use clawfront_core::openai::{self, Entropy, Writer, chat};
use serde_json::json;
use tungstenite::{Message, WebSocket};

use super::check::{State, Subject};
use super::report::Report;
use crate::connection::stream::{Stream, Trust};
use crate::outcome::Problem;
use crate::socket::{Received, open, read};
use crate::system::{entropy, now_ms};

/// An agent that answers one word and takes longer is broken.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Most frames of a run that answers one word; more of them mean a fault.
const MAX_FRAMES: usize = 10_000;

pub(super) fn examine(
    report: &mut Report,
    config: &Config,
    trust: &Trust,
    known: &AgentList,
) -> Result<(), Problem> {
    let Some(agent) = agent(config, known) else {
        report.not_checked(Subject::Run, "no key may reach an existing agent");
        return Ok(());
    };
    let exchange = match question(agent, &config.aliases)? {
        Ok(exchange) => exchange,
        Err(failure) => {
            report.failed(Subject::Run, &failure, "");
            return Ok(());
        }
    };
    let began = Instant::now();
    let until = began.checked_add(TIMEOUT);
    let (is_in_time, outcome) = play(exchange, &config.gateway, trust, until)?;
    match &outcome {
        _ if !is_in_time => report.wrong(
            Subject::Run,
            State::Problem,
            format!("no answer within {} s", TIMEOUT.as_secs()),
            "read the gateway's log",
        ),
        Outcome::Answered(_) => report.ok(
            Subject::Run,
            format!(
                "{agent} answered after {:.1} s",
                began.elapsed().as_secs_f64()
            ),
        ),
        Outcome::Failed(failure) => report.failed(Subject::Run, failure, ""),
        Outcome::Pending => report.wrong(
            Subject::Run,
            State::Problem,
            format!("no answer in {MAX_FRAMES} frames"),
            "read the gateway's log",
        ),
    }
    Ok(())
}

/// Builds the exchange of one question to an agent.
fn question(agent: &AgentId, aliases: &Aliases) -> Result<Result<Exchange, Failure>, Problem> {
    // A client that may reach every agent, for this one request; its key is not stored.
    let id = KeyId::parse("doctor").ok_or_else(|| Problem::new("no id"))?;
    let entry = edit::write(
        &id,
        &NewKey::from_entropy(&id, &entropy()?).hash,
        [("agents", "*")],
    );
    let mut clients = Grants::default();
    clients.extend(&entry, &mut Vec::new());
    let client = clients
        .iter()
        .next()
        .ok_or_else(|| Problem::new("no client"))?;
    let body = json!({
        "model": format!("openclaw/{agent}"),
        "messages": [{ "role": "user", "content": "Answer with the one word: ready" }],
    })
    .to_string();
    let request = openai::Request {
        body: body.as_bytes(),
        header: &|_| None,
        caller: [0; 32],
        is_repeated: false,
    };
    let random = Entropy {
        run: entropy()?,
        session: entropy()?,
    };
    let accepted = match chat::accept(&request, client, aliases, &random) {
        Ok(accepted) => accepted,
        Err(failure) => return Ok(Err(failure)),
    };
    let writer = ChatWriter::new(
        accepted.delivery,
        "doctor".to_owned(),
        accepted.model,
        now_ms()? / 1000,
    );
    Ok(Ok(Exchange::new(
        accepted.turn,
        Writer::Chat(writer),
        ResponseMeta::default(),
        client.streams,
        now_ms()?,
    )))
}

/// Plays the exchange: gives a hub the frames, the time, and connections, as the Worker does. The
/// outcome comes with false if the run did not end in time; it is then stopped.
fn play(
    exchange: Exchange,
    gateway: &Gateway,
    trust: &Trust,
    until: Option<Instant>,
) -> Result<(bool, Outcome), Problem> {
    let mut hub = Hub::new(0);
    let id = hub.begin(exchange, None, now_ms()?);
    let mut connects = hub.take_orders().connect;
    let mut socket = None;
    for _ in 0..MAX_FRAMES {
        let mut received = Received::Nothing;
        let mut refused = None;
        if std::mem::take(&mut connects) {
            match open(gateway, trust) {
                Ok(opened) => socket = Some(opened),
                Err((failure, _)) => (socket, refused) = (None, Some(failure)),
            }
        }
        if refused.is_none() {
            received = wait(socket.as_mut(), hub.wake_at_ms(), until)?;
        }
        let is_late = matches!(received, Received::Nothing)
            && refused.is_none()
            && until.is_none_or(|until| Instant::now() >= until);
        let input = match (&received, refused) {
            (_, Some(failure)) => Input::Failed(failure),
            (Received::Frame(text), None) => Input::Frame { text, skipped: 0 },
            (Received::Closed(code), None) => {
                socket = None;
                Input::Closed { code: *code }
            }
            (Received::Nothing, None) if is_late => Input::HungUp(id),
            (Received::Nothing, None) => Input::Tick,
        };
        hub.handle(input, gateway, now_ms()?);
        while let Some((_, _, output)) = hub.next_output() {
            // The answer itself is not shown.
            output.clear();
        }
        let mut orders = hub.take_orders();
        if let (Some(payload), Some(device)) = (&orders.sign, &gateway.credential.device) {
            let signature = device.sign(payload);
            hub.handle(Input::Signed(&signature), gateway, now_ms()?);
            orders = hub.take_orders();
        }
        if let Some(socket) = &mut socket {
            for frame in orders.frames {
                // A frame that cannot be sent is followed by the end of the socket.
                let _ = socket.send(Message::text(frame));
            }
        }
        connects = orders.connect;
        let outcome = hub.exchange(id).map(Exchange::outcome).cloned();
        let outcome = outcome.unwrap_or_default();
        if is_late || !matches!(outcome, Outcome::Pending) {
            if let Some(mut socket) = socket {
                let _ = socket.close(None).and_then(|()| socket.flush());
            }
            return Ok((!is_late, outcome));
        }
    }
    Ok((true, Outcome::Pending))
}

/// Waits for an event until the exchange has to be woken.
fn wait(
    socket: Option<&mut WebSocket<Stream>>,
    wake_at_ms: Option<u64>,
    until: Option<Instant>,
) -> Result<Received, Problem> {
    let wait = Duration::from_millis(wake_at_ms.unwrap_or(u64::MAX).saturating_sub(now_ms()?));
    let wake = Instant::now().checked_add(wait.min(TIMEOUT));
    let until = until.min(wake);
    let Some(socket) = socket else {
        let left = until.and_then(|until| until.checked_duration_since(Instant::now()));
        thread::sleep(left.unwrap_or_default());
        return Ok(Received::Nothing);
    };
    Ok(read(socket, until))
}

/// Returns the gateway's default agent, otherwise the first agent that a key may reach.
fn agent<'a>(config: &Config, known: &'a AgentList) -> Option<&'a AgentId> {
    let is_reachable = |agent: &&AgentId| {
        config
            .clients
            .iter()
            .any(|client| client.agents.allows(agent))
    };
    let mut candidates = known.default_agent.iter().chain(&known.agents);
    candidates.find(is_reachable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawfront_core::failure::diagnosis::Diagnosis;
    use std::net::TcpListener;

    /// Plays a question against a gateway that accepts WebSockets and does `serve` with them.
    fn ask(limit: Duration, serve: fn(WebSocket<std::net::TcpStream>)) -> (bool, Outcome) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if let Ok(socket) = tungstenite::accept(stream.unwrap()) {
                    serve(socket);
                }
            }
        });
        let id = KeyId::parse("phone").unwrap();
        let entry = edit::write(
            &id,
            &NewKey::from_entropy(&id, &[7; 20]).hash,
            [("agents", "main")],
        );
        let settings = |name: &str| match name {
            "GATEWAY_URL" => Some(url.clone()),
            "GATEWAY_TOKEN" => Some("token".to_owned()),
            "CLIENT_KEYS" => Some(entry.clone()),
            _ => None,
        };
        let config = Config::parse(settings).unwrap();
        let exchange = question(&AgentId::parse("main").unwrap(), &config.aliases)
            .ok()
            .unwrap()
            .unwrap();
        let trust = Trust::new(None).ok().unwrap();
        let until = Instant::now().checked_add(limit);
        play(exchange, &config.gateway, &trust, until).ok().unwrap()
    }

    #[test]
    fn a_silent_gateway_is_late_and_not_a_client_that_left() {
        let silent = |mut socket: WebSocket<std::net::TcpStream>| while socket.read().is_ok() {};
        let (is_in_time, _) = ask(Duration::from_millis(200), silent);
        assert!(!is_in_time);
    }

    #[test]
    fn a_connection_that_is_lost_is_a_failure_of_its_own_and_not_a_late_answer() {
        let (is_in_time, outcome) = ask(TIMEOUT, |_| {});
        let Outcome::Failed(failure) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(is_in_time);
        assert_eq!(
            failure.diagnosis().map(Diagnosis::code),
            Some("closed_before_challenge")
        );
    }
}
