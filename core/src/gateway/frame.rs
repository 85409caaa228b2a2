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

use serde_json::value::RawValue;

pub(crate) use agents::*;
pub(crate) use event::*;
pub(crate) use json::Json;
pub(crate) use request::*;
pub(crate) use result::*;
pub(crate) use session::*;

use crate::parse::object;

/// Any incoming frame; `payload` and `error` are read only where a request waits for them.
#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    pub kind: Cow<'a, str>,
    /// The name of an event.
    pub event: Cow<'a, str>,
    /// The id of the request that a response answers.
    pub id: Cow<'a, str>,
    pub ok: bool,
    pub payload: Option<&'a RawValue>,
    pub error: Option<&'a RawValue>,
    /// The number of an event: per connection (protocol 4) or per gateway (protocol 3). It is read
    /// leniently, because an invalid number must not discard the event.
    pub seq: Option<&'a RawValue>,
}

object!(Envelope<'_>, [kind: "type"], [event, id, ok, payload, error, seq]);

/// `error` of a response.
#[derive(Debug, Default)]
pub(crate) struct ErrorShape<'a> {
    pub code: Cow<'a, str>,
    pub retry_after_ms: Option<f64>,
    /// Read leniently, as [`ErrorDetails`], because invalid details must not discard the code.
    pub details: Option<&'a RawValue>,
}

object!(ErrorShape<'_>, [], [code, retry_after_ms: "retryAfterMs", details]);

#[derive(Debug, Default)]
pub(crate) struct ErrorDetails<'a> {
    pub code: Option<Cow<'a, str>>,
    pub request_id: Option<Cow<'a, str>>,
    pub reason: Option<Cow<'a, str>>,
    pub expected_protocol: Option<u32>,
}

object!(
    ErrorDetails<'_>,
    [],
    [code, request_id: "requestId", reason, expected_protocol: "expectedProtocol"]
);

/// Payload of the event `connect.challenge`.
#[derive(Debug, Default)]
pub(crate) struct Challenge<'a> {
    pub nonce: Cow<'a, str>,
    /// Milliseconds since the Unix epoch, by the gateway's clock.
    pub ts: u64,
}

object!(Challenge<'_>, [nonce, ts], []);

/// Payload of the response to `connect`. Only these members of its 8 to 17 kB are read.
#[derive(Debug, Default)]
pub(crate) struct HelloOk<'a> {
    pub protocol: u32,
    pub auth: Option<HelloAuth<'a>>,
}

object!(HelloOk<'_>, [protocol], [auth]);

/// Protocol 4 always sends it; protocol 3 only to a device that must be paired with it.
#[derive(Debug, Default)]
pub(crate) struct HelloAuth<'a> {
    /// The scopes in force, which may differ from the requested ones.
    pub scopes: Vec<Cow<'a, str>>,
    /// Sent to a device that was just paired.
    pub device_token: Option<Cow<'a, str>>,
}

object!(HelloAuth<'_>, [], [scopes, device_token: "deviceToken"]);
