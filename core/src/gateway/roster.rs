//! Asking a gateway for its agents: one connection, closed when it has told.

use serde_json::value::RawValue;

use crate::agent::{AgentId, Roster};
use crate::error::Failure;
use crate::gateway::credential::Credential;
use crate::gateway::frame::{AgentsList, NoParams};
use crate::gateway::link::{Client, Incoming, Link, RequestId};
use crate::gateway::refusal;

/// A question under way. Give it every frame, and send what it puts into the outbox, until it has the roster or fails.
#[derive(Debug)]
pub struct Question {
    link: Link,
    list: Option<RequestId>,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            link: Link::new(Client::BACKEND),
            list: None,
        }
    }
}

impl Question {
    /// What it means that the gateway closed the connection.
    pub fn closed(&self, close_code: u16) -> Failure {
        self.link.closed(close_code)
    }

    pub fn receive(
        &mut self,
        frame: &str,
        credential: &Credential,
        outbox: &mut Vec<String>,
    ) -> Result<Option<Roster>, Failure> {
        match self.link.receive(frame, credential, outbox)? {
            Incoming::Ready(_) => self.list = Some(self.link.request("agents.list", &NoParams {}, outbox)?),
            Incoming::Response { id, result } if self.list == Some(id) => {
                let payload = result.map_err(|rejection| refusal::failure(&rejection.error))?;
                return read(payload)
                    .map(Some)
                    .ok_or(Failure::Protocol("the response to agents.list cannot be read"));
            }
            _ => {}
        }
        Ok(None)
    }
}

/// Reads the payload of a response to `agents.list`; an agent whose id no client could name is left out.
pub(crate) fn read(payload: Option<&RawValue>) -> Option<Roster> {
    let list: AgentsList<'_> = serde_json::from_str(payload?.get()).ok()?;
    Some(Roster {
        default_agent: list
            .default_id
            .filter(|_| !list.selection_required)
            .and_then(|id| AgentId::parse(&id)),
        agents: list
            .agents
            .iter()
            .filter_map(|agent| AgentId::parse(&agent.id))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Option<Roster> {
        read(serde_json::from_str::<&RawValue>(text).ok())
    }

    #[test]
    fn agents_and_the_default_among_them_are_read_of_both_protocols() {
        let agent = |id| AgentId::parse(id).unwrap();
        assert_eq!(
            read_text(
                r#"{"defaultId":"main","mainKey":"main","scope":"per-sender","agents":[{"id":"main","name":"M"},{"id":"beta"}]}"#
            ),
            Some(Roster {
                agents: vec![agent("main"), agent("beta")],
                default_agent: Some(agent("main")),
            })
        );
        let no_default =
            read_text(r#"{"defaultId":"main","selectionRequired":true,"agents":[{"id":"main"},{"id":"a b"}]}"#);
        assert_eq!(
            no_default,
            Some(Roster {
                agents: vec![agent("main")],
                default_agent: None,
            })
        );
        assert_eq!(read_text("[]"), None);
    }
}
