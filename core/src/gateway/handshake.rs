//! The two frames of a handshake: our `connect`, and the gateway's hello-ok.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::failure::{Failure, Refusal};
use crate::gateway::client_identity::ClientIdentity;
use crate::gateway::credential::{Auth, Credential};
use crate::gateway::device::{self, Proof};
use crate::gateway::frame::{Challenge, ClientInfo, ConnectAuth, ConnectParams, Device, HelloOk};
use crate::parse;

/// The supported protocol versions: 3 is OpenClaw 2026.3, 4 is OpenClaw 2026.9.
const MIN_PROTOCOL: u32 = 3;

const MAX_PROTOCOL: u32 = 4;

/// The fewest scopes that allow to run an agent and to read its events. They are requested at every
/// connect.
const SCOPES: [&str; 2] = ["operator.read", "operator.write"];

const WRITE_SCOPE: &str = "operator.write";

/// The gateway pins it to the device when it is paired. It must never change, so it contains no
/// version and no build.
const PLATFORM: &str = "cloudflare-workers";

const ROLE: &str = "operator";

/// The protocol that hello-ok selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    V3,
    V4,
}

/// The terms that the gateway agreed to.
#[derive(Debug)]
pub(crate) struct Hello<'a> {
    pub protocol: Protocol,
    /// Names the gateway's process; empty on protocol 3.
    pub boot_id: &'a str,
    /// Sent to a device that has none yet.
    pub device_token: Option<Cow<'a, str>>,
}

/// The parts of a `connect` request that must live until it is written.
pub(super) struct ConnectFrame<'a> {
    client: ClientIdentity,
    credential: &'a Credential,
    nonce: &'a str,
    signed_at_ms: u64,
    device: Option<DeviceProof<'a>>,
}

struct DeviceProof<'a> {
    id: String,
    display_name: String,
    public_key: String,
    signature: &'a str,
}

/// Returns the text that the device must sign to answer a challenge; `None` without a device.
pub(super) fn payload_to_sign(
    client: ClientIdentity,
    credential: &Credential,
    challenge: &Challenge<'_>,
) -> Option<String> {
    let key = credential.device.as_ref()?;
    let proof = Proof {
        device_id: &key.device_id(),
        client_id: client.id,
        client_mode: client.mode,
        role: ROLE,
        scopes: &SCOPES,
        signed_at_ms: challenge.ts,
        token: match &credential.auth {
            Auth::Token(secret) | Auth::DeviceToken(secret) => secret.expose(),
            Auth::Password(_) => "",
        },
        nonce: &challenge.nonce,
        platform: PLATFORM,
        device_family: "",
    };
    Some(proof.payload())
}

impl<'a> ConnectFrame<'a> {
    /// `signature` is over the [payload](payload_to_sign) of a device.
    pub(super) fn new(
        client: ClientIdentity,
        credential: &'a Credential,
        nonce: &'a str,
        signed_at_ms: u64,
        signature: &'a str,
    ) -> Self {
        let device = credential.device.as_ref().map(|key| {
            let id = key.device_id();
            DeviceProof {
                display_name: device::display_name(&id),
                id,
                public_key: key.public_key(),
                signature,
            }
        });
        Self {
            client,
            credential,
            nonce,
            signed_at_ms,
            device,
        }
    }

    pub(super) fn params(&self) -> ConnectParams<'_> {
        let mut auth = ConnectAuth::default();
        match &self.credential.auth {
            Auth::Token(secret) => auth.token = Some(secret.expose()),
            Auth::Password(secret) => auth.password = Some(secret.expose()),
            Auth::DeviceToken(secret) => auth.device_token = Some(secret.expose()),
        }
        ConnectParams {
            min_protocol: MIN_PROTOCOL,
            max_protocol: MAX_PROTOCOL,
            client: ClientInfo {
                id: self.client.id,
                display_name: self
                    .device
                    .as_ref()
                    .map(|device| device.display_name.as_str()),
                version: env!("CARGO_PKG_VERSION"),
                platform: PLATFORM,
                mode: self.client.mode,
            },
            role: ROLE,
            scopes: &SCOPES,
            caps: self.client.caps,
            auth,
            device: self.device.as_ref().map(|device| Device {
                id: &device.id,
                public_key: &device.public_key,
                signature: device.signature,
                signed_at: self.signed_at_ms,
                nonce: self.nonce,
            }),
            user_agent: concat!("clawfront/", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// Returns the name of the gateway's process: `server.bootId`, or nothing. It is only compared, so
/// the text is searched instead of parsed.
fn boot_id(hello: &str) -> &str {
    let server = hello.split_once(r#""server":{"#).map(|(_, rest)| rest);
    let server = server.and_then(|rest| rest.split_once('}'));
    let boot_id = server.and_then(|(server, _)| server.split_once(r#""bootId":""#));
    let boot_id = boot_id.and_then(|(_, rest)| rest.split_once('"'));
    boot_id.map_or("", |(boot_id, _)| boot_id)
}

/// Checks the gateway's terms: a protocol that we support, and exactly the requested scopes.
pub(super) fn read_hello<'a>(
    payload: Option<&'a RawValue>,
    credential: &Credential,
) -> Result<Hello<'a>, Failure> {
    let hello: HelloOk<'a> = payload
        .and_then(|payload| parse::from_str(payload.get()).ok())
        .ok_or(Failure::GatewayProtocolError("hello-ok cannot be read"))?;
    let protocol = match hello.protocol {
        3 => Protocol::V3,
        4 => Protocol::V4,
        _ => return Err(Failure::GatewayRefused(Refusal::ours("PROTOCOL_MISMATCH"))),
    };
    let Some(auth) = hello.auth else {
        // Protocol 3 does not name the scopes. It keeps those of a connection that presented a
        // device, and clears those of any other. Source: OpenClaw 2026.3.13, measured.
        return if protocol == Protocol::V3 && credential.device.is_some() {
            Ok(Hello {
                protocol,
                boot_id: "",
                device_token: None,
            })
        } else {
            Err(Failure::GatewayRefused(Refusal::ours("MISSING_SCOPE")))
        };
    };
    // Protocol 4 grants no scopes to a remote client that has only the shared secret. If we got
    // scopes, the gateway believes we are local. A client that a proxy makes look local has full
    // operator access, also without a request for it. Source: OpenClaw 2026.9.6, behind nginx,
    // measured.
    let is_taken_for_local =
        credential.device.is_none() && !credential.is_own_host && !auth.scopes.is_empty();
    if !credential.takes_any_scopes && is_taken_for_local {
        return Err(Failure::GatewayRefused(Refusal::ours("TAKEN_FOR_LOCAL")));
    }
    if !credential.takes_any_scopes
        && auth
            .scopes
            .iter()
            .any(|granted| !SCOPES.contains(&&**granted))
    {
        return Err(Failure::GatewayRefused(Refusal::ours("SCOPES_TOO_WIDE")));
    }
    if !auth.scopes.iter().any(|granted| granted == WRITE_SCOPE) {
        return Err(Failure::GatewayRefused(Refusal::ours("MISSING_SCOPE")));
    }
    Ok(Hello {
        protocol,
        boot_id: payload.map_or("", |payload| boot_id(payload.get())),
        device_token: auth.device_token,
    })
}
