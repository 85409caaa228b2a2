//! The device's proof: it has the key that its id names, and has signed its request.

use clawfront_core::gateway::device::{Proof, device_id};
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::json;

use super::refusal::Refusal;
use crate::clock;
use crate::connect_params::{Connect, DeviceProof};
use crate::frames::ErrorShape;

/// Largest difference between `signedAt` and the gateway's clock.
const MAX_SIGNATURE_AGE_MS: u64 = 120_000;

/// Verifies the device proof and gives the device's id.
pub(super) fn check_proof(
    connect: &Connect,
    device: &DeviceProof,
    nonce: &str,
) -> Result<String, Refusal> {
    let refuse = |message: &str, code: &str, reason: &str| {
        Refusal::from(
            ErrorShape::invalid_request(message)
                .with_details(json!({ "code": code, "reason": reason })),
        )
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
    let payload = signed_payload(connect, device, nonce);
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

/// Returns the text that the device has signed.
fn signed_payload(connect: &Connect, device: &DeviceProof, nonce: &str) -> String {
    let scopes: Vec<_> = connect.scopes.iter().map(String::as_str).collect();
    let auth = &connect.auth;
    Proof {
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
    .payload()
}
