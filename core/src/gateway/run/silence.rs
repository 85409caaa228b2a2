//! The text of a model that stays silent.

/// The text of a model that stays silent. Protocol 3 removes it from an answer, but may stream all
/// of it except the last letters. Source: OpenClaw 2026.3.13, measured.
pub(super) const SILENCE: &str = "NO_REPLY";

/// Returns true if a text is silence or may become silence. Its next version or the final response
/// repeats it.
pub(super) fn is_silence(text: &str) -> bool {
    !text.is_empty() && SILENCE.starts_with(text.trim_end())
}
