//! The format that an answer should have: `response_format` of a chat completion, `text.format` of
//! a response.
//!
//! The agent API has no field for it. The format goes to the agent as an instruction, after the
//! client's own. The agent mostly follows it, but nothing forces it to: an answer is passed on as
//! it arrives. Therefore `strict` is among the parameters without effect.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::parse::{self, object};

/// Largest format, in bytes. The agent reads its schema in every turn, and a response repeats it.
pub(super) const MAX_FORMAT_BYTES: usize = 64 * 1024;

pub(super) const ONLY_JSON: &str =
    "Answer with one JSON value and nothing else: no words around it and no code fence.";

/// The members of every object that is an option for the answer. All share one shape, because
/// several of them have the same members.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    /// The type of a format, a tool or a choice.
    pub kind: Option<Cow<'a, str>>,
    /// An object with `schema` and `strict` in a chat completion. A response has both in the format
    /// itself.
    pub json_schema: Option<&'a RawValue>,
    pub schema: Option<&'a RawValue>,
    pub strict: Option<&'a RawValue>,
    /// A member of `text`.
    pub format: Option<&'a RawValue>,
    pub verbosity: Option<&'a RawValue>,
    /// Members of `reasoning`.
    pub effort: Option<&'a RawValue>,
    pub summary: Option<&'a RawValue>,
    /// A member of `tool_choice`.
    pub mode: Option<Cow<'a, str>>,
    /// A member of a chat completion's `tool_choice`: an object with `mode`. A response has it in
    /// the choice itself.
    pub allowed_tools: Option<&'a RawValue>,
    /// The allowed tools.
    pub tools: Option<&'a RawValue>,
    /// A member of a chat completion's tool or choice: an object with the members below. A response
    /// has them in the tool itself.
    pub function: Option<&'a RawValue>,
    pub name: Option<Cow<'a, str>>,
    pub description: Option<Cow<'a, str>>,
    pub parameters: Option<&'a RawValue>,
}

object!(
    Options<'_>,
    [],
    [
        kind: "type",
        json_schema,
        schema,
        strict,
        format,
        verbosity,
        effort,
        summary,
        mode,
        allowed_tools,
        tools,
        function,
        name,
        description,
        parameters,
    ]
);

impl<'a> Options<'a> {
    pub(super) fn read(value: &'a RawValue) -> Option<Self> {
        parse::from_str(value.get()).ok()
    }
}

/// A format that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Format {
    /// The instruction for the agent, if there is any.
    pub instruction: Option<String>,
    /// The client requested a guarantee, which an agent cannot give.
    pub is_strict: bool,
}

impl Format {
    /// Reads a format. `param` is its field, for errors.
    pub(super) fn read(value: &RawValue, param: &'static str) -> Result<Self, Failure> {
        let refuse = |message: &'static str| Err(Failure::invalid(param, message));
        if value.get().len() > MAX_FORMAT_BYTES {
            return refuse("A format is at most 65536 bytes.");
        }
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
                    Some(schema) if schema.starts_with('{') => Ok(Self {
                        instruction: Some(
                            [
                                ONLY_JSON,
                                " It is valid against this JSON Schema:\n",
                                schema,
                            ]
                            .concat(),
                        ),
                        is_strict: inner.strict.is_some_and(|strict| strict.get() == "true"),
                    }),
                    _ => refuse("A json_schema has a schema, which is an object."),
                }
            }
            _ => refuse("A format is one of text, json_object and json_schema."),
        }
    }
}
