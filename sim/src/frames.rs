//! Outgoing frames, and the facts about them that both ends share.
//!
//! Source, unless noted otherwise: openclaw 2026.9.6 (protocol 4) and 2026.3.13 (protocol 3),
//! measured.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Milliseconds between two `tick` events; the 15,000 of the gateway's own documentation is wrong.
pub(crate) const TICK_INTERVAL_MS: u64 = 30_000;

/// The largest frame of a client, in bytes: `policy.maxPayload`. Beyond it the gateway closes with
/// 1009.
pub(crate) const MAX_FRAME_BYTES: usize = 26_214_400;

/// The largest frame before hello-ok, in bytes; beyond it the gateway closes with 1009.
pub(crate) const MAX_FRAME_BEFORE_HELLO_BYTES: usize = 65_536;

/// The protocol's version; each stands for the release it was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    V3,
    V4,
}

impl Protocol {
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    pub(crate) fn server_version(self) -> &'static str {
        match self {
            Self::V3 => "2026.3.13",
            Self::V4 => "2026.9.6",
        }
    }
}

/// A frame, a close or a cut for one client.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Text(String),
    Close(Close),
    /// The connection ends without a close frame.
    Drop,
}

/// A close frame.
#[derive(Debug, Clone)]
pub(crate) struct Close {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Close {
    pub(crate) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

/// WebSocket close codes that the gateway uses.
pub(crate) mod close_code {
    pub(crate) const NORMAL: u16 = 1000;
    pub(crate) const PROTOCOL_MISMATCH: u16 = 1002;
    pub(crate) const POLICY: u16 = 1008;
    pub(crate) const TOO_BIG: u16 = 1009;
    pub(crate) const SERVICE_RESTART: u16 = 1012;
    pub(crate) const TRY_AGAIN_LATER: u16 = 1013;
}

/// The `error` of a response.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorShape {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
}

impl ErrorShape {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
            retryable: None,
            retry_after_ms: None,
        }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new("INVALID_REQUEST", message)
    }

    pub(crate) fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// A client without `scope` called a method that needs it.
    pub(crate) fn missing_scope(protocol: Protocol, scope: &str) -> Self {
        let message = format!("missing scope: {scope}");
        match protocol {
            Protocol::V3 => Self::invalid_request(message),
            Protocol::V4 => Self::new("FORBIDDEN", message).with_details(serde_json::json!({
                "code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope],
            })),
        }
    }
}

/// The response to a request. On protocol 4, a run that fails has both a payload and an error.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) payload: Option<Box<RawValue>>,
    pub(crate) error: Option<ErrorShape>,
}

impl Reply {
    pub(crate) fn ok(payload: &impl Serialize) -> Self {
        Self {
            payload: raw(payload),
            error: None,
        }
    }

    pub(crate) fn error(error: ErrorShape) -> Self {
        Self {
            payload: None,
            error: Some(error),
        }
    }

    pub(crate) fn failed(payload: &impl Serialize, error: ErrorShape) -> Self {
        Self {
            payload: raw(payload),
            error: Some(error),
        }
    }

    /// The response frame to the request `id`.
    pub(crate) fn frame(&self, id: &str) -> String {
        #[derive(Serialize)]
        struct Frame<'a> {
            r#type: &'static str,
            id: &'a str,
            ok: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            payload: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a ErrorShape>,
        }
        write(&Frame {
            r#type: "res",
            id,
            ok: self.error.is_none(),
            payload: self.payload.as_deref(),
            error: self.error.as_ref(),
        })
    }
}

/// The event frame around an already written payload; `seq` is left out where the gateway leaves it
/// out.
pub(crate) fn event(name: &str, payload: &RawValue, seq: Option<u64>) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        r#type: &'static str,
        event: &'a str,
        payload: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    }
    write(&Frame {
        r#type: "event",
        event: name,
        payload,
        seq,
    })
}

/// Writes a payload once for all its receivers.
pub(crate) fn raw(payload: &impl Serialize) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(payload).ok()
}

/// No frame here can fail to be written: none has a map with keys that are not strings.
fn write(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_a_missing_scope_has_the_shape_of_its_version() {
        let of = |protocol| {
            Reply::error(ErrorShape::missing_scope(protocol, "operator.write")).frame("r1")
        };
        assert_eq!(
            of(Protocol::V3),
            r#"{"type":"res","id":"r1","ok":false,"error":{"code":"INVALID_REQUEST","message":"missing scope: operator.write"}}"#
        );
        assert_eq!(
            of(Protocol::V4),
            r#"{"type":"res","id":"r1","ok":false,"error":{"code":"FORBIDDEN","message":"missing scope: operator.write","details":{"code":"MISSING_SCOPE","missingScope":"operator.write","requiredScopes":["operator.write"]}}}"#
        );
    }

    #[test]
    fn an_event_carries_a_seq_only_where_it_has_one() {
        let payload = raw(&serde_json::json!({ "ts": 1 })).unwrap();
        assert_eq!(
            event("tick", &payload, Some(2)),
            r#"{"type":"event","event":"tick","payload":{"ts":1},"seq":2}"#
        );
        assert_eq!(
            event("tick", &payload, None),
            r#"{"type":"event","event":"tick","payload":{"ts":1}}"#
        );
    }
}
