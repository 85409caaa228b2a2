//! Agents: their ids, and the list of those a client may reach.

use std::fmt;

/// Longest agent id, in bytes. Source: OpenClaw `normalizeAgentId` (both versions).
pub const MAX_AGENT_ID_BYTES: usize = 64;

/// An OpenClaw agent id, lower-case: a letter or digit, then letters, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentId(String);

impl AgentId {
    /// Parses an id, lower-casing it as the gateway does; `None` if the gateway would have to
    /// rewrite it.
    pub fn parse(text: &str) -> Option<Self> {
        let first = text.bytes().next()?;
        let valid = text.len() <= MAX_AGENT_ID_BYTES
            && first.is_ascii_alphanumeric()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        valid.then(|| Self(text.to_ascii_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The agents that a client may use. There is no empty list: the parser refuses one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agents {
    /// `*`, only when the operator wrote it.
    Any,
    Listed(Vec<AgentId>),
}

impl Agents {
    pub fn allows(&self, agent: &AgentId) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(agents) => agents.contains(agent),
        }
    }
}

/// The agents of a gateway, as it lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentList {
    pub agents: Vec<AgentId>,
    /// The agent of runs that name none; a gateway with several agents may have no default agent.
    pub default_agent: Option<AgentId>,
    /// Details of some of the agents.
    pub about: Vec<AboutAgent>,
}

/// An agent's details in a gateway's list, beside its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AboutAgent {
    pub id: AgentId,
    /// A text for people.
    pub name: Option<String>,
    /// The tokens that the agent's model takes, its own prompt included.
    pub context_tokens: Option<u64>,
    /// The parts of a message that the agent's model reads.
    pub input: Option<Input>,
    /// The levels of thinking that the agent's model has, the lowest first.
    pub thinking: Vec<String>,
}

/// The parts of a message that a model reads, without those that no client can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Text,
    TextAndImages,
}

impl AgentList {
    pub fn about(&self, agent: &AgentId) -> Option<&AboutAgent> {
        self.about.iter().find(|about| about.id == *agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_lower_cased_and_nothing_else_is_repaired() {
        assert_eq!(
            AgentId::parse("Main_2-x").map(|id| id.to_string()),
            Some("main_2-x".to_owned())
        );
        for bad in [
            "",
            "-a",
            "_a",
            "a b",
            "a:b",
            "a/b",
            "ä",
            "a\n",
            &"a".repeat(65),
        ] {
            assert_eq!(AgentId::parse(bad), None, "{bad:?}");
        }
    }
}
