//! A request for the gateway's speech, and its limits.

use crate::access::key::KeyId;
use crate::failure::Failure;
use crate::gateway::link::RequestId;

/// Interval at which a caller asks for the end, in milliseconds: a request cannot resolve another's
/// promise, and speech takes longer.
pub const POLL_MS: u64 = 50;

/// Time from a request to its audio, in milliseconds. The gateway gives a provider 30 s, and then
/// tries the next one.
pub(crate) const SPEECH_MS: u64 = 60_000;

/// Most bytes of audio: eight minutes of MP3, and twice the time of the longest text. It is held in
/// memory whole, which all clients share.
pub(crate) const MAX_AUDIO_BYTES: usize = 8 * 1024 * 1024;

/// Requests that are going at a time. A key leaves as many free as it has, so that no key keeps
/// others out.
pub(crate) const MAX_SPEECHES: usize = 16;

/// The number of a request within its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpeechId(pub(super) u32);

/// Audio of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    pub content_type: &'static str,
    pub bytes: Vec<u8>,
}

/// A request, until its end is taken.
#[derive(Debug, Clone)]
pub(super) struct Speech {
    pub(super) id: SpeechId,
    pub(super) key: KeyId,
    pub(super) text: String,
    pub(super) until_ms: u64,
    /// The request, once it was sent.
    pub(super) request: Option<RequestId>,
    pub(super) end: Option<Result<Audio, Failure>>,
}

impl Speech {
    pub(super) fn is_late(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }
}
