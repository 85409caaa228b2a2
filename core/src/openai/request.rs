//! A request as it arrives, before its body is read, for both endpoints.

/// Largest request body, in bytes. It takes two images of the largest size and the text. The
/// hub's 128 MB hold it in each of its forms: bytes, text and frame.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Names the agent of a request.
pub(crate) const AGENT_HEADER: &str = "x-openclaw-agent-id";

/// A client's request, without its key.
pub struct Request<'a> {
    pub body: &'a [u8],
    /// Returns the value of a header. The name is in lower case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// A hash of the headers that distinguish the callers of one key.
    pub caller: [u8; 32],
    /// The request was sent before, and was given the same [`Entropy`].
    pub is_repeated: bool,
}

/// Randomness for one request. It comes from a cryptographically secure source and is used once.
#[derive(Debug, Clone, Copy)]
pub struct Entropy {
    pub run: [u8; 16],
    pub session: [u8; 16],
}
