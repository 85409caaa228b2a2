//! The list of the gateway's agents, fetched over one connection.

use std::time::{Duration, Instant};

use clawfront_core::agent::{AgentId, AgentList};
use clawfront_core::config::Gateway;
use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::gateway::agent_question::Question;
use clawfront_core::gateway::device::DeviceKey;
use tungstenite::Message;

use crate::connection::stream::Trust;
use crate::socket::{Received, open, read};

/// Longest time from the challenge to the list of agents.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Most edits between a mistyped name and its agent.
const MAX_EDITS: usize = 2;

/// Most agents that one line lists: a gateway may have thousands.
const MAX_SHOWN: usize = 20;

/// Fetches the list. A failure comes with the system's message.
pub(crate) fn ask(gateway: &Gateway, trust: &Trust) -> Result<AgentList, (Failure, String)> {
    let mut socket = open(gateway, trust)?;
    let mut question = Question::default();
    let mut outbox = Vec::new();
    let until = Instant::now().checked_add(TIMEOUT);
    let answer = loop {
        let received = match read(&mut socket, until) {
            Received::Frame(frame) => {
                question.receive(&frame, &gateway.credential, DeviceKey::sign, &mut outbox)
            }
            Received::Closed(code) => Err(question.closed(code)),
            Received::Nothing => Err(Failure::TimedOut(Deadline::Handshake)),
        };
        match received {
            Ok(Some(known)) => break Ok(known),
            Ok(None) => {}
            Err(failure) => break Err(failure),
        }
        for frame in outbox.drain(..) {
            // A frame that cannot be sent is followed by the end of the socket.
            let _ = socket.send(Message::text(frame));
        }
    };
    // A gateway that does not confirm the close changes nothing.
    let _ = socket.close(None).and_then(|()| socket.flush());
    answer.map_err(|failure| (failure, String::new()))
}

/// Lists the agents of a gateway in one line.
pub(crate) fn shown(known: &AgentList) -> String {
    let names: Vec<_> = known
        .agents
        .iter()
        .take(MAX_SHOWN)
        .map(AgentId::as_str)
        .collect();
    match known.agents.len().saturating_sub(MAX_SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// Returns the agent whose name is closest to `name`.
pub(crate) fn nearest<'a>(known: &'a AgentList, name: &str) -> Option<&'a AgentId> {
    let distances = known
        .agents
        .iter()
        .map(|agent| (edits(agent.as_str(), name), agent));
    let (distance, agent) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= MAX_EDITS && distance < name.len()).then_some(agent)
}

/// Returns Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<_> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, left) in a.chars().enumerate() {
        let mut next = vec![index.saturating_add(1)];
        for ((right, above_left), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let replaced = above_left.saturating_add(usize::from(left != *right));
            let inserted = next.last().copied().unwrap_or_default().saturating_add(1);
            next.push(replaced.min(inserted).min(above.saturating_add(1)));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_the_agent_that_was_meant() {
        let agents = ["main", "notes"].map(|name| AgentId::parse(name).unwrap());
        let known = AgentList {
            agents: agents.to_vec(),
            default_agent: None,
            ..AgentList::default()
        };
        for (name, meant) in [
            ("mian", Some("main")),
            ("note", Some("notes")),
            ("builder", None),
            ("x", None),
        ] {
            assert_eq!(nearest(&known, name).map(AgentId::as_str), meant, "{name}");
        }
    }
}
