//! The run that events and responses are about.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::agents::{PROVIDER, Place};
use crate::frames::Protocol;
use crate::gateway::{Audience, Gateway};

/// Delay between a failed attempt and the next. The gateway waits up to 22 s, and longer the more
/// often it failed.
pub(crate) const RETRY_DELAY_MS: u64 = 60;

/// A run, with its agent and its session.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) run_id: String,
    pub(crate) place: Place,
    pub(crate) session_id: String,
    /// The request named the session's id.
    pub(crate) is_rotated: bool,
    pub(crate) model: &'static str,
    pub(crate) message: String,
    /// No agent and no chat events.
    pub(crate) quiet: bool,
    /// The connection that receives its tool events, if it subscribed to them.
    pub(crate) starter: u64,
    pub(crate) accepted_at_ms: u64,
}

impl RunContext {
    pub(crate) fn protocol(&self) -> Protocol {
        self.gateway.protocol()
    }

    /// `terminalReceipt` of protocol 4.
    pub(crate) fn receipt(&self, tools: &[String], disposition: Option<&str>) -> Value {
        let model = json!({ "provider": PROVIDER, "model": self.model });
        let mut receipt = json!({
            "runId": self.run_id,
            "sessionId": self.session_id,
            "turnId": self.run_id,
            "requested": model,
            "effective": { "provider": PROVIDER, "model": self.model, "responseModel": self.model },
            "successfulToolNames": tools,
            "rerouted": false,
        });
        if let (Some(disposition), Some(receipt)) = (disposition, receipt.as_object_mut()) {
            receipt.insert("terminalDisposition".to_owned(), json!(disposition));
        }
        receipt
    }

    pub(crate) fn publish(&self, event: &str, payload: &impl Serialize) {
        if !self.quiet {
            self.gateway
                .publish(event, payload, Audience::Session(&self.place.session_key));
        }
    }
}
