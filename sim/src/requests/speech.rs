//! Speech: the text's own bytes as MP3, or a fault that the text names.
//!
//! Source: openclaw 2026.9.6, measured without a provider and with one, except for the faults that
//! no provider of it has.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::frames::{ErrorShape, Protocol, Reply};
use crate::request::{Responder, check};
use crate::schema::{Kind, Schema, required};

const METHOD: &str = "tts.speak";
const PARAMS: Schema = Schema(&[required("text", Kind::NonEmptyText)]);

/// The longest text, in UTF-16 units: `tts.maxTextLength`, as it is by default.
const MAX_TEXT_UNITS: usize = 4096;

/// One byte more than Clawfront hands on.
const LARGE_BYTES: usize = 8_388_609;

/// Milliseconds after which a busy gateway is worth another try.
const BUSY_MS: u64 = 2000;

/// Answers a request for speech.
pub(super) fn speak(params: &Value, responder: &Responder) -> Result<(), ErrorShape> {
    check(&PARAMS, METHOD, params, Protocol::V4)?;
    let text = params
        .get("text")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let text = text.trim();
    if text.is_empty() {
        return Err(ErrorShape::invalid_request("tts.speak requires text"));
    }
    let units = text.encode_utf16().count();
    if units > MAX_TEXT_UNITS || text.contains("[[speech long]]") {
        return Err(ErrorShape::invalid_request(format!(
            "tts.speak text too long ({units} chars, max {MAX_TEXT_UNITS})"
        )));
    }
    let unavailable = |message| ErrorShape::new("UNAVAILABLE", message);
    if text.contains("[[speech no-provider]]") {
        return Err(unavailable(
            "TTS conversion failed: : no provider registered; openai: not configured",
        ));
    }
    if text.contains("[[speech busy]]") {
        return Err(ErrorShape {
            retryable: Some(true),
            retry_after_ms: Some(BUSY_MS),
            ..unavailable("The server is busy")
        });
    }
    if text.contains("[[speech silent]]") {
        return Ok(());
    }
    let audio = if text.contains("[[speech large]]") {
        vec![0; LARGE_BYTES]
    } else {
        text.as_bytes().to_vec()
    };
    let mut spoken = json!({
        "audioBase64": BASE64.encode(&audio),
        "provider": "fake",
        "outputFormat": "mp3",
        "mimeType": "audio/mpeg",
        "fileExtension": ".mp3",
    });
    if let Some(members) = spoken.as_object_mut() {
        if text.contains("[[speech untyped]]") {
            members.remove("mimeType");
        } else if text.contains("[[speech page]]") {
            members.insert("mimeType".to_owned(), json!("text/html"));
        } else if text.contains("[[speech garbage]]") {
            members.insert("audioBase64".to_owned(), json!("%%%%"));
        }
    }
    responder.answer(&Reply::ok(&spoken));
    Ok(())
}
