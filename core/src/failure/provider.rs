//! The failures of an agent's model provider.

/// The class that the gateway gives to a failure of the model's provider.
///
/// Source: OpenClaw 2026.9.6 `failoverReason` (`failover-error.ts`, `openai-compat-errors.ts`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderFailure {
    Format,
    ContextOverflow,
    ModelNotFound,
    RateLimit,
    Overloaded,
    Timeout,
    ServerError,
    /// The operator's account with the provider failed. The status is never 401, 402 or 403: a
    /// client would take them for a fault of its own key.
    Account,
    /// A class that we do not know, or none: OpenClaw 2026.3 sends none.
    Unclassified,
}

impl ProviderFailure {
    /// Parses a `failoverReason`; an unknown one is [`ProviderFailure::Unclassified`].
    pub fn of(reason: &str) -> Self {
        match reason {
            "format" => Self::Format,
            "context_overflow" => Self::ContextOverflow,
            "model_not_found" => Self::ModelNotFound,
            "rate_limit" => Self::RateLimit,
            "overloaded" => Self::Overloaded,
            "timeout" => Self::Timeout,
            "server_error" => Self::ServerError,
            "auth" | "auth_permanent" | "billing" => Self::Account,
            _ => Self::Unclassified,
        }
    }

    /// Returns the code that clients receive.
    pub fn code(self) -> &'static str {
        match self {
            Self::Format => "provider_rejected_request",
            Self::ContextOverflow => "context_length_exceeded",
            Self::ModelNotFound => "provider_model_not_found",
            Self::RateLimit => "provider_throttled",
            Self::Overloaded => "provider_overloaded",
            Self::Timeout => "provider_timeout",
            Self::ServerError => "provider_error",
            Self::Account => "provider_account_error",
            Self::Unclassified => "run_failed",
        }
    }
}
