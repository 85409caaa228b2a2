//! `clawfront keys`

mod apply;
pub(crate) mod dotenv;
mod list;
mod list_file;
mod view;
pub(crate) mod wrangler;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use clawfront_core::key::{Clients, KeyId, NewKey, edit};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{CONFLICT, EXIT_CODES, MISTAKES, NOT_ADMITTED, Output, Problem, USAGE, entropy, now_ms};
use apply::{Change, Changed, apply, pushed_text};
use list::List;
use list_file::{ListFile, STDIN, stdin};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key and add its entry: the key itself is shown once, here
    #[command(after_help = NEW_EXAMPLES)]
    New(Box<New>),
    /// Show all keys, which of them have expired or will within 14 days, and how full the secrets are
    #[command(after_help = EXIT_CODES)]
    List(Source),
    /// Show one key with all its settings
    #[command(after_help = EXIT_CODES)]
    Show(Show),
    /// Replace a key in two steps: first both are good, then (--finish) the new one alone
    #[command(after_help = EXAMPLES)]
    Rotate(Rotate),
    /// Take a key back
    #[command(after_help = EXIT_CODES)]
    Revoke(Revoke),
    /// Say what is wrong with the list, as the Worker would; and whether a key would be admitted
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Make the list the deployed Worker's, as it stands
    #[command(after_help = EXIT_CODES)]
    Push(Push),
}

pub(crate) const EXAMPLES: &str = concat!(
    "Examples:
  clawfront keys new --id phone --agents main,notes --default main --label \"Anna's phone\" --apply
  clawfront keys list
  clawfront keys rotate phone --apply=both            # shows the new key; the old one is still good
  clawfront keys rotate phone --finish --apply=both   # once the new one is in use
  clawfront keys revoke phone --apply=both

",
    crate::exit_codes!()
);

const NEW_EXAMPLES: &str = concat!(
    "Examples:
  clawfront keys new --id phone --agents main,notes --default main --label \"Anna's phone\" --apply
  clawfront keys new --id ci --agents builder --scopes chat --expires 2027-06-30 --rpm 10 --apply=both
  list=$(pass show clawfront | clawfront keys new --id bob --agents main --file -) && printf '%s\\n' \"$list\" | pass insert -m -f clawfront

",
    crate::exit_codes!()
);

const CHECK_EXAMPLES: &str = concat!(
    "Examples:
  clawfront keys check
  pbpaste | clawfront keys check --key-stdin --address 203.0.113.7

",
    crate::exit_codes!()
);

/// Where the list is, and how to answer.
#[derive(Args)]
pub(crate) struct Source {
    /// The list: a dotenv file with CLIENT_KEYS in it (.dev.vars, *.vars, .env), a file of entries alone, or - for standard input
    #[arg(long, value_name = "PATH", default_value = ".dev.vars")]
    file: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
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
    #[arg(long, value_name = "AGENT")]
    default: Option<String>,
    /// own (the default): sessions of the key's own; any: raw session keys of its agents too
    #[arg(long)]
    sessions: Option<String>,
    /// What the key may be used for: chat, models, responses
    #[arg(long)]
    scopes: Option<String>,
    /// From then on it is good: 2027-01-31 or 2027-01-31T18:00:00Z
    #[arg(long, value_name = "DATE")]
    not_before: Option<String>,
    /// From then on it is good no more
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
    /// Requests per minute
    #[arg(long, value_name = "N")]
    rpm: Option<String>,
    /// Runs at the same time
    #[arg(long, value_name = "N")]
    runs: Option<String>,
    #[arg(long, help = "Web pages that may use it: https://chat.example.com,…")]
    origins: Option<String>,
    /// Networks it may be used from: 203.0.113.0/24,…
    #[arg(long)]
    networks: Option<String>,
    /// on (the default) or off: comments that keep silent streams alive
    #[arg(long)]
    heartbeat: Option<String>,
    /// abort (the default) or finish: what becomes of a run whose client left
    #[arg(long, value_name = "abort|finish")]
    on_disconnect: Option<String>,
    /// Seconds, 1 to 90, after which a whole answer's head is sent and blank lines keep it alive (default 30)
    #[arg(long, value_name = "S")]
    keep_alive: Option<String>,
    /// Headers that name a conversation
    #[arg(long, value_name = "HEADERS")]
    conversations: Option<String>,
    /// aside (the default) or inline: where chat UIs' own title and tag requests go
    #[arg(long)]
    tasks: Option<String>,
    /// on or off (the default): whether answers tell what the model thinks
    #[arg(long, value_name = "on|off")]
    reasoning: Option<String>,
    /// on or off (the default): whether streams tell of tools and failed attempts, as comments
    #[arg(long, value_name = "on|off")]
    progress: Option<String>,
    /// ignore (the default) or refuse: what becomes of requests that offer tools, which an agent cannot call
    #[arg(long, value_name = "ignore|refuse")]
    tools: Option<String>,
    /// For people; without double quotes
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    change: Change,
}

#[derive(Args)]
pub(crate) struct Show {
    id: String,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
pub(crate) struct Rotate {
    id: String,
    /// End the rotation: from then on the old key is good no more
    #[arg(long)]
    finish: bool,
    #[command(flatten)]
    change: Change,
}

#[derive(Args)]
pub(crate) struct Revoke {
    id: String,
    #[command(flatten)]
    change: Change,
}

#[derive(Args)]
pub(crate) struct Check {
    /// Read a key from standard input and say whether it would be admitted, now
    #[arg(long)]
    key_stdin: bool,
    /// The client's address, for keys with networks
    #[arg(long, value_name = "IP", requires = "key_stdin")]
    address: Option<IpAddr>,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
pub(crate) struct Push {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    wrangler: wrangler::Options,
}

pub(crate) fn run(command: &Command) -> Result<Output, Problem> {
    match command {
        Command::New(new) => make(new),
        Command::List(source) => {
            let (_, list) = open(source)?;
            Ok(if source.json {
                Output::line(view::list_json(&source.name(), &list, now_ms()?)?)
            } else {
                Output::of(view::list_text(&list, now_ms()?)?)
            })
        }
        Command::Show(show) => {
            let (_, list) = open(&show.source)?;
            let key = list.key(key_id(&show.id)?.as_str())?;
            Ok(if show.source.json {
                Output::line(view::key_json(&key, now_ms()?))
            } else {
                Output::of(view::key_text(&key, now_ms()?))
            })
        }
        Command::Rotate(rotate) => replace(rotate),
        Command::Revoke(revoke) => {
            let (file, mut list) = open(&revoke.change.source)?;
            let id = key_id(&revoke.id)?;
            list.replace(&list.key(id.as_str())?, None);
            apply(
                &revoke.change,
                &file,
                &list,
                &Changed {
                    id,
                    key: None,
                    entry: None,
                },
            )
        }
        Command::Check(check) => examine(check),
        Command::Push(push) => {
            let (_, list) = open(&push.source)?;
            let pushed = wrangler::push(&list.secrets()?, &push.wrangler)?;
            Ok(if push.source.json {
                Output::line(json!({ "file": push.source.name(), "keys": list.keys().len(), "worker": pushed }))
            } else {
                Output::of(pushed_text(&pushed))
            })
        }
    }
}

fn make(new: &New) -> Result<Output, Problem> {
    let file = ListFile::read(&new.change.source.file)?;
    let mut list = file.list()?;
    if !list.is_empty() {
        refuse_mistakes(&list)?;
    }
    let id = key_id(&new.id)?;
    let key = NewKey::from_entropy(&id, &entropy()?);
    let fields = [
        ("agents", Some(&new.agents)),
        ("default", new.default.as_ref()),
        ("sessions", new.sessions.as_ref()),
        ("scopes", new.scopes.as_ref()),
        ("not_before", new.not_before.as_ref()),
        ("expires", new.expires.as_ref()),
        ("rpm", new.rpm.as_ref()),
        ("runs", new.runs.as_ref()),
        ("origins", new.origins.as_ref()),
        ("networks", new.networks.as_ref()),
        ("heartbeat", new.heartbeat.as_ref()),
        ("on_disconnect", new.on_disconnect.as_ref()),
        ("keep_alive", new.keep_alive.as_ref()),
        ("conversations", new.conversations.as_ref()),
        ("tasks", new.tasks.as_ref()),
        ("reasoning", new.reasoning.as_ref()),
        ("progress", new.progress.as_ref()),
        ("tools", new.tools.as_ref()),
        ("label", new.label.as_ref()),
    ];
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.as_str())));
    let entry = new_entry(&id, &key, fields)?;
    list.add(id.as_str(), &entry)?;
    let (key, entry) = (Some(key.plaintext), Some(entry));
    apply(&new.change, &file, &list, &Changed { id, key, entry })
}

fn replace(rotate: &Rotate) -> Result<Output, Problem> {
    let (file, mut list) = open(&rotate.change.source)?;
    let id = key_id(&rotate.id)?;
    let old = list.key(id.as_str())?;
    let (key, entry) = if rotate.finish {
        let entry = edit::finish(&old.entry)
            .ok_or_else(|| Problem::with(CONFLICT, format!("no rotation of {id} is under way")))?;
        (None, entry)
    } else {
        let key = NewKey::from_entropy(&id, &entropy()?);
        let entry = edit::rotate(&old.entry, &key.hash).ok_or_else(|| {
            Problem::with(
                CONFLICT,
                format!("a rotation of {id} is under way: end it first (rotate {id} --finish)"),
            )
        })?;
        (Some(key.plaintext), entry)
    };
    list.replace(&old, Some(&entry));
    apply(
        &rotate.change,
        &file,
        &list,
        &Changed {
            id,
            key,
            entry: Some(entry),
        },
    )
}

fn examine(check: &Check) -> Result<Output, Problem> {
    if check.key_stdin && check.source.name() == STDIN {
        return Err(Problem::with(USAGE, "standard input is either the list or the key"));
    }
    let list = ListFile::read(&check.source.file)?.existing()?.list()?;
    let mistakes = list.mistakes();
    let (mut key, mut words, mut code) = (Value::Null, String::new(), 0);
    if !mistakes.is_empty() {
        code = MISTAKES;
    } else if check.key_stdin {
        let presented = Zeroizing::new(stdin()?);
        match list.clients().admit(presented.trim(), now_ms()?, check.address) {
            Ok(client) => {
                key = json!({ "admitted": true, "id": client.id.as_str(), "reason": null, "hint": null });
                words = format!("The key is admitted as {}.\n", client.id);
            }
            Err(denial) => {
                key = json!({ "admitted": false, "id": null, "reason": denial.code(), "hint": denial.hint() });
                words = format!("The key is not admitted ({}): {}.\n", denial.code(), denial.hint());
                code = NOT_ADMITTED;
            }
        }
    }
    let count = list.keys().len();
    if check.source.json {
        let report = json!({ "file": check.source.name(), "keys": count, "mistakes": mistakes, "key": key });
        return Ok(Output {
            code,
            ..Output::line(report)
        });
    }
    if code == MISTAKES {
        return refuse_mistakes(&list).map(|()| Output::default());
    }
    Ok(Output {
        code,
        ..Output::of(format!(
            "{count} {}, no mistakes.\n{words}",
            if count == 1 { "key" } else { "keys" }
        ))
    })
}

/// Sets variables of a dotenv file, at once and nothing beside them.
pub(crate) fn set_variables(path: &Path, variables: &[(&str, &str)]) -> Result<(), Problem> {
    let file = ListFile::read(path)?;
    let text = file.with_variables(variables)?;
    file.stage(&text)?.commit()
}

/// Whether a dotenv file has client keys.
pub(crate) fn has_keys(path: &Path) -> Result<bool, Problem> {
    Ok(!ListFile::read(path)?.list()?.is_empty())
}

/// Makes a key and adds its entry to the file.
pub(crate) fn add(path: &Path, id: &str, agents: &str) -> Result<Zeroizing<String>, Problem> {
    let file = ListFile::read(path)?;
    let mut list = file.list()?;
    let id = key_id(id)?;
    let key = NewKey::from_entropy(&id, &entropy()?);
    list.add(id.as_str(), &new_entry(&id, &key, [("agents", agents)])?)?;
    refuse_mistakes(&list)?;
    file.stage(&file.with(&list)?)?.commit()?;
    Ok(key.plaintext)
}

/// Makes the keys of the file, and these settings beside them, the deployed Worker's; the names of what was set.
pub(crate) fn push_with(
    path: &Path,
    settings: &[(&str, String)],
    options: &wrangler::Options,
) -> Result<Vec<String>, Problem> {
    let mut secrets = ListFile::read(path)?.existing()?.list()?.secrets()?;
    secrets.extend(settings.iter().map(|(name, text)| list::Value {
        name: (*name).to_owned(),
        text: text.clone(),
    }));
    Ok(wrangler::push(&secrets, options)?.set)
}

/// The entry of a new key; an error says which field means nothing.
fn new_entry<'a>(
    id: &KeyId,
    key: &NewKey,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String, Problem> {
    let entry = edit::write(id, &key.hash, fields);
    // An entry ends there; nothing in it may begin another.
    if entry.contains(edit::SEPARATORS) {
        return Err(Problem::with(USAGE, "an argument contains ; or a line break"));
    }
    let mut problems = Vec::new();
    Clients::default().extend(&entry, &mut problems);
    match problems.into_iter().next() {
        Some(problem) => Err(Problem::with(USAGE, problem.what)),
        None => Ok(entry),
    }
}

/// The list of an existing file, without mistakes.
fn open(source: &Source) -> Result<(ListFile, List), Problem> {
    let file = ListFile::read(&source.file)?.existing()?;
    let list = file.list()?;
    refuse_mistakes(&list)?;
    Ok((file, list))
}

fn refuse_mistakes(list: &List) -> Result<(), Problem> {
    let mistakes = list.mistakes();
    if mistakes.is_empty() {
        return Ok(());
    }
    Err(Problem::with(
        MISTAKES,
        format!("the list has mistakes\n{}", mistakes.join("\n")),
    ))
}

/// A key in the clear is none, and is not repeated.
fn key_id(text: &str) -> Result<KeyId, Problem> {
    KeyId::parse(text).ok_or_else(|| Problem::with(USAGE, "an id is a-z, 0-9 and -, at most 32 characters"))
}

impl Source {
    fn name(&self) -> String {
        self.file.display().to_string()
    }
}
