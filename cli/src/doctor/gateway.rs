//! The connection to the gateway, made as the Worker makes it, with a check for each step.

use std::time::Instant;

use clawfront_core::access::policy;
use clawfront_core::agent::{AgentList, Agents};
use clawfront_core::config::{Config, Gateway};
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::gateway::agent_question::Question;
use clawfront_core::gateway::credential::Auth;
use clawfront_core::gateway::device::DeviceKey;
use serde::Deserialize;
use tungstenite::{Message, WebSocket};

use super::check::{State, Subject};
use super::report::Report;
use super::text::{list, printable};
use crate::connection::place::Place;
use crate::connection::stream::{self, Broken, Stream, Trust};
use crate::socket::{ABNORMAL_CLOSURE, HANDSHAKE_TIMEOUT, Received, read, upgrade};
use crate::system::now_ms;

/// Largest difference of the clocks, in milliseconds: a gateway accepts a proof that is two minutes
/// old.
const MAX_SKEW_MS: u64 = 120_000;

/// The facts about a gateway that later checks use.
pub(super) struct Walked {
    pub(super) agents: AgentList,
    /// The version of its protocol, if it has sent one.
    pub(super) protocol: Option<u32>,
}

/// Returns the gateway's agents and protocol, or the check that failed.
pub(super) fn walk(
    report: &mut Report,
    gateway: &Gateway,
    trust: &Trust,
) -> Result<Walked, Subject> {
    let Some(place) = Place::parse(&gateway.url) else {
        report.wrong(
            Subject::Dns,
            State::Problem,
            "GATEWAY_URL has no host",
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
    report.ok(
        Subject::Proxy,
        "the gateway accepts the origin of the connection",
    );
    let mut seen = Seen::default();
    let asked = ask(&mut socket, gateway, &mut seen);
    // A gateway that does not confirm the close changes nothing.
    let _ = socket.close(None).and_then(|()| socket.flush());
    seen.report_clock(report);
    match asked {
        Ok(agents) => {
            seen.report_up_to(report, Subject::Agents, gateway);
            Ok(Walked {
                agents,
                protocol: seen.hello.map(|hello| hello.protocol),
            })
        }
        Err(failure) => {
            let subject = subject_of(&failure);
            seen.report_up_to(report, subject, gateway);
            report.failed(subject, &failure, "");
            Err(subject)
        }
    }
}

/// Opens a stream to the gateway, step by step.
fn reach(report: &mut Report, place: &Place, trust: &Trust) -> Result<Stream, Subject> {
    let mut step = |subject, result: Result<String, Broken>| match result {
        Ok(message) => {
            report.ok(subject, message);
            Ok(())
        }
        Err(broken) => {
            report.failed(
                subject,
                &Failure::GatewayUnreachable(broken.diagnosis),
                &broken.detail,
            );
            Err(subject)
        }
    };
    let (mut addresses, mut tcp, mut stream) = (Vec::new(), None, None);
    let resolved = stream::resolve(place).map(|found| {
        addresses = found;
        let texts: Vec<_> = addresses
            .iter()
            .map(|address| address.ip().to_string())
            .collect();
        format!("{}: {}", place.host, texts.join(", "))
    });
    step(Subject::Dns, resolved)?;
    let connected = stream::connect(&addresses).map(|connected| {
        tcp = Some(connected);
        format!("port {}", place.port)
    });
    step(Subject::Tcp, connected)?;
    let secured = tcp.map_or(Ok("none".to_owned()), |tcp| {
        stream::secure(tcp, place, trust).map(|secured| {
            let message = secured.protection();
            stream = Some(secured);
            message
        })
    });
    step(Subject::Tls, secured)?;
    stream.ok_or(Subject::Tls)
}

/// Returns the check that a failed handshake belongs to.
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
        Some(Diagnosis::ScopeMissing | Diagnosis::ScopesTooWide | Diagnosis::TakenForLocal) => {
            Subject::Scopes
        }
        _ => Subject::Handshake,
    }
}

fn ask(
    socket: &mut WebSocket<Stream>,
    gateway: &Gateway,
    seen: &mut Seen,
) -> Result<AgentList, Failure> {
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
        if let Some(known) =
            question.receive(&frame, &gateway.credential, DeviceKey::sign, &mut outbox)?
        {
            return Ok(known);
        }
        for frame in outbox.drain(..) {
            if socket.send(Message::text(frame)).is_err() {
                return Err(question.closed(ABNORMAL_CLOSURE));
            }
        }
    }
}

/// The facts about itself that the gateway has sent so far.
#[derive(Default)]
struct Seen {
    /// The gateway's clock and ours at the challenge, in milliseconds since the Unix epoch.
    challenged_ms: Option<(u64, u64)>,
    hello: Option<Hello>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Frame {
    Event {
        event: String,
        payload: Option<Challenge>,
    },
    Res {
        payload: Option<Hello>,
    },
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
            Ok(Frame::Res {
                payload: Some(hello),
            }) => self.hello = Some(hello),
            _ => {}
        }
    }

    /// Reports the checks before `subject` as passed.
    fn report_up_to(&self, report: &mut Report, subject: Subject, gateway: &Gateway) {
        let hello = self.hello.as_ref();
        if subject > Subject::Handshake {
            report.ok(
                Subject::Handshake,
                match hello.map(|hello| printable(&hello.server.version)) {
                    Some(version) if !version.is_empty() => {
                        format!("OpenClaw {version}")
                    }
                    _ => "a gateway answers".to_owned(),
                },
            );
        }
        if subject > Subject::Protocol {
            report.ok(
                Subject::Protocol,
                hello.map_or("supported by both".to_owned(), |hello| {
                    hello.protocol.to_string()
                }),
            );
        }
        if subject > Subject::Pairing {
            report_credential(report, gateway);
        }
        if subject > Subject::Scopes {
            let granted = hello.and_then(|hello| hello.auth.as_ref());
            let message = granted.map_or(
                "operator.write; the gateway does not list the others".to_owned(),
                |granted| printable(&granted.scopes.join(", ")),
            );
            if gateway.credential.takes_any_scopes {
                report.wrong(
                    Subject::Scopes,
                    State::Warning,
                    format!("{message}; any other would be accepted, too"),
                    "remove GATEWAY_SCOPES=any, and pair a device",
                );
            } else {
                report.ok(Subject::Scopes, message);
            }
        }
    }

    fn report_clock(&self, report: &mut Report) {
        let Some((gateway_ms, own_ms)) = self.challenged_ms.filter(|(ts, _)| *ts > 0) else {
            return;
        };
        let skew_ms = gateway_ms.abs_diff(own_ms);
        let message = format!(
            "the clocks of the gateway and of this machine differ by {} s",
            skew_ms / 1000
        );
        if skew_ms > MAX_SKEW_MS {
            report.wrong(
                Subject::Clock,
                State::Warning,
                message,
                "set the wrong clock: keys start and expire by the Worker's clock, device proofs \
                 by the gateway's",
            );
        } else {
            report.ok(Subject::Clock, message);
        }
    }
}

fn report_credential(report: &mut Report, gateway: &Gateway) {
    let id = gateway.credential.device.as_ref().map(|key| {
        let id = key.device_id();
        id.get(..12).unwrap_or_default().to_owned()
    });
    match (&gateway.credential.auth, id) {
        (Auth::DeviceToken(_), Some(id)) => {
            report.ok(
                Subject::Pairing,
                format!("device {id}… with a token of its own"),
            );
        }
        (_, Some(id)) => report.wrong(
            Subject::Pairing,
            State::Warning,
            format!("device {id}… with the gateway's shared secret"),
            "run clawfront setup, which sets DEVICE_TOKEN, a token that can be revoked alone; \
             then remove the shared secret",
        ),
        (_, None) => report.wrong(
            Subject::Pairing,
            State::Warning,
            "the gateway's shared secret, without a device",
            "run clawfront setup, which pairs a device; its token can be revoked alone",
        ),
    }
}

/// Compares the agents that keys name with those that the gateway has.
pub(super) fn compare(report: &mut Report, config: &Config, known: &AgentList) {
    let mut unknown = Vec::new();
    for client in config.clients.iter() {
        let Agents::Listed(agents) = &client.agents else {
            continue;
        };
        for agent in agents.iter().filter(|agent| !known.agents.contains(agent)) {
            unknown.push(format!("{} may reach {agent}", client.id));
        }
    }
    let names = list(&known.agents);
    if unknown.is_empty() {
        report.ok(Subject::Agents, names);
    } else {
        report.wrong(
            Subject::Agents,
            State::Problem,
            format!("{}: the gateway has {names}", list(unknown)),
            "correct agents= in these entries of CLIENT_KEYS, or create the agent at the gateway",
        );
    }
    default_agents(report, config, known);
}

/// Checks that every key has an agent for the model `openclaw`, the default of many clients.
fn default_agents(report: &mut Report, config: &Config, known: &AgentList) {
    let without: Vec<_> = config
        .clients
        .iter()
        // An administrator runs no agent.
        .filter(|client| !client.scopes.contains(&policy::Scope::Admin))
        .filter(|client| {
            let default = client
                .default_agent
                .as_ref()
                .or(known.default_agent.as_ref());
            !default.is_some_and(|agent| client.agents.allows(agent))
        })
        .map(|client| &client.id)
        .collect();
    if without.is_empty() {
        report.ok(
            Subject::Models,
            "every key has an agent for the model openclaw",
        );
        return;
    }
    report.wrong(
        Subject::Models,
        State::Warning,
        format!(
            "the model openclaw is a 404 for {}: the entry has no default=, and the gateway has \
             no default agent among its agents",
            list(without)
        ),
        "add default=<agent> to the entry, or let its clients send openclaw/<agent> as the model",
    );
}
