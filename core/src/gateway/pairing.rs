//! Gets a token for a device. It uses one connection from the gateway's host, as a command, which
//! is closed after the gateway's hello.
//!
//! Source: OpenClaw 2026.9.6 and 2026.3.13, checked against both. They approve a device without
//! asking when it connects on direct loopback as `cli` with the shared secret, and then send it a
//! token. For a connection from elsewhere, the gateway asks its operator first.

use crate::failure::Failure;
use crate::gateway::client_identity::ClientIdentity;
use crate::gateway::credential::Credential;
use crate::gateway::device::Sign;
use crate::gateway::link::{Incoming, Link};
use crate::secret::Secret;

/// A pairing in progress. Give it every frame, and send the frames that it returns, until it is
/// [`Step::Paired`].
#[derive(Debug)]
pub struct Pairing {
    link: Link,
}

#[derive(Debug)]
pub enum Step {
    Wait,
    Send(String),
    /// The device may be used. The gateway sent it this token, or none because it has one.
    Paired {
        device_token: Option<Secret>,
    },
}

impl Default for Pairing {
    fn default() -> Self {
        Self {
            link: Link::new(ClientIdentity::CLI),
        }
    }
}

impl Pairing {
    /// Returns the failure for a connection that the gateway closed.
    pub fn closed(&self, close_code: u16) -> Failure {
        self.link.closed(close_code)
    }

    pub fn receive(
        &mut self,
        frame: &str,
        credential: &Credential,
        sign: Sign,
    ) -> Result<Step, Failure> {
        let mut outbox = Vec::new();
        let incoming = self
            .link
            .receive_signing(frame, credential, sign, &mut outbox)?;
        if let Incoming::Ready(hello) = incoming {
            return Ok(Step::Paired {
                device_token: hello
                    .device_token
                    .map(|token| Secret::new(token.into_owned())),
            });
        }
        Ok(outbox.pop().map_or(Step::Wait, Step::Send))
    }
}
