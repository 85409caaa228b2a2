//! `GET /v1/key`: what a key may do, until when, and what is left of it. Nothing in it is another key's.

use serde::Serialize;

use super::{Client, OnDisconnect, TaskPolicy, ToolPolicy};
use crate::agent::Agents;
use crate::limit::Counts;
use crate::session::SessionPolicy;

/// Writes the status of the key of `client`, as this isolate has counted it.
pub fn write(client: &Client, counts: &Counts, now_ms: u64, out: &mut Vec<u8>) {
    let agents = match &client.agents {
        Agents::Any => vec!["*"],
        Agents::Listed(agents) => agents.iter().map(crate::agent::AgentId::as_str).collect(),
    };
    let status = Status {
        object: "key",
        id: client.id.as_str(),
        label: client.label.as_deref(),
        agents,
        default_agent: client.default_agent.as_ref().map(crate::agent::AgentId::as_str),
        sessions: match client.sessions {
            SessionPolicy::Own => "own",
            SessionPolicy::Any => "any",
        },
        scopes: client.scopes.iter().map(|scope| scope.name()).collect(),
        not_before: client.not_before.map(|date| date.to_string()),
        expires: client.expires.map(|date| date.to_string()),
        requests_per_minute: counts.allowance(client, now_ms).map(|left| Requests {
            limit: left.limit,
            remaining: left.remaining,
            reset_s: left.reset_s,
        }),
        concurrent_runs: Runs {
            limit: client.limits.concurrent_runs,
            running: counts.runs(&client.id, now_ms),
        },
        origins: client.origins.iter().map(crate::origin::Origin::as_str).collect(),
        networks: client.networks.iter().map(ToString::to_string).collect(),
        heartbeat: client.streams.heartbeat,
        keep_alive_s: client.streams.keep_alive_s,
        on_disconnect: match client.streams.on_disconnect {
            OnDisconnect::Abort => "abort",
            OnDisconnect::Finish => "finish",
        },
        conversations: &client.conversations,
        tasks: match client.tasks {
            TaskPolicy::Aside => "aside",
            TaskPolicy::Inline => "inline",
        },
        tools: match client.tools {
            ToolPolicy::Ignore => "ignore",
            ToolPolicy::Refuse => "refuse",
        },
        reasoning: client.reasoning,
        progress: client.progress,
    };
    // Into memory, of a type whose serialisation cannot fail.
    let written = serde_json::to_writer(out, &status);
    debug_assert!(written.is_ok());
}

#[derive(Serialize)]
struct Status<'a> {
    object: &'static str,
    id: &'a str,
    label: Option<&'a str>,
    agents: Vec<&'a str>,
    default_agent: Option<&'a str>,
    sessions: &'static str,
    scopes: Vec<&'static str>,
    not_before: Option<String>,
    expires: Option<String>,
    requests_per_minute: Option<Requests>,
    concurrent_runs: Runs,
    origins: Vec<&'a str>,
    networks: Vec<String>,
    heartbeat: bool,
    keep_alive_s: u32,
    on_disconnect: &'static str,
    conversations: &'a [String],
    tasks: &'static str,
    tools: &'static str,
    reasoning: bool,
    progress: bool,
}

#[derive(Serialize)]
struct Requests {
    limit: u32,
    remaining: u32,
    reset_s: u32,
}

#[derive(Serialize)]
struct Runs {
    limit: Option<u32>,
    running: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Clients;

    #[test]
    fn a_key_tells_its_bearer_all_about_itself() {
        let mut clients = Clients::default();
        let mut problems = Vec::new();
        let hash = "2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
        clients.extend(
            &format!("phone sha256:{hash} agents=main,beta rpm=30 runs=2 expires=2027-06-30 label=\"Anna's \u{fc}\""),
            &mut problems,
        );
        let client = clients.iter().next().unwrap();
        let mut counts = Counts::default();
        counts.request(client, 1000).unwrap();
        let ticket = counts.enter(1000).unwrap();
        counts.begin_run(ticket, client, 1000).unwrap();
        let mut out = Vec::new();
        write(client, &counts, 11_000, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"object":"key","id":"phone","label":"Anna's ü","agents":["main","beta"],"default_agent":null,"#,
                r#""sessions":"own","scopes":["chat","models","responses"],"not_before":null,"expires":"2027-06-30T00:00:00Z","#,
                r#""requests_per_minute":{"limit":30,"remaining":29,"reset_s":50},"concurrent_runs":{"limit":2,"running":1},"#,
                r#""origins":[],"networks":[],"heartbeat":true,"keep_alive_s":30,"on_disconnect":"abort","conversations":[],"tasks":"aside","tools":"ignore","reasoning":false,"progress":false}"#,
            )
        );
    }
}
