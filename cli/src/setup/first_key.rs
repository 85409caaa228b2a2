//! The first client key: its id, and its agents, chosen from the gateway's list.

use clawfront_core::access::key::KeyId;
use clawfront_core::agent::{AgentId, AgentList};

use super::options::Setup;
use crate::agents::{nearest, shown};
use crate::ask;
use crate::keys::entry::key_id;
use crate::outcome::{Problem, USAGE};
use crate::system::progress;

/// Every agent, also future ones.
const ANY: &str = "*";

/// Most agents that are listed with a number: a gateway may have thousands.
const MAX_NUMBERED: usize = 20;

/// The entry of a key to be made.
pub(super) struct Choice {
    pub(super) id: KeyId,
    /// Agents, separated by commas, or `*`.
    agents: String,
    /// The agent of requests that name none, if the gateway has no suitable default.
    default: Option<String>,
}

impl Choice {
    pub(super) fn fields(&self) -> Vec<(&str, &str)> {
        let default = self.default.iter().map(|agent| ("default", agent.as_str()));
        [("agents", self.agents.as_str())]
            .into_iter()
            .chain(default)
            .collect()
    }
}

/// Refuses invalid options before anything is done.
pub(super) fn refuse_bad_options(setup: &Setup) -> Result<(), Problem> {
    if let Some(id) = &setup.key {
        key_id(id)?;
    }
    if let Some(agents) = &setup.agents {
        choose_agents(agents, None)
            .map_err(|why| Problem::with(USAGE, format!("--agents: {why}")))?;
    }
    Ok(())
}

/// Takes the key's id and agents from the options, or asks for them.
pub(super) fn choose(setup: &Setup, known: Option<&AgentList>) -> Result<Choice, Problem> {
    let id = match &setup.key {
        Some(id) => key_id(id)?,
        None => ask::until("Name of the first client key, such as phone: ", |text| {
            key_id(text).map_err(|problem| problem.message)
        })?,
    };
    let given = setup
        .agents
        .as_ref()
        .map(|agents| choose_agents(agents, known));
    let agents = match given {
        Some(Ok(agents)) => agents,
        Some(Err(why)) if !ask::is_possible() => {
            return Err(Problem::with(USAGE, format!("--agents: {why}")));
        }
        given => {
            if let Some(Err(why)) = given {
                progress(&format!("  {why}"));
            }
            if let Some(known) = known {
                progress(&menu(known));
            }
            ask::until(
                "Agents that it may reach: numbers or names, separated by commas, or * for all: ",
                |text| choose_agents(text, known),
            )?
        }
    };
    let default = default(&agents, known);
    if let Some(agent) = &default {
        progress(&format!(
            "A request of this key that names no agent goes to {agent} (default={agent})."
        ));
    }
    let agents = match agents {
        Chosen::Any => ANY.to_owned(),
        Chosen::Listed(agents) => agents
            .iter()
            .map(AgentId::as_str)
            .collect::<Vec<_>>()
            .join(","),
    };
    Ok(Choice {
        id,
        agents,
        default: default.map(|agent| agent.as_str().to_owned()),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Chosen {
    Any,
    Listed(Vec<AgentId>),
}

/// Reads an answer; numbers count the known agents from 1. Without a list, any name is taken.
fn choose_agents(text: &str, known: Option<&AgentList>) -> Result<Chosen, String> {
    if text.trim() == ANY {
        return Ok(Chosen::Any);
    }
    let mut chosen = Vec::new();
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        let agent = match known {
            None => {
                AgentId::parse(word).ok_or_else(|| format!("{word} is not the name of an agent"))?
            }
            Some(known) => find(word, known)?,
        };
        if !chosen.contains(&agent) {
            chosen.push(agent);
        }
    }
    if chosen.is_empty() {
        return Err("no agent is named. Fix: name at least one, or *".to_owned());
    }
    Ok(Chosen::Listed(chosen))
}

fn find(word: &str, known: &AgentList) -> Result<AgentId, String> {
    let named = AgentId::parse(word).filter(|agent| known.agents.contains(agent));
    let numbered = || {
        let index = word.parse::<usize>().ok()?.checked_sub(1)?;
        known
            .agents
            .get(index)
            .filter(|_| index < MAX_NUMBERED)
            .cloned()
    };
    named.or_else(numbered).ok_or_else(|| {
        let meant = nearest(known, word).map(|agent| format!(" Did you mean {agent}?"));
        format!(
            "the gateway has no agent {word}; it has {}.{}",
            shown(known),
            meant.unwrap_or_default()
        )
    })
}

fn menu(known: &AgentList) -> String {
    let mut lines = vec!["The gateway has these agents:".to_owned()];
    for (number, agent) in (1..).zip(known.agents.iter().take(MAX_NUMBERED)) {
        let is_default = known.default_agent.as_ref() == Some(agent);
        lines.push(format!(
            "  {number:2}  {agent}{}",
            if is_default { " (its default)" } else { "" }
        ));
    }
    match known.agents.len().saturating_sub(MAX_NUMBERED) {
        0 => {}
        more => lines.push(format!("      and {more} more")),
    }
    lines.join("\n")
}

/// Returns the agent that the entry has to name as default, because the key may not reach the
/// gateway's own default.
fn default(agents: &Chosen, known: Option<&AgentList>) -> Option<AgentId> {
    let of_gateway = known.and_then(|known| known.default_agent.as_ref());
    match agents {
        Chosen::Listed(agents)
            if agents.len() > 1 && !of_gateway.is_some_and(|agent| agents.contains(agent)) =>
        {
            agents.first().cloned()
        }
        Chosen::Any if of_gateway.is_none() => {
            known.and_then(|known| known.agents.first()).cloned()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(default_agent: Option<&str>) -> AgentList {
        AgentList {
            agents: ["main", "notes", "3"]
                .map(|name| AgentId::parse(name).unwrap())
                .to_vec(),
            default_agent: default_agent.and_then(AgentId::parse),
            ..AgentList::default()
        }
    }

    fn listed(names: &[&str]) -> Chosen {
        Chosen::Listed(
            names
                .iter()
                .map(|name| AgentId::parse(name).unwrap())
                .collect(),
        )
    }

    #[test]
    fn agents_are_chosen_by_name_or_number_and_no_others() {
        let known = known(None);
        for (text, chosen) in [
            ("main", listed(&["main"])),
            ("2, main,2", listed(&["notes", "main"])),
            ("3", listed(&["3"])),
            (" * ", Chosen::Any),
        ] {
            assert_eq!(choose_agents(text, Some(&known)), Ok(chosen), "{text}");
        }
        for text in ["", " , ", "0", "4", "builder", "main,*", "-"] {
            assert!(choose_agents(text, Some(&known)).is_err(), "{text}");
        }
        let why = choose_agents("note", Some(&known)).unwrap_err();
        assert_eq!(
            why,
            "the gateway has no agent note; it has main, notes, 3. Did you mean notes?"
        );
        assert_eq!(choose_agents("builder", None), Ok(listed(&["builder"])));
        assert!(choose_agents("a/b", None).is_err());
    }

    #[test]
    fn a_default_is_named_where_the_model_openclaw_would_be_none() {
        let default = |text: &str, of_gateway| {
            let known = known(of_gateway);
            let chosen = choose_agents(text, Some(&known)).unwrap();
            super::default(&chosen, Some(&known)).map(|agent| agent.to_string())
        };
        assert_eq!(default("notes,main", None).as_deref(), Some("notes"));
        assert_eq!(default("notes,main", Some("main")), None);
        assert_eq!(default("notes", None), None);
        assert_eq!(default("*", None).as_deref(), Some("main"));
        assert_eq!(default("*", Some("main")), None);
        assert_eq!(
            super::default(&listed(&["a", "b"]), None),
            AgentId::parse("a")
        );
    }
}
