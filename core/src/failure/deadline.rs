//! The times after which a request is given up.

/// A deadline that the gateway missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    Connect,
    Handshake,
    Acceptance,
    Silence,
    Run,
}

impl Deadline {
    /// Returns the code that clients receive.
    pub fn code(self) -> &'static str {
        match self {
            Self::Connect => "gateway_connect_timeout",
            Self::Handshake => "gateway_handshake_timeout",
            Self::Acceptance => "gateway_acceptance_timeout",
            Self::Silence => "gateway_silent",
            Self::Run => "run_timeout",
        }
    }

    /// Returns true if the run may have started before this time passed.
    pub fn is_of_run(self) -> bool {
        matches!(self, Self::Acceptance | Self::Silence | Self::Run)
    }
}
