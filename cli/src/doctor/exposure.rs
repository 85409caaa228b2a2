//! Reports the commands, files and sessions that each key reaches through an agent, and the
//! settings that close them.

use std::time::{Duration, Instant};

use clawfront_core::agent::{AgentId, AgentList};
use clawfront_core::config::Config;
use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::gateway::device::DeviceKey;
use clawfront_core::gateway::exposure::{Exposure, Inquiry};
use tungstenite::Message;

use super::check::{State, Subject};
use super::reach::{Reach, is_open};
use super::report::Report;
use super::text::list;
use crate::connection::stream::Trust;
use crate::socket::{ABNORMAL_CLOSURE, Received, open, read};

/// Longest time from the challenge to the last answer: a busy gateway takes seconds to list an
/// agent's tools.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Most agents that are checked: each costs the gateway two requests.
const MAX_AGENTS: usize = 20;

/// Asks the gateway about every agent that a key may reach.
pub(super) fn examine(report: &mut Report, config: &Config, trust: &Trust, known: &AgentList) {
    let reachable: Vec<_> = known
        .agents
        .iter()
        .filter(|agent| !keys_of(config, agent).is_empty())
        .collect();
    let agents: Vec<_> = reachable
        .iter()
        .take(MAX_AGENTS)
        .map(|agent| (*agent).clone())
        .collect();
    if agents.is_empty() {
        report.not_checked(Subject::Exposure, "no key may reach an existing agent");
        return;
    }
    match ask(config, trust, agents) {
        Ok(exposures) => {
            report_shared(report, config, &exposures, reachable.len());
            report.exposed(exposures.into_iter().map(|exposure| Reach {
                keys: keys_of(config, &exposure.agent),
                exposure,
            }));
        }
        Err(failure) => {
            let code = failure.code();
            report.not_checked(
                Subject::Exposure,
                format!("the gateway does not show its settings ({code})"),
            );
        }
    }
}

/// Returns the ids of the keys that may reach the agent.
fn keys_of(config: &Config, agent: &AgentId) -> Vec<String> {
    let clients = config
        .clients
        .iter()
        .filter(|client| client.agents.allows(agent));
    clients.map(|client| client.id.to_string()).collect()
}

/// Warns of open agents that several keys share.
fn report_shared(report: &mut Report, config: &Config, exposures: &[Exposure], reachable: usize) {
    let shared: Vec<_> = exposures
        .iter()
        .filter(|exposure| keys_of(config, &exposure.agent).len() > 1)
        .filter(|exposure| {
            is_open(exposure.sessions.as_ref())
                || is_open(exposure.commands.as_ref())
                || is_open(exposure.files.as_ref())
        })
        .map(|exposure| &exposure.agent)
        .collect();
    if shared.is_empty() {
        let beyond = match reachable.saturating_sub(MAX_AGENTS) {
            0 => String::new(),
            more => format!("; {more} more agents were not checked"),
        };
        report.ok(Subject::Exposure, format!("listed below{beyond}"));
        return;
    }
    report.wrong(
        Subject::Exposure,
        State::Warning,
        format!(
            "keys that share an agent can reach each other's conversations through it: {}",
            list(shared)
        ),
        "close it with the settings below, give each person an agent or a gateway, or hand the \
         keys to one person only",
    );
}

fn ask(config: &Config, trust: &Trust, agents: Vec<AgentId>) -> Result<Vec<Exposure>, Failure> {
    let mut socket = open(&config.gateway, trust).map_err(|(failure, _)| failure)?;
    let mut inquiry = Inquiry::new(agents);
    let mut outbox = Vec::new();
    let until = Instant::now().checked_add(TIMEOUT);
    let exposures = loop {
        let frame = match read(&mut socket, until) {
            Received::Frame(frame) => frame,
            Received::Closed(code) => return Err(inquiry.closed(code)),
            Received::Nothing => return Err(Failure::TimedOut(Deadline::Handshake)),
        };
        if let Some(exposures) = inquiry.receive(
            &frame,
            &config.gateway.credential,
            DeviceKey::sign,
            &mut outbox,
        )? {
            break exposures;
        }
        for frame in outbox.drain(..) {
            if socket.send(Message::text(frame)).is_err() {
                return Err(inquiry.closed(ABNORMAL_CLOSURE));
            }
        }
    };
    // A gateway that does not confirm the close changes nothing.
    let _ = socket.close(None).and_then(|()| socket.flush());
    Ok(exposures)
}
