//! The body of a request, and its refusals.
//!
//! Source: openclaw 2026.9.6, measured. Images are not checked, and earlier messages are not
//! folded.

use axum::http::HeaderMap;
use serde_json::Value;

use super::refusal::Refusal;
use super::tools::{self, Choice, Tool};
use crate::agents::{self, Place};
use crate::clock;
use crate::options::Options;

const INVALID_MODEL: &str = "Invalid `model`. Use `openclaw` or `openclaw/<agentId>`.";

/// Beginnings of session keys that the gateway keeps for itself, after the agent. Those of a
/// harness are read.
const RESERVED_SESSIONS: [&str; 4] = ["subagent:", "cron:", "acp:", "harness:"];

/// Numbers, and the least and the greatest value of each.
const NUMBERS: [(&str, f64, f64, &str); 4] = [
    ("temperature", 0.0, 2.0, "0 and 2"),
    ("top_p", 0.0, 1.0, "0 and 1"),
    ("frequency_penalty", -2.0, 2.0, "-2.0 and 2.0"),
    ("presence_penalty", -2.0, 2.0, "-2.0 and 2.0"),
];

/// A request for a completion.
#[derive(Debug)]
pub(super) struct Ask {
    /// As sent; the chunks repeat it.
    pub(super) model: String,
    pub(super) message: String,
    pub(super) system_prompt: Option<String>,
    /// Parts of the message that are not text.
    pub(super) attachments: usize,
    /// The functions that the model may call.
    pub(super) tools: Vec<Tool>,
    pub(super) choice: Choice,
    pub(super) response_format: Value,
    pub(super) includes_usage: bool,
}

impl Ask {
    pub(super) fn parse(body: &Value) -> Result<Self, Refusal> {
        if !body.is_object() {
            return Err(Refusal::invalid("Invalid request body"));
        }
        if body["stream"] != true {
            return Err(Refusal::invalid("clawfront-sim: only \"stream\": true"));
        }
        check_sampling(body).map_err(Refusal::invalid)?;
        let of_tools =
            |message: String| Refusal::invalid(format!("Invalid tools/tool_choice: {message}"));
        let choice = Choice::parse(&body["tool_choice"]).map_err(of_tools)?;
        let tools = tools::parse(&body["tools"])
            .and_then(|tools| choice.apply(tools))
            .map_err(of_tools)?;
        let none = Vec::new();
        let messages = body["messages"].as_array().unwrap_or(&none);
        let of_role = |roles: &'static [&'static str]| {
            messages.iter().filter(move |message| {
                message["role"]
                    .as_str()
                    .is_some_and(|role| roles.contains(&role))
            })
        };
        let last = of_role(&["user"])
            .next_back()
            .map(|message| &message["content"]);
        let text = last.map(text).filter(|text| !text.is_empty());
        let Some(message) = text else {
            return Err(Refusal::invalid("Missing user message in `messages`."));
        };
        let prompts: Vec<_> = of_role(&["system", "developer"])
            .map(|message| self::text(&message["content"]))
            .collect();
        let parts = last.and_then(Value::as_array).unwrap_or(&none);
        Ok(Self {
            model: body["model"].as_str().unwrap_or("openclaw").to_owned(),
            message,
            system_prompt: (!prompts.is_empty()).then(|| prompts.join("\n\n")),
            attachments: parts.iter().filter(|part| part["type"] != "text").count(),
            tools,
            choice,
            response_format: body["response_format"].clone(),
            includes_usage: body.pointer("/stream_options/include_usage")
                == Some(&Value::Bool(true)),
        })
    }

    /// Returns the agent and the session. A session that is none of an agent fails the run.
    pub(super) fn place(
        &self,
        options: &Options,
        headers: &HeaderMap,
        body: &Value,
    ) -> Result<Place, Refusal> {
        let header = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let of_model = match self.model.split_once('/') {
            None if self.model == "openclaw" => None,
            Some(("openclaw", "default")) => None,
            Some(("openclaw", agent)) if !agent.is_empty() => Some(agent.to_owned()),
            _ => return Err(Refusal::invalid(INVALID_MODEL)),
        };
        let agent_id = header("x-openclaw-agent-id")
            .or(of_model)
            .or_else(|| agents::sole_agent(options))
            .ok_or_else(|| {
                // The words after "but" are likely.
                Refusal::invalid(
                    "Multiple agents are configured, but the request has no explicit owner.",
                )
            })?;
        if !options.agents.contains(&agent_id) {
            return Err(Refusal::invalid(format!("Unknown agent '{agent_id}'.")));
        }
        let session_key = match (header("x-openclaw-session-key"), body["user"].as_str()) {
            (Some(key), _) => key.to_lowercase(),
            (None, Some(user)) => format!("agent:{agent_id}:openai-user:{user}"),
            (None, None) => format!("agent:{agent_id}:openai:{}", clock::uuid()),
        };
        let rest = match session_key
            .strip_prefix("agent:")
            .map(|key| key.split_once(':'))
        {
            None => session_key.as_str(),
            Some(Some((owner, rest))) if owner == agent_id && !rest.is_empty() => rest,
            Some(_) => return Err(Refusal::internal()),
        };
        if RESERVED_SESSIONS
            .iter()
            .any(|reserved| rest.starts_with(reserved))
        {
            return Err(Refusal::invalid(
                "`x-openclaw-session-key` cannot use reserved internal session namespaces.",
            ));
        }
        Ok(Place {
            agent_id,
            session_key,
        })
    }
}

/// Returns the text of a message's content.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<_> = parts
                .iter()
                .filter(|part| part["type"] == "text")
                .filter_map(|part| part["text"].as_str())
                .collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn check_sampling(body: &Value) -> Result<(), String> {
    for (name, least, greatest, range) in NUMBERS {
        match &body[name] {
            Value::Null => {}
            Value::Number(number) => {
                if !number
                    .as_f64()
                    .is_some_and(|number| (least..=greatest).contains(&number))
                {
                    return Err(format!("`{name}` must be between {range}."));
                }
            }
            other => return Err(wrong_type(name, other)),
        }
    }
    let seed = &body["seed"];
    if !seed.is_null() && seed.as_i64().is_none() {
        return Err("`seed` must be an integer.".to_owned());
    }
    for name in ["max_completion_tokens", "max_tokens"] {
        let limit = &body[name];
        if !limit.is_null() && limit.as_u64().is_none_or(|limit| limit == 0) {
            return Err(format!("{name} must be a positive safe integer"));
        }
    }
    check_stop(&body["stop"])?;
    match body.pointer("/response_format/type") {
        None => Ok(()),
        Some(kind)
            if ["text", "json_object", "json_schema"]
                .iter()
                .any(|known| kind == known) =>
        {
            Ok(())
        }
        _ => Err(
            "Invalid response_format: response_format.type must be text, json_object, or \
                  json_schema"
                .to_owned(),
        ),
    }
}

fn check_stop(stop: &Value) -> Result<(), String> {
    let none = Vec::new();
    let texts = stop.as_array().unwrap_or(&none);
    if texts.len() > 4 {
        return Err("Invalid stop: stop supports at most 4 sequences".to_owned());
    }
    let is_empty = |text: &Value| text.as_str() == Some("");
    if is_empty(stop) || texts.iter().any(is_empty) {
        return Err("Invalid stop: stop entries must be non-empty strings".to_owned());
    }
    Ok(())
}

fn wrong_type(name: &str, value: &Value) -> String {
    let received = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("{name}: Invalid input: expected number, received {received}")
}
