//! Models, as clients name and list them: every agent is one.
//!
//! Source of the names: OpenClaw `http-utils.ts` (both versions) and its `/v1/models` (2026.9.6). An agent also has its bare id as a
//! name, and whatever aliases the deployment gives it, because some clients cannot do with `/` or `:` in a name.

use serde::Serialize;

use super::completion::write_json;
use crate::agent::{AgentId, Agents, Roster};
use crate::error::Failure;
use crate::key::Client;

/// Says where a list of models comes from: see [`Source`].
pub const SOURCE_HEADER: &str = "x-clawfront-models";

/// Longest `model` that is looked at, in bytes; no agent has a name that long.
pub(super) const MAX_MODEL_BYTES: usize = 256;

/// Longest alias, in bytes.
const MAX_ALIAS_BYTES: usize = 64;

/// The default agent's name.
const DEFAULT: &str = "openclaw";

/// The names of an agent before its id.
const PREFIXES: [&str; 3] = ["openclaw/", "openclaw:", "agent:"];

/// Further names for agents, of a whole deployment: `gpt-4o=main`, with commas, blanks or line breaks between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases(Vec<(String, AgentId)>);

impl Aliases {
    /// Reads the aliases, or says which one is wrong, counted from 1.
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
                .ok_or_else(|| format!("alias {number} is not of the form name=agent, such as gpt-4o=main"))?;
            if aliases.iter().any(|(other, _)| other.eq_ignore_ascii_case(alias)) {
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

/// The agent that a model names, in any case: an alias, `openclaw/<id>`, `openclaw:<id>`, `agent:<id>` or the bare id; `None` for
/// `openclaw` and `openclaw/default`, which mean the default one.
pub fn agent_of(model: &str, aliases: &Aliases) -> Result<Option<AgentId>, Failure> {
    let model = model.trim();
    if model.len() > MAX_MODEL_BYTES {
        return Err(Failure::ModelNotFound);
    }
    if let Some(agent) = aliases.agent(model) {
        return Ok(Some(agent.clone()));
    }
    let lower = model.to_ascii_lowercase();
    if matches!(lower.as_str(), "" | DEFAULT | "openclaw/default" | "openclaw:default") {
        return Ok(None);
    }
    let id = PREFIXES
        .iter()
        .find_map(|prefix| lower.strip_prefix(prefix))
        .unwrap_or(&lower);
    AgentId::parse(id).map(Some).ok_or(Failure::ModelNotFound)
}

/// What a list of models was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The gateway's own list of agents, at most a minute old.
    Gateway,
    /// The gateway did not tell: the key's entry alone, or with an older list of the gateway's.
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
    /// Seconds since the Unix epoch; the gateway says 0, and so it is here.
    created: u64,
    owned_by: &'static str,
    /// The name that this one stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<String>,
}

impl Model {
    fn new(id: impl Into<String>, agent: Option<&AgentId>) -> Self {
        Self {
            id: id.into(),
            object: "model",
            created: 0,
            owned_by: DEFAULT,
            root: agent.map(|agent| match agent.as_str() {
                // `openclaw/default` means another one.
                "default" => "default".to_owned(),
                agent => format!("{DEFAULT}/{agent}"),
            }),
        }
    }
}

/// The models that a client may use, of the gateway's agents (`None`: nobody knows them).
pub fn list(client: &Client, aliases: &Aliases, roster: Option<&Roster>) -> Vec<Model> {
    let agents = reachable(client, roster);
    let default_agent = default_agent(client, roster, &agents);
    let mut models = Vec::new();
    // Of a key for every agent of a gateway that does not answer nothing else can be said; an empty list blanks chat UIs.
    if default_agent.is_some() || (client.agents == Agents::Any && roster.is_none()) {
        models.push(Model::new(DEFAULT, default_agent));
    }
    let long_name = |agent: &AgentId| format!("{DEFAULT}/{agent}");
    // Only names that mean what they are listed for: an agent may be called `default`, or like an alias.
    let means = |name: &str, agent: &AgentId| agent_of(name, aliases).ok().flatten().as_ref() == Some(agent);
    models.extend(
        agents
            .iter()
            .filter(|agent| means(&long_name(agent), agent))
            .map(|agent| Model::new(long_name(agent), None)),
    );
    models.extend(
        agents
            .iter()
            .filter(|agent| means(agent.as_str(), agent))
            .map(|agent| Model::new(agent.as_str(), Some(agent))),
    );
    models.extend(
        aliases
            .0
            .iter()
            .filter(|(_, agent)| agents.contains(agent))
            .map(|(alias, agent)| Model::new(alias.as_str(), Some(agent))),
    );
    models
}

/// One model of those that [`list`] would list, under any of its names.
pub fn find(id: &str, client: &Client, aliases: &Aliases, roster: Option<&Roster>) -> Result<Model, Failure> {
    let id = id.trim();
    let agents = reachable(client, roster);
    // Nobody knows the agents, and the key may reach every one.
    let any = client.agents == Agents::Any && roster.is_none();
    match agent_of(id, aliases)? {
        Some(agent) if any || agents.contains(&agent) => Ok(Model::new(id, Some(&agent))),
        Some(_) => Err(Failure::ModelNotFound),
        None => match default_agent(client, roster, &agents) {
            None if !any => Err(Failure::ModelNotFound),
            agent => Ok(Model::new(id, agent)),
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

fn reachable(client: &Client, roster: Option<&Roster>) -> Vec<AgentId> {
    match (&client.agents, roster) {
        (Agents::Any, Some(roster)) => roster.agents.clone(),
        (Agents::Any, None) => client.default_agent.iter().cloned().collect(),
        (Agents::Listed(listed), None) => listed.clone(),
        (Agents::Listed(listed), Some(roster)) => {
            let there = |agent: &&AgentId| roster.agents.contains(agent);
            listed.iter().filter(there).cloned().collect()
        }
    }
}

fn default_agent<'a>(client: &'a Client, roster: Option<&'a Roster>, reachable: &[AgentId]) -> Option<&'a AgentId> {
    client
        .default_agent
        .as_ref()
        .or_else(|| roster?.default_agent.as_ref())
        .filter(|agent| reachable.contains(agent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Clients;

    fn client(fields: &str) -> Client {
        let mut clients = Clients::default();
        let mut problems = Vec::new();
        let hash = "2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
        clients.extend(&format!("phone sha256:{hash} {fields}"), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        clients.iter().next().unwrap().clone()
    }

    fn agent(id: &str) -> AgentId {
        AgentId::parse(id).unwrap()
    }

    fn roster(agents: &[&str], default_agent: Option<&str>) -> Roster {
        Roster {
            agents: agents.iter().map(|id| agent(id)).collect(),
            default_agent: default_agent.map(agent),
        }
    }

    fn ids(client: &Client, roster: Option<&Roster>) -> Vec<String> {
        let aliases = Aliases::parse("gpt-4o=main other=secret").unwrap();
        list(client, &aliases, roster)
            .into_iter()
            .map(|model| model.id)
            .collect()
    }

    #[test]
    fn a_model_names_an_agent_in_every_documented_form() {
        let aliases = Aliases::parse("gpt-4o=main,\n notes=beta").unwrap();
        for (model, expected) in [
            ("openclaw:beta", Some("beta")),
            ("openclaw/beta", Some("beta")),
            ("agent:beta", Some("beta")),
            ("OpenClaw/Beta", Some("beta")),
            (" AGENT:BETA ", Some("beta")),
            ("beta", Some("beta")),
            ("gpt-4o", Some("main")),
            ("GPT-4o", Some("main")),
            // The operator's word stands before the gateway's.
            ("notes", Some("beta")),
            ("openclaw/notes", Some("notes")),
            ("", None),
            ("openclaw", None),
            ("OpenClaw", None),
            ("openclaw/default", None),
            ("openclaw:default", None),
        ] {
            assert_eq!(agent_of(model, &aliases), Ok(expected.map(agent)), "{model}");
        }
        for model in [
            "openclaw/",
            "agent:",
            "openclaw/a b",
            "gpt-4.1",
            "a/b",
            &"m".repeat(300),
        ] {
            assert_eq!(agent_of(model, &aliases), Err(Failure::ModelNotFound), "{model}");
        }
    }

    #[test]
    fn aliases_that_cannot_be_are_named_by_their_place() {
        for (text, why) in [
            ("gpt-4o", "alias 1 is not of the form name=agent, such as gpt-4o=main"),
            (
                "a=b, x/y=main",
                "alias 2 is not of the form name=agent, such as gpt-4o=main",
            ),
            (
                "openclaw=main",
                "alias 1 is not of the form name=agent, such as gpt-4o=main",
            ),
            ("a=a:b", "alias 1 is not of the form name=agent, such as gpt-4o=main"),
            ("a=b A=c", "alias 2 is given twice"),
        ] {
            assert_eq!(Aliases::parse(text), Err(why.to_owned()), "{text}");
        }
        assert_eq!(Aliases::parse(" "), Ok(Aliases::default()));
    }

    #[test]
    fn a_key_lists_its_agents_of_those_that_are_there() {
        let there = roster(&["main", "secret"], Some("main"));
        assert_eq!(
            ids(&client("agents=main,beta"), Some(&there)),
            ["openclaw", "openclaw/main", "main", "gpt-4o"]
        );
        assert_eq!(
            ids(&client("agents=*"), Some(&there)),
            [
                "openclaw",
                "openclaw/main",
                "openclaw/secret",
                "main",
                "secret",
                "gpt-4o",
                "other"
            ]
        );
        let no_default = roster(&["main", "beta"], None);
        assert_eq!(
            ids(&client("agents=main,beta"), Some(&no_default)),
            ["openclaw/main", "openclaw/beta", "main", "beta", "gpt-4o"]
        );
        assert_eq!(ids(&client("agents=beta"), Some(&there)), Vec::<String>::new());
    }

    #[test]
    fn without_the_gateway_the_key_alone_is_listed() {
        assert_eq!(
            ids(&client("agents=main,beta default=beta"), None),
            ["openclaw", "openclaw/main", "openclaw/beta", "main", "beta", "gpt-4o"]
        );
        assert_eq!(ids(&client("agents=*"), None), ["openclaw"]);
        assert_eq!(
            ids(&client("agents=* default=main"), None),
            ["openclaw", "openclaw/main", "main", "gpt-4o"]
        );
    }

    #[test]
    fn every_listed_name_is_found_and_means_what_it_is_listed_for() {
        let there = roster(&["main", "beta"], Some("main"));
        let aliases = Aliases::parse("gpt-4o=main").unwrap();
        let odd = roster(&["main", "default", "openclaw", "gpt-4o"], Some("main"));
        for (roster, fields) in [
            (Some(&there), "agents=*"),
            (Some(&odd), "agents=*"),
            (None, "agents=*"),
            (None, "agents=* default=main"),
        ] {
            let client = client(fields);
            for model in list(&client, &aliases, roster) {
                let found = find(&model.id, &client, &aliases, roster).unwrap();
                assert_eq!(found.id, model.id);
                // A name without a root is the root, or the default of nobody knows what.
                let root = model.root.or_else(|| model.id.contains('/').then(|| model.id.clone()));
                assert_eq!(found.root, root, "{}", model.id);
            }
        }
        assert_eq!(
            ids(&client("agents=*"), Some(&odd)),
            [
                "openclaw",
                "openclaw/main",
                "openclaw/openclaw",
                "openclaw/gpt-4o",
                "main",
                "default",
                "gpt-4o"
            ]
        );
        assert_eq!(
            find(" main ", &client("agents=*"), &aliases, Some(&there)).unwrap().id,
            "main"
        );
        for id in ["gamma", "openclaw/gamma", "", "x/y"] {
            let client = self::client("agents=beta,gamma");
            let found = find(id, &client, &aliases, Some(&roster(&["main"], Some("main"))));
            assert_eq!(found, Err(Failure::ModelNotFound), "{id}");
        }
    }

    #[test]
    fn a_list_is_written_as_openai_writes_it() {
        let mut out = Vec::new();
        write_list(
            &list(
                &client("agents=main"),
                &Aliases::default(),
                Some(&roster(&["main"], None)),
            ),
            &mut out,
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"object":"list","data":["#,
                r#"{"id":"openclaw","object":"model","created":0,"owned_by":"openclaw","root":"openclaw/main"},"#,
                r#"{"id":"openclaw/main","object":"model","created":0,"owned_by":"openclaw"},"#,
                r#"{"id":"main","object":"model","created":0,"owned_by":"openclaw","root":"openclaw/main"}]}"#,
            )
        );
    }
}
