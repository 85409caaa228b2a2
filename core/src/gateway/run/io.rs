//! The time, the link and the outbox that a step of a run uses.

use serde::Serialize;

use crate::failure::Failure;
use crate::gateway::link::{Link, RequestId};

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
