//! The rest of a key's requests per minute.

/// The requests that a key has left in this minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub limit: u32,
    pub remaining: u32,
    /// Seconds until all of them are available again.
    pub reset_s: u32,
}
