//! The way in which the client receives its answer.

/// The way in which the client receives its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Server-sent events.
    Stream { include_usage: bool },
    /// One JSON object.
    Whole,
}

impl Delivery {
    pub(crate) fn is_stream(self) -> bool {
        self != Self::Whole
    }
}
