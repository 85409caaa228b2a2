//! The decision about a `connect`: admission with scopes, or a refusal.
//!
//! ```text
//!   schema ─▶ protocol ─▶ role ─▶ origin ─▶ device proof ─▶ secret or device token
//!          ─▶ pairing ─▶ scopes
//! ```
//!
//! Source: the handshake matrices of openclaw 2026.9.6 and 2026.3.13, measured, unless noted
//! otherwise. The order of the steps: read.

mod locality;
mod pairing;
mod proof;
pub(crate) mod refusal;
mod secret;

use serde_json::json;

use self::locality::Locality;
use self::pairing::authorise_device;
use self::proof::check_proof;
use self::refusal::{Refusal, rate_limited, starting};
use self::secret::{Method, authenticate};
use crate::connect_params::Connect;
use crate::fault::Fault;
use crate::frames::{Close, ErrorShape, Protocol, Reply, close_code};
use crate::gateway::Gateway;
use crate::hello::HelloAuth;
use crate::methods::OPERATOR_WRITE;
use crate::pairing::Device;
use crate::request::Request;
use crate::upgrade::Upgrade;

/// A client that is admitted.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) role: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) caps: Vec<String>,
    pub(crate) device: Option<String>,
    pub(crate) hello: Reply,
}

/// Decides about a `connect`.
pub(crate) fn admit(
    gateway: &Gateway,
    upgrade: &Upgrade,
    nonce: &str,
    request: &Request,
    fault: Option<Fault>,
) -> Result<Admitted, Refusal> {
    let protocol = gateway.protocol();
    if request.method != "connect" {
        return Err(ErrorShape::invalid_request(
            "invalid handshake: first request must be connect",
        )
        .into());
    }
    let connect = Connect::parse(&request.params, protocol).map_err(|violation| {
        ErrorShape::invalid_request(format!("invalid connect params: {violation}"))
    })?;

    if fault == Some(Fault::Startup) {
        return Err(starting());
    }
    check_protocol(&connect, protocol, fault)?;
    check_role(&connect, protocol)?;
    check_origin(&connect, upgrade)?;
    if fault == Some(Fault::AuthRateLimited) {
        return Err(rate_limited().into());
    }
    let device = connect
        .device
        .as_ref()
        .map(|device| check_proof(&connect, device, nonce))
        .transpose()?;
    let locality = Locality::of(gateway, &connect, upgrade);
    let method = authenticate(gateway, &connect, device.as_deref())?;
    let (scopes, paired) = match &device {
        Some(device) => authorise_device(gateway, &connect, device, locality, method)?,
        None => (
            scopes_without_device(&connect, upgrade, locality, protocol),
            None,
        ),
    };
    let scopes = under_cap(scopes, upgrade, fault);
    let auth = hello_auth(
        gateway,
        &connect,
        method,
        shown_scopes(&scopes, fault),
        paired,
    );
    Ok(Admitted {
        role: connect.role().to_owned(),
        scopes,
        caps: connect.caps,
        device,
        hello: gateway.hello.ok(auth.as_ref()),
    })
}

fn check_protocol(
    connect: &Connect,
    protocol: Protocol,
    fault: Option<Fault>,
) -> Result<(), Refusal> {
    let ours = protocol.number();
    let range = connect.min_protocol..=connect.max_protocol;
    if range.contains(&ours) && fault != Some(Fault::ProtocolMismatch) {
        return Ok(());
    }
    let error = ErrorShape::invalid_request("protocol mismatch").with_details(match protocol {
        Protocol::V3 => json!({ "expectedProtocol": ours }),
        Protocol::V4 => json!({
            "code": "PROTOCOL_MISMATCH",
            "clientMinProtocol": connect.min_protocol,
            "clientMaxProtocol": connect.max_protocol,
            "expectedProtocol": ours,
            "minimumProbeProtocol": 3,
        }),
    });
    Err(Refusal {
        error: Some(Box::new(error)),
        close: Close::new(close_code::PROTOCOL_MISMATCH, "protocol mismatch"),
    })
}

fn check_role(connect: &Connect, protocol: Protocol) -> Result<(), Refusal> {
    match (connect.role(), protocol) {
        ("operator" | "node", _) => Ok(()),
        ("worker", Protocol::V4) => Err(Refusal {
            error: None,
            close: Close::new(close_code::POLICY, "invalid-handshake"),
        }),
        _ => Err(ErrorShape::invalid_request("invalid role").into()),
    }
}

/// Checks that a browser comes from the gateway's own page, and that a client with the id of a page
/// is in a browser.
fn check_origin(connect: &Connect, upgrade: &Upgrade) -> Result<(), Refusal> {
    let reason = match &upgrade.origin {
        Some(origin) => {
            let host = origin
                .split_once("://")
                .map_or(origin.as_str(), |(_, host)| host);
            if upgrade.host.as_deref() == Some(host) {
                return Ok(());
            }
            "origin not allowed"
        }
        None if matches!(
            connect.client.id.as_str(),
            "webchat" | "webchat-ui" | "openclaw-control-ui"
        ) =>
        {
            "origin missing or invalid"
        }
        None => return Ok(()),
    };
    Err(ErrorShape::invalid_request(
        "origin not allowed (open the Control UI from the gateway host or allow it in \
         gateway.controlUi.allowedOrigins)",
    )
    .with_details(json!({ "code": "CONTROL_UI_ORIGIN_NOT_ALLOWED", "reason": reason }))
    .into())
}

fn scopes_without_device(
    connect: &Connect,
    upgrade: &Upgrade,
    locality: Locality,
    protocol: Protocol,
) -> Vec<String> {
    let trusted = connect.client.is_cli()
        || (connect.client.id == "gateway-client" && connect.client.mode == "backend");
    match protocol {
        Protocol::V4
            if trusted
                && locality == Locality::Local
                && upgrade.origin.is_none()
                && connect.is_operator() =>
        {
            connect.scopes.clone()
        }
        _ => Vec::new(),
    }
}

fn under_cap(mut scopes: Vec<String>, upgrade: &Upgrade, fault: Option<Fault>) -> Vec<String> {
    if let Some(cap) = &upgrade.scopes_cap {
        scopes.retain(|scope| cap.contains(scope));
    }
    if fault == Some(Fault::NoWriteScope) {
        scopes.retain(|scope| scope != OPERATOR_WRITE);
    }
    scopes
}

/// Returns the scopes that hello-ok names.
fn shown_scopes(scopes: &[String], fault: Option<Fault>) -> Vec<String> {
    let mut scopes = scopes.to_vec();
    if fault == Some(Fault::WideScopes) {
        scopes.push("operator.admin".to_owned());
    }
    scopes
}

fn hello_auth(
    gateway: &Gateway,
    connect: &Connect,
    method: Method,
    scopes: Vec<String>,
    paired: Option<Device>,
) -> Option<HelloAuth> {
    let paired_before = paired.is_some();
    let (device_token, issued_at_ms) = paired
        .map(|device| (device.token, device.issued_at_ms))
        .unzip();
    let auth = HelloAuth {
        method: None,
        role: connect.role().to_owned(),
        scopes,
        recovery_scope: None,
        recovery_migration_allowed: None,
        device_token,
        issued_at_ms,
    };
    match gateway.protocol() {
        Protocol::V3 => paired_before.then_some(auth),
        Protocol::V4 => Some(HelloAuth {
            method: Some(method),
            recovery_scope: connect
                .is_operator()
                .then(|| gateway.hello.recovery_scope.clone()),
            recovery_migration_allowed: (paired_before && connect.is_operator()).then_some(true),
            ..auth
        }),
    }
}
