//! The body of a chat completion request: its shapes, and nothing of what they ask for.
//!
//! Source: OpenAI's API reference, and what clients send (`content: null`, bare image URLs, unknown fields).

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::depth;
use crate::error::Failure;

/// The fields that are read; every other one is ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Body<'a> {
    #[serde(borrow)]
    pub messages: Vec<Message<'a>>,
    #[serde(borrow)]
    pub model: Option<Cow<'a, str>>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    pub user: Option<Cow<'a, str>>,
    n: Option<f64>,
    logprobs: Option<bool>,
    #[serde(borrow)]
    modalities: Option<Vec<Cow<'a, str>>>,
    audio: Option<IgnoredAny>,

    // Accepted, and of no effect: the agent API has no place for them.
    frequency_penalty: Option<IgnoredAny>,
    function_call: Option<IgnoredAny>,
    functions: Option<IgnoredAny>,
    logit_bias: Option<IgnoredAny>,
    max_completion_tokens: Option<IgnoredAny>,
    max_tokens: Option<IgnoredAny>,
    parallel_tool_calls: Option<IgnoredAny>,
    presence_penalty: Option<IgnoredAny>,
    reasoning_effort: Option<IgnoredAny>,
    response_format: Option<IgnoredAny>,
    seed: Option<IgnoredAny>,
    stop: Option<IgnoredAny>,
    temperature: Option<IgnoredAny>,
    tool_choice: Option<IgnoredAny>,
    tools: Option<IgnoredAny>,
    top_logprobs: Option<IgnoredAny>,
    top_p: Option<IgnoredAny>,
}

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
            message: match error.classify() {
                serde_json::error::Category::Data => Cow::Owned(format!(
                    "The request body has a field that is missing or of the wrong type, at line {} column {}.",
                    error.line(),
                    error.column()
                )),
                _ => Cow::Owned(format!(
                    "The request body is not valid JSON, at line {} column {}.",
                    error.line(),
                    error.column()
                )),
            },
        })
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

    /// Parameters that were sent and that have no effect, in alphabetical order.
    pub(super) fn ignored(&self) -> Vec<&'static str> {
        [
            ("frequency_penalty", &self.frequency_penalty),
            ("function_call", &self.function_call),
            ("functions", &self.functions),
            ("logit_bias", &self.logit_bias),
            ("max_completion_tokens", &self.max_completion_tokens),
            ("max_tokens", &self.max_tokens),
            ("parallel_tool_calls", &self.parallel_tool_calls),
            ("presence_penalty", &self.presence_penalty),
            ("reasoning_effort", &self.reasoning_effort),
            ("response_format", &self.response_format),
            ("seed", &self.seed),
            ("stop", &self.stop),
            ("temperature", &self.temperature),
            ("tool_choice", &self.tool_choice),
            ("tools", &self.tools),
            ("top_logprobs", &self.top_logprobs),
            ("top_p", &self.top_p),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|_| name))
        .collect()
    }
}

/// One message, of any role.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub role: Cow<'a, str>,
    #[serde(borrow, default)]
    pub content: Content<'a>,
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub tool_call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
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

// By hand: serde's untagged enums copy what they look at, and a content may be megabytes of base64.
impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;

        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an array of parts, or null")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Content::None)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let mut read = Vec::new();
                while let Some(part) = parts.next_element()? {
                    read.push(part);
                }
                Ok(Content::Parts(read))
            }
        }

        deserializer.deserialize_any(ContentVisitor)
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
