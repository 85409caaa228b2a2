//! The body of a request to either endpoint: its fields, without their effects.
//!
//! Source: OpenAI's API reference, and what clients send (`content: null`, bare image URLs, unknown
//! fields).

use std::borrow::Cow;
use std::{fmt, mem};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use serde_json::value::RawValue;

use super::effort::{Effort, REASONING, REASONING_EFFORT, is_effort};
use super::forced::ForcedCall;
use super::format::{Format, Options};
use super::json::path;
use super::json::text::Json;
use super::message::{Message, OneOrMany};
use super::stop::Stop;
use super::tools::Offer;
use crate::access::policy::ToolPolicy;
use crate::failure::Failure;
use crate::parse::{Value, object};
use crate::turn::ClientTools;

/// The fields that are read, for either endpoint. Every other field is ignored.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    pub messages: Vec<Message<'a>>,
    /// The input of a response.
    pub input: Option<OneOrMany<'a, Message<'a>>>,
    pub model: Option<Cow<'a, str>>,
    pub instructions: Option<Cow<'a, str>>,
    pub previous_response_id: Option<Cow<'a, str>>,
    pub user: Option<Cow<'a, str>>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    /// The values of `tools` or `functions` and of `tool_choice` or `function_call`, with the
    /// field's name.
    tools: Option<(&'static str, &'a RawValue)>,
    tool_choice: Option<(&'static str, &'a RawValue)>,
    response_format: Option<&'a RawValue>,
    stop: Option<&'a RawValue>,
    /// The `text` of a response.
    text: Option<&'a RawValue>,
    /// The fields of [`PARAMETERS`] that were sent.
    parameters: Vec<(&'static str, &'a RawValue)>,
    /// The fields of [`NOTICED`] that were sent, one bit for each.
    noticed: u64,
    pub background: Option<bool>,
    /// A response is kept after its end.
    pub store: Option<bool>,
    /// The `metadata` of a response, which repeats it.
    pub metadata: Option<&'a RawValue>,
    pub safety_identifier: Option<Cow<'a, str>>,
    pub prompt_cache_key: Option<Cow<'a, str>>,
    /// The `client_metadata` of a response.
    pub client_metadata: Option<&'a RawValue>,
    n: Option<&'a RawValue>,
    logprobs: Option<bool>,
    modalities: Option<Vec<Cow<'a, str>>>,
    audio: Option<IgnoredAny>,
}

/// Begins serde's message about a repeated field. The message is the only sign of it.
const DUPLICATE: &str = "duplicate field";

/// Fields that name something which would have to be stored.
const STORED: [&str; 2] = ["conversation", "prompt"];

/// Has no effect on a response, because the Responses API has no such field.
const STOP: &str = "stop";

const TOOLS: &str = "tools";
const TOOL_CHOICE: &str = "tool_choice";

const FORMAT_STRICT: &str = "response_format.json_schema.strict";
const TEXT_FORMAT_STRICT: &str = "text.format.strict";
const TEXT_VERBOSITY: &str = "text.verbosity";

/// Fields that are accepted without effect, because the agent API has no place for them. In
/// alphabetical order, after [`STORED`].
const NOTICED: [&str; 34] = [
    STORED[0],
    STORED[1],
    "chat_template_kwargs",
    "enable_thinking",
    "frequency_penalty",
    "function_call",
    "functions",
    "include",
    "logit_bias",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tool_calls",
    "min_p",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    REASONING,
    REASONING_EFFORT,
    "repetition_penalty",
    FORMAT_STRICT,
    "seed",
    STOP,
    "temperature",
    TEXT_FORMAT_STRICT,
    TEXT_VERBOSITY,
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "verbosity",
    "web_search_options",
];

/// The fields of [`NOTICED`] that have a value for the gateway. Its HTTP endpoint takes those with
/// numbers, and no effort.
const PARAMETERS: [&str; 10] = [
    "frequency_penalty",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "presence_penalty",
    REASONING,
    REASONING_EFFORT,
    "seed",
    "temperature",
    "top_p",
];

/// Fields that are read, and that are not in [`NOTICED`].
const READ: [&str; 20] = [
    "audio",
    "background",
    "client_metadata",
    "input",
    "instructions",
    "logprobs",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "previous_response_id",
    "prompt_cache_key",
    "response_format",
    "safety_identifier",
    "store",
    "stream",
    "stream_options",
    "text",
    "user",
];

#[derive(Debug, Default)]
pub(super) struct StreamOptions {
    pub include_usage: Option<bool>,
}

object!(StreamOptions, [], [include_usage]);

impl<'a> Body<'a> {
    /// Reads a body. A refusal names the place of the problem, never the value.
    pub(super) fn parse(json: &'a Json<'_>) -> Result<Self, Failure> {
        let json = json.text();
        serde_json::from_str(json).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let json = json.as_bytes();
            // The message has the place only, because serde's own text repeats the value.
            let (problem, param) = match error.classify() {
                serde_json::error::Category::Data => {
                    let problem = if error.to_string().starts_with(DUPLICATE) {
                        "has a field twice"
                    } else {
                        "has a field that is missing or of the wrong type"
                    };
                    (
                        problem,
                        path::path_at(json, path::offset(json, line, column)),
                    )
                }
                _ => ("is not valid JSON", None),
            };
            Failure::InvalidRequest {
                param,
                message: format!("The request body {problem}, at line {line} column {column}.")
                    .into(),
            }
        })
    }

    /// Reads the value of one field.
    #[inline(never)]
    fn read_field<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "messages" => read(map, &mut self.messages)?,
            "input" => read(map, &mut self.input)?,
            "model" => read(map, &mut self.model)?,
            "instructions" => read(map, &mut self.instructions)?,
            "previous_response_id" => read(map, &mut self.previous_response_id)?,
            "user" => read(map, &mut self.user)?,
            "stream" => read(map, &mut self.stream)?,
            "stream_options" => read(map, &mut self.stream_options)?,
            "background" => read(map, &mut self.background)?,
            "store" => read(map, &mut self.store)?,
            "metadata" => read(map, &mut self.metadata)?,
            "safety_identifier" => read(map, &mut self.safety_identifier)?,
            "prompt_cache_key" => read(map, &mut self.prompt_cache_key)?,
            "client_metadata" => read(map, &mut self.client_metadata)?,
            "n" => read(map, &mut self.n)?,
            "logprobs" => read(map, &mut self.logprobs)?,
            "modalities" => read(map, &mut self.modalities)?,
            "audio" => read(map, &mut self.audio)?,
            "response_format" => read(map, &mut self.response_format)?,
            "text" => read(map, &mut self.text)?,
            STOP => {
                read(map, &mut self.stop)?;
                self.stop.inspect(|_| self.notice(STOP));
            }
            // The old names of both fields are also read.
            TOOLS => self.tools = named(TOOLS, optional(map)?).or(self.tools),
            "functions" => self.tools = named("functions", optional(map)?).or(self.tools),
            TOOL_CHOICE => {
                self.tool_choice = named(TOOL_CHOICE, optional(map)?).or(self.tool_choice);
            }
            "function_call" => {
                self.tool_choice = named("function_call", optional(map)?).or(self.tool_choice);
            }
            name => {
                let known = PARAMETERS.into_iter().find(|known| *known == name);
                match known {
                    Some(known) => {
                        let value: Option<&RawValue> = optional(map)?;
                        self.parameters.extend(value.map(|value| (known, value)));
                        value.inspect(|_| self.notice(known));
                    }
                    None if optional::<IgnoredAny, _>(map)?.is_some() => self.notice(name),
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// Returns the effort that the model should make, unless the agent can call the client's tools.
    pub(super) fn effort(&self) -> Option<Effort> {
        let efforts = self.parameters.iter().filter(|(name, _)| is_effort(name));
        efforts
            .rev()
            .find_map(|(name, value)| Effort::read(name, value))
    }

    /// Returns the parameters that were sent without effect, in alphabetical order.
    pub(super) fn ignored(&self) -> Vec<&'static str> {
        self.noticed()
            .filter(|name| !STORED.contains(name))
            .collect()
    }

    /// Returns a field that was sent and that names something which would have to be stored.
    pub(super) fn stored(&self) -> Option<&'static str> {
        self.noticed().find(|name| STORED.contains(name))
    }

    /// Takes the tools that the agent can call, if `policy` lets it. Tools that are not functions
    /// stay among the parameters without effect.
    pub(super) fn take_tools(
        &mut self,
        policy: ToolPolicy,
    ) -> Result<Option<ClientTools>, Failure> {
        let Some(tools) = self.tools.filter(|_| policy == ToolPolicy::Run) else {
            return Ok(None);
        };
        self.parameters.retain(|(name, _)| !is_effort(name));
        let offer = Offer {
            tools,
            choice: self.tool_choice,
            parameters: &self.parameters,
        };
        let Some((tools, others)) = offer.read()? else {
            return Ok(None);
        };
        if others == 0 {
            self.tools.inspect(|(field, _)| self.forget(field));
        }
        self.tool_choice.inspect(|(field, _)| self.forget(field));
        for (name, _) in mem::take(&mut self.parameters) {
            self.forget(name);
        }
        Ok(Some(tools))
    }

    /// Refuses tools that the agent cannot call: a tool that it must call, and any tool if `policy`
    /// refuses them. One function that must be called is accepted, because its arguments are the
    /// answer.
    pub(super) fn take_call(&mut self, policy: ToolPolicy) -> Result<Option<ForcedCall>, Failure> {
        let call = match (self.tools, self.tool_choice) {
            (Some((TOOLS, tools)), Some((TOOL_CHOICE, choice))) if policy != ToolPolicy::Refuse => {
                ForcedCall::read(tools, choice)?
            }
            _ => None,
        };
        if let Some((call, others)) = call {
            self.forget(TOOL_CHOICE);
            if others == 0 {
                self.forget(TOOLS);
            }
            return Ok(Some(call));
        }
        self.check_tools(policy).map(|()| None)
    }

    fn check_tools(&self, policy: ToolPolicy) -> Result<(), Failure> {
        if let Some((field, choice)) = self.tool_choice {
            let may_be_left = match choice.get() {
                word if word.starts_with('"') => matches!(word, "\"auto\"" | "\"none\""),
                // `allowed_tools` has a mode; in a chat completion it is one level deeper. Every
                // other object names a tool.
                _ => Options::read(choice).is_some_and(|choice| {
                    let allowed = choice
                        .allowed_tools
                        .and_then(Options::read)
                        .unwrap_or_default();
                    choice.mode.or(allowed.mode).as_deref() == Some("auto")
                }),
            };
            if !may_be_left {
                return Err(Failure::invalid(
                    field,
                    "The agent works with tools of its own and cannot call the client's: `auto` \
                     and `none` can be chosen, and one function of `tools` can be forced, whose \
                     arguments are then the answer.",
                ));
            }
        }
        match self.tools {
            Some((field, _)) if policy == ToolPolicy::Refuse => Err(Failure::invalid(
                field,
                "The agent works with tools of its own, and the key lets it call none of the \
                 client's. Fix: send no tools, or the key's operator sets tools=run, or \
                 tools=ignore to leave them out.",
            )),
            _ => Ok(()),
        }
    }

    /// Returns the instruction about the format of the answer. A forced call brings its own.
    /// Records the parts of the format that have no effect.
    pub(super) fn take_instruction(
        &mut self,
        call: Option<&ForcedCall>,
    ) -> Result<Option<String>, Failure> {
        let format = self.take_format()?.instruction;
        match (call, format) {
            (Some(_), Some(_)) => Err(Failure::invalid(
                if self.response_format.is_some() {
                    "response_format"
                } else {
                    "text.format"
                },
                "An answer is either a call of the forced function or in this format.",
            )),
            (Some(call), None) => Ok(Some(call.instruction())),
            (None, format) => Ok(format),
        }
    }

    /// Reads the format of the answer, for either endpoint. Records its parts that have no effect.
    fn take_format(&mut self) -> Result<Format, Failure> {
        let text = match self.text {
            None => Options::default(),
            Some(text) => Options::read(text).ok_or_else(|| {
                Failure::invalid("text", "text is an object with `format` and `verbosity`.")
            })?,
        };
        if text.verbosity.is_some() {
            self.notice(TEXT_VERBOSITY);
        }
        let (format, strict) = match (self.response_format, text.format) {
            (Some(format), _) => (Format::read(format, "response_format")?, FORMAT_STRICT),
            (None, Some(format)) => (Format::read(format, "text.format")?, TEXT_FORMAT_STRICT),
            (None, None) => return Ok(Format::default()),
        };
        if format.is_strict {
            self.notice(strict);
        }
        Ok(format)
    }

    /// Returns the format that a response repeats.
    pub(super) fn text_format(&self) -> Option<&'a RawValue> {
        self.text.and_then(Options::read)?.format
    }

    /// Reads the sequences that end the text of a chat completion.
    pub(super) fn take_stop(&mut self) -> Result<Stop, Failure> {
        self.forget(STOP);
        self.stop.map_or_else(|| Ok(Stop::default()), Stop::read)
    }

    fn notice(&mut self, name: &str) {
        if let Some(index) = NOTICED.iter().position(|known| *known == name) {
            self.noticed |= 1 << index;
        }
    }

    fn forget(&mut self, name: &str) {
        if let Some(index) = NOTICED.iter().position(|known| *known == name) {
            self.noticed &= !(1 << index);
        }
    }

    fn noticed(&self) -> impl Iterator<Item = &'static str> {
        let noticed = self.noticed;
        NOTICED
            .into_iter()
            .enumerate()
            .filter(move |(index, _)| noticed & (1 << index) != 0)
            .map(|(_, name)| name)
    }

    /// Refuses requests that an agent cannot fulfil, instead of doing half of them.
    pub(super) fn check_supported(&self) -> Result<(), Failure> {
        if self.n.is_some_and(|n| !matches!(n.get(), "1" | "1.0")) {
            return Err(Failure::invalid(
                "n",
                "An agent gives one answer; n must be 1.",
            ));
        }
        if self.logprobs == Some(true) {
            return Err(Failure::invalid(
                "logprobs",
                "An agent's answer has no log probabilities.",
            ));
        }
        if self.audio.is_some()
            || self
                .modalities
                .iter()
                .flatten()
                .any(|modality| modality != "text")
        {
            return Err(Failure::invalid(
                "modalities",
                "An agent answers in text only.",
            ));
        }
        Ok(())
    }
}

// Written by hand. Derived code has a place for each field, although most fields are only noticed.
impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BodyVisitor;

        impl<'de> Visitor<'de> for BodyVisitor {
            type Value = Body<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut body = Body::default();
                let mut seen = 0_u64;
                while let Some(Name(name)) = map.next_key()? {
                    if let Some((index, name)) = known(&name) {
                        if seen & (1 << index) != 0 {
                            return Err(serde::de::Error::duplicate_field(name));
                        }
                        seen |= 1 << index;
                    }
                    body.read_field(&name, &mut map)?;
                }
                // An empty list offers nothing.
                body.tools = body.tools.filter(|(_, tools)| !is_empty_list(tools.get()));
                for (name, _) in [body.tools, body.tool_choice].into_iter().flatten() {
                    body.notice(name);
                }
                Ok(body)
            }
        }

        deserializer.deserialize_map(BodyVisitor)
    }
}

/// Finds a field that is read or noticed, with its number, which is below 64.
fn known(name: &str) -> Option<(usize, &'static str)> {
    READ.into_iter()
        .chain(NOTICED)
        .enumerate()
        .find(|(_, known)| *known == name)
}

fn named<'a>(
    name: &'static str,
    value: Option<&'a RawValue>,
) -> Option<(&'static str, &'a RawValue)> {
    Some((name, value?))
}

fn is_empty_list(json: &str) -> bool {
    json.strip_prefix('[')
        .is_some_and(|rest| rest.trim_start() == "]")
}

/// The name of a field. It is borrowed if it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn read<'de, T: Value<'de>, A: MapAccess<'de>>(map: &mut A, value: &mut T) -> Result<(), A::Error> {
    map.next_value_seed(value.place())
}

fn optional<'de, T: Value<'de>, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    let mut value = None;
    read(map, &mut value)?;
    Ok(value)
}

#[cfg(test)]
mod tests;
