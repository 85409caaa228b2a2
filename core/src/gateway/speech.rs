//! The gateway's speech: one method takes a text and returns audio.
//!
//! Source: OpenClaw 2026.9.6, `tts.ts` and `speech-mime.ts`, read and measured. The gateway's
//! settings have the voice. OpenClaw 2026.3 does not have the method.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::gateway::link::Rejection;
use crate::gateway::refusal;
use crate::parse::{self, object};

pub(crate) const METHOD: &str = "tts.speak";

/// Types that a response may have. Source: those of the gateway (2026.9.6, read), and further ones
/// of its providers.
const TYPES: [&str; 6] = [
    "audio/aac",
    "audio/flac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "audio/webm",
];

/// `params` of [`METHOD`].
#[derive(Debug, Serialize)]
pub(crate) struct SpeakParams<'a> {
    pub text: &'a str,
}

/// Payload of the response.
#[derive(Debug, Default)]
pub(crate) struct SpokenAudio<'a> {
    pub audio_base64: Cow<'a, str>,
    /// Absent if the gateway does not know the type of its provider's format.
    pub mime_type: Cow<'a, str>,
}

object!(SpokenAudio<'_>, [audio_base64: "audioBase64", mime_type: "mimeType"], []);

impl<'a> SpokenAudio<'a> {
    pub(crate) fn read(payload: Option<&'a RawValue>) -> Option<Self> {
        parse::from_str(payload?.get()).ok()
    }

    /// Returns the type of the audio, if a response may have it.
    pub(crate) fn content_type(&self) -> Option<&'static str> {
        TYPES.into_iter().find(|known| *known == self.mime_type)
    }
}

/// Returns the failure that a refusal means.
pub(crate) fn failure(Rejection { error, .. }: &Rejection<'_>) -> Failure {
    match &*error.code {
        // The text is not empty.
        "INVALID_REQUEST" => Failure::InvalidRequest {
            param: None,
            message: "The gateway takes no such text: its `tts.maxTextLength` is lower, or its \
                      version has no speech."
                .into(),
        },
        // A busy gateway says when to come back.
        "UNAVAILABLE" if error.retry_after_ms.is_none() => {
            Failure::SpeechFailed("it has no TTS provider, or the provider failed")
        }
        _ => refusal::failure(error),
    }
}
