//! The shapes of the gateway's WebSocket frames.
//!
//! Source: OpenClaw 2026.9.6 (protocol 4; its published schema is the npm package
//! `@openclaw/gateway-protocol`) and 2026.3.13 (protocol 3), checked against recorded frames of
//! both. Incoming shapes accept any additional field. Outgoing shapes have exactly the fields that
//! both versions' closed schemas accept.

mod agents;
mod event;
mod json;
mod request;
mod result;
mod session;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) use agents::*;
pub(crate) use event::*;
pub(crate) use json::Json;
pub(crate) use request::*;
pub(crate) use result::*;
pub(crate) use session::*;

/// Any incoming frame; `payload` and `error` are read only where a request waits for them.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// The name of an event.
    #[serde(borrow, default)]
    pub event: Cow<'a, str>,
    /// The id of the request that a response answers.
    #[serde(borrow, default)]
    pub id: Cow<'a, str>,
    #[serde(default)]
    pub ok: bool,
    #[serde(borrow)]
    pub payload: Option<&'a RawValue>,
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
    /// The number of an event: per connection (protocol 4) or per gateway (protocol 3). It is read
    /// leniently, because an invalid number must not discard the event.
    #[serde(borrow)]
    pub seq: Option<&'a RawValue>,
}

/// `error` of a response.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorShape<'a> {
    #[serde(borrow, default)]
    pub code: Cow<'a, str>,
    pub retry_after_ms: Option<f64>,
    /// Read leniently, as [`ErrorDetails`], because invalid details must not discard the code.
    #[serde(borrow)]
    pub details: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorDetails<'a> {
    #[serde(borrow)]
    pub code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
    pub expected_protocol: Option<u32>,
}

/// Payload of the event `connect.challenge`.
#[derive(Debug, Deserialize)]
pub(crate) struct Challenge<'a> {
    #[serde(borrow)]
    pub nonce: Cow<'a, str>,
    /// Milliseconds since the Unix epoch, by the gateway's clock.
    pub ts: u64,
}

/// Payload of the response to `connect`. Only these members of its 8 to 17 kB are read.
#[derive(Debug, Deserialize)]
pub(crate) struct HelloOk<'a> {
    pub protocol: u32,
    #[serde(borrow)]
    pub auth: Option<HelloAuth<'a>>,
}

/// Protocol 4 always sends it; protocol 3 only to a device that must be paired with it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HelloAuth<'a> {
    /// The scopes in force, which may differ from the requested ones.
    #[serde(borrow, default)]
    pub scopes: Vec<Cow<'a, str>>,
    /// Sent to a device that was just paired.
    #[serde(borrow)]
    pub device_token: Option<Cow<'a, str>>,
}
