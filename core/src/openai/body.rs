//! The body of a chat completion request: its shapes, and nothing of what they ask for.
//!
//! Source: OpenAI's API reference, and what clients send (`content: null`, bare image URLs, unknown fields).

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use serde_json::value::RawValue;

use super::depth;
use super::format::{Format, Options};
use crate::error::Failure;
use crate::key::ToolPolicy;

/// The fields that are read, of either endpoint; every other one is ignored.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    pub messages: Vec<Message<'a>>,
    /// Of a response.
    pub input: Option<OneOrMany<'a, Message<'a>>>,
    pub model: Option<Cow<'a, str>>,
    pub instructions: Option<Cow<'a, str>>,
    pub previous_response_id: Option<Cow<'a, str>>,
    pub user: Option<Cow<'a, str>>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    /// `tools` or `functions`, `tool_choice` or `function_call`, each with its name.
    tools: Option<(&'static str, &'a RawValue)>,
    tool_choice: Option<(&'static str, &'a RawValue)>,
    response_format: Option<&'a RawValue>,
    /// Of a response.
    text: Option<&'a RawValue>,
    /// Those of [`NOTICED`] that were sent, a bit each.
    noticed: u32,
    pub background: Option<bool>,
    n: Option<f64>,
    logprobs: Option<bool>,
    modalities: Option<Vec<Cow<'a, str>>>,
    audio: Option<IgnoredAny>,
}

/// Names something that would be stored.
const STORED: [&str; 2] = ["conversation", "prompt"];

const FORMAT_STRICT: &str = "response_format.json_schema.strict";
const TEXT_FORMAT_STRICT: &str = "text.format.strict";
const TEXT_VERBOSITY: &str = "text.verbosity";

/// Accepted, and of no effect: the agent API has no place for them. In alphabetical order, behind [`STORED`].
const NOTICED: [&str; 25] = [
    STORED[0],
    STORED[1],
    "frequency_penalty",
    "function_call",
    "functions",
    "include",
    "logit_bias",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tool_calls",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning",
    "reasoning_effort",
    FORMAT_STRICT,
    "seed",
    "stop",
    "temperature",
    TEXT_FORMAT_STRICT,
    TEXT_VERBOSITY,
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
];

#[derive(Debug, Deserialize)]
pub(super) struct StreamOptions {
    pub include_usage: Option<bool>,
}

impl<'a> Body<'a> {
    /// Reads a body; one that cannot be read is refused with the place, and never with the value.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Failure> {
        if depth::is_too_deep(body) {
            return Err(Failure::Invalid {
                param: None,
                message: format!("The request body nests deeper than {} levels.", depth::MAX_JSON_DEPTH).into(),
            });
        }
        serde_json::from_slice(body).map_err(|error| Failure::Invalid {
            // Where, not what: serde's own words repeat the value.
            param: None,
            message: format!(
                "The request body {}, at line {} column {}.",
                match error.classify() {
                    serde_json::error::Category::Data => "has a field that is missing or of the wrong type",
                    _ => "is not valid JSON",
                },
                error.line(),
                error.column()
            )
            .into(),
        })
    }

    /// Parameters that were sent and that have no effect, in alphabetical order.
    pub(super) fn ignored(&self) -> Vec<&'static str> {
        self.noticed().filter(|name| !STORED.contains(name)).collect()
    }

    /// A field that was sent and that names something which would have to be stored.
    pub(super) fn stored(&self) -> Option<&'static str> {
        self.noticed().find(|name| STORED.contains(name))
    }

    /// Refuses a call that the agent cannot make: of a tool that it must call, or, where `policy` says so, of any.
    pub(super) fn check_tools(&self, policy: ToolPolicy) -> Result<(), Failure> {
        if let Some((field, choice)) = self.tool_choice {
            let demands = match choice.get() {
                word if word.starts_with('"') => word == "\"required\"",
                // `allowed_tools` has a mode; everything else names a tool.
                _ => Options::read(choice).is_none_or(|choice| choice.mode.as_deref() != Some("auto")),
            };
            if demands {
                return Err(Failure::invalid(
                    field,
                    "The agent works with tools of its own and cannot be made to call the client's: auto and none can be chosen.",
                ));
            }
        }
        match self.tools {
            Some((field, _)) if policy == ToolPolicy::Refuse => Err(Failure::invalid(
                field,
                "The agent works with tools of its own and cannot call the client's. Send none; or the key's owner has them ignored (tools=ignore).",
            )),
            _ => Ok(()),
        }
    }

    /// The form that the answer should have, of either endpoint; what of it has no effect is noticed.
    pub(super) fn take_format(&mut self) -> Result<Format, Failure> {
        let text = self.text.and_then(Options::read).unwrap_or_default();
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

    fn notice(&mut self, name: &str) {
        if let Some(index) = NOTICED.iter().position(|known| *known == name) {
            self.noticed |= 1 << index;
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

    /// Refuses what an agent cannot do, rather than to do half of it.
    pub(super) fn refuse_what_cannot_be_done(&self) -> Result<(), Failure> {
        if self.n.is_some_and(|n| n > 1.0) {
            return Err(Failure::invalid("n", "An agent gives one answer; n must be 1."));
        }
        if self.logprobs == Some(true) {
            return Err(Failure::invalid(
                "logprobs",
                "An agent's answer has no log probabilities.",
            ));
        }
        if self.audio.is_some() || self.modalities.iter().flatten().any(|modality| modality != "text") {
            return Err(Failure::invalid("modalities", "An agent answers in text only."));
        }
        Ok(())
    }
}

// By hand: most fields are only noticed, and derived code has a place for each.
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
                while let Some(Text(name)) = map.next_key()? {
                    match &*name {
                        "messages" => body.messages = map.next_value()?,
                        "input" => body.input = map.next_value()?,
                        "model" => body.model = text(&mut map)?,
                        "instructions" => body.instructions = text(&mut map)?,
                        "previous_response_id" => body.previous_response_id = text(&mut map)?,
                        "user" => body.user = text(&mut map)?,
                        "stream" => body.stream = map.next_value()?,
                        "stream_options" => body.stream_options = map.next_value()?,
                        "background" => body.background = map.next_value()?,
                        "n" => body.n = map.next_value()?,
                        "logprobs" => body.logprobs = map.next_value()?,
                        "modalities" => body.modalities = map.next_value()?,
                        "audio" => body.audio = map.next_value()?,
                        "response_format" => body.response_format = map.next_value()?,
                        "text" => body.text = map.next_value()?,
                        // Old names, too.
                        "tools" => body.tools = named("tools", map.next_value()?),
                        "functions" => body.tools = named("functions", map.next_value()?),
                        "tool_choice" => body.tool_choice = named("tool_choice", map.next_value()?),
                        "function_call" => body.tool_choice = named("function_call", map.next_value()?),
                        name => {
                            if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                                body.notice(name);
                            }
                        }
                    }
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

fn named<'a>(name: &'static str, value: Option<&'a RawValue>) -> Option<(&'static str, &'a RawValue)> {
    Some((name, value?))
}

fn is_empty_list(json: &str) -> bool {
    json.strip_prefix('[').is_some_and(|rest| rest.trim_start() == "]")
}

/// A text of the body, borrowed where it has no escapes.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(map.next_value::<Option<Text<'de>>>()?.map(|Text(text)| text))
}

/// One message of any role, or one item of `input`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub role: Cow<'a, str>,
    #[serde(borrow, default)]
    pub content: Content<'a>,
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub tool_call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,

    // Of an item.
    #[serde(rename = "type", borrow)]
    pub kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub arguments: Option<Cow<'a, str>>,
    /// Of a custom tool's call: its `arguments`.
    #[serde(borrow)]
    pub input: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub output: Content<'a>,
}

/// A message's content: absent or `null`, a text, or parts.
#[derive(Debug, Default)]
pub(super) enum Content<'a> {
    #[default]
    None,
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

impl Content<'_> {
    /// The text of a content that is one text, however it is written.
    pub(super) fn only_text(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Text(text) => Some(text),
            Self::Parts(parts) => match parts.as_slice() {
                [part] => part.text.as_deref(),
                _ => None,
            },
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Part<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub refusal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub image_url: Option<ImageUrl<'a>>,
}

/// `image_url`: an object with a `url`, or the bare URL.
#[derive(Debug)]
pub(super) struct ImageUrl<'a>(Cow<'a, str>);

impl ImageUrl<'_> {
    pub(super) fn url(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ToolCall<'a> {
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub function: Option<FunctionCall<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FunctionCall<'a> {
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub arguments: Option<Cow<'a, str>>,
}

/// A text, or a list.
#[derive(Debug)]
pub(super) enum OneOrMany<'a, T> {
    One(Cow<'a, str>),
    Many(Vec<T>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let content = Option::<OneOrMany<'a, Part<'a>>>::deserialize(deserializer)?;
        Ok(match content {
            None => Self::None,
            Some(OneOrMany::One(text)) => Self::Text(text),
            Some(OneOrMany::Many(parts)) => Self::Parts(parts),
        })
    }
}

// By hand: serde's untagged enums copy what they look at, and a content may be megabytes of base64.
impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
            type Value = OneOrMany<'de, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(OneOrMany::One(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OneOrMany::One(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let mut read = Vec::new();
                while let Some(part) = parts.next_element()? {
                    read.push(part);
                }
                Ok(OneOrMany::Many(read))
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ImageUrl<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlVisitor;

        impl<'de> Visitor<'de> for UrlVisitor {
            type Value = ImageUrl<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or an object with one")
            }

            fn visit_borrowed_str<E>(self, url: &'de str) -> Result<Self::Value, E> {
                Ok(ImageUrl(Cow::Borrowed(url)))
            }

            fn visit_str<E>(self, url: &str) -> Result<Self::Value, E> {
                Ok(ImageUrl(Cow::Owned(url.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                struct Object<'a> {
                    #[serde(borrow)]
                    url: Cow<'a, str>,
                }
                let object = Object::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(ImageUrl(object.url))
            }
        }

        deserializer.deserialize_any(UrlVisitor)
    }
}
