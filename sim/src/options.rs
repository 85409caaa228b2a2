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
}

/// The credential that the operator shares.
#[derive(Debug)]
pub(crate) enum Secret {
    Token(String),
    Password(String),
    None,
}
