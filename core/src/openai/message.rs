//! The messages of a request and their contents: the shapes, without their effects.
//!
//! Source: OpenAI's API reference, and what clients send (`content: null`, bare image URLs, unknown
//! fields).

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use super::blank::trim;

use crate::parse::{self, Either, Insert, Object, Place, Value, object};

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

/// One message of any role, or one item of `input`.
#[derive(Debug, Default)]
pub(crate) struct Message<'a> {
    pub role: Cow<'a, str>,
    pub content: Content<'a>,
    pub name: Option<Cow<'a, str>>,
    pub tool_call_id: Option<Cow<'a, str>>,
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
    /// The only call of an assistant's message, from before `tool_calls` existed.
    pub function_call: Option<FunctionCall<'a>>,

    // The fields of an item.
    pub kind: Option<Cow<'a, str>>,
    pub id: Option<Cow<'a, str>>,
    pub call_id: Option<Cow<'a, str>>,
    /// The namespace of a call's function.
    pub namespace: Option<Cow<'a, str>>,
    pub arguments: Option<&'a RawValue>,
    /// The arguments of a call that has no `arguments`.
    pub input: Option<&'a RawValue>,
    pub action: Option<&'a RawValue>,
    pub operation: Option<&'a RawValue>,
    pub code: Option<&'a RawValue>,
    /// A text, parts, or one part.
    pub output: Option<&'a RawValue>,
}

object!(
    Message<'_>,
    [],
    [
        role,
        content,
        name,
        tool_call_id,
        tool_calls,
        function_call,
        kind: "type",
        id,
        call_id,
        namespace,
        arguments,
        input,
        action,
        operation,
        code,
        output,
    ]
);

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

#[derive(Debug, Default)]
pub(crate) struct Part<'a> {
    pub kind: Cow<'a, str>,
    pub text: Option<Cow<'a, str>>,
    pub refusal: Option<Cow<'a, str>>,
    pub image_url: Option<ImageUrl<'a>>,
    /// The file of a chat completion, which has the next two members.
    pub file: Option<Box<Self>>,
    pub filename: Option<Cow<'a, str>>,
    pub file_data: Option<Cow<'a, str>>,
    /// The output of a shell, which has no `type`.
    pub stdout: Option<Cow<'a, str>>,
    pub stderr: Option<Cow<'a, str>>,
}

object!(
    Part<'_>,
    [],
    [kind: "type", text, refusal, image_url, file, filename, file_data, stdout, stderr]
);

/// `image_url`: an object with a `url`, or the bare URL.
#[derive(Debug)]
pub(crate) struct ImageUrl<'a>(UrlObject<'a>);

#[derive(Debug, Default)]
struct UrlObject<'a> {
    url: Cow<'a, str>,
}

object!(UrlObject<'_>, [url], []);

impl ImageUrl<'_> {
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }
}

#[derive(Debug, Default)]
pub(crate) struct ToolCall<'a> {
    pub id: Option<Cow<'a, str>>,
    pub function: Option<FunctionCall<'a>>,
    /// A call of a tool whose input is a text of any form.
    pub custom: Option<FunctionCall<'a>>,
    /// The result of the call, if its item has both.
    pub output: Content<'a>,
}

object!(ToolCall<'_>, [], [id, function, custom]);

#[derive(Debug, Default)]
pub(crate) struct FunctionCall<'a> {
    pub name: Option<Cow<'a, str>>,
    /// A text that holds JSON. Some clients send the JSON itself.
    pub arguments: Option<&'a RawValue>,
    /// The input of a custom tool.
    pub input: Option<&'a RawValue>,
}

object!(FunctionCall<'_>, [], [name, arguments, input]);

/// Returns the text of a value, or its JSON if it is not a text.
pub(crate) fn text_or_json(value: &RawValue) -> Cow<'_, str> {
    match parse::from_str(value.get()) {
        Ok(text) => text,
        Err(_) => Cow::Borrowed(value.get()),
    }
}

/// A text, or a list.
#[derive(Debug)]
pub(crate) enum OneOrMany<'a, T> {
    One(Cow<'a, str>),
    Many(Vec<T>),
}

impl<'de> Value<'de> for Content<'de> {
    fn blank() -> Self {
        Self::None
    }

    fn place(&mut self) -> Place<'_, 'de> {
        Place::Either(self)
    }
}

impl<'de> Either<'de> for Content<'de> {
    fn set_text(&mut self, text: Cow<'de, str>) {
        *self = Self::Text(text);
    }

    fn list(&mut self) -> Option<&mut dyn Insert<'de>> {
        *self = Self::Parts(Vec::new());
        match self {
            Self::Parts(parts) => Some(parts),
            _ => None,
        }
    }
}

impl<'de, T: Value<'de>> Value<'de> for OneOrMany<'de, T> {
    fn blank() -> Self {
        Self::Many(Vec::new())
    }

    fn place(&mut self) -> Place<'_, 'de> {
        Place::Either(self)
    }
}

impl<'de, T: Value<'de>> Either<'de> for OneOrMany<'de, T> {
    fn set_text(&mut self, text: Cow<'de, str>) {
        *self = Self::One(text);
    }

    fn list(&mut self) -> Option<&mut dyn Insert<'de>> {
        match self {
            Self::One(_) => None,
            Self::Many(list) => Some(list),
        }
    }
}

impl<'de> Value<'de> for ImageUrl<'de> {
    fn blank() -> Self {
        Self(UrlObject::blank())
    }

    fn place(&mut self) -> Place<'_, 'de> {
        Place::Either(self)
    }
}

impl<'de> Either<'de> for ImageUrl<'de> {
    fn set_text(&mut self, text: Cow<'de, str>) {
        self.0.url = text;
    }

    fn object(&mut self) -> Option<&mut dyn Object<'de>> {
        Some(&mut self.0)
    }
}
