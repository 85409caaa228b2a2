//! The rights of a device: it is paired with them, asks for more, or waits for its approval.

use serde_json::json;

use super::locality::Locality;
use super::refusal::{NextStep, Refusal, device_token_mismatch, unauthorized};
use super::secret::{BY_DEVICE_TOKEN, Method};
use crate::connect_params::Connect;
use crate::frames::{Close, ErrorShape, Protocol, close_code};
use crate::gateway::Gateway;
use crate::methods;
use crate::pairing::Device;

/// Returns the scopes of a device, and the scopes that are paired with it. A local backend with the
/// shared secret needs no pairing.
pub(super) fn authorise_device(
    gateway: &Gateway,
    connect: &Connect,
    device_id: &str,
    locality: Locality,
    method: Method,
) -> Result<(Vec<String>, Option<Device>), Refusal> {
    let protocol = gateway.protocol();
    let mut state = gateway.state();
    let asked = connect.asked();
    if method != BY_DEVICE_TOKEN && locality == Locality::Local {
        // On protocol 4 this holds for operators only.
        if connect.client.mode == "backend" && (protocol == Protocol::V3 || connect.is_operator()) {
            return Ok((asked.scopes, None));
        }
        let device = state.pairing.pair(device_id, asked.clone());
        return Ok((asked.scopes, Some(device)));
    }
    let reason = match state.pairing.device(device_id) {
        None => "not-paired",
        Some(device) => {
            let same_metadata = device.asked.platform == asked.platform
                && device.asked.device_family == asked.device_family;
            let covered = asked
                .scopes
                .iter()
                .all(|scope| methods::holds(&device.asked.scopes, scope));
            match (same_metadata, device.asked.role == asked.role, covered) {
                (true, true, true) => return Ok((asked.scopes, Some(device.clone()))),
                (false, _, _) => "metadata-upgrade",
                (_, false, _) => "role-upgrade",
                _ if method == BY_DEVICE_TOKEN => return Err(token_without_scope(protocol)),
                _ => "scope-upgrade",
            }
        }
    };
    let request_id = state.pairing.request(device_id, asked);
    Err(pairing_required(
        protocol,
        connect,
        device_id,
        reason,
        &request_id,
    ))
}

/// The refusal of a device token that does not cover the scopes.
fn token_without_scope(protocol: Protocol) -> Refusal {
    match protocol {
        Protocol::V3 => device_token_mismatch(),
        Protocol::V4 => unauthorized(
            "device token scope mismatch",
            "AUTH_SCOPE_MISMATCH",
            "scope_mismatch",
            NextStep::UpdateCredentials,
        ),
    }
}

fn pairing_required(
    protocol: Protocol,
    connect: &Connect,
    device_id: &str,
    reason: &str,
    request_id: &str,
) -> Refusal {
    match protocol {
        Protocol::V3 => ErrorShape::new("NOT_PAIRED", "pairing required")
            .with_details(
                json!({ "code": "PAIRING_REQUIRED", "requestId": request_id, "reason": reason }),
            )
            .into(),
        Protocol::V4 => {
            // Only the message for "not-paired" was measured.
            let why = match reason {
                "not-paired" => "device is not approved yet",
                "scope-upgrade" => "device is asking for more scopes than currently approved",
                "role-upgrade" => "device is asking for a higher role than currently approved",
                _ => "device metadata change is not approved yet",
            };
            let message = format!("pairing required: {why}");
            let close = Close::new(
                close_code::POLICY,
                format!("{message} (requestId: {request_id})"),
            );
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
