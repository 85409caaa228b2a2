//! `POST /v1/audio/speech`: the text of a request for speech.
//!
//! The voice, the format and the speed are the gateway's, because its method takes a text alone.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::blank::trim;
use super::image;
use super::json::text::Json;
use crate::failure::Failure;
use crate::parse;

/// Longest text, in UTF-16 units, which the gateway counts. Source: OpenAI's API reference, and the
/// gateway's default.
pub(crate) const MAX_INPUT_UNITS: usize = 4096;

const INPUT: &str = "input";
const STREAM_FORMAT: &str = "stream_format";

/// Fields that have no effect, in alphabetical order.
const WITHOUT_EFFECT: [&str; 5] = ["instructions", "model", "response_format", "speed", "voice"];

/// A request for speech.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub text: String,
    /// The fields that were sent and have no effect.
    pub ignored: Vec<&'static str>,
}

/// Reads a request's body.
pub fn read(body: &[u8]) -> Result<Asked, Failure> {
    let json = Json::read(body)?;
    let fields: BTreeMap<String, &RawValue> =
        parse::from_str(json.text()).map_err(|_| Failure::InvalidRequest {
            param: None,
            message: "The request body is not a JSON object.".into(),
        })?;
    let sent = |name: &str| fields.get(name).filter(|value| value.get() != "null");
    let text = sent(INPUT).and_then(|input| parse::from_str(input.get()).ok());
    let text = text
        .filter(|text: &String| {
            !trim(text).is_empty() && text.encode_utf16().count() <= MAX_INPUT_UNITS
        })
        .ok_or_else(|| Failure::invalid(INPUT, "The input is a text of 1 to 4096 characters."))?;
    if sent(STREAM_FORMAT).is_some_and(|format| format.get() != r#""audio""#) {
        return Err(Failure::invalid(
            STREAM_FORMAT,
            "The audio comes whole: only `audio` is possible.",
        ));
    }
    let mut ignored = WITHOUT_EFFECT.to_vec();
    ignored.retain(|name| sent(name).is_some());
    Ok(Asked { text, ignored })
}

/// Decodes audio that has at most `limit_bytes`.
pub(crate) fn decode(base64: &str, limit_bytes: usize) -> Option<Vec<u8>> {
    (image::decoded_bytes(base64) <= limit_bytes)
        .then(|| image::decode(base64))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Option<String> {
        match read(body.as_bytes()) {
            Err(Failure::InvalidRequest { param, .. }) => param,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn a_text_is_read_and_what_has_no_effect_is_named() {
        for (fields, ignored) in [
            ("", &[][..]),
            (r#","stream_format":"audio","voice":null,"x":1"#, &[]),
            (
                r#","model":"tts-1","voice":{"id":"v"},"speed":1.5,"response_format":"wav","instructions":"Be calm.""#,
                &["instructions", "model", "response_format", "speed", "voice"],
            ),
        ] {
            let body = format!(r#"{{"input":" Grüße \ud83d\ude00 "{fields}}}"#);
            let asked = read(body.as_bytes()).unwrap();
            assert_eq!((&*asked.text, &*asked.ignored), (" Grüße 😀 ", ignored));
        }
    }

    #[test]
    fn other_bodies_are_refused_with_their_field() {
        for body in ["", "[]", "7", "{"] {
            assert_eq!(refused(body), None, "{body}");
        }
        for input in [
            "",
            r#""input":null"#,
            r#""input":7"#,
            r#""input":["a"]"#,
            r#""input":" \n\ufeff""#,
        ] {
            assert_eq!(refused(&format!("{{{input}}}")).as_deref(), Some(INPUT));
        }
        let text = |length| format!(r#"{{"input":"{}"}}"#, "ä".repeat(length));
        assert_eq!(refused(&text(4097)).as_deref(), Some(INPUT));
        assert_eq!(read(text(4096).as_bytes()).unwrap().text.len(), 8192);
        for format in [r#""sse""#, r#""x""#, "7", "{}"] {
            let body = format!(r#"{{"input":"a","stream_format":{format}}}"#);
            assert_eq!(refused(&body).as_deref(), Some("stream_format"));
        }
    }
}
