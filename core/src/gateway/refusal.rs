//! A gateway's refusal, by its codes: its meaning, and the operator's fix.
//!
//! The messages are never used, because they change between versions. Source: OpenClaw 2026.9.6 and
//! 2026.3.13, `connect-error-details.ts`, checked against the running gateways.

use std::borrow::Cow;
use std::time::Duration;

use crate::failure::diagnosis::Diagnosis;
use crate::failure::{Failure, RETRY_AFTER_S, Refusal};
use crate::gateway::frame::{ErrorDetails, ErrorShape};
use crate::parse;

/// Longest code or id of the gateway that is kept for the log, in bytes.
const MAX_CODE_BYTES: usize = 64;

/// Longest wait that is passed on, in seconds: the gateway's own lockout lasts 300.
const MAX_RETRY_AFTER_S: u64 = 600;

/// Returns the failure that a refusal means for a request that has started no run.
pub(crate) fn failure(error: &ErrorShape<'_>) -> Failure {
    let refusal = read(error);
    // A gateway sends this while it starts or stops, and locks an address for a while after failed
    // attempts.
    if error.code == "UNAVAILABLE" || refusal.diagnosis == Diagnosis::AuthLockout {
        return Failure::GatewayUnavailable {
            retry_after_s: retry_after_s(error),
            diagnosis: refusal.diagnosis,
            detail: refusal.code,
        };
    }
    Failure::GatewayRefused(refusal)
}

fn read(error: &ErrorShape<'_>) -> Refusal {
    let details: ErrorDetails<'_> = error
        .details
        .and_then(|details| parse::from_str(details.get()).ok())
        .unwrap_or_default();
    let code = details.code.as_deref().unwrap_or(&error.code);
    // OpenClaw 2026.3 shows a protocol mismatch only by the version that it expected.
    let code = if details.expected_protocol.is_some() {
        "PROTOCOL_MISMATCH"
    } else {
        code
    };
    Refusal {
        diagnosis: Diagnosis::of_refusal(code, details.reason.as_deref().unwrap_or_default()),
        code: Cow::Owned(loggable(code)),
        request_id: details.request_id.as_deref().map(loggable),
    }
}

fn retry_after_s(error: &ErrorShape<'_>) -> u32 {
    let wait = error
        .retry_after_ms
        .and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
    wait.map_or(RETRY_AFTER_S, |wait| {
        let begun_s = u64::from(wait.subsec_millis() > 0);
        let seconds = wait.as_secs().saturating_add(begun_s);
        let seconds = seconds.clamp(1, MAX_RETRY_AFTER_S);
        u32::try_from(seconds).unwrap_or(RETRY_AFTER_S)
    })
}

/// Returns a code or id in a form that is safe in a log, because a peer may send any text there.
fn loggable(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        .take(MAX_CODE_BYTES)
        .collect()
}
