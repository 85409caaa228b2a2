//! The effort of a model's thinking: `reasoning_effort` or `reasoning.effort` of either endpoint.
//!
//! OpenClaw fails a run whose level its model does not have, so only a level of the agent's list is
//! sent. Another effort has no effect, as at a gateway of protocol 3, which lists no levels.

use serde_json::value::RawValue;

use super::format::Options;
use crate::agent::AgentList;
use crate::parse;
use crate::turn::{AgentChoice, Turn};

pub(super) const REASONING: &str = "reasoning";
pub(super) const REASONING_EFFORT: &str = "reasoning_effort";

/// Takes the place of `reasoning` among the parameters without effect.
const SUMMARY: &str = "reasoning.summary";

/// The gateway's level for OpenAI's [`NONE`]. The others have the same names.
const OFF: &str = "off";
pub(super) const NONE: &str = "none";

/// Returns the effort that selects a level.
pub(super) fn effort_of(level: &str) -> String {
    if level == OFF { NONE } else { level }.to_owned()
}

/// Returns true for one of both fields.
pub(super) fn is_effort(field: &str) -> bool {
    field == REASONING || field == REASONING_EFFORT
}

/// An effort that a client asks for.
#[derive(Debug)]
pub struct Effort {
    level: String,
    field: &'static str,
    has_summary: bool,
}

impl Effort {
    /// Reads the value of one of both fields.
    pub(super) fn read(field: &'static str, value: &RawValue) -> Option<Self> {
        let mut options = Options::default();
        if field == REASONING {
            options = Options::read(value)?;
        } else {
            options.effort = Some(value);
        }
        let mut level: String = parse::from_str(options.effort?.get()).ok()?;
        if level == NONE {
            OFF.clone_into(&mut level);
        }
        Some(Self {
            level,
            field,
            has_summary: options.summary.is_some(),
        })
    }

    /// Sets the level of the turn if the model of its agent has it. Then the field is not among the
    /// `ignored` ones.
    pub(super) fn apply(
        &self,
        turn: &mut Turn,
        ignored: &mut Vec<&'static str>,
        known: &AgentList,
    ) {
        let agent = match &turn.agent {
            AgentChoice::Named(agent) => Some(agent),
            AgentChoice::GatewayDefault(_) => known.default_agent.as_ref(),
        };
        let about = agent.and_then(|agent| known.about(agent));
        let mut levels = about.into_iter().flat_map(|about| &about.thinking);
        turn.thinking = levels.find(|level| **level == self.level).cloned();
        if turn.thinking.is_none() {
            return;
        }
        if self.has_summary {
            for name in ignored.iter_mut().filter(|name| **name == self.field) {
                *name = SUMMARY;
            }
        } else {
            ignored.retain(|name| *name != self.field);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::agent::{AboutAgent, AgentId, AgentList};
    use crate::openai::chat;
    use crate::openai::models::Aliases;
    use crate::openai::request::Request;
    use crate::openai::testing::{ENTROPY, client};

    /// Returns the level that is sent and the fields without effect, for the agent `main` with
    /// these levels.
    fn sent(model: &str, fields: &str, levels: &[&str]) -> (Option<String>, String) {
        let body = format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}],{fields}}}"#
        );
        let request = Request {
            body: body.as_bytes(),
            header: &|name| {
                (fields.contains("raw") && name == "x-openclaw-session-key")
                    .then(|| "agent:main:x".to_owned())
            },
            caller: [0; 32],
            is_repeated: false,
        };
        let client = client("phone", "agents=* sessions=any tools=run");
        let aliases = Aliases::parse("").unwrap();
        let mut accepted = chat::accept(&request, &client, &aliases, &ENTROPY).unwrap();
        let main = AgentId::parse("main").unwrap();
        let known = AgentList {
            agents: vec![main.clone()],
            default_agent: Some(main.clone()),
            about: vec![AboutAgent {
                id: main,
                name: None,
                context_tokens: None,
                input: None,
                thinking: levels.iter().copied().map(str::to_owned).collect(),
            }],
        };
        accepted.set_thinking(None);
        assert_eq!(accepted.turn.thinking, None);
        accepted.set_thinking(Some(&known));
        assert!(accepted.ignored.is_sorted());
        (accepted.turn.thinking, accepted.ignored.join(" "))
    }

    #[test]
    fn only_a_level_of_the_agents_model_is_sent() {
        let all = &["off", "minimal", "low", "medium", "high"][..];
        for (fields, level, ignored) in [
            (r#""reasoning_effort":"high""#, Some("high"), ""),
            (r#""reasoning_effort":"none""#, Some("off"), ""),
            (
                r#""reasoning_effort":"minimal","seed":1"#,
                Some("minimal"),
                "seed",
            ),
            (r#""reasoning_effort":"xhigh""#, None, "reasoning_effort"),
            (r#""reasoning_effort":"High""#, None, "reasoning_effort"),
            (r#""reasoning_effort":"""#, None, "reasoning_effort"),
            (r#""reasoning_effort":7"#, None, "reasoning_effort"),
            (r#""reasoning_effort":null"#, None, ""),
            (r#""reasoning":{"effort":"low"}"#, Some("low"), ""),
            (
                r#""reasoning":{"effort":"low","summary":"auto"}"#,
                Some("low"),
                "reasoning.summary",
            ),
            (
                r#""reasoning":{"effort":"max","summary":"auto"}"#,
                None,
                "reasoning",
            ),
            (r#""reasoning":{"summary":"auto"}"#, None, "reasoning"),
            (r#""reasoning":"low""#, None, "reasoning"),
            // The gateway's HTTP endpoint takes none.
            (
                r#""reasoning_effort":"low","tools":[{"type":"function","function":{"name":"f"}}]"#,
                None,
                "reasoning_effort",
            ),
            (
                r#""reasoning_effort":"low","user":"raw""#,
                None,
                "reasoning_effort",
            ),
        ] {
            for model in ["main", "openclaw"] {
                let expected = (level.map(str::to_owned), ignored.to_owned());
                assert_eq!(sent(model, fields, all), expected, "{fields}");
            }
            if !fields.contains("raw") {
                assert_eq!(sent("other", fields, all).0, None, "{fields}");
            }
        }
        let (level, ignored) = sent("main", r#""reasoning_effort":"high""#, &["off"]);
        assert_eq!((level, &*ignored), (None, "reasoning_effort"));
    }
}
