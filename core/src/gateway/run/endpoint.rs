//! A run at the gateway's HTTP endpoint: its request, and its end. Its agent and its session are
//! decided over the connection. Its answer does not come over it, and it is stopped with its
//! request.

use crate::agent::AgentId;
use crate::failure::Failure;
use crate::gateway::endpoint::{Endpoint, Request};
use crate::gateway::link::Protocol;
use crate::turn::Usage;

use super::state::{Run, State, Target};

impl Run {
    /// Makes the request for the run, which may have begun from here on.
    pub(super) fn start_at_endpoint(
        &mut self,
        agent: AgentId,
        protocol: Protocol,
    ) -> Result<(), Failure> {
        if protocol == Protocol::V3 {
            // OpenClaw 2026.3 knows no scopes there: every request is its owner's.
            return Err(Failure::invalid(
                "tools",
                "The gateway is of a version whose agents cannot call the client's tools.",
            ));
        }
        let session = self.turn.session.key(&agent);
        if !session.as_str().is_ascii() {
            // The gateway reads each byte of a header as a letter: it would be another session.
            return Err(Failure::invalid(
                "tools",
                "With tools, the name of a session has ASCII characters only.",
            ));
        }
        let request = Request::of(&self.turn, &agent, &session)?;
        self.at_endpoint = Some(Box::new(request));
        self.target = Some(Target {
            agent,
            session,
            protocol,
        });
        self.may_have_started = true;
        self.state = State::AtEndpoint;
        self.free_request();
        Ok(())
    }

    /// Returns the request for the HTTP endpoint, once, and the state of its answer.
    pub(crate) fn take_request(&mut self) -> Option<(Request, Endpoint)> {
        let request = self.at_endpoint.take()?;
        let mut tools = self.turn.tools.take().unwrap_or_default();
        // They may be megabytes, and the request has them.
        tools.members = String::new();
        Some((*request, Endpoint::new(tools)))
    }

    /// Records that the run is over, or that it was refused.
    pub(crate) fn end_at_endpoint(&mut self, may_have_started: bool) {
        self.may_have_started = may_have_started;
        self.state = State::Ended;
    }

    /// Sets the tokens of the run.
    pub(crate) fn set_usage(&mut self, usage: Usage) {
        self.spent = usage;
    }
}
