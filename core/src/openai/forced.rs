//! A function that must be called: instructor, pydantic-ai and others ask for structured answers
//! with one.
//!
//! An agent cannot call a client's function. If there is exactly one function, only its arguments
//! are open. The agent returns them as its answer, and the client receives them as the call. They
//! are checked first (`schema`), because arguments that do not fit the parameters are not a call.

use serde_json::value::RawValue;

use super::format::{MAX_FORMAT_BYTES, ONLY_JSON, Options};
use super::json::schema;
use super::tools::{MAX_NAME_BYTES, NO_PARAMETERS};
use crate::failure::Failure;
use crate::parse;

/// The number of places in an answer that are tried as the beginning of its JSON.
const MAX_BEGINNINGS: usize = 64;

/// A call that the client receives, with the answer that has arrived so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedCall {
    name: String,
    description: String,
    parameters: Box<str>,
    answer: String,
}

impl ForcedCall {
    /// Finds the function that a `tool_choice` forces, and the number of the other tools. `None`:
    /// no function is forced, or several are left to choose from.
    pub(super) fn read(
        tools: &RawValue,
        choice: &RawValue,
    ) -> Result<Option<(Self, usize)>, Failure> {
        let Ok(tools) = parse::from_str::<Vec<&RawValue>>(tools.get()) else {
            return Ok(None);
        };
        let others = tools.len().saturating_sub(1);
        let forced = if choice.get() == "\"required\"" {
            let [tool] = tools.as_slice() else {
                return Ok(None);
            };
            Function::read(tool)
        } else {
            let Some(chosen) = Function::read(choice) else {
                return Ok(None);
            };
            tools
                .iter()
                .filter_map(|tool| Function::read(tool))
                .find(|function| function.name == chosen.name)
        };
        let Some(Function {
            name,
            description,
            parameters,
        }) = forced
        else {
            return Ok(None);
        };
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
            return Err(Failure::invalid(
                "tools",
                "The name of a function is 1 to 64 letters, digits, _ and -.",
            ));
        }
        let parameters = parameters.map_or(NO_PARAMETERS, RawValue::get);
        if !parameters.starts_with('{')
            || parameters.len().saturating_add(description.len()) > MAX_FORMAT_BYTES
        {
            return Err(Failure::invalid(
                "tools",
                "The parameters of a function are a JSON Schema, an object; with its description \
                 they have at most 65536 bytes.",
            ));
        }
        let call = Self {
            name,
            description,
            parameters: parameters.into(),
            answer: String::new(),
        };
        Ok(Some((call, others)))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the instruction for the agent.
    pub(super) fn instruction(&self) -> String {
        let Self {
            name,
            description,
            parameters,
            ..
        } = self;
        let about = if description.is_empty() { "" } else { ": " };
        format!(
            "{ONLY_JSON} It is an object: the arguments for the client's function \
             {name}{about}{description}\nThe client calls the function with them. It is valid \
             against this JSON Schema:\n{parameters}"
        )
    }

    /// Appends the next piece of the answer.
    pub(super) fn push(&mut self, text: &str) {
        self.answer.push_str(text);
    }

    /// Reduces the complete answer to its arguments, as the agent wrote them.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let no = |problem: String| Failure::AnswerInvalid {
            problem: problem.into_boxed_str(),
        };
        let arguments = object_at_the_end(&self.answer)
            .ok_or_else(|| no("it does not end in one whole JSON object".to_owned()))?;
        let schema: Result<&RawValue, _> = parse::from_str(&self.parameters);
        if let Ok(schema) = schema {
            schema::check(schema, arguments).map_err(|mismatch| {
                let place = if mismatch.place.is_empty() {
                    "the object"
                } else {
                    &mismatch.place
                };
                no(format!("{place} {}", mismatch.problem))
            })?;
        }
        self.answer = arguments.get().to_owned();
        Ok(())
    }

    /// Returns the arguments of a settled call.
    pub(super) fn arguments(&self) -> &str {
        &self.answer
    }
}

/// A tool or the choice of a tool: `{"type":"function","function":{"name":…}}` in a chat
/// completion, `{"type":"function","name":…}` in a response.
struct Function<'a> {
    name: String,
    description: String,
    parameters: Option<&'a RawValue>,
}

impl<'a> Function<'a> {
    fn read(tool: &'a RawValue) -> Option<Self> {
        let tool = Options::read(tool).filter(|tool| tool.kind.as_deref() == Some("function"))?;
        let inner = tool.function.and_then(Options::read).unwrap_or(tool);
        Some(Self {
            name: inner.name?.into_owned(),
            description: inner.description.unwrap_or_default().into_owned(),
            parameters: inner
                .parameters
                .filter(|parameters| parameters.get() != "null"),
        })
    }
}

/// Finds the JSON object at the end of an answer. The text of earlier steps may stand in front of
/// it, and the object begins a line. A code fence around it is left out. If the object is cut off,
/// an object within it is not the answer.
fn object_at_the_end(answer: &str) -> Option<&RawValue> {
    let answer = answer.trim_end();
    let answer = answer.strip_suffix("```").unwrap_or(answer).trim_end();
    if !answer.ends_with('}') {
        return None;
    }
    let mut start = 0_usize;
    let beginnings = answer.split_inclusive('\n').filter_map(|line| {
        let blanks = line.len().saturating_sub(line.trim_start().len());
        let at = start.saturating_add(blanks);
        start = start.saturating_add(line.len());
        line.trim_start().starts_with('{').then_some(at)
    });
    for at in beginnings.take(MAX_BEGINNINGS) {
        match parse::from_str(answer.get(at..)?) {
            Ok(object) => return Some(object),
            Err(error) if error.is_eof() => return None,
            Err(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
