//! `connect`: who is let in, with which scopes, and in which words everybody else is refused.
//!
//! ```text
//!   schema ─▶ protocol ─▶ role ─▶ origin ─▶ device proof ─▶ secret or device token ─▶ pairing ─▶ scopes
//! ```
//!
//! Source: the handshake matrices of openclaw 2026.9.6 and 2026.3.13, measured, unless said otherwise. The order of the steps: read.

use clawfront_core::gateway::device::{Proof, device_id};
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::json;

use crate::clock;
use crate::connect_params::{Connect, DeviceProof};
use crate::fault::Fault;
use crate::frames::{Close, ErrorShape, Protocol, Reply, close_code};
use crate::gateway::{Gateway, Secret};
use crate::hello::HelloAuth;
use crate::methods::{self, OPERATOR_WRITE};
use crate::pairing::Device;
use crate::requests::Request;
use crate::upgrade::Upgrade;

/// How far `signedAt` may be from the gateway's clock.
const MAX_SIGNATURE_AGE_MS: u64 = 120_000;

/// What a client that failed too often is told to wait.
const RATE_LIMIT_RETRY_AFTER_MS: u64 = 297_000;
const STARTUP_RETRY_AFTER_MS: u64 = 500;

/// A client that is let in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) role: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) caps: Vec<String>,
    pub(crate) device: Option<String>,
    pub(crate) hello: Reply,
}

/// A client that is not.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Option<Box<ErrorShape>>,
    pub(crate) close: Close,
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
        return Err(ErrorShape::invalid_request("invalid handshake: first request must be connect").into());
    }
    let connect = Connect::parse(&request.params, protocol)
        .map_err(|violation| ErrorShape::invalid_request(format!("invalid connect params: {violation}")))?;

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
    let remote = is_remote(&connect, upgrade, gateway.options.require_device);
    let method = authenticate(gateway, &connect, device.as_deref())?;
    let (scopes, paired) = match &device {
        Some(device) => authorise_device(gateway, &connect, device, remote, method)?,
        None => (scopes_without_device(&connect, upgrade, remote, protocol), None),
    };
    let scopes = under_cap(scopes, upgrade, fault);
    let auth = hello_auth(gateway, &connect, method, &scopes, paired, fault);
    Ok(Admitted {
        role: connect.role().to_owned(),
        scopes,
        caps: connect.caps,
        device,
        hello: gateway.hello.ok(auth.as_ref()),
    })
}

fn starting() -> Refusal {
    let error = ErrorShape {
        details: Some(json!({ "reason": "startup-sidecars" })),
        retryable: Some(true),
        retry_after_ms: Some(STARTUP_RETRY_AFTER_MS),
        ..ErrorShape::new("UNAVAILABLE", "gateway starting; retry shortly")
    };
    Refusal {
        error: Some(Box::new(error)),
        close: Close::new(close_code::TRY_AGAIN_LATER, "gateway starting"),
    }
}

fn check_protocol(connect: &Connect, protocol: Protocol, fault: Option<Fault>) -> Result<(), Refusal> {
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

/// Browsers must come from the gateway's own page; clients that are one must be in a browser.
fn check_origin(connect: &Connect, upgrade: &Upgrade) -> Result<(), Refusal> {
    let reason = match &upgrade.origin {
        Some(origin) => {
            let host = origin.split_once("://").map_or(origin.as_str(), |(_, host)| host);
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
        "origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)",
    )
    .with_details(json!({ "code": "CONTROL_UI_ORIGIN_NOT_ALLOWED", "reason": reason }))
    .into())
}

/// Verifies the device proof and gives the device's id.
fn check_proof(connect: &Connect, device: &DeviceProof, nonce: &str) -> Result<String, Refusal> {
    let refuse = |message: &str, code: &str, reason: &str| {
        Refusal::from(ErrorShape::invalid_request(message).with_details(json!({ "code": code, "reason": reason })))
    };
    let key = BASE64URL_NOPAD
        .decode(device.public_key.as_bytes())
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .filter(|key| device_id(key) == device.id)
        .ok_or_else(|| {
            refuse(
                "device identity mismatch",
                "DEVICE_AUTH_DEVICE_ID_MISMATCH",
                "device-id-mismatch",
            )
        })?;
    if clock::now_ms().abs_diff(device.signed_at) > MAX_SIGNATURE_AGE_MS {
        return Err(refuse(
            "device signature expired",
            "DEVICE_AUTH_SIGNATURE_EXPIRED",
            "device-signature-stale",
        ));
    }
    if device.nonce != nonce {
        return Err(refuse(
            "device nonce mismatch",
            "DEVICE_AUTH_NONCE_MISMATCH",
            "device-nonce-mismatch",
        ));
    }
    let scopes: Vec<_> = connect.scopes.iter().map(String::as_str).collect();
    let auth = &connect.auth;
    let payload = Proof {
        device_id: &device.id,
        client_id: &connect.client.id,
        client_mode: &connect.client.mode,
        role: connect.role(),
        scopes: &scopes,
        signed_at_ms: device.signed_at,
        token: auth
            .token
            .as_deref()
            .or(auth.device_token.as_deref())
            .or(auth.bootstrap_token.as_deref())
            .unwrap_or(""),
        nonce,
        platform: &connect.client.platform,
        device_family: connect.client.device_family.as_deref().unwrap_or(""),
    }
    .payload();
    let key = VerifyingKey::from_bytes(&key).map_err(|_| {
        refuse(
            "device public key invalid",
            "DEVICE_AUTH_PUBLIC_KEY_INVALID",
            "device-public-key",
        )
    })?;
    BASE64URL_NOPAD
        .decode(device.signature.as_bytes())
        .ok()
        .and_then(|bytes| Signature::from_slice(&bytes).ok())
        .filter(|signature| key.verify_strict(payload.as_bytes(), signature).is_ok())
        .map(|_| device.id.clone())
        .ok_or_else(|| {
            refuse(
                "device signature invalid",
                "DEVICE_AUTH_SIGNATURE_INVALID",
                "device-signature",
            )
        })
}

/// The gateway's own command line on its own host stays local even where every other client counts as remote.
fn is_remote(connect: &Connect, upgrade: &Upgrade, require_device: bool) -> bool {
    upgrade.proxied || (require_device && !connect.client.is_cli())
}

/// How a client showed that it may be here: the value of `hello.auth.method`.
type Method = &'static str;
const BY_DEVICE_TOKEN: Method = "device-token";

fn authenticate(gateway: &Gateway, connect: &Connect, device: Option<&str>) -> Result<Method, Refusal> {
    let auth = &connect.auth;
    let protocol = gateway.protocol();
    // Protocol 4 takes the secret from either field.
    let either = |first: &Option<String>, second: &Option<String>| match protocol {
        Protocol::V3 => first.clone(),
        Protocol::V4 => first.clone().or_else(|| second.clone()),
    };
    let (method, secret, presented, name) = match &gateway.options.secret {
        Secret::None => return Ok("none"),
        Secret::Token(token) => ("token", token, either(&auth.token, &auth.password), "token"),
        Secret::Password(password) => ("password", password, either(&auth.password, &auth.token), "password"),
    };
    if presented.as_ref() == Some(secret) {
        return Ok(method);
    }
    if let Some(device) = device {
        let known = gateway
            .state()
            .pairing
            .device(device)
            .map(|device| device.token.clone());
        let candidate = auth.device_token.as_ref().or(auth.token.as_ref());
        if candidate.is_some() && candidate == known.as_ref() {
            return Ok(BY_DEVICE_TOKEN);
        }
        if auth.device_token.is_some() {
            return Err(unauthorized(
                "device token mismatch (rotate/reissue device token)",
                "AUTH_DEVICE_TOKEN_MISMATCH",
                "device_token_mismatch",
                false,
            ));
        }
    }
    let upper = name.to_uppercase();
    match (presented, device) {
        (Some(_), _) => Err(unauthorized(
            &format!("gateway {name} mismatch (provide gateway auth {name})"),
            &format!("AUTH_{upper}_MISMATCH"),
            &format!("{name}_mismatch"),
            device.is_some() && method == "token",
        )),
        (None, None) if auth.password.is_none() && auth.token.is_none() => {
            Err(ErrorShape::new("NOT_PAIRED", "device identity required")
                .with_details(json!({ "code": "DEVICE_IDENTITY_REQUIRED" }))
                .into())
        }
        (None, _) => {
            let error = ErrorShape::invalid_request(format!(
                "unauthorized: gateway {name} missing (provide gateway auth {name})"
            ));
            Err(error
                .with_details(json!({
                    "code": format!("AUTH_{upper}_MISSING"),
                    "authReason": format!("{name}_missing"),
                    "canRetryWithDeviceToken": false,
                    "recommendedNextStep": "update_auth_configuration",
                }))
                .into())
        }
    }
}

fn unauthorized(message: &str, code: &str, reason: &str, retry_with_device_token: bool) -> Refusal {
    let next = if retry_with_device_token {
        "retry_with_device_token"
    } else {
        "update_auth_credentials"
    };
    ErrorShape::invalid_request(format!("unauthorized: {message}"))
        .with_details(json!({
            "code": code,
            "authReason": reason,
            "canRetryWithDeviceToken": retry_with_device_token,
            "recommendedNextStep": next,
        }))
        .into()
}

fn rate_limited() -> ErrorShape {
    ErrorShape {
        details: Some(json!({
            "code": "AUTH_RATE_LIMITED",
            "authReason": "rate_limited",
            "canRetryWithDeviceToken": false,
            "recommendedNextStep": "wait_then_retry",
        })),
        retryable: Some(true),
        retry_after_ms: Some(RATE_LIMIT_RETRY_AFTER_MS),
        ..ErrorShape::invalid_request("unauthorized: too many failed authentication attempts (retry later)")
    }
}

/// The scopes of a device, and what is paired with it; a local backend with the shared secret needs no pairing.
fn authorise_device(
    gateway: &Gateway,
    connect: &Connect,
    device_id: &str,
    remote: bool,
    method: Method,
) -> Result<(Vec<String>, Option<Device>), Refusal> {
    let protocol = gateway.protocol();
    let mut state = gateway.state();
    let asked = connect.asked();
    if method != BY_DEVICE_TOKEN && !remote {
        // On protocol 4 that goes for operators only.
        if connect.client.mode == "backend" && (protocol == Protocol::V3 || connect.is_operator()) {
            return Ok((asked.scopes, None));
        }
        let device = state.pairing.pair(device_id, asked.clone());
        return Ok((asked.scopes, Some(device)));
    }
    let reason = match state.pairing.device(device_id) {
        None => "not-paired",
        Some(device) => {
            let same_metadata =
                device.asked.platform == asked.platform && device.asked.device_family == asked.device_family;
            let covered = asked
                .scopes
                .iter()
                .all(|scope| methods::holds(&device.asked.scopes, scope));
            match (same_metadata, device.asked.role == asked.role, covered) {
                (true, true, true) => return Ok((asked.scopes, Some(device.clone()))),
                (false, _, _) => "metadata-upgrade",
                (_, false, _) => "role-upgrade",
                _ if method == BY_DEVICE_TOKEN => {
                    return Err(match protocol {
                        Protocol::V3 => unauthorized(
                            "device token mismatch (rotate/reissue device token)",
                            "AUTH_DEVICE_TOKEN_MISMATCH",
                            "device_token_mismatch",
                            false,
                        ),
                        Protocol::V4 => unauthorized(
                            "device token scope mismatch",
                            "AUTH_SCOPE_MISMATCH",
                            "scope_mismatch",
                            false,
                        ),
                    });
                }
                _ => "scope-upgrade",
            }
        }
    };
    let request_id = state.pairing.request(device_id, asked);
    Err(pairing_required(protocol, connect, device_id, reason, &request_id))
}

fn pairing_required(protocol: Protocol, connect: &Connect, device_id: &str, reason: &str, request_id: &str) -> Refusal {
    match protocol {
        Protocol::V3 => ErrorShape::new("NOT_PAIRED", "pairing required")
            .with_details(json!({ "code": "PAIRING_REQUIRED", "requestId": request_id, "reason": reason }))
            .into(),
        Protocol::V4 => {
            // Only the words for "not-paired" were measured.
            let why = match reason {
                "not-paired" => "device is not approved yet",
                "scope-upgrade" => "device is asking for more scopes than currently approved",
                "role-upgrade" => "device is asking for a higher role than currently approved",
                _ => "device metadata change is not approved yet",
            };
            let message = format!("pairing required: {why}");
            let close = Close::new(close_code::POLICY, format!("{message} (requestId: {request_id})"));
            let error = ErrorShape::new("NOT_PAIRED", message).with_details(json!({
                "code": "PAIRING_REQUIRED",
                "reason": reason,
                "requestId": request_id,
                "remediationHint": "Approve this device from the pending pairing requests.",
                "deviceId": device_id,
                "requestedRole": connect.role(),
                "requestedScopes": connect.scopes,
            }));
            Refusal {
                error: Some(Box::new(error)),
                close,
            }
        }
    }
}

fn scopes_without_device(connect: &Connect, upgrade: &Upgrade, remote: bool, protocol: Protocol) -> Vec<String> {
    let trusted =
        connect.client.is_cli() || (connect.client.id == "gateway-client" && connect.client.mode == "backend");
    match protocol {
        Protocol::V4 if trusted && !remote && upgrade.origin.is_none() && connect.is_operator() => {
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

fn hello_auth(
    gateway: &Gateway,
    connect: &Connect,
    method: Method,
    scopes: &[String],
    paired: Option<Device>,
    fault: Option<Fault>,
) -> Option<HelloAuth> {
    let mut scopes = scopes.to_vec();
    if fault == Some(Fault::WideScopes) {
        scopes.push("operator.admin".to_owned());
    }
    let paired_before = paired.is_some();
    let (device_token, issued_at_ms) = paired.map(|device| (device.token, device.issued_at_ms)).unzip();
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
            recovery_scope: connect.is_operator().then(|| gateway.hello.recovery_scope.clone()),
            recovery_migration_allowed: (paired_before && connect.is_operator()).then_some(true),
            ..auth
        }),
    }
}

/// The refusal that most errors lead to: a response, and a close with the same words.
impl From<ErrorShape> for Refusal {
    fn from(error: ErrorShape) -> Self {
        let close = Close::new(close_code::POLICY, error.message.clone());
        Self {
            error: Some(Box::new(error)),
            close,
        }
    }
}
