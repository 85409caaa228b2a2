//! Models as clients name and list them: every agent is a model.
//!
//! Source of the names: OpenClaw `http-utils.ts` (both versions) and its `/v1/models` (2026.9.6).
//! An agent has two further kinds of names: its bare id and the aliases of the deployment. Some
//! clients cannot use a name with `/` or `:` in it. A client may send any of them. The list has one
//! name for each agent, because chat UIs offer every entry as a model of its own. All names are
//! listed on request.

use serde::Serialize;

use super::effort::{NONE, effort_of};
use super::json::write::write_json;
use crate::access::grant::Grant;
use crate::access::key;
use crate::agent::{AgentId, AgentList, Agents, Input};
use crate::failure::Failure;

/// Names the source of a list of models: see [`Source`].
pub const SOURCE_HEADER: &str = "x-clawfront-models";

/// Longest `model` that is read, in bytes. No agent has such a long name.
pub(super) const MAX_MODEL_BYTES: usize = 256;

/// Longest alias, in bytes.
const MAX_ALIAS_BYTES: usize = 64;

/// The default agent's name.
pub(super) const DEFAULT: &str = "openclaw";

/// A modality.
const TEXT: &str = "text";

/// Prefixes of an agent's id in its names.
const PREFIXES: [&str; 3] = ["openclaw/", "openclaw:", "agent:"];

/// Further names for agents, for a whole deployment: `gpt-4o=main`, separated by commas, blanks or
/// line breaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases(Vec<(String, AgentId)>);

impl Aliases {
    /// Reads the aliases. An error names the wrong one by its number, counted from 1.
    #[inline(never)]
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut aliases: Vec<(String, AgentId)> = Vec::new();
        let entries = text
            .split([',', ' ', '\t', '\r', '\n'])
            .filter(|entry| !entry.is_empty());
        for (index, entry) in entries.enumerate() {
            let number = index.saturating_add(1);
            let (alias, agent) = entry
                .split_once('=')
                .and_then(|(alias, agent)| Some((alias, AgentId::parse(agent)?)))
                .filter(|(alias, _)| is_alias(alias))
                .ok_or_else(|| {
                    format!("alias {number} is not of the form name=agent, such as gpt-4o=main")
                })?;
            if aliases
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(alias))
            {
                return Err(format!("alias {number} is given twice"));
            }
            aliases.push((alias.to_owned(), agent));
        }
        Ok(Self(aliases))
    }

    fn agent(&self, model: &str) -> Option<&AgentId> {
        self.0
            .iter()
            .find(|(alias, _)| alias.eq_ignore_ascii_case(model))
            .map(|(_, agent)| agent)
    }
}

fn is_alias(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ALIAS_BYTES
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !text.eq_ignore_ascii_case(DEFAULT)
}

/// Returns the agent that a model names, in upper or lower case: an alias, `openclaw/<id>`,
/// `openclaw:<id>`, `agent:<id>` or the bare id. `None` for `openclaw` and `openclaw/default`,
/// which mean the default agent.
pub fn agent_of(model: &str, aliases: &Aliases) -> Result<Option<AgentId>, Failure> {
    let model = model.trim();
    // A name that contains a key is refused, because the name of an agent is logged.
    if model.len() > MAX_MODEL_BYTES || key::is_in(model) {
        return Err(Failure::ModelNotFound);
    }
    if let Some(agent) = aliases.agent(model) {
        return Ok(Some(agent.clone()));
    }
    let lower = model.to_ascii_lowercase();
    if matches!(
        lower.as_str(),
        "" | DEFAULT | "openclaw/default" | "openclaw:default"
    ) {
        return Ok(None);
    }
    let id = PREFIXES
        .iter()
        .find_map(|prefix| lower.strip_prefix(prefix))
        .unwrap_or(&lower);
    AgentId::parse(id).map(Some).ok_or(Failure::ModelNotFound)
}

/// The source of a list of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The gateway's own list of agents, at most a minute old.
    Gateway,
    /// The key's entry alone, or with an older list of the gateway's, because the gateway sent no
    /// list.
    AllowList,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::AllowList => "allow-list",
        }
    }
}

/// A model as OpenAI writes one.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    id: String,
    object: &'static str,
    /// Seconds since the Unix epoch. It is 0, as at the gateway.
    created: u64,
    owned_by: &'static str,
    /// The name that this one is an alias of.
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<String>,
    /// The agent's display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The number of tokens. Source of this field and of the next ones: `OpenRouter`'s API. Servers
    /// use several names for them, and most clients read these.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<Architecture>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Architecture {
    input_modalities: &'static [&'static str],
    output_modalities: &'static [&'static str],
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Reasoning {
    /// The values of `reasoning_effort` that have an effect, the highest first.
    supported_efforts: Vec<String>,
}

impl Reasoning {
    /// Returns the efforts of a model with these levels of thinking, if it can think.
    fn of(levels: &[String]) -> Option<Self> {
        let supported_efforts: Vec<_> = levels.iter().rev().map(|level| effort_of(level)).collect();
        let is_choice = supported_efforts.iter().any(|effort| effort != NONE);
        is_choice.then_some(Self { supported_efforts })
    }
}

impl Model {
    fn new(id: impl Into<String>, agent: Option<&AgentId>) -> Self {
        Self {
            id: id.into(),
            object: "model",
            created: 0,
            owned_by: DEFAULT,
            root: agent.map(|agent| match agent.as_str() {
                // `openclaw/default` means another agent.
                "default" => "default".to_owned(),
                agent => format!("{DEFAULT}/{agent}"),
            }),
            name: None,
            context_length: None,
            architecture: None,
            reasoning: None,
        }
    }

    /// Adds the gateway's description of the agent.
    fn describe(mut self, known: Option<&AgentList>, agent: Option<&AgentId>) -> Self {
        if let Some(about) = agent.and_then(|agent| known?.about(agent)) {
            self.name.clone_from(&about.name);
            self.context_length = about.context_tokens;
            self.architecture = about.input.map(|input| Architecture {
                input_modalities: match input {
                    Input::Text => &[TEXT],
                    Input::TextAndImages => &[TEXT, "image"],
                },
                output_modalities: &[TEXT],
            });
            self.reasoning = Reasoning::of(&about.thinking);
        }
        self
    }
}

/// The number of names that a list has for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// One name: `openclaw` for the default agent, `openclaw/<id>` for any other.
    One,
    /// Every name except those that only other clients write (`openclaw:<id>`, `agent:<id>`).
    All,
}

impl Names {
    /// Returns the names that a request asks for: by `aliases=true` or `aliases=false` in its
    /// query, or else by its key.
    pub fn of(query: Option<&str>, client: &Grant) -> Self {
        let asked = query
            .into_iter()
            .flat_map(|query| query.split('&'))
            .find_map(|pair| match pair {
                "aliases=true" => Some(true),
                "aliases=false" => Some(false),
                _ => None,
            });
        if asked.unwrap_or(client.aliases) {
            Self::All
        } else {
            Self::One
        }
    }
}

/// Returns the models that a client may use. `known` is the gateway's list of agents, if there is
/// one.
#[inline(never)]
pub fn list(
    client: &Grant,
    aliases: &Aliases,
    known: Option<&AgentList>,
    names: Names,
) -> Vec<Model> {
    let agents = reachable(client, known);
    let default_agent = default_agent(client, known, &agents);
    let mut models = Vec::new();
    // Without a list, a key for every agent has the default only. It is listed, because an empty
    // list blanks chat UIs.
    if default_agent.is_some() || (client.agents == Agents::Any && known.is_none()) {
        models.push(Model::new(DEFAULT, default_agent).describe(known, default_agent));
    }
    match names {
        Names::One => models.extend(
            agents
                .iter()
                .filter(|agent| Some(*agent) != default_agent)
                .filter_map(|agent| one_name(agent, aliases, known)),
        ),
        Names::All => models.extend(all_names(&agents, aliases, known)),
    }
    models
}

fn long_name(agent: &AgentId) -> String {
    format!("{DEFAULT}/{agent}")
}

/// Returns true if a name means this agent. An agent may have the id `default`, or that of an
/// alias, and then some of its names mean another agent.
fn means(name: &str, agent: &AgentId, aliases: &Aliases) -> bool {
    agent_of(name, aliases).ok().flatten().as_ref() == Some(agent)
}

fn one_name(agent: &AgentId, aliases: &Aliases, known: Option<&AgentList>) -> Option<Model> {
    let long = long_name(agent);
    if means(&long, agent, aliases) {
        return Some(Model::new(long, None).describe(known, Some(agent)));
    }
    let name = [agent.as_str(), &format!("agent:{agent}")]
        .into_iter()
        .find(|name| means(name, agent, aliases))?
        .to_owned();
    Some(Model::new(name, Some(agent)).describe(known, Some(agent)))
}

/// Returns a model for each name: first the long ones, then the bare ids, then the aliases.
fn all_names(agents: &[AgentId], aliases: &Aliases, known: Option<&AgentList>) -> Vec<Model> {
    let long = agents
        .iter()
        .filter(|agent| means(&long_name(agent), agent, aliases))
        .map(|agent| Model::new(long_name(agent), None).describe(known, Some(agent)));
    let bare = agents
        .iter()
        .filter(|agent| means(agent.as_str(), agent, aliases))
        .map(|agent| Model::new(agent.as_str(), Some(agent)).describe(known, Some(agent)));
    let further = aliases
        .0
        .iter()
        .filter(|(_, agent)| agents.contains(agent))
        .map(|(alias, agent)| Model::new(alias.as_str(), Some(agent)).describe(known, Some(agent)));
    long.chain(bare).chain(further).collect()
}

/// Finds a model that [`list`] would list with [`Names::All`], under any of its names.
pub fn find(
    id: &str,
    client: &Grant,
    aliases: &Aliases,
    known: Option<&AgentList>,
) -> Result<Model, Failure> {
    let id = id.trim();
    let agents = reachable(client, known);
    // The agents are not known, and the key may reach every one.
    let any = client.agents == Agents::Any && known.is_none();
    match agent_of(id, aliases)? {
        Some(agent) if any || agents.contains(&agent) => {
            Ok(Model::new(id, Some(&agent)).describe(known, Some(&agent)))
        }
        Some(_) => Err(Failure::ModelNotFound),
        None => match default_agent(client, known, &agents) {
            None if !any => Err(Failure::ModelNotFound),
            agent => Ok(Model::new(id, agent).describe(known, agent)),
        },
    }
}

pub fn write_list(models: &[Model], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"object":"list","data":"#);
    write_json(out, models);
    out.push(b'}');
}

pub fn write_one(model: &Model, out: &mut Vec<u8>) {
    write_json(out, model);
}

fn reachable(client: &Grant, known: Option<&AgentList>) -> Vec<AgentId> {
    match (&client.agents, known) {
        (Agents::Any, Some(known)) => known.agents.clone(),
        (Agents::Any, None) => client.default_agent.iter().cloned().collect(),
        (Agents::Listed(listed), None) => listed.clone(),
        (Agents::Listed(listed), Some(known)) => {
            let there = |agent: &&AgentId| known.agents.contains(agent);
            listed.iter().filter(there).cloned().collect()
        }
    }
}

fn default_agent<'a>(
    client: &'a Grant,
    known: Option<&'a AgentList>,
    reachable: &[AgentId],
) -> Option<&'a AgentId> {
    client
        .default_agent
        .as_ref()
        .or_else(|| known?.default_agent.as_ref())
        .filter(|agent| reachable.contains(agent))
}

#[cfg(test)]
mod tests;
