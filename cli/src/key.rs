//! `clawfront key`

use clap::Args;
use clawfront_core::key::{Clients, KeyId, NewKey};

use crate::{Problem, entropy};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key: prints it once, with the entry to add to CLIENT_KEYS
    New(New),
}

#[derive(Args)]
pub(crate) struct New {
    /// Public name of the key: a-z, 0-9 and -, at most 32; it appears in logs
    #[arg(long)]
    id: String,
    /// Agents the key may reach, with commas between them, or * for every agent
    #[arg(long)]
    agents: String,
    /// Agent of requests that name none
    #[arg(long)]
    default: Option<String>,
    /// own: sessions of the key's own; any: raw session keys of its agents too
    #[arg(long, default_value = "own")]
    sessions: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Command) -> Result<String, Problem> {
    let Command::New(arguments) = command;
    let id =
        KeyId::parse(&arguments.id).ok_or_else(|| Problem::new("--id is a-z, 0-9 and -, at most 32 characters"))?;
    let key = NewKey::from_entropy(&id, &entropy()?);
    let mut entry = format!("{id} {} agents={}", key.hash, arguments.agents);
    if let Some(default) = &arguments.default {
        entry.push_str(" default=");
        entry.push_str(default);
    }
    if arguments.sessions != "own" {
        entry.push_str(" sessions=");
        entry.push_str(&arguments.sessions);
    }
    check(&entry)?;
    Ok(if arguments.json {
        serde_json::json!({ "id": id.as_str(), "key": key.plaintext.as_str(), "entry": entry }).to_string()
    } else {
        format!(
            "Key, for the client, shown only here:\n  {}\n\nEntry, to be added to CLIENT_KEYS:\n  {entry}",
            key.plaintext.as_str()
        )
    })
}

/// Refuses what the Worker would refuse, in its words.
fn check(entry: &str) -> Result<(), Problem> {
    let mut problems = Vec::new();
    let mut clients = Clients::default();
    // An entry is one line of the secret; nothing in it may begin another.
    if entry.contains([';', '\n']) {
        return Err(Problem::new("an argument contains ; or a line break"));
    }
    clients.extend(entry, &mut problems);
    match problems.into_iter().next() {
        Some(problem) => Err(Problem::new(problem.what)),
        None => Ok(()),
    }
}
