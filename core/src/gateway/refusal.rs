//! A gateway's refusal, by its codes: what it means, and what the operator can do about it.
//!
//! Never by its prose, which changes between versions. Source: OpenClaw 2026.9.6 and 2026.3.13, `connect-error-details.ts`,
//! checked against the running gateways.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::{Cause, Failure, RETRY_AFTER_S};
use crate::gateway::frame::{ErrorDetails, ErrorShape};

/// Longest code or id of the gateway that is kept for the log, in bytes.
const MAX_CODE_BYTES: usize = 64;

/// Longest wait that is passed on, in seconds: the gateway's own lockout lasts 300.
const MAX_RETRY_AFTER_S: u128 = 600;

/// An `error` of the gateway, reduced to what may be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `error.details.code`, else `error.code`.
    code: Cow<'static, str>,
    /// `error.details.requestId` of a pairing request.
    request_id: Option<String>,
}

impl Refusal {
    /// A refusal that we make in the gateway's place, under the code it would use.
    pub const fn ours(code: &'static str) -> Self {
        Self {
            code: Cow::Borrowed(code),
            request_id: None,
        }
    }

    pub fn code(&self) -> &str {
        &self.code
    }

    pub fn cause(&self) -> Cause {
        Cause {
            code: self.code.clone(),
            hint: self.hint(),
        }
    }

    fn hint(&self) -> Cow<'static, str> {
        let hint = match &*self.code {
            "PAIRING_REQUIRED" | "NOT_PAIRED" => {
                return match &self.request_id {
                    Some(id) => format!("on the gateway's host run: openclaw devices approve {id}").into(),
                    None => {
                        "on the gateway's host run: openclaw devices list, then openclaw devices approve <id>".into()
                    }
                };
            }
            "DEVICE_IDENTITY_REQUIRED" => "a gateway on another host wants a device: set DEVICE_KEY and DEVICE_TOKEN",
            "AUTH_DEVICE_TOKEN_MISMATCH" => {
                "DEVICE_TOKEN is not the device's: it was rotated, revoked, or belongs to another DEVICE_KEY"
            }
            "AUTH_TOKEN_MISMATCH" | "AUTH_TOKEN_MISSING" => "GATEWAY_TOKEN is not the gateway's token",
            "AUTH_PASSWORD_MISMATCH" | "AUTH_PASSWORD_MISSING" => "GATEWAY_PASSWORD is not the gateway's password",
            "AUTH_SCOPE_MISMATCH" | "MISSING_SCOPE" => {
                "the credential lacks operator.write: pair the device with the scopes operator.read and operator.write"
            }
            "SCOPES_TOO_WIDE" => {
                "the gateway granted more than operator.read and operator.write: a proxy that strips forwarding headers may make the Worker look local"
            }
            "AUTH_RATE_LIMITED" => "the gateway locked this address after failed attempts; it opens again by itself",
            "PROTOCOL_MISMATCH" => "the gateway speaks neither protocol 3 nor protocol 4",
            "DEVICE_AUTH_SIGNATURE_EXPIRED" => {
                "the clocks of the gateway and of this machine differ by more than two minutes"
            }
            _ => "the gateway's log says why",
        };
        hint.into()
    }
}

/// What a refusal means for a request that nothing was started for.
pub(crate) fn failure(error: &ErrorShape<'_>) -> Failure {
    let refusal = read(error);
    // UNAVAILABLE is a gateway that starts or drains; after failed attempts it locks an address for a while.
    if error.code == "UNAVAILABLE" || refusal.code == "AUTH_RATE_LIMITED" {
        return Failure::Unavailable {
            retry_after_s: retry_after_s(error),
            refusal: Some(refusal),
        };
    }
    Failure::Refused(refusal)
}

fn read(error: &ErrorShape<'_>) -> Refusal {
    let details: ErrorDetails<'_> = error
        .details
        .and_then(|details| serde_json::from_str(details.get()).ok())
        .unwrap_or_default();
    let code = details.code.as_deref().unwrap_or(&error.code);
    // OpenClaw 2026.3 tells a protocol mismatch only by what it expected.
    let code = if details.expected_protocol.is_some() {
        "PROTOCOL_MISMATCH"
    } else {
        code
    };
    Refusal {
        code: Cow::Owned(loggable(code)),
        request_id: details.request_id.as_deref().map(loggable),
    }
}

fn retry_after_s(error: &ErrorShape<'_>) -> u32 {
    let wait = error
        .retry_after_ms
        .and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
    wait.map_or(RETRY_AFTER_S, |wait| {
        let seconds = wait.as_millis().div_ceil(1000).clamp(1, MAX_RETRY_AFTER_S);
        u32::try_from(seconds).unwrap_or(RETRY_AFTER_S)
    })
}

/// A code or id as it may stand in a log: what a peer sends there is not to be trusted with anything else.
fn loggable(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        .take(MAX_CODE_BYTES)
        .collect()
}
