//! A failure of the model's provider, with the messages of both versions.

use serde_json::{Value, json};

use crate::agents::{PROVIDER, full_model};

/// A failure of the model's provider.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The message of protocol 4.
    pub(crate) message: String,
    /// The message of protocol 3: the provider's own.
    pub(crate) provider_message: String,
    /// `failoverReason`; absent for an error object in the stream.
    pub(crate) reason: Option<String>,
    runtime_kind: &'static str,
    /// `errorKind` of the chat event.
    pub(crate) error_kind: Option<&'static str>,
    model: &'static str,
}

impl Failure {
    /// Returns the failure for an HTTP status of the provider, or for a stream that was cut.
    /// Measured: the classes for 400, 401, 429, 500 and a cut stream, and the words for 400, 500
    /// and a cut stream. The others are likely.
    pub(crate) fn of(
        status: Option<u16>,
        forced_reason: Option<&str>,
        model: &'static str,
    ) -> Self {
        let reason = forced_reason.unwrap_or(reason_of(status));
        let name = full_model(model);
        let status_text = status.map_or_else(String::new, |status| format!(", HTTP {status}"));
        let (message, runtime_kind, error_kind) = class_of(reason, &name, &status_text);
        Self {
            message,
            provider_message: status.map_or_else(
                || "terminated".to_owned(),
                |status| format!("{status} fake upstream failure {status}"),
            ),
            reason: Some(reason.to_owned()),
            runtime_kind,
            error_kind,
            model,
        }
    }

    /// An error object in the stream.
    pub(crate) fn in_stream(model: &'static str) -> Self {
        Self {
            message: format!("⚠️ Agent run failed (model: {}).", full_model(model)),
            provider_message: IN_STREAM.to_owned(),
            reason: None,
            runtime_kind: "unclassified",
            error_kind: None,
            model,
        }
    }

    /// `errorObservation` of lifecycle events, `errorDetail` of chat events.
    pub(crate) fn observation(&self) -> Value {
        let mut observation = json!({ "provider": PROVIDER, "model": self.model, "providerRuntimeFailureKind": self.runtime_kind });
        if let (Some(reason), Some(observation)) = (&self.reason, observation.as_object_mut()) {
            observation.insert("failoverReason".to_owned(), json!(reason));
        }
        observation
    }
}

/// The provider's message for an error object in its stream.
const IN_STREAM: &str = "fake mid-stream failure";

/// Returns the `failoverReason` of a provider's status.
fn reason_of(status: Option<u16>) -> &'static str {
    match status {
        None | Some(408 | 504) => "timeout",
        Some(401) => "auth",
        Some(402) => "billing",
        Some(403) => "auth_permanent",
        Some(404) => "model_not_found",
        Some(413) => "context_overflow",
        Some(429) => "rate_limit",
        Some(503 | 529) => "overloaded",
        Some(400..=499) => "format",
        Some(_) => "server_error",
    }
}

/// Returns the message, the `providerRuntimeFailureKind` and the `errorKind` of a reason.
fn class_of(
    reason: &str,
    name: &str,
    status_text: &str,
) -> (String, &'static str, Option<&'static str>) {
    match reason {
        "format" => (
            "LLM request failed: provider rejected the request schema or tool payload.".to_owned(),
            "schema",
            None,
        ),
        "server_error" => (
            format!(
                "⚠️ {name} request failed (provider internal error{status_text}). This is \
                 usually temporary — try again shortly."
            ),
            "timeout",
            None,
        ),
        "timeout" => (
            "LLM request timed out.".to_owned(),
            "timeout",
            Some("timeout"),
        ),
        "rate_limit" => (
            "⚠️ API rate limit reached. Please try again later.".to_owned(),
            "rate_limit",
            Some("rate_limit"),
        ),
        "context_overflow" => (
            "Context overflow: prompt too large for the model.".to_owned(),
            "unclassified",
            Some("context_length"),
        ),
        "overloaded" => (
            "The AI service is temporarily overloaded. Please try again in a moment.".to_owned(),
            "unclassified",
            None,
        ),
        reason => (
            format!("⚠️ {name} request failed ({reason}{status_text})."),
            "unclassified",
            None,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_status_has_its_measured_class() {
        let class = |status| Failure::of(status, None, "fake-1").reason;
        for (status, reason) in [
            (Some(400), "format"),
            (Some(401), "auth"),
            (Some(429), "rate_limit"),
            (Some(500), "server_error"),
            (None, "timeout"),
        ] {
            assert_eq!(class(status).as_deref(), Some(reason));
        }
        assert_eq!(
            Failure::of(Some(500), Some("billing"), "fake-1")
                .reason
                .as_deref(),
            Some("billing")
        );
    }
}
