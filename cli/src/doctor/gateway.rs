//! The way to the gateway, as the Worker goes it, and how far it leads.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use clawfront_core::agent::{Agents, Roster};
use clawfront_core::config::{Config, Gateway};
use clawfront_core::error::{Deadline, Failure};
use clawfront_core::gateway::credential::Auth;
use clawfront_core::gateway::diagnosis::Diagnosis;
use clawfront_core::gateway::roster::Question;
use clawfront_core::gateway::upgrade::refused;
use serde::Deserialize;
use tungstenite::{Error, Message, WebSocket};

use super::report::{Report, State, Subject};
use super::run;
use crate::connection::{self, Broken, NoSocket, Place, Stream, Trust};
use crate::{Problem, now_ms};

/// From the challenge to the list of agents.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// By how much clocks may differ, in milliseconds: a gateway takes a proof that is two minutes old.
const MAX_SKEW_MS: u64 = 120_000;

/// Closed without a close frame. Source: RFC 6455 section 7.1.5.
const ABNORMAL_CLOSURE: u16 = 1006;

/// What needs the gateway, in order.
pub(super) const SUBJECTS: [Subject; 11] = [
    Subject::Dns,
    Subject::Tcp,
    Subject::Tls,
    Subject::Upgrade,
    Subject::Proxy,
    Subject::Handshake,
    Subject::Protocol,
    Subject::Pairing,
    Subject::Scopes,
    Subject::Agents,
    Subject::Clock,
];

/// Checks all of it; what comes behind a failure is not checked.
pub(super) fn examine(report: &mut Report, config: &Config, trust: &Trust, wants_run: bool) -> Result<(), Problem> {
    let roster = match walk(report, &config.gateway, trust) {
        Ok(roster) => {
            compare(report, config, &roster);
            Some(roster)
        }
        Err(failed) => {
            report.rest(&SUBJECTS, &format!("needs {}", failed.name()));
            None
        }
    };
    match roster {
        _ if !wants_run => report.not_checked(Subject::Run, "--run makes one"),
        Some(roster) => run::examine(report, config, trust, &roster)?,
        None => report.not_checked(Subject::Run, "needs agents"),
    }
    Ok(())
}

/// The gateway's agents, or the check that failed.
fn walk(report: &mut Report, gateway: &Gateway, trust: &Trust) -> Result<Roster, Subject> {
    let Some(place) = Place::parse(&gateway.url) else {
        report.wrong(
            Subject::Dns,
            State::Problem,
            "GATEWAY_URL has no host that a request could be sent to",
            "correct GATEWAY_URL",
        );
        return Err(Subject::Dns);
    };
    let stream = reach(report, &place, trust)?;
    let mut socket = match upgrade(stream, &place, gateway) {
        Ok(socket) => socket,
        Err((failure, detail)) => {
            let subject = if failure.diagnosis() == Some(Diagnosis::ProxyAttribution) {
                report.ok(Subject::Upgrade, "a gateway answers");
                Subject::Proxy
            } else {
                Subject::Upgrade
            };
            report.failed(subject, &failure, &detail);
            return Err(subject);
        }
    };
    report.ok(Subject::Upgrade, "a WebSocket");
    report.ok(Subject::Proxy, "nobody minds where the connection comes from");
    let mut seen = Seen::default();
    let asked = ask(&mut socket, gateway, &mut seen);
    // A gateway that does not say goodbye changes nothing.
    let _ = socket.close(None).and_then(|()| socket.flush());
    seen.tell_clock(report);
    match asked {
        Ok(roster) => {
            seen.tell_up_to(report, Subject::Agents, gateway);
            Ok(roster)
        }
        Err(failure) => {
            let subject = subject_of(&failure);
            seen.tell_up_to(report, subject, gateway);
            report.failed(subject, &failure, "");
            Err(subject)
        }
    }
}

/// A stream to it, one step after the other.
fn reach(report: &mut Report, place: &Place, trust: &Trust) -> Result<Stream, Subject> {
    let mut step = |subject, result: Result<String, Broken>| match result {
        Ok(words) => {
            report.ok(subject, words);
            Ok(())
        }
        Err(broken) => {
            report.failed(subject, &Failure::Unreachable(broken.diagnosis), &broken.detail);
            Err(subject)
        }
    };
    let (mut addresses, mut tcp, mut stream) = (Vec::new(), None, None);
    let resolved = connection::resolve(place).map(|found| {
        addresses = found;
        let texts: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
        format!("{}: {}", place.host, texts.join(", "))
    });
    step(Subject::Dns, resolved)?;
    let connected = connection::connect(&addresses).map(|connected| {
        tcp = Some(connected);
        format!("port {}", place.port)
    });
    step(Subject::Tcp, connected)?;
    let secured = tcp.map_or(Ok("none".to_owned()), |tcp| {
        connection::secure(tcp, place, trust).map(|secured| {
            let words = secured.words();
            stream = Some(secured);
            words
        })
    });
    step(Subject::Tls, secured)?;
    stream.ok_or(Subject::Tls)
}

/// Goes all of the way that was just found good, or where nobody looks at the steps.
pub(crate) fn open(gateway: &Gateway, trust: &Trust) -> Result<WebSocket<Stream>, (Failure, String)> {
    let broken = |broken: Broken| (Failure::Unreachable(broken.diagnosis), broken.detail);
    let place = Place::parse(&gateway.url).ok_or((Failure::Unreachable(Diagnosis::Dns), String::new()))?;
    let addresses = connection::resolve(&place).map_err(broken)?;
    let tcp = connection::connect(&addresses).map_err(broken)?;
    let stream = connection::secure(tcp, &place, trust).map_err(broken)?;
    upgrade(stream, &place, gateway)
}

/// The WebSocket that the Worker would open; or what is wrong, and what the system said.
fn upgrade(stream: Stream, place: &Place, gateway: &Gateway) -> Result<WebSocket<Stream>, (Failure, String)> {
    connection::upgrade(stream, place, &gateway.headers).map_err(|error| match error {
        NoSocket::Answered(answered) => (refused(&answered.as_answer()), format!("HTTP {}", answered.status)),
        NoSocket::Broken(broken) => (Failure::Unreachable(broken.diagnosis), broken.detail),
    })
}

/// Which check a failed handshake belongs to.
fn subject_of(failure: &Failure) -> Subject {
    match failure.diagnosis() {
        Some(Diagnosis::ProtocolMismatch) => Subject::Protocol,
        Some(
            Diagnosis::Unpaired
            | Diagnosis::ScopeUpgrade
            | Diagnosis::MetadataUpgrade
            | Diagnosis::DeviceRequired
            | Diagnosis::DeviceProof
            | Diagnosis::DeviceToken
            | Diagnosis::DeviceRemoved
            | Diagnosis::GatewayToken
            | Diagnosis::GatewayPassword
            | Diagnosis::AuthLockout
            | Diagnosis::ClockSkew
            | Diagnosis::OriginNotAllowed
            | Diagnosis::Refused,
        ) => Subject::Pairing,
        Some(Diagnosis::ScopeMissing | Diagnosis::ScopesTooWide | Diagnosis::TakenForLocal) => Subject::Scopes,
        _ => Subject::Handshake,
    }
}

fn ask(socket: &mut WebSocket<Stream>, gateway: &Gateway, seen: &mut Seen) -> Result<Roster, Failure> {
    let mut question = Question::default();
    let mut outbox = Vec::new();
    let until = Instant::now().checked_add(HANDSHAKE_TIMEOUT);
    loop {
        let frame = match read(socket, until) {
            Received::Frame(frame) => frame,
            Received::Closed(code) => return Err(question.closed(code)),
            Received::Nothing => return Err(Failure::TimedOut(Deadline::Handshake)),
        };
        seen.look(&frame);
        if let Some(roster) = question.receive(&frame, &gateway.credential, &mut outbox)? {
            return Ok(roster);
        }
        for frame in outbox.drain(..) {
            if socket.send(Message::text(frame)).is_err() {
                return Err(question.closed(ABNORMAL_CLOSURE));
            }
        }
    }
}

/// What came over a socket.
pub(crate) enum Received {
    Frame(String),
    Closed(u16),
    /// In time.
    Nothing,
}

/// The next text frame.
pub(crate) fn read(socket: &mut WebSocket<Stream>, until: Option<Instant>) -> Received {
    loop {
        let left = until
            .and_then(|until| until.checked_duration_since(Instant::now()))
            .unwrap_or_default();
        if left.is_zero() || socket.get_ref().set_timeout(left).is_err() {
            return Received::Nothing;
        }
        match socket.read() {
            Ok(Message::Text(frame)) => return Received::Frame(frame.as_str().to_owned()),
            Ok(Message::Close(frame)) => {
                return Received::Closed(frame.map_or(ABNORMAL_CLOSURE, |frame| frame.code.into()));
            }
            Ok(_) => {}
            Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Received::Nothing;
            }
            Err(_) => return Received::Closed(ABNORMAL_CLOSURE),
        }
    }
}

/// What the gateway told of itself on the way.
#[derive(Default)]
struct Seen {
    /// Its clock and ours when it spoke first, in milliseconds since the Unix epoch.
    challenged_ms: Option<(u64, u64)>,
    hello: Option<Hello>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Frame {
    Event { event: String, payload: Option<Challenge> },
    Res { payload: Option<Hello> },
}

#[derive(Deserialize)]
struct Challenge {
    #[serde(default)]
    ts: u64,
}

#[derive(Deserialize)]
struct Hello {
    protocol: u32,
    #[serde(default)]
    server: Server,
    auth: Option<Granted>,
}

#[derive(Default, Deserialize)]
struct Server {
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    scopes: Vec<String>,
}

impl Seen {
    fn look(&mut self, frame: &str) {
        match serde_json::from_str(frame) {
            Ok(Frame::Event {
                event,
                payload: Some(challenge),
            }) if event == "connect.challenge" => {
                self.challenged_ms = now_ms().ok().map(|now_ms| (challenge.ts, now_ms));
            }
            Ok(Frame::Res { payload: Some(hello) }) => self.hello = Some(hello),
            _ => {}
        }
    }

    /// What is known to be good before `subject`.
    fn tell_up_to(&self, report: &mut Report, subject: Subject, gateway: &Gateway) {
        let hello = self.hello.as_ref();
        if subject > Subject::Handshake {
            report.ok(
                Subject::Handshake,
                match hello.map(|hello| printable(&hello.server.version)) {
                    Some(version) if !version.is_empty() => format!("OpenClaw {version} says hello"),
                    _ => "a gateway answers".to_owned(),
                },
            );
        }
        if subject > Subject::Protocol {
            report.ok(
                Subject::Protocol,
                hello.map_or("one that both speak".to_owned(), |hello| hello.protocol.to_string()),
            );
        }
        if subject > Subject::Pairing {
            tell_credential(report, gateway);
        }
        if subject > Subject::Scopes {
            let granted = hello.and_then(|hello| hello.auth.as_ref());
            let words = granted.map_or("operator.write; the gateway does not tell all".to_owned(), |granted| {
                printable(&granted.scopes.join(", "))
            });
            if gateway.credential.takes_any_scopes {
                report.wrong(
                    Subject::Scopes,
                    State::Warning,
                    format!("{words}; any would be taken"),
                    "take GATEWAY_SCOPES=any out, and pair a device",
                );
            } else {
                report.ok(Subject::Scopes, words);
            }
        }
    }

    fn tell_clock(&self, report: &mut Report) {
        let Some((gateway_ms, own_ms)) = self.challenged_ms.filter(|(ts, _)| *ts > 0) else {
            return;
        };
        let skew_ms = gateway_ms.abs_diff(own_ms);
        let words = format!("the gateway's and this machine's differ by {} s", skew_ms / 1000);
        if skew_ms > MAX_SKEW_MS {
            report.wrong(
                Subject::Clock,
                State::Warning,
                words,
                "set the clock that is wrong: keys begin and expire by the Worker's, device proofs by the gateway's",
            );
        } else {
            report.ok(Subject::Clock, words);
        }
    }
}

fn tell_credential(report: &mut Report, gateway: &Gateway) {
    let id = gateway.credential.device.as_ref().map(|key| {
        let id = key.device_id();
        id.get(..12).unwrap_or_default().to_owned()
    });
    match (&gateway.credential.auth, id) {
        (Auth::DeviceToken(_), Some(id)) => {
            report.ok(Subject::Pairing, format!("device {id}… with a token of its own"));
        }
        (_, Some(id)) => report.wrong(
            Subject::Pairing,
            State::Warning,
            format!("device {id}… with the gateway's shared secret"),
            "set DEVICE_TOKEN, which can be revoked alone, and take the shared secret out: clawfront setup does both",
        ),
        (_, None) => report.wrong(
            Subject::Pairing,
            State::Warning,
            "the gateway's shared secret, without a device",
            "pair a device, whose token can be revoked alone: clawfront setup",
        ),
    }
}

/// Of a peer's text, what may stand in a line.
fn printable(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    text.chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(MAX_CHARS)
        .collect()
}

/// The agents that keys name, against those that there are.
fn compare(report: &mut Report, config: &Config, roster: &Roster) {
    let mut unknown = Vec::new();
    for client in config.clients.iter() {
        let Agents::Listed(agents) = &client.agents else {
            continue;
        };
        for agent in agents.iter().filter(|agent| !roster.agents.contains(agent)) {
            unknown.push(format!("{} may reach {agent}", client.id));
        }
    }
    let names: Vec<_> = roster
        .agents
        .iter()
        .map(clawfront_core::agent::AgentId::as_str)
        .collect();
    let names = names.join(", ");
    if unknown.is_empty() {
        report.ok(Subject::Agents, names);
    } else {
        report.wrong(
            Subject::Agents,
            State::Problem,
            format!("{}: the gateway has {names}", unknown.join(", ")),
            "correct agents= of these entries in CLIENT_KEYS, or make the agent at the gateway",
        );
    }
}
