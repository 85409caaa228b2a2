//! The client's own tools, for an agent that can call them: in the form of a chat completion, which
//! the gateway's HTTP endpoint takes, whichever of our endpoints was asked.
//!
//! The gateway refuses tools that are named like its own. Such a name is replaced on the way there,
//! and put back in the calls.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::format::Options;
use super::json::write::write_json;
use super::message::Message;
use crate::failure::Failure;
use crate::parse;
use crate::turn::{ClientTools, IN_NAMESPACE, in_namespace};

/// Longest name of a function, in bytes. Source: OpenAI's API reference, as for its characters.
pub(super) const MAX_NAME_BYTES: usize = 64;

/// The parameters of a function that takes none.
pub(super) const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Most tools of a request. Source: OpenAI's API reference.
const MAX_TOOLS: usize = 128;
const TOO_MANY: &str = "A request has at most 128 tools.";

/// Stands between a namespace and a function of it, in the gateway's name.
const IN_GATEWAY: &str = "__";

/// The names of the gateway's own tools, in any case. Source: OpenClaw 2026.9.6, measured.
const OF_GATEWAY: [&str; 40] = [
    "agents_list",
    "agents_wait",
    "apply_patch",
    "ask_user",
    "bash",
    "browser",
    "canvas",
    "create_goal",
    "dashboard",
    "dir_fetch",
    "dir_list",
    "edit",
    "exec",
    "file_fetch",
    "file_write",
    "find",
    "get_goal",
    "github_identity_status",
    "grep",
    "ls",
    "message",
    "node_inference",
    "process",
    "progress_card",
    "read",
    "secrets",
    "session_status",
    "skill_workshop",
    "subagents",
    "talk_voice",
    "terminal",
    "theme",
    "tool_call",
    "tool_describe",
    "tool_search",
    "tool_search_code",
    "tts",
    "update_goal",
    "view_image",
    "write",
];

/// The beginnings of further names.
const OF_GATEWAY_PREFIXES: [&str; 3] = ["memory_", "sessions_", "web_"];

/// Begins a name that replaces one of these.
const PREFIX: &str = "client_";

/// The tools of a request, the choice among them, and the parameters of the model.
pub(super) struct Offer<'a> {
    /// The name of the field, and its value.
    pub tools: (&'static str, &'a RawValue),
    pub choice: Option<(&'static str, &'a RawValue)>,
    pub parameters: &'a [(&'static str, &'a RawValue)],
}

/// A tool that the client carries out.
struct Function<'a> {
    name: String,
    inner: Options<'a>,
}

impl Offer<'_> {
    /// Returns the tools for the gateway, and the number of those that are not functions, which
    /// the gateway does not take; `None` if there is no function.
    #[inline(never)]
    pub(super) fn read(&self) -> Result<Option<(ClientTools, usize)>, Failure> {
        let (field, list) = self.tools;
        let Ok(list) = parse::from_str::<Vec<&RawValue>>(list.get()) else {
            return Err(Failure::invalid(field, "Tools are a list of objects."));
        };
        if list.len() > MAX_TOOLS {
            return Err(Failure::invalid(field, TOO_MANY));
        }
        let mut functions = Vec::new();
        let mut dropped = 0_usize;
        for tool in &list {
            let known = functions.len();
            if let Some(function) = Function::read(field, tool)? {
                functions.push(function);
            } else {
                read_namespace(field, tool, &mut functions)?;
            }
            dropped = dropped.saturating_add((functions.len() == known).into());
        }
        if functions.len() > MAX_TOOLS {
            return Err(Failure::invalid(field, TOO_MANY));
        }
        let choice = self.choice(&mut functions)?;
        if functions.is_empty() {
            return Ok(None);
        }
        let mut offered = ClientTools::default();
        let mut taken: Vec<String> = functions.iter().map(|other| other.name.clone()).collect();
        for function in &functions {
            let other = match function.name.split_once(IN_NAMESPACE) {
                Some((space, name)) => Some([space, IN_GATEWAY, name].concat()),
                None => is_of_gateway(&function.name).then(|| [PREFIX, &function.name].concat()),
            };
            if let Some(mut other) = other {
                while taken.iter().any(|name| name.eq_ignore_ascii_case(&other)) {
                    other.push('_');
                }
                taken.push(other.clone());
                offered.renamed.push((function.name.clone(), other));
            }
        }
        let mut out = Vec::new();
        for (number, function) in functions.iter().enumerate() {
            out.extend_from_slice(if number == 0 { br#","tools":["# } else { b"," });
            function.write(offered.gateways_name(&function.name), &mut out);
        }
        out.push(b']');
        if let Some(choice) = choice {
            out.extend_from_slice(br#","tool_choice":"#);
            match choice {
                Choice::Word(word) => write_json(&mut out, word),
                Choice::Function(name) => {
                    out.extend_from_slice(br#"{"type":"function","function":{"name":"#);
                    write_json(&mut out, offered.gateways_name(&name));
                    out.extend_from_slice(b"}}");
                }
            }
        }
        for (name, value) in self.parameters {
            if !value
                .get()
                .starts_with(|c: char| c == '-' || c.is_ascii_digit())
            {
                return Err(Failure::invalid(*name, [name, " is a number."].concat()));
            }
            out.push(b',');
            // The endpoint has the name of chat completions.
            write_json(
                &mut out,
                if *name == "max_output_tokens" {
                    "max_completion_tokens"
                } else {
                    name
                },
            );
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        offered.members = String::from_utf8(out).unwrap_or_default();
        Ok(Some((offered, dropped)))
    }

    /// Reads the choice. A list of allowed tools leaves no others.
    #[inline(never)]
    fn choice(&self, functions: &mut Vec<Function<'_>>) -> Result<Option<Choice>, Failure> {
        let Some((field, choice)) = self.choice else {
            return Ok(None);
        };
        let unknown = || {
            Failure::invalid(
                field,
                "A choice is `auto`, `none`, `required`, one function of `tools`, or \
                 `allowed_tools` among them.",
            )
        };
        let word = |mode: &str| {
            let words = ["auto", "none", "required"];
            words.into_iter().find(|word| *word == mode)
        };
        if let Some(mode) = choice.get().strip_prefix('"') {
            let mode = mode.strip_suffix('"').and_then(word);
            return mode
                .map(|word| Some(Choice::Word(word)))
                .ok_or_else(unknown);
        }
        let chosen = Options::read(choice).ok_or_else(unknown)?;
        let allowed = match chosen.allowed_tools {
            Some(inner) => Options::read(inner),
            None if chosen.mode.is_some() => Options::read(choice),
            None => None,
        };
        if let Some(allowed) = allowed {
            let names = allowed.tools.and_then(|tools| {
                let tools: Vec<&RawValue> = parse::from_str(tools.get()).ok()?;
                let names = tools.iter().map(|tool| name_of(Options::read(tool)?));
                names.collect::<Option<Vec<String>>>()
            });
            let names = names.ok_or_else(unknown)?;
            functions.retain(|function| names.contains(&function.name));
            let mode = allowed.mode.as_deref().and_then(word);
            return mode
                .map(|word| Some(Choice::Word(word)))
                .ok_or_else(unknown);
        }
        let name = name_of(chosen).ok_or_else(unknown)?;
        if !functions.iter().any(|function| function.name == name) {
            return Err(unknown());
        }
        Ok(Some(Choice::Function(name)))
    }
}

/// Reads the functions of a namespace: Codex has one for each MCP server. Source: Codex 0.171.
#[inline(never)]
fn read_namespace<'a>(
    field: &'static str,
    tool: &'a RawValue,
    functions: &mut Vec<Function<'a>>,
) -> Result<(), Failure> {
    let space = Options::read(tool).unwrap_or_default();
    let (Some("namespace"), Some(name), Some(list)) =
        (space.kind.as_deref(), space.name, space.tools)
    else {
        return Ok(());
    };
    let list: Vec<&RawValue> = parse::from_str(list.get()).unwrap_or_default();
    for tool in list {
        if let Some(mut function) = Function::read(field, tool)? {
            function.name = in_namespace(&name, &function.name);
            // Another name would not be read by all models.
            if is_name(&function.name.replace(IN_NAMESPACE, IN_GATEWAY)) {
                functions.push(function);
            }
        }
    }
    Ok(())
}

/// Returns true for a name that a function can have.
fn is_name(name: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_plain)
}

/// Returns true if the gateway has a tool of this name, or may have one.
fn is_of_gateway(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let begins = |prefix: &&str| lower.starts_with(*prefix);
    OF_GATEWAY.contains(&&*lower) || OF_GATEWAY_PREFIXES.iter().any(begins)
}

/// Gives the calls in the history the names that the gateway has.
pub(super) fn rename(tools: Option<&ClientTools>, messages: &mut [Message<'_>]) {
    let Some(tools) = tools.filter(|tools| !tools.renamed.is_empty()) else {
        return;
    };
    for message in messages {
        let calls = message.tool_calls.iter_mut().flatten();
        let functions = calls.filter_map(|call| call.function.as_mut());
        let names = functions
            .chain(&mut message.function_call)
            .map(|function| &mut function.name);
        let is_result = matches!(&*message.role, "tool" | "function");
        let own = is_result.then_some(&mut message.name);
        for name in names.chain(own).flatten() {
            let gateways = tools.gateways_name(name);
            if gateways != name.as_ref() {
                *name = Cow::Owned(gateways.to_owned());
            }
        }
    }
}

enum Choice {
    Word(&'static str),
    Function(String),
}

/// Returns the name in a tool or a choice: of a chat completion, or of a response.
fn name_of(options: Options<'_>) -> Option<String> {
    let inner = options.function.and_then(Options::read).unwrap_or(options);
    inner.name.map(Cow::into_owned)
}

impl<'a> Function<'a> {
    /// Reads a tool; `None` if it is another kind of tool.
    #[inline(never)]
    fn read(field: &'static str, tool: &'a RawValue) -> Result<Option<Self>, Failure> {
        let refuse = |message: &'static str| Err(Failure::invalid(field, message));
        let Some(tool) = Options::read(tool) else {
            return refuse("A tool is an object.");
        };
        // A member of `functions` is the function itself.
        if tool.kind.as_deref() != Some("function") && field != "functions" {
            return Ok(None);
        }
        let inner = match tool.function {
            Some(function) => Options::read(function).unwrap_or_default(),
            None => tool,
        };
        let name = inner.name.as_deref().unwrap_or_default().to_owned();
        if !is_name(&name) {
            return refuse("The name of a function is 1 to 64 letters, digits, _ and -.");
        }
        if inner
            .parameters
            .is_some_and(|parameters| !parameters.get().starts_with(['{', 'n']))
        {
            return refuse("The parameters of a function are a JSON Schema, an object.");
        }
        Ok(Some(Self { name, inner }))
    }

    #[inline(never)]
    fn write(&self, name: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"type":"function","function":{"name":"#);
        write_json(out, name);
        if let Some(description) = &self.inner.description {
            out.extend_from_slice(br#","description":"#);
            write_json(out, description);
        }
        // Without a schema the gateway answers each call with an error, and the model calls again.
        // Source: OpenClaw 2026.9.6, measured.
        let parameters = present(self.inner.parameters).unwrap_or(NO_PARAMETERS);
        for (member, value) in [
            (&br#","parameters":"#[..], Some(parameters)),
            (&br#","strict":"#[..], present(self.inner.strict)),
        ] {
            if let Some(value) = value {
                out.extend_from_slice(member);
                out.extend_from_slice(value.as_bytes());
            }
        }
        out.extend_from_slice(b"}}");
    }
}

/// Returns the JSON of a member that is not `null`.
fn present(member: Option<&RawValue>) -> Option<&str> {
    member.map(RawValue::get).filter(|json| *json != "null")
}

#[cfg(test)]
mod tests;
