//! A check of the doctor: its subject, its state and its finding.

use std::borrow::Cow;

/// The checks, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Configuration,
    Dns,
    Tcp,
    Tls,
    Upgrade,
    Proxy,
    Handshake,
    Protocol,
    Pairing,
    Scopes,
    Agents,
    Models,
    Exposure,
    Tools,
    Run,
    Health,
    Ready,
    Chat,
    Compatibility,
    Bots,
    Sizes,
    Admin,
    Clock,
}

impl Subject {
    pub(crate) const ALL: [Self; 23] = [
        Self::Configuration,
        Self::Dns,
        Self::Tcp,
        Self::Tls,
        Self::Upgrade,
        Self::Proxy,
        Self::Handshake,
        Self::Protocol,
        Self::Pairing,
        Self::Scopes,
        Self::Agents,
        Self::Models,
        Self::Exposure,
        Self::Tools,
        Self::Run,
        Self::Health,
        Self::Ready,
        Self::Chat,
        Self::Compatibility,
        Self::Bots,
        Self::Sizes,
        Self::Admin,
        Self::Clock,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Admin => "admin",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
            Self::Proxy => "proxy",
            Self::Handshake => "handshake",
            Self::Protocol => "protocol",
            Self::Pairing => "pairing",
            Self::Scopes => "scopes",
            Self::Agents => "agents",
            Self::Models => "models",
            Self::Exposure => "exposure",
            Self::Tools => "tools",
            Self::Run => "run",
            Self::Health => "healthz",
            Self::Ready => "readyz",
            Self::Chat => "chat",
            Self::Compatibility => "compatibility",
            Self::Bots => "bots",
            Self::Sizes => "sizes",
            Self::Clock => "clock",
        }
    }
}

/// The extent of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// All checks that run no agent.
    Checks,
    /// Also an agent's answer of one word.
    Run,
}

/// The result of a check; a later one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    NotChecked,
    Ok,
    /// It works, but should be fixed.
    Warning,
    Problem,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NotChecked => "not checked",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) subject: Subject,
    pub(crate) state: State,
    /// The finding.
    pub(crate) message: String,
    /// The code in the Worker's log, for a fault of the connection.
    pub(crate) code: Option<Cow<'static, str>>,
    /// The fix.
    pub(crate) fix: Option<String>,
}
