//! The options of a simulated gateway.

use crate::fault::Fault;
use crate::frames::Protocol;

/// Interval at which protocol 4 sends text. Source: `LIVE_TEXT_PACING_MS`, openclaw 2026.9.6,
/// measured.
pub(crate) const LIVE_TEXT_PACING_MS: u64 = 75;

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) protocol: Protocol,
    pub(crate) secret: Secret,
    pub(crate) agents: Vec<String>,
    pub(crate) default_agent: Option<String>,
    pub(crate) require_device: bool,
    pub(crate) fault: Option<Fault>,
    pub(crate) startup_ms: Option<u64>,
    pub(crate) tick_ms: u64,
    pub(crate) pacing_ms: u64,
    pub(crate) demo_delay_ms: u64,
    /// Protocol 4 publishes them to every connection.
    pub(crate) publishes_tasks: bool,
    pub(crate) chat_completions: ChatCompletions,
    pub(crate) client_tools: ClientTools,
}

/// The clients of `POST /v1/chat/completions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChatCompletions {
    /// The endpoint does not exist, as by default.
    Off,
    /// Clients with the shared secret; without a secret all.
    Secret,
    /// The gateway's `auth.mode: "trusted-proxy"`.
    TrustedProxy { user_header: String },
}

/// The functions of a request, as the gateway's `tools.toolSearch` treats them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientTools {
    /// The model sees them.
    Offered,
    /// The model does not see them, as without that setting.
    Hidden,
}

/// The credential that the operator shares.
#[derive(Debug)]
pub(crate) enum Secret {
    Token(String),
    Password(String),
    None,
}

#[cfg(test)]
impl Options {
    /// Returns the options of a gateway with two agents.
    pub(crate) fn of_a_test() -> Self {
        Self {
            protocol: Protocol::V4,
            secret: Secret::None,
            agents: vec!["main".into(), "beta".into()],
            default_agent: None,
            require_device: false,
            fault: None,
            startup_ms: None,
            tick_ms: 1,
            pacing_ms: 0,
            demo_delay_ms: 0,
            publishes_tasks: true,
            chat_completions: ChatCompletions::Off,
            client_tools: ClientTools::Offered,
        }
    }
}
