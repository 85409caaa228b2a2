//! The key with which a deployment asks an agent.

use clawfront_core::access::grant::Grant;
use clawfront_core::access::policy::Scope;
use clawfront_core::agent::{AgentId, Agents};

use crate::keys::list::List;
use crate::keys::proof::Probe;
use crate::outcome::{Problem, USAGE};
use crate::system::now_ms;

/// Makes a key that reaches the agents of the first valid key in the list, and asks like that key's
/// client. Where all keys are administrators', it may reach every agent.
pub(super) fn probe(list: &List) -> Result<Probe, Problem> {
    let now_ms = now_ms()?;
    let clients = list.clients();
    let is_good = |client: &&Grant| client.expires.is_none_or(|end| end.unix_ms() > now_ms);
    let is_admin = |client: &Grant| client.scopes.contains(&Scope::Admin);
    let client = clients
        .iter()
        .filter(|client| !is_admin(client))
        .find(is_good)
        .or_else(|| clients.iter().find(|client| !is_admin(client)))
        .or_else(|| clients.iter().next());
    let client = client.ok_or_else(|| {
        Problem::with(
            USAGE,
            "the list has no client key. Fix: run clawfront keys new",
        )
    })?;
    let agents = match &client.agents {
        _ if is_admin(client) => "*".to_owned(),
        Agents::Any => "*".to_owned(),
        Agents::Listed(agents) => agents
            .iter()
            .map(AgentId::as_str)
            .collect::<Vec<_>>()
            .join(","),
    };
    let mut fields = vec![
        ("agents", agents.as_str()),
        ("scopes", "chat,models,status"),
    ];
    fields.extend(
        client
            .default_agent
            .iter()
            .map(|agent| ("default", agent.as_str())),
    );
    Probe::with(list, &fields)
}
