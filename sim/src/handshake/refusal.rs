//! The refusal of a client.

use serde_json::json;

use crate::frames::{Close, ErrorShape, close_code};

/// The response and the close frame for a client that is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Option<Box<ErrorShape>>,
    pub(crate) close: Close,
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

/// The wait that the gateway sends to a client that failed too often.
const RATE_LIMIT_RETRY_AFTER_MS: u64 = 297_000;

const STARTUP_RETRY_AFTER_MS: u64 = 500;

pub(super) fn starting() -> Refusal {
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

/// The gateway's advice to a client that it refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    RetryWithDeviceToken,
    UpdateCredentials,
}

pub(super) fn unauthorized(message: &str, code: &str, reason: &str, next: NextStep) -> Refusal {
    let word = match next {
        NextStep::RetryWithDeviceToken => "retry_with_device_token",
        NextStep::UpdateCredentials => "update_auth_credentials",
    };
    ErrorShape::invalid_request(format!("unauthorized: {message}"))
        .with_details(json!({
            "code": code,
            "authReason": reason,
            "canRetryWithDeviceToken": next == NextStep::RetryWithDeviceToken,
            "recommendedNextStep": word,
        }))
        .into()
}

pub(super) fn device_token_mismatch() -> Refusal {
    unauthorized(
        "device token mismatch (rotate/reissue device token)",
        "AUTH_DEVICE_TOKEN_MISMATCH",
        "device_token_mismatch",
        NextStep::UpdateCredentials,
    )
}

pub(super) fn rate_limited() -> ErrorShape {
    ErrorShape {
        details: Some(json!({
            "code": "AUTH_RATE_LIMITED",
            "authReason": "rate_limited",
            "canRetryWithDeviceToken": false,
            "recommendedNextStep": "wait_then_retry",
        })),
        retryable: Some(true),
        retry_after_ms: Some(RATE_LIMIT_RETRY_AFTER_MS),
        ..ErrorShape::invalid_request(
            "unauthorized: too many failed authentication attempts (retry later)",
        )
    }
}
