//! The subscription to the events of a run's session (protocol 4).

use serde_json::value::RawValue;

use crate::agent::AgentId;
use crate::failure::Failure;
use crate::gateway::frame::SubscribeParams;
use crate::gateway::link::{Protocol, Rejection, RequestId};
use crate::gateway::refusal;
use crate::session::SessionKey;

use super::io::Io;
use super::state::{Run, read_result};

impl Run {
    /// Fails a run if its subscription was refused. Such a run shows no text, and its final
    /// response has the last message only, so it is given up. Before it is accepted, the response
    /// to `agent` gives a better reason.
    pub(super) fn check_subscription(&self) -> Result<(), Failure> {
        match (&self.unsubscribed, &self.state) {
            (Some(refused), _) if self.is_going() => Err(refused.clone()),
            _ => Ok(()),
        }
    }

    pub(super) fn receive_subscription(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
    ) -> Result<(), Failure> {
        self.unsubscribed = match result {
            Ok(payload) => {
                // A response that cannot be read counts as consent, as an empty one does.
                let subscribed = read_result(payload)
                    .ok()
                    .and_then(|answer| answer.subscribed)
                    != Some(false);
                // Source: OpenClaw 2026.9.6, `sessions-subscriptions.ts`: sent to a connection that
                // is about to end.
                (!subscribed).then_some(Failure::GatewayProtocolError(
                    "the gateway does not tell the run's events",
                ))
            }
            Err(rejection) => Some(refusal::failure(&rejection.error)),
        };
        self.check_subscription()
    }
}

/// Subscribes to the events of the run's session. Protocol 3 sends those of every session without a
/// request.
pub(super) fn subscribe(
    agent: &AgentId,
    session: &SessionKey,
    protocol: Protocol,
    io: &mut Io<'_>,
) -> Result<Option<RequestId>, Failure> {
    if protocol == Protocol::V3 {
        return Ok(None);
    }
    let params = SubscribeParams {
        key: session.as_str(),
        agent_id: agent.as_str(),
    };
    io.request("sessions.messages.subscribe", &params).map(Some)
}
