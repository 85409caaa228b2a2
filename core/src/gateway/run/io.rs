//! The time, the link and the outbox that a step of a run uses.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::gateway::frame::{AgentEvent, Json};
use crate::gateway::link::{Link, Protocol, Rejection, RequestId};

/// An event of the connection that concerns a run.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// Requests can be made.
    Ready(Protocol),
    /// The response to a request of the run.
    Response {
        id: RequestId,
        result: Result<Option<&'a RawValue>, Rejection<'a>>,
    },
    /// An event `agent`, of any run.
    Agent(&'a AgentEvent<'a>),
    /// The payload of an event `chat`, not parsed.
    Chat(Json<'a>),
}

/// The present time, the connection to the gateway, and the frames to send over it.
pub(crate) struct Io<'a> {
    pub now_ms: u64,
    pub link: &'a mut Link,
    pub outbox: &'a mut Vec<String>,
}

impl Io<'_> {
    /// Sends the gateway a request for `method`.
    pub(super) fn request<P: Serialize>(
        &mut self,
        method: &'static str,
        params: &P,
    ) -> Result<RequestId, Failure> {
        self.link.request(method, params, self.outbox)
    }
}
