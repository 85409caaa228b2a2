//! The fields of a key's entry, in one table: name, member of `GET /v1/key`, values, default,
//! sentence, parser and printer.
//!
//! The entry's text, `GET /v1/key`, `clawfront keys show` and the options of `clawfront keys new`
//! come from this table. Tests compare docs/keys.md, docs/keys-command.md and openapi.yaml with it.
//! A new field is a member of [`Grant`], its default there, its row here, and the code that uses
//! it.

use std::borrow::Cow;

use serde::Serialize;

use crate::access::grant::Grant;
use crate::access::value::{self, Mistake};
use crate::agent::{AgentId, Agents};

/// Highest `rpm`: one Durable Object answers about a thousand requests a second. Source:
/// Cloudflare's documentation, "Limits" of Durable Objects.
const MAX_REQUESTS_PER_MINUTE: u32 = 60_000;

/// Highest `runs`: a gateway runs far fewer at once.
const MAX_CONCURRENT_RUNS: u32 = 1000;

/// Highest `tokens_day` and `tokens_month`: a model that writes 1000 tokens a second for a month
/// stays below it.
const MAX_TOKENS: u32 = 4_000_000_000;

/// Highest `runs_day`: more than one in a tenth of a second, which no gateway runs.
const MAX_RUNS_PER_DAY: u32 = 1_000_000;

/// The longest `keep_alive`, in seconds: Cloudflare's own edge gives an origin's head 100 s.
const MAX_KEEP_ALIVE_S: u32 = 90;

/// The longest `linger`, in seconds: an hour, in which the answer holds a place of its key.
const MAX_LINGER_S: u32 = 3600;

/// A field of a key's entry.
pub struct Field {
    /// The name in an entry. The option of `keys new` has `-` instead of `_`.
    pub name: &'static str,
    /// The member of `GET /v1/key`.
    pub member: &'static str,
    /// The values: the words, or a name for them.
    pub values: &'static str,
    /// The default; `None` for a field that an entry must have.
    pub default: Option<&'static str>,
    /// One sentence for the help; empty in the Worker.
    pub about: &'static str,
    pub(super) parse: fn(&str, &mut Grant) -> Result<(), Mistake>,
    pub(super) print: fn(&Grant) -> Shown<'_>,
}

/// The value of a field, as JSON has it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Shown<'a> {
    Text(Option<Cow<'a, str>>),
    List(Vec<Cow<'a, str>>),
    Count(Option<u32>),
    Switch(bool),
}

impl Field {
    /// Returns the key's value of this field, as JSON has it.
    pub fn of<'a>(&self, grant: &'a Grant) -> Shown<'a> {
        (self.print)(grant)
    }
}

/// Returns a parser that sets a member of the grant.
macro_rules! set {
    ($($member:ident).+, $parse:expr) => {
        |text, grant| {
            grant.$($member).+ = $parse(text)?;
            Ok(())
        }
    };
}

/// Returns the row of a field that is on or off.
macro_rules! switch {
    ($name:literal, $($member:ident).+, $default:literal, $about:literal) => {
        Field {
            name: $name,
            member: $name,
            values: "on|off",
            default: Some($default),
            about: in_help($about),
            parse: set!($($member).+, value::switch),
            print: |grant| Shown::Switch(grant.$($member).+),
        }
    };
}

/// Returns the row of a field whose value is one of a few words.
macro_rules! word {
    ($name:literal, $($member:ident).+, $values:literal, $default:literal, $about:literal) => {
        Field {
            name: $name,
            member: $name,
            values: $values,
            default: Some($default),
            about: in_help($about),
            parse: set!($($member).+, value::word),
            print: |grant| Shown::Text(Some(grant.$($member).+.name().into())),
        }
    };
}

/// Returns the row of a limit, which a key may lack.
macro_rules! limit {
    ($name:literal, $member:ident, $max:expr, $about:literal) => {
        Field {
            name: $name,
            member: stringify!($member),
            values: "N",
            default: Some("unlimited"),
            about: in_help($about),
            parse: set!(limits.$member, |text| value::count(text, $max).map(Some)),
            print: |grant| Shown::Count(grant.limits.$member),
        }
    };
}

/// Returns the text in programs with a help, and nothing in the Worker, which pays for each byte.
const fn in_help(about: &'static str) -> &'static str {
    if cfg!(target_arch = "wasm32") {
        ""
    } else {
        about
    }
}

/// All fields, in the order of `GET /v1/key`.
pub const FIELDS: [Field; 26] = [
    Field {
        name: "label",
        member: "label",
        values: "TEXT",
        default: Some("none"),
        about: in_help("Description for people, without double quotes"),
        parse: set!(label, value::label),
        print: |grant| text(grant.label.as_deref()),
    },
    Field {
        name: "agents",
        member: "agents",
        values: "AGENTS",
        default: None,
        about: in_help("Agents the key may reach, separated by commas, or * for every agent"),
        parse: set!(agents, value::agents),
        print: |grant| match &grant.agents {
            Agents::Any => Shown::List(vec!["*".into()]),
            Agents::Listed(agents) => list(agents, AgentId::as_str),
        },
    },
    Field {
        name: "default",
        member: "default_agent",
        values: "AGENT",
        default: Some("the only one of agents"),
        about: in_help("Agent of requests that name none"),
        parse: set!(default_agent, value::agent),
        print: |grant| text(grant.default_agent.as_ref().map(AgentId::as_str)),
    },
    word!(
        "sessions",
        sessions,
        "own|any",
        "own",
        "own: only the key's own sessions; any: also raw session keys of its agents"
    ),
    Field {
        name: "scopes",
        member: "scopes",
        values: "SCOPES",
        default: Some("chat,models,responses"),
        about: in_help("Permissions of the key: chat, models, responses, status; or admin alone"),
        parse: set!(scopes, value::scopes),
        print: |grant| list(&grant.scopes, |scope| scope.name()),
    },
    Field {
        name: "not_before",
        member: "not_before",
        values: "DATE",
        default: Some("at once"),
        about: in_help("Start of its validity: 2027-01-31 or 2027-01-31T18:00:00Z"),
        parse: set!(not_before, value::date),
        print: |grant| Shown::Text(grant.not_before.map(|date| date.to_string().into())),
    },
    Field {
        name: "expires",
        member: "expires",
        values: "DATE",
        default: Some("never"),
        about: in_help("End of its validity"),
        parse: set!(expires, value::date),
        print: |grant| Shown::Text(grant.expires.map(|date| date.to_string().into())),
    },
    limit!(
        "rpm",
        requests_per_minute,
        MAX_REQUESTS_PER_MINUTE,
        "Requests per minute"
    ),
    limit!(
        "runs",
        concurrent_runs,
        MAX_CONCURRENT_RUNS,
        "Concurrent runs"
    ),
    limit!(
        "tokens_day",
        tokens_per_day,
        MAX_TOKENS,
        "Tokens per day (UTC)"
    ),
    limit!(
        "tokens_month",
        tokens_per_month,
        MAX_TOKENS,
        "Tokens per month (UTC)"
    ),
    limit!(
        "runs_day",
        runs_per_day,
        MAX_RUNS_PER_DAY,
        "Runs per day (UTC)"
    ),
    Field {
        name: "origins",
        member: "origins",
        values: "ORIGINS",
        default: Some("none"),
        about: in_help("Origins of web pages that may use it: https://chat.example.com,…"),
        parse: set!(origins, value::origins),
        print: |grant| list(&grant.origins, |origin| origin.as_str()),
    },
    Field {
        name: "networks",
        member: "networks",
        values: "NETWORKS",
        default: Some("every one"),
        about: in_help("Networks it may be used from: 203.0.113.0/24,…"),
        parse: set!(networks, value::networks),
        print: |grant| {
            let networks = grant.networks.iter();
            Shown::List(networks.map(|network| network.to_string().into()).collect())
        },
    },
    switch!(
        "heartbeat",
        streams.heartbeat,
        "on",
        "Comments that keep silent streams alive"
    ),
    Field {
        name: "keep_alive",
        member: "keep_alive_s",
        values: "S",
        default: Some("30"),
        about: in_help(
            "Seconds, 1 to 90, until the head of a whole response is sent and blank lines keep the \
                connection alive",
        ),
        parse: set!(streams.keep_alive_s, |text| value::count(
            text,
            MAX_KEEP_ALIVE_S
        )),
        print: |grant| Shown::Count(Some(grant.streams.keep_alive_s)),
    },
    Field {
        name: "linger",
        member: "linger_s",
        values: "S",
        default: Some("none"),
        about: in_help(
            "Seconds, 1 to 3600, for which an answer waits for sub-agents that its agent does not \
                wait for",
        ),
        parse: set!(streams.linger_s, |text| value::count(text, MAX_LINGER_S)
            .map(Some)),
        print: |grant| Shown::Count(grant.streams.linger_s),
    },
    word!(
        "on_disconnect",
        streams.on_disconnect,
        "abort|finish",
        "abort",
        "abort or finish a run after its client has disconnected"
    ),
    Field {
        name: "conversations",
        member: "conversations",
        values: "HEADERS",
        default: Some("none"),
        about: in_help("Request headers that name a conversation"),
        parse: set!(conversations, value::header_names),
        print: |grant| list(&grant.conversations, |name| name.as_str()),
    },
    word!(
        "tasks",
        tasks,
        "aside|inline",
        "aside",
        "Session of the title and tag requests that chat UIs send"
    ),
    word!(
        "tools",
        tools,
        "ignore|refuse|run",
        "ignore",
        "Ignore or refuse tools of the client, or let the agent call them"
    ),
    word!(
        "system",
        system,
        "allow|user|refuse",
        "allow",
        "allow: put the client's instructions into a marked part of the agent's system prompt; user: \
         into the user's message; refuse: refuse them"
    ),
    switch!(
        "files",
        files,
        "on",
        "Put links to the files that an agent sends into its answers"
    ),
    switch!(
        "reasoning",
        reasoning,
        "off",
        "Send the model's reasoning in answers"
    ),
    switch!(
        "progress",
        progress,
        "off",
        "Send comments about tools and failed attempts in streams"
    ),
    switch!(
        "aliases",
        aliases,
        "off",
        "List every name of an agent as a model"
    ),
];

pub(super) fn text(text: Option<&str>) -> Shown<'_> {
    Shown::Text(text.map(Cow::Borrowed))
}

fn list<'a, T>(items: &'a [T], show: impl Fn(&'a T) -> &'a str) -> Shown<'a> {
    Shown::List(items.iter().map(|item| show(item).into()).collect())
}

#[cfg(test)]
mod tests;
