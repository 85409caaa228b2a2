//! The functions of a request, and the calls of them.
//!
//! Source: openclaw 2026.9.6, measured.

use serde_json::Value;

use crate::script::over_http::{Arguments, NamedCall, OverHttp};
use crate::{clock, json_answer};

/// Names that the gateway refuses where its own tools are in a directory
/// (`toolSearch.mode: "directory"`), in lower case.
const RESERVED: [&str; 36] = [
    "agents_list",
    "apply_patch",
    "ask_user",
    "bash",
    "browser",
    "canvas",
    "create_goal",
    "edit",
    "exec",
    "find",
    "get_goal",
    "grep",
    "ls",
    "memory_get",
    "memory_search",
    "message",
    "process",
    "read",
    "secrets",
    "session_status",
    "sessions_history",
    "sessions_list",
    "sessions_send",
    "sessions_spawn",
    "sessions_yield",
    "subagents",
    "terminal",
    "tool_call",
    "tool_describe",
    "tool_search",
    "tts",
    "update_goal",
    "view_image",
    "web_fetch",
    "web_search",
    "write",
];

/// UTF-16 units of the arguments in one chunk.
const SLICE_UNITS: usize = 256;

/// Digits of a call's id.
const ID_DIGITS: usize = 9;

/// A function of the request.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    pub(super) name: String,
    parameters: Value,
}

/// `tool_choice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    Auto,
    None,
    Required,
    Named(String),
}

/// A call of the model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// The arguments, a piece for each chunk.
    pub(super) arguments: Vec<String>,
}

/// Parses `tools`; an error is the gateway's message.
pub(super) fn parse(tools: &Value) -> Result<Vec<Tool>, String> {
    if tools.is_null() {
        return Ok(Vec::new());
    }
    let Value::Array(tools) = tools else {
        return Err("tools must be an array".to_owned());
    };
    tools
        .iter()
        .map(|tool| parse_tool(tool).map_err(str::to_owned))
        .collect()
}

fn parse_tool(tool: &Value) -> Result<Tool, &'static str> {
    if !tool.is_object() {
        return Err("each tool must be an object");
    }
    if tool["type"] != "function" {
        return Err("only function tools are supported");
    }
    let function = &tool["function"];
    if !function.is_object() {
        return Err("tool.function is required");
    }
    match function["name"].as_str().map(str::trim) {
        None | Some("") => Err("tool.function.name is required"),
        Some(name) => Ok(Tool {
            name: name.to_owned(),
            parameters: function["parameters"].clone(),
        }),
    }
}

/// Returns whether the gateway refuses these names: one is its own, or two are alike.
pub(super) fn conflict(tools: &[Tool]) -> bool {
    let names: Vec<_> = tools.iter().map(|tool| tool.name.to_lowercase()).collect();
    let is_repeated =
        |(at, name): (usize, &String)| names.iter().skip(at.saturating_add(1)).any(|n| n == name);
    names.iter().any(|name| RESERVED.contains(&name.as_str()))
        || names.iter().enumerate().any(is_repeated)
}

impl Choice {
    /// Parses `tool_choice`; an error is the gateway's message.
    pub(super) fn parse(choice: &Value) -> Result<Self, String> {
        match choice {
            Value::Null => return Ok(Self::Auto),
            Value::String(choice) => match choice.as_str() {
                "auto" => return Ok(Self::Auto),
                "none" => return Ok(Self::None),
                "required" => return Ok(Self::Required),
                _ => {}
            },
            Value::Object(_) => {
                let kind = choice["type"]
                    .as_str()
                    .ok_or("unsupported tool_choice type")?;
                if kind != "function" {
                    return Err(format!("tool_choice {kind} is not supported"));
                }
                let name = choice.pointer("/function/name");
                return match name.and_then(Value::as_str).map(str::trim) {
                    None | Some("") => Err("tool_choice.function.name is required".to_owned()),
                    Some(name) => Ok(Self::Named(name.to_owned())),
                };
            }
            _ => {}
        }
        Err("tool_choice must be a string or object".to_owned())
    }

    /// Returns the functions that the model may call.
    pub(super) fn apply(&self, tools: Vec<Tool>) -> Result<Vec<Tool>, String> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Required if tools.is_empty() => {
                Err("tool_choice=required but no tools were provided".to_owned())
            }
            Self::Auto | Self::Required => Ok(tools),
            Self::Named(name) => {
                let named: Vec<_> = tools
                    .into_iter()
                    .filter(|tool| tool.name == *name)
                    .collect();
                if named.is_empty() {
                    return Err(format!("tool_choice requested unknown tool: {name}"));
                }
                Ok(named)
            }
        }
    }

    /// Returns whether the model has to call a function.
    pub(super) fn is_forced(&self) -> bool {
        matches!(self, Self::Required | Self::Named(_))
    }

    /// Returns the error of a run that ended without the call that it has to make.
    pub(super) fn violation(&self, calls: &[Call]) -> Option<String> {
        match self {
            Self::Auto | Self::None => None,
            Self::Required => calls
                .is_empty()
                .then(|| "tool_choice=required was not satisfied by the agent response".to_owned()),
            Self::Named(name) => (!calls.iter().any(|call| call.name == *name)).then(|| {
                format!(
                    "tool_choice required a {name} tool call, but the agent did not produce one"
                )
            }),
        }
    }
}

/// Returns the calls of a script. Without names, they are the request's functions in turn.
pub(super) fn calls(script: &OverHttp, tools: &[Tool]) -> Vec<Call> {
    let of_name = |named: &NamedCall| {
        let tool = tools
            .iter()
            .find(|tool| tool.name == named.name)
            .or_else(|| tools.iter().find(|tool| tool.name.ends_with(&named.name)));
        let name = tool.map_or(&named.name, |tool| &tool.name);
        let arguments = named.arguments.as_ref().or(script.arguments.as_ref());
        call(name, pieces(arguments, tool, script.slice))
    };
    let of_tool = |tool: &Tool| {
        call(
            &tool.name,
            pieces(script.arguments.as_ref(), Some(tool), script.slice),
        )
    };
    let named = script.calls.len();
    let count = script
        .call_count
        .map_or(named, |count| usize::try_from(count).unwrap_or(usize::MAX));
    if named > 0 {
        script
            .calls
            .iter()
            .cycle()
            .take(count)
            .map(of_name)
            .collect()
    } else {
        tools.iter().cycle().take(count).map(of_tool).collect()
    }
}

fn call(name: &str, arguments: Vec<String>) -> Call {
    let digits = clock::uuid().replace('-', "");
    Call {
        id: digits.get(..ID_DIGITS).unwrap_or_default().to_owned(),
        name: name.to_owned(),
        arguments,
    }
}

/// Returns the arguments in pieces. Without a script they are the smallest ones that the function
/// accepts.
fn pieces(arguments: Option<&Arguments>, tool: Option<&Tool>, slice: Option<usize>) -> Vec<String> {
    let slice = slice.unwrap_or(SLICE_UNITS);
    match arguments {
        Some(Arguments::Pieces(pieces)) => pieces.clone(),
        Some(Arguments::Whole(whole)) => sliced(whole, slice),
        None => {
            let smallest = tool.map(|tool| json_answer::smallest(&tool.parameters).to_string());
            sliced(smallest.as_deref().unwrap_or("{}"), slice)
        }
    }
}

/// Cuts into slices of at most `units` UTF-16 units, never inside a code point.
fn sliced(text: &str, units: usize) -> Vec<String> {
    let mut slices = Vec::new();
    let mut slice = String::new();
    let mut used = 0_usize;
    for character in text.chars() {
        let with_it = used.saturating_add(character.len_utf16());
        if with_it > units && !slice.is_empty() {
            slices.push(std::mem::take(&mut slice));
            used = character.len_utf16();
        } else {
            used = with_it;
        }
        slice.push(character);
    }
    if !slice.is_empty() {
        slices.push(slice);
    }
    slices
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::script::Script;

    fn tools(names: &[&str]) -> Vec<Tool> {
        let parameters =
            json!({ "type": "object", "properties": { "city": { "type": "string" } } });
        let tools: Vec<_> = names
            .iter()
            .map(|name| json!({ "type": "function", "function": { "name": name, "parameters": parameters } }))
            .collect();
        parse(&json!(tools)).unwrap()
    }

    fn called(directive: &str, tools: &[Tool]) -> Vec<(String, String)> {
        let script = Script::of(directive).unwrap();
        calls(&script.over_http, tools)
            .into_iter()
            .map(|call| (call.name, call.arguments.concat()))
            .collect()
    }

    fn pair(name: &str, arguments: &str) -> (String, String) {
        (name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn a_call_names_the_clients_function_whatever_the_front_calls_it() {
        let tools = tools(&["get_weather", "client_read"]);
        let city = r#"{"city":"text"}"#;
        assert_eq!(
            called("[[fake call=read]]", &tools),
            [pair("client_read", city)]
        );
        assert_eq!(
            called("[[fake call=get_weather]]", &tools),
            [pair("get_weather", city)]
        );
        assert_eq!(
            called("[[fake call=unknown]]", &tools),
            [pair("unknown", "{}")]
        );
    }

    #[test]
    fn calls_without_names_take_the_functions_in_turn() {
        let tools = tools(&["a", "b"]);
        let names = |directive| -> Vec<_> {
            called(directive, &tools)
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(names("[[fake calls=3]]"), ["a", "b", "a"]);
        assert_eq!(names("[[fake call=b calls=2]]"), ["b", "b"]);
        assert!(called("[[fake calls=3]]", &[]).is_empty());
    }

    #[test]
    fn a_choice_by_name_leaves_only_that_function() {
        let choice = Choice::parse(&json!({ "type": "function", "function": { "name": "b" } }));
        let tools = choice.unwrap().apply(tools(&["a", "b"])).unwrap();
        assert_eq!(
            tools
                .iter()
                .map(|tool| tool.name.as_str())
                .collect::<Vec<_>>(),
            ["b"]
        );
        assert_eq!(
            Choice::Named("nope".to_owned()).apply(tools).unwrap_err(),
            "tool_choice requested unknown tool: nope"
        );
    }

    #[test]
    fn names_that_the_gateway_has_itself_are_a_conflict() {
        assert!(conflict(&tools(&["get_weather", "Exec"])));
        assert!(conflict(&tools(&["a", "A"])));
        assert!(!conflict(&tools(&["a", "b", "glob"])));
    }

    #[test]
    fn a_slice_never_ends_inside_a_code_point() {
        assert_eq!(sliced("a🦀b", 2), ["a", "🦀", "b"]);
        assert_eq!(sliced("🦀🦀", 1), ["🦀", "🦀"]);
    }
}
