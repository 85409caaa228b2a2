//! The identity by which a client connects to the gateway.

/// The name, the mode and the capabilities that a client sends at `connect`. Source: `client-info.ts` (both versions).
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientIdentity {
    pub id: &'static str,
    pub mode: &'static str,
    pub caps: &'static [&'static str],
}

impl ClientIdentity {
    /// A server.
    pub(crate) const BACKEND: Self = Self {
        id: "gateway-client",
        mode: "backend",
        caps: &[SCOPED_EVENTS],
    };
    /// A server that also receives the events of its run's tools.
    pub(crate) const WATCHING_BACKEND: Self = Self {
        caps: &[SCOPED_EVENTS, TOOL_EVENTS],
        ..Self::BACKEND
    };
    /// A command on the gateway's host. Only this client gets a device token from the gateway
    /// without its operator's approval.
    pub(crate) const CLI: Self = Self {
        id: "cli",
        mode: "cli",
        caps: &[SCOPED_EVENTS],
    };
}

/// With this capability protocol 4 sends the events of subscribed sessions only. Protocol 3 ignores
/// it.
const SCOPED_EVENTS: &str = "session-scoped-events";
/// Without this capability protocol 3 sends no events of tools, and protocol 4 sends them without
/// arguments and results.
const TOOL_EVENTS: &str = "tool-events";
