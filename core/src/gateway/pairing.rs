//! Getting a device its token: one connection from the gateway's host, as a command, that is closed when the gateway has said hello.
//!
//! Source: OpenClaw 2026.9.6 and 2026.3.13 approve a device without asking when it connects on direct loopback as `cli` with the
//! shared secret, and give it a token then; checked against both. From anywhere else the gateway's operator is asked first.

use crate::error::Failure;
use crate::gateway::credential::Credential;
use crate::gateway::link::{Client, Incoming, Link};
use crate::secret::Secret;

/// A pairing under way. Give it every frame, and send what it asks for, until it is [`Step::Paired`].
#[derive(Debug)]
pub struct Pairing {
    link: Link,
}

#[derive(Debug)]
pub enum Step {
    Wait,
    Send(String),
    /// The device may be used; the gateway gave it this token, or none because it has one.
    Paired {
        device_token: Option<Secret>,
    },
}

impl Default for Pairing {
    fn default() -> Self {
        Self {
            link: Link::new(Client::CLI),
        }
    }
}

impl Pairing {
    /// What it means that the gateway closed the connection.
    pub fn closed(&self, close_code: u16) -> Failure {
        self.link.closed(close_code)
    }

    pub fn receive(&mut self, frame: &str, credential: &Credential) -> Result<Step, Failure> {
        let mut outbox = Vec::new();
        let incoming = self.link.receive(frame, credential, &mut outbox)?;
        if let Incoming::Ready(hello) = incoming {
            return Ok(Step::Paired {
                device_token: hello.device_token.map(|token| Secret::new(token.into_owned())),
            });
        }
        Ok(outbox.pop().map_or(Step::Wait, Step::Send))
    }
}
