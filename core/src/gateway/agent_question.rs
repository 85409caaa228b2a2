//! The question for the gateway's agents, as a native program asks it.

use crate::agent::AgentList;
use crate::failure::Failure;
use crate::gateway::agent_list::ListRequest;
use crate::gateway::client_identity::ClientIdentity;
use crate::gateway::credential::Credential;
use crate::gateway::device::Sign;
use crate::gateway::link::{Incoming, Link};

/// A question on a connection of its own. Give it every frame, and send the content of the outbox,
/// until it has the list or fails.
#[derive(Debug)]
pub struct Question {
    link: Link,
    request: Option<ListRequest>,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            link: Link::new(ClientIdentity::BACKEND),
            request: None,
        }
    }
}

impl Question {
    /// Returns the failure for a connection that the gateway closed.
    pub fn closed(&self, close_code: u16) -> Failure {
        self.link.closed(close_code)
    }

    pub fn receive(
        &mut self,
        frame: &str,
        credential: &Credential,
        sign: Sign,
        outbox: &mut Vec<String>,
    ) -> Result<Option<AgentList>, Failure> {
        match self.link.receive_signing(frame, credential, sign, outbox)? {
            Incoming::Ready(_) => {
                self.request = Some(ListRequest::send(&mut self.link, outbox)?);
                Ok(None)
            }
            Incoming::Response { id, result } => match &mut self.request {
                Some(request) if request.awaits(id) => {
                    request.receive(result, &mut self.link, outbox)
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }
}
