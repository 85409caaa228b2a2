//! Payloads of events, their fields in the gateway's own order.

use serde::Serialize;
use serde_json::Value;

use crate::clock;

/// Payload of an `agent` event, its fields in the gateway's own order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentPayload<'a, D: Serialize> {
    pub(super) run_id: &'a str,
    pub(super) stream: &'a str,
    pub(super) data: D,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent_id: Option<&'a str>,
    pub(super) seq: u64,
    pub(super) ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sim_surplus: Option<Value>,
}

/// `data` of the stream `assistant`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AssistantData<'a> {
    pub(super) text: &'a str,
    pub(super) delta: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) replace: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sim_surplus: Option<Value>,
}

/// Payload of a `chat` event, its fields in the gateway's own order.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChatPayload<'a> {
    pub(super) run_id: &'a str,
    pub(super) session_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent_id: Option<&'a str>,
    pub(super) seq: u64,
    pub(super) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta_text: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) replace: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_detail: Option<Value>,
}

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: [Content<'a>; 1],
    pub(super) timestamp: u64,
}

#[derive(Serialize)]
pub(super) struct Content<'a> {
    pub(super) r#type: &'static str,
    pub(super) text: &'a str,
}

impl<'a> Message<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            role: "assistant",
            content: [Content {
                r#type: "text",
                text,
            }],
            timestamp: clock::now_ms(),
        }
    }
}
