//! Writes the calls of tools in the history as text for the agent.

use super::super::message::{Field, FunctionCall, Message, text_or_json};
use super::content::Contents;
use super::marker;
use crate::failure::Failure;

/// Writes the calls of an assistant's message, with all that is known of each.
pub(crate) fn calls(
    field: Field,
    index: usize,
    message: &Message<'_>,
    contents: &mut Contents,
) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for (number, call) in message.tool_calls.iter().flatten().enumerate() {
        let place = |name: &str| match field {
            Field::Input => format!(
                "input[{index}].{}",
                if name == "id" { "call_id" } else { "name" }
            ),
            Field::Messages => format!("{field}[{index}].tool_calls[{number}].{name}"),
        };
        let id = marker::one_line(call.id.as_deref(), || place("id"))?;
        let (kind, function) = match (&call.function, &call.custom) {
            (Some(function), _) => ("function.name", Some(function)),
            (None, custom) => ("custom.name", custom.as_ref()),
        };
        let mut line = tool_call(id, function, || place(kind))?;
        let output = contents.read_content(index, message, &call.output)?;
        if !output.is_empty() {
            line.push_str(" output=");
            line.push_str(&output);
        }
        lines.push(line);
    }
    if let Some(function) = &message.function_call {
        lines.push(tool_call("", Some(function), || {
            format!("{field}[{index}].function_call.name")
        })?);
    }
    Ok(lines)
}

fn tool_call(
    id: &str,
    function: Option<&FunctionCall<'_>>,
    param: impl Fn() -> String,
) -> Result<String, Failure> {
    let mut line = "tool_call".to_owned();
    let name = marker::one_line(
        function.and_then(|function| function.name.as_deref()),
        param,
    )?;
    for (key, value) in [(" id=", id), (" name=", name)] {
        if !value.is_empty() {
            line.push_str(key);
            line.push_str(value);
        }
    }
    line.push_str(" arguments=");
    if let Some(arguments) = function.and_then(|function| function.arguments.or(function.input)) {
        line.push_str(&text_or_json(arguments));
    }
    Ok(line)
}
