//! The fields of a request that its response repeats.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::openai::body::Body;
use crate::openai::json::text::compact;
use crate::openai::json::write::write_json;
use crate::parse;

/// Limits of `metadata`: pairs, characters of a key and of a value. Source: OpenAI's API reference.
pub(crate) const MAX_METADATA_PAIRS: usize = 16;
pub(crate) const MAX_METADATA_KEY_CHARS: usize = 64;
pub(crate) const MAX_METADATA_VALUE_CHARS: usize = 512;

/// Longest `safety_identifier` or `prompt_cache_key`, in bytes. A stream repeats each three times.
pub(crate) const MAX_IDENTIFIER_BYTES: usize = 512;

/// Request fields that the response repeats. Clients recognise a response by the first three.
/// `LangChain` for Python parses a streamed answer as JSON only if the response repeats that
/// format. Source: langchain-openai 1.7.3, `chat_models/base.py`, read.
#[derive(Debug, Clone, Default)]
pub struct Echo {
    /// The JSON of `metadata`, in the order of its keys; empty: there is none.
    pub metadata: Vec<u8>,
    pub safety_identifier: Option<String>,
    pub prompt_cache_key: Option<String>,
    /// The JSON of `text.format`, on one line.
    pub text_format: Option<String>,
}

/// Reads the fields that the response repeats.
pub(crate) fn echo(body: &Body<'_>) -> Result<Echo, Failure> {
    Ok(Echo {
        metadata: body.metadata.map(metadata).transpose()?.unwrap_or_default(),
        safety_identifier: identifier("safety_identifier", body.safety_identifier.as_deref())?,
        prompt_cache_key: identifier("prompt_cache_key", body.prompt_cache_key.as_deref())?,
        text_format: body.text_format().map(compact),
    })
}

pub(crate) fn metadata(json: &RawValue) -> Result<Vec<u8>, Failure> {
    write_metadata(json).ok_or_else(|| {
        Failure::invalid(
            "metadata",
            format!(
                "metadata must be an object of at most {MAX_METADATA_PAIRS} strings, with keys of \
                 at most {MAX_METADATA_KEY_CHARS} and values of at most \
                 {MAX_METADATA_VALUE_CHARS} characters."
            ),
        )
    })
}

/// Returns the JSON of these pairs, if they are within the limits.
fn write_metadata(json: &RawValue) -> Option<Vec<u8>> {
    let pairs: BTreeMap<String, &RawValue> = parse::from_str(json.get()).ok()?;
    if pairs.len() > MAX_METADATA_PAIRS {
        return None;
    }
    let mut out = vec![b'{'];
    for (key, value) in pairs {
        let value: String = parse::from_str(value.get()).ok()?;
        if key.chars().count() > MAX_METADATA_KEY_CHARS
            || value.chars().count() > MAX_METADATA_VALUE_CHARS
        {
            return None;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        write_json(&mut out, &key);
        out.push(b':');
        write_json(&mut out, &value);
    }
    out.push(b'}');
    Some(out)
}

pub(crate) fn identifier(
    field: &'static str,
    value: Option<&str>,
) -> Result<Option<String>, Failure> {
    if value.is_some_and(|value| value.len() > MAX_IDENTIFIER_BYTES) {
        return Err(Failure::invalid(
            field,
            format!("{field} must have at most {MAX_IDENTIFIER_BYTES} bytes."),
        ));
    }
    Ok(value.map(str::to_owned))
}
