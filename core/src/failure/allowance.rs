//! The rest of what a key may use.

/// The requests that a key has left in this minute, or its tokens in this day or month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub limit: u32,
    pub remaining: u32,
    /// Seconds until all of it is available again.
    pub reset_s: u32,
}

/// A budget that a key has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpentQuota {
    /// The unit and the period, such as `tokens of this day`.
    pub unit: &'static str,
    pub limit: u32,
    /// More than the limit if a run went beyond it.
    pub used: u64,
    /// Seconds since the Unix epoch at which the next period begins.
    pub resets_s: u64,
}
