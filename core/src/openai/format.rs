//! The form that an answer should have: `response_format` of a chat completion, `text.format` of a response.
//!
//! The agent API has no place for it, so the agent is told in words, behind the client's own instructions. It mostly keeps to them, and
//! nothing makes it: an answer is passed on as it comes, so `strict` is named among what had no effect.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Failure;

/// Largest schema, in bytes: the agent reads all of it in every turn.
pub(super) const MAX_SCHEMA_BYTES: usize = 64 * 1024;

const ONLY_JSON: &str = "Answer with one JSON value and nothing else: no words around it and no code fence.";

/// The members of every object that says how to answer: one shape for all of them, because each costs a kilobyte of the bundle.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Options<'a> {
    /// Of a format.
    #[serde(rename = "type", borrow)]
    pub kind: Option<Cow<'a, str>>,
    /// Of a chat completion's format: an object with `schema` and `strict`, which a response has in the format itself.
    #[serde(borrow)]
    pub json_schema: Option<&'a RawValue>,
    #[serde(borrow)]
    pub schema: Option<&'a RawValue>,
    #[serde(borrow)]
    pub strict: Option<&'a RawValue>,
    /// Of `text`.
    #[serde(borrow)]
    pub format: Option<&'a RawValue>,
    #[serde(borrow)]
    pub verbosity: Option<&'a RawValue>,
    /// Of `tool_choice`.
    #[serde(borrow)]
    pub mode: Option<Cow<'a, str>>,
}

impl<'a> Options<'a> {
    pub(super) fn read(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }
}

/// What a format asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Format {
    /// What the agent is told, if anything.
    pub instruction: Option<String>,
    /// It is to be kept to without fail, which nobody can promise.
    pub is_strict: bool,
}

impl Format {
    /// `param` is the field, for errors.
    pub(super) fn read(value: &RawValue, param: &'static str) -> Result<Self, Failure> {
        let refuse = |message: &'static str| Err(Failure::invalid(param, message));
        let format = Options::read(value).unwrap_or_default();
        match format.kind.as_deref() {
            Some("text") => Ok(Self::default()),
            Some("json_object") => Ok(Self {
                instruction: Some([ONLY_JSON, " It is an object."].concat()),
                is_strict: false,
            }),
            Some("json_schema") => {
                let inner = format.json_schema.and_then(Options::read).unwrap_or(format);
                match inner.schema.map(RawValue::get) {
                    Some(schema) if schema.len() > MAX_SCHEMA_BYTES => refuse("A schema is at most 65536 bytes."),
                    Some(schema) if schema.starts_with('{') => Ok(Self {
                        instruction: Some([ONLY_JSON, " It is valid against this JSON Schema:\n", schema].concat()),
                        is_strict: inner.strict.is_some_and(|strict| strict.get() == "true"),
                    }),
                    _ => refuse("A json_schema has a schema, which is an object."),
                }
            }
            _ => refuse("A format is one of text, json_object and json_schema."),
        }
    }
}
