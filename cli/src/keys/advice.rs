//! Warnings about a new entry that parses but cannot work.

use clawfront_core::access::grant::Grant;
use clawfront_core::agent::{AgentList, Agents};

use super::apply::Change;
use crate::agents::{ask, nearest, shown};
use crate::connection::stream::Trust;
use crate::outcome::{Problem, USAGE};
use crate::settings::{self, Settings};

/// Returns the warnings for a new key, one per line. A key that has expired is an error.
pub(super) fn of(client: &Grant, change: &Change, now_ms: u64) -> Result<String, Problem> {
    if let Some(end) = client.expires.filter(|end| end.unix_ms() <= now_ms) {
        return Err(Problem::with(
            USAGE,
            format!("--expires {end} is in the past"),
        ));
    }
    let settings = Settings::read(&settings::Source {
        file: change.source.path().to_owned(),
        config: change
            .target
            .wrangler
            .config
            .clone()
            .unwrap_or_else(|| "wrangler.toml".into()),
        env: change.target.wrangler.env.clone(),
    });
    // A list from standard input has no settings; `doctor` reports settings that cannot be read.
    let settings = settings.unwrap_or_default();
    let mut warnings = Vec::new();
    match settings.gateway() {
        Some(gateway) if !change.is_rehearsal() => match ask(&gateway, &Trust::new(None)?) {
            Ok(known) => warnings.extend(about_agents(client, &known)),
            Err((failure, _)) => {
                let code = failure.cause().map(|cause| cause.code).unwrap_or_default();
                warnings.push(format!(
                    "the agents of the gateway were not checked: it is not reached ({code})"
                ));
            }
        },
        _ => warnings.extend(without_gateway(client)),
    }
    Ok(warnings
        .iter()
        .flat_map(|warning| ["warning: ", warning, "\n"])
        .collect())
}

/// Returns warnings about the entry at a gateway with these agents.
fn about_agents(client: &Grant, known: &AgentList) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Agents::Listed(agents) = &client.agents {
        for agent in agents.iter().filter(|agent| !known.agents.contains(agent)) {
            let meant =
                nearest(known, agent.as_str()).map(|meant| format!(" Did you mean {meant}?"));
            warnings.push(format!(
                "the gateway has no agent {agent}; it has {}.{}",
                shown(known),
                meant.unwrap_or_default()
            ));
        }
    }
    let default = client
        .default_agent
        .as_ref()
        .or(known.default_agent.as_ref());
    if !default.is_some_and(|agent| client.agents.allows(agent)) {
        warnings.push(no_default(client, "for this key"));
    }
    warnings
}

fn without_gateway(client: &Grant) -> Option<String> {
    let has_several = matches!(&client.agents, Agents::Listed(agents) if agents.len() > 1);
    (has_several && client.default_agent.is_none()).then(|| {
        no_default(
            client,
            "unless the gateway's own default is one of this key's agents",
        )
    })
}

fn no_default(client: &Grant, when: &str) -> String {
    let first = match &client.agents {
        Agents::Listed(agents) => agents.first().map_or("AGENT", |agent| agent.as_str()),
        Agents::Any => "AGENT",
    };
    format!("the model `openclaw` is 404 {when}. Fix: name an agent with --default {first}")
}

#[cfg(test)]
mod tests {
    use clawfront_core::access::admit::Grants;
    use clawfront_core::agent::AgentId;

    use super::*;

    fn client(fields: &str) -> Grant {
        let hash = "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
        let mut clients = Grants::default();
        clients.extend(&format!("phone {hash} {fields}"), &mut Vec::new());
        clients.iter().next().unwrap().clone()
    }

    #[test]
    fn an_entry_that_names_no_default_is_pointed_out_where_the_gateway_has_none() {
        let known = |default: Option<&str>| AgentList {
            agents: ["main", "notes"]
                .map(|name| AgentId::parse(name).unwrap())
                .to_vec(),
            default_agent: default.and_then(AgentId::parse),
            ..AgentList::default()
        };
        for (fields, default, count) in [
            ("agents=main,notes", None, 1),
            ("agents=main,notes default=main", None, 0),
            ("agents=main,notes", Some("main"), 0),
            ("agents=notes", None, 0),
            ("agents=*", None, 1),
            ("agents=*", Some("main"), 0),
            ("agents=gone,main", Some("notes"), 2),
        ] {
            let warnings = about_agents(&client(fields), &known(default));
            assert_eq!(warnings.len(), count, "{fields}: {warnings:?}");
        }
        assert!(without_gateway(&client("agents=main,notes")).is_some());
        assert!(without_gateway(&client("agents=main")).is_none());
    }
}
