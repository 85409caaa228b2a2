//! The messages of a request and their contents: the shapes, without their effects.
//!
//! Source: OpenAI's API reference, and what clients send (`content: null`, bare image URLs, unknown
//! fields).

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::blank::trim;

use crate::parse;

/// The field of a body that holds its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The field of a chat completion.
    Messages,
    /// The field of a response.
    Input,
}

impl Field {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Input => "input",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text of the body. It is borrowed if it has no escapes.
#[derive(Debug, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// One message of any role, or one item of `input`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Message<'a> {
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
    /// The only call of an assistant's message, from before `tool_calls` existed.
    #[serde(borrow)]
    pub function_call: Option<FunctionCall<'a>>,

    // The fields of an item.
    #[serde(rename = "type", borrow)]
    pub kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
    /// The arguments of a call that has no `arguments`.
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub action: Option<&'a RawValue>,
    #[serde(borrow)]
    pub operation: Option<&'a RawValue>,
    #[serde(borrow)]
    pub code: Option<&'a RawValue>,
    /// A text, parts, or one part.
    #[serde(borrow)]
    pub output: Option<&'a RawValue>,
}

impl Message<'_> {
    /// Returns true for an item whose content is its `output`.
    pub(crate) fn is_output(&self) -> bool {
        self.kind
            .as_deref()
            .is_some_and(|kind| kind.ends_with("_output"))
    }

    /// Returns true for a message of the system or the developer.
    pub(crate) fn is_instruction(&self) -> bool {
        matches!(&*self.role, "system" | "developer")
    }
}

/// A message's content: absent or `null`, a text, or parts.
#[derive(Debug, Default)]
pub(crate) enum Content<'a> {
    #[default]
    None,
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

impl<'a> Content<'a> {
    /// Reads a content from the `output` of an item.
    pub(crate) fn of_output(output: &'a RawValue) -> serde_json::Result<Self> {
        let json = output.get();
        if json.starts_with('{') {
            return Ok(Self::Parts(vec![parse::from_str(json)?]));
        }
        parse::from_str(json)
    }

    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::None => true,
            Self::Text(text) => trim(text).is_empty(),
            Self::Parts(parts) => parts.is_empty(),
        }
    }

    pub(crate) fn parts(&self) -> &[Part<'a>] {
        match self {
            Self::Parts(parts) => parts,
            _ => &[],
        }
    }

    /// Returns the text of a content that is a single text, in either notation.
    pub(crate) fn only_text(&self) -> Option<&str> {
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
pub(crate) struct Part<'a> {
    #[serde(rename = "type", borrow, default)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub refusal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub image_url: Option<ImageUrl<'a>>,
    /// The output of a shell, which has no `type`.
    #[serde(borrow)]
    pub stdout: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub stderr: Option<Cow<'a, str>>,
}

/// `image_url`: an object with a `url`, or the bare URL.
#[derive(Debug)]
pub(crate) struct ImageUrl<'a>(Cow<'a, str>);

impl ImageUrl<'_> {
    pub(crate) fn url(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ToolCall<'a> {
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub function: Option<FunctionCall<'a>>,
    /// A call of a tool whose input is a text of any form.
    #[serde(borrow)]
    pub custom: Option<FunctionCall<'a>>,
    /// The result of the call, if its item has both.
    #[serde(skip)]
    pub output: Content<'a>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct FunctionCall<'a> {
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    /// A text that holds JSON. Some clients send the JSON itself.
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
    /// The input of a custom tool.
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
}

/// Returns the text of a value, or its JSON if it is not a text.
pub(crate) fn text_or_json(value: &RawValue) -> Cow<'_, str> {
    match parse::from_str(value.get()) {
        Ok(Text(text)) => text,
        Err(_) => Cow::Borrowed(value.get()),
    }
}

/// A text, or a list.
#[derive(Debug)]
pub(crate) enum OneOrMany<'a, T> {
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

// Written by hand, because serde's untagged enums copy their input, and a content may be megabytes
// of base64.
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
                let object =
                    Object::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(ImageUrl(object.url))
            }
        }

        deserializer.deserialize_any(UrlVisitor)
    }
}
