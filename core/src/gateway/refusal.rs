//! A gateway's refusal, by its codes: what it means, and what the operator can do about it.
//!
//! Never by its prose, which changes between versions. Source: OpenClaw 2026.9.6 and 2026.3.13, `connect-error-details.ts`,
//! checked against the running gateways.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::{Failure, RETRY_AFTER_S};
use crate::gateway::diagnosis::Diagnosis;
use crate::gateway::frame::{ErrorDetails, ErrorShape};

/// Longest code or id of the gateway that is kept for the log, in bytes.
const MAX_CODE_BYTES: usize = 64;

/// Longest wait that is passed on, in seconds: the gateway's own lockout lasts 300.
const MAX_RETRY_AFTER_S: u128 = 600;

/// An `error` of the gateway, reduced to what may be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    diagnosis: Diagnosis,
    /// `error.details.code`, else `error.code`.
    code: Cow<'static, str>,
    /// `error.details.requestId` of a pairing request.
    request_id: Option<String>,
}

impl Refusal {
    /// A refusal that we make in the gateway's place, under the code it would use.
    pub fn ours(code: &'static str) -> Self {
        Self {
            diagnosis: Diagnosis::of_refusal(code, ""),
            code: Cow::Borrowed(code),
            request_id: None,
        }
    }

    pub fn diagnosis(&self) -> Diagnosis {
        self.diagnosis
    }

    /// The gateway's own code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// By which the gateway's operator approves the device.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// What the operator can do about it: with the exact command, where there is one.
    pub fn mend(&self) -> Cow<'static, str> {
        match &self.request_id {
            Some(id) => format!("on the gateway's host run: openclaw devices approve {id}").into(),
            None => self.diagnosis.mend().into(),
        }
    }
}

/// What a refusal means for a request that nothing was started for.
pub(crate) fn failure(error: &ErrorShape<'_>) -> Failure {
    let refusal = read(error);
    // A gateway that starts or drains; after failed attempts it locks an address for a while.
    if error.code == "UNAVAILABLE" || refusal.diagnosis == Diagnosis::AuthLockout {
        return Failure::Unavailable {
            retry_after_s: retry_after_s(error),
            diagnosis: refusal.diagnosis,
            detail: refusal.code,
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
