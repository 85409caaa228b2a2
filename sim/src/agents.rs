//! Finds the agent and the session of a request.
//!
//! Source of every message here: measured.

use serde_json::{Value, json};

use crate::frames::{ErrorShape, Protocol};
use crate::options::Options;

/// The provider of every simulated model.
pub(crate) const PROVIDER: &str = "fake";

/// The agent and the session of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) agent_id: String,
    pub(crate) session_key: String,
}

/// The reason why a request has no place.
#[derive(Debug)]
pub(crate) enum Nowhere {
    /// The request is refused.
    Refused(ErrorShape),
    /// Protocol 3 accepts the run and then fails it.
    Fails(&'static str),
}

/// Finds the place for `agentId` and `sessionKey` of a request.
pub(crate) fn place(
    options: &Options,
    agent_id: Option<&str>,
    session_key: Option<&str>,
) -> Result<Place, Nowhere> {
    let agent_id = agent_id.map(|id| id.trim().to_lowercase());
    if let Some(id) = agent_id.as_ref().filter(|id| !options.agents.contains(id)) {
        return refused(format!("invalid agent params: unknown agent id \"{id}\""));
    }
    let key = session_key
        .map(|key| key.trim().to_lowercase())
        .filter(|key| !key.is_empty());
    match (agent_id, key) {
        (agent_id, Some(key)) if key.starts_with("agent:") => {
            agent_scoped(options, agent_id.as_deref(), key)
        }
        (Some(agent_id), key) => Ok(named(agent_id, key.as_deref())),
        (None, Some(key)) => match sole_agent(options) {
            Some(agent_id) => Ok(named(agent_id, Some(&key))),
            None => refused(format!(
                "Multiple agents are configured, but session key \"{key}\" has no explicit owner. \
                 Use an agent-prefixed session key or select an agent explicitly."
            )),
        },
        (None, None) => match (options.protocol, sole_agent(options)) {
            (Protocol::V3, _) => Err(Nowhere::Fails(
                "Error: Pass --to <E.164>, --session-id, or --agent to choose a session",
            )),
            (Protocol::V4, Some(agent_id)) => Ok(named(agent_id, None)),
            (Protocol::V4, None) => refused(
                "Multiple agents are configured, but session key \"main\" has no explicit owner. \
                 Pass agentId or use an agent-prefixed session key.",
            ),
        },
    }
}

/// A key of the form `agent:<id>:<rest>`.
fn agent_scoped(options: &Options, agent_id: Option<&str>, key: String) -> Result<Place, Nowhere> {
    let owner = key
        .strip_prefix("agent:")
        .and_then(|rest| rest.split_once(':'))
        .filter(|(id, rest)| !id.is_empty() && !rest.is_empty());
    let Some((owner, _)) = owner else {
        return refused(match options.protocol {
            Protocol::V3 => format!("invalid agent params: malformed session key \"{key}\""),
            Protocol::V4 => format!("malformed session key \"{key}\""),
        });
    };
    let owner = owner.to_owned();
    match (options.protocol, agent_id) {
        (Protocol::V4, _) if !options.agents.contains(&owner) => refused(format!(
            "Agent \"{owner}\" no longer exists in configuration"
        )),
        (Protocol::V3, Some(agent)) if agent != owner => refused(format!(
            "invalid agent params: agent \"{agent}\" does not match session key agent \"{owner}\""
        )),
        (Protocol::V4, Some(agent)) if agent != owner => refused(format!(
            "Multiple agents are configured, but session agent resolution has no explicit owner. \
             The agent-scoped session key belongs to \"{owner}\", not \"{agent}\"."
        )),
        // Protocol 3 runs an agent that does not exist.
        _ => Ok(Place {
            agent_id: owner,
            session_key: key,
        }),
    }
}

/// The answer of `agents.list`.
pub(crate) fn list(options: &Options) -> Value {
    let first = options.agents.first().map_or("main", String::as_str);
    let default = options.default_agent.as_deref().unwrap_or(first);
    let agents: Vec<Value> = options
        .agents
        .iter()
        .map(|id| match options.protocol {
            Protocol::V3 => json!({ "id": id, "name": title(id) }),
            Protocol::V4 => {
                let levels: Vec<Value> = thinking_levels(options, id)
                    .iter()
                    .map(|level| json!({ "id": level, "label": level }))
                    .collect();
                json!({
                    "id": id,
                    "name": title(id),
                    "workspace": format!("/srv/openclaw/ws-{id}"),
                    "workspaceGit": false,
                    "agentRuntime": { "id": "auto", "cloudPlacementSupported": false, "devicePlacementSupported": false, "source": "implicit" },
                    "thinkingLevels": levels,
                    "thinkingOptions": thinking_levels(options, id),
                    "thinkingDefault": if is_reasoning(options, id) { "medium" } else { "off" },
                    "model": { "primary": format!("{PROVIDER}/{}", model(options, id)) },
                    "defaultPermissionMode": "full",
                })
            }
        })
        .collect();
    match options.protocol {
        Protocol::V3 => {
            json!({ "defaultId": default, "mainKey": "main", "scope": "per-sender", "agents": agents })
        }
        Protocol::V4 => json!({
            "defaultId": default,
            "ownership": "explicit",
            "selectionRequired": sole_agent(options).is_none(),
            "mainKey": "main",
            "scope": "per-sender",
            "agents": agents,
        }),
    }
}

/// Returns the answer of `models.list`, which is the same for every agent.
pub(crate) fn models(options: &Options, params: &Value) -> Value {
    let has_details = params.get("includeDetails") == Some(&json!(true));
    let mut ids: Vec<_> = options
        .agents
        .iter()
        .map(|agent| model(options, agent))
        .collect();
    ids.dedup();
    let models: Vec<Value> = ids
        .into_iter()
        .map(|id| {
            let mut model = json!({ "id": id, "name": id, "provider": PROVIDER, "contextWindow": 200_000, "available": true });
            if let Some(model) = model.as_object_mut().filter(|_| has_details) {
                model.insert("input".to_owned(), json!(["text", "image"]));
            }
            model
        })
        .collect();
    json!({ "models": models })
}

/// The first agent has the plain model, the others the reasoning one.
pub(crate) fn model(options: &Options, agent_id: &str) -> &'static str {
    if is_reasoning(options, agent_id) {
        "fake-2"
    } else {
        "fake-1"
    }
}

/// The model's full name.
pub(crate) fn full_model(model: &str) -> String {
    format!("{PROVIDER}/{model}")
}

/// Returns the error that fails a run with this `thinking` before any model is called.
pub(crate) fn thinking_problem(
    options: &Options,
    agent_id: &str,
    thinking: &str,
) -> Option<String> {
    match options.protocol {
        Protocol::V3
            if ["off", "minimal", "low", "medium", "high", "adaptive", "max"]
                .contains(&thinking) =>
        {
            None
        }
        Protocol::V3 => Some(format!("Error: Invalid thinking level \"{thinking}\".")),
        Protocol::V4
            if thinking == "none" || thinking_levels(options, agent_id).contains(&thinking) =>
        {
            None
        }
        Protocol::V4 => Some(format!(
            "Thinking level \"{thinking}\" is not supported for {PROVIDER}/{}. Use one of: {}.",
            model(options, agent_id),
            thinking_levels(options, agent_id).join(", ")
        )),
    }
}

fn thinking_levels(options: &Options, agent_id: &str) -> &'static [&'static str] {
    if is_reasoning(options, agent_id) {
        &["off", "minimal", "low", "medium", "high"]
    } else {
        &["off"]
    }
}

fn is_reasoning(options: &Options, agent_id: &str) -> bool {
    options.agents.iter().skip(1).any(|id| id == agent_id)
}

/// Returns the agent of a request that names none.
pub(crate) fn sole_agent(options: &Options) -> Option<String> {
    match (&options.default_agent, options.agents.as_slice()) {
        (Some(agent), _) | (None, [agent]) => Some(agent.clone()),
        _ => None,
    }
}

fn named(agent_id: String, key: Option<&str>) -> Place {
    Place {
        session_key: format!("agent:{agent_id}:{}", key.unwrap_or("main")),
        agent_id,
    }
}

fn title(id: &str) -> String {
    let mut letters = id.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn refused(message: impl Into<String>) -> Result<Place, Nowhere> {
    Err(Nowhere::Refused(ErrorShape::invalid_request(message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(protocol: Protocol, default_agent: Option<&str>) -> Options {
        Options {
            protocol,
            default_agent: default_agent.map(str::to_owned),
            ..Options::of_a_test()
        }
    }

    fn outcome(options: &Options, agent: Option<&str>, key: Option<&str>) -> String {
        match place(options, agent, key) {
            Ok(place) => place.session_key,
            Err(Nowhere::Refused(error)) => error.message,
            Err(Nowhere::Fails(message)) => message.to_owned(),
        }
    }

    #[test]
    fn protocol_4_places_runs_as_measured() {
        let options = options(Protocol::V4, None);
        assert_eq!(
            outcome(&options, Some("nope"), None),
            "invalid agent params: unknown agent id \"nope\""
        );
        assert_eq!(
            outcome(&options, None, Some("agent:")),
            "malformed session key \"agent:\""
        );
        assert_eq!(
            outcome(&options, None, Some("agent:nope:x")),
            "Agent \"nope\" no longer exists in configuration"
        );
        assert_eq!(
            outcome(&options, Some("main"), Some("foo-bar2")),
            "agent:main:foo-bar2"
        );
        assert_eq!(
            outcome(&options, None, Some("agent:main:Edge:User-A")),
            "agent:main:edge:user-a"
        );
        assert_eq!(
            outcome(&options, None, None),
            "Multiple agents are configured, but session key \"main\" has no explicit owner. Pass \
             agentId or use an agent-prefixed session key."
        );
    }

    #[test]
    fn protocol_3_runs_an_agent_that_does_not_exist() {
        let options = options(Protocol::V3, Some("main"));
        assert_eq!(
            outcome(&options, None, Some("agent:nope:x")),
            "agent:nope:x"
        );
        assert_eq!(
            outcome(&options, None, Some("foo-bar")),
            "agent:main:foo-bar"
        );
        assert_eq!(
            outcome(&options, None, None),
            "Error: Pass --to <E.164>, --session-id, or --agent to choose a session"
        );
    }
}
