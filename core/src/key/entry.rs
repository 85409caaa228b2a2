//! The entries of `CLIENT_KEYS`: one key each, one per line or with `;` between them. A `#` in the place of an entry makes the rest of its
//! line a comment.
//!
//! ```text
//! phone sha256:<64 hex> agents=main,notes default=main rpm=30 runs=2 expires=2027-06-30 label="Anna's phone"
//! ```
//!
//! First the id, then the hash of the key (two while it is being replaced, the new one first), then fields in any order. It is
//! strict: what it does not know, or cannot mean, is a mistake with the entry's id in it and none of its values.

use core::net::IpAddr;
use std::fmt;

use base16ct::lower;
use ipnet::IpNet;

use super::{
    Client, Date, KeyId, Limits, OnDisconnect, PREFIX, Scope, Secrets, StreamPolicy, TaskPolicy, ToolPolicy, edit,
};
use crate::agent::{AgentId, Agents};
use crate::origin::Origin;
use crate::secret::Digest;
use crate::session::SessionPolicy;

/// Highest `rpm`: a thousand a second is more than one isolate answers.
const MAX_REQUESTS_PER_MINUTE: u32 = 60_000;

/// The longest `keep_alive`, in seconds: Cloudflare's own edge gives an origin's head 100 s.
const MAX_KEEP_ALIVE_S: u32 = 90;

/// Highest `runs`: what a gateway runs at once is far less.
const MAX_CONCURRENT_RUNS: u32 = 1000;

/// Longest list of origins, networks or headers, in entries.
const MAX_LIST: usize = 16;

/// Longest label, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// Longest header name of `conversations`, in bytes.
const MAX_HEADER_NAME_BYTES: usize = 64;

/// Parts of the names of headers that can never name a conversation: they hold secrets, or have a meaning of their own.
const NO_CONVERSATION: [&str; 9] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "password",
    "api-key",
    "apikey",
    "x-openclaw-",
    "content-type",
];

/// Fewest different hex digits of a hash: the chance that a random one has fewer is below 10^-15; `0000…` and its like stand in for one.
const MIN_HASH_DIGITS: usize = 8;

/// One mistake in a list of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which entry of the list, from 1; comments do not count.
    pub entry: usize,
    /// Names the entry's id, where it has one, and never a value.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}: {}", self.entry, self.what)
    }
}

/// The entries of a list with their numbers, from 1.
pub(super) fn split(entries: &str) -> impl Iterator<Item = (usize, &str)> {
    edit::pieces(entries)
        .filter_map(edit::entry)
        .enumerate()
        .map(|(index, entry)| (index.saturating_add(1), entry))
}

/// Reads one entry.
pub(super) fn parse(entry: &str) -> Result<Client, String> {
    let (first, rest) = entry.split_once(char::is_whitespace).unwrap_or((entry, ""));
    let id = KeyId::parse(first);
    if holds_a_key(entry) {
        let whose = id.map(|id| format!("{id}: ")).unwrap_or_default();
        return Err(format!(
            "{whose}holds a key in the clear: store its sha256, and make a new key"
        ));
    }
    let id = id.ok_or("does not begin with an id (a-z, 0-9 and -, at most 32)")?;
    let mut words = words(rest)
        .map_err(|why| format!("{id}: {why}"))?
        .into_iter()
        .peekable();
    let current = words
        .next()
        .and_then(parse_hash)
        // Not named: until its hash is there, the first word may be anything, a secret too.
        .ok_or("sha256:<64 lower-case hex digits> must follow the id")?;
    let previous = words
        .next_if(|word| !word.contains('='))
        .map(|word| {
            parse_hash(word).ok_or_else(|| format!("{id}: what follows the hash is neither a second hash nor a field"))
        })
        .transpose()?;
    if let Some(previous) = &previous
        && bool::from(previous.matches(&current))
    {
        return Err(format!("{id}: both hashes are the same"));
    }

    let mut fields = Fields::default();
    for word in words {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| format!("{id}: every field is written name=value"))?;
        if fields.seen.contains(&name) {
            return Err(format!("{id}: {name} is given twice"));
        }
        fields.read(name, value).map_err(|why| format!("{id}: {why}"))?;
        fields.seen.push(name);
    }
    fields
        .into_client(&id, current, previous)
        .map_err(|why| format!("{id}: {why}"))
}

/// Whether a key stands somewhere in the text, in whatever it is wrapped.
fn holds_a_key(text: &str) -> bool {
    text.match_indices(PREFIX).any(|(start, _)| {
        let key = text.get(start..).unwrap_or_default();
        let end = key
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
            .unwrap_or(key.len());
        super::is_well_formed(key.get(..end).unwrap_or_default())
    })
}

/// Blanks separate words, but not between double quotes, which surround a whole value.
fn words(text: &str) -> Result<Vec<&str>, &'static str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut quoted = false;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                c.is_whitespace() && !quoted
            })
            .map_or(rest.len(), |(index, _)| index);
        if quoted && end == rest.len() {
            return Err("a quote is not closed (a label has no quote, no ; and no line break in it)");
        }
        let (word, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        words.push(word);
        rest = behind.trim_start();
    }
    Ok(words)
}

fn parse_hash(word: &str) -> Option<Digest> {
    let hex = word.strip_prefix("sha256:")?;
    let digits = (b'0'..=b'f').filter(|digit| hex.as_bytes().contains(digit)).count();
    if digits < MIN_HASH_DIGITS {
        return None;
    }
    let mut hash = [0; 32];
    // All of it: a hash that is shorter leaves some of this unwritten.
    let written = lower::decode(hex, &mut hash).ok()?.len();
    (written == hash.len()).then(|| Digest::new(hash))
}

/// The fields of an entry, as far as they were given.
#[derive(Default)]
struct Fields<'a> {
    seen: Vec<&'a str>,
    agents: Option<Agents>,
    default_agent: Option<AgentId>,
    sessions: SessionPolicy,
    scopes: Option<Vec<Scope>>,
    not_before: Option<Date>,
    expires: Option<Date>,
    limits: Limits,
    origins: Vec<Origin>,
    networks: Vec<IpNet>,
    streams: StreamPolicy,
    conversations: Vec<String>,
    tasks: TaskPolicy,
    reasoning: bool,
    progress: bool,
    tools: ToolPolicy,
    label: Option<String>,
}

impl Fields<'_> {
    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "agents" => self.agents = Some(agents(value)?),
            "default" => self.default_agent = Some(AgentId::parse(value).ok_or("default is not an agent id")?),
            "sessions" => {
                self.sessions = match value {
                    "own" => SessionPolicy::Own,
                    "any" => SessionPolicy::Any,
                    _ => return Err("sessions is own or any".into()),
                }
            }
            "scopes" => {
                self.scopes = Some(
                    list(value, scope)
                        .ok_or("scopes are chat, models, responses and status, with commas between them, each once")?,
                );
            }
            "not_before" => self.not_before = Some(date(name, value)?),
            "expires" => self.expires = Some(date(name, value)?),
            "rpm" => self.limits.requests_per_minute = Some(count(name, value, MAX_REQUESTS_PER_MINUTE)?),
            "runs" => self.limits.concurrent_runs = Some(count(name, value, MAX_CONCURRENT_RUNS)?),
            "origins" => {
                self.origins = short_list(value, Origin::parse).ok_or(
                    "origins are at most 16, each once, as browsers write them: https://host or https://host:port, no *, no default port",
                )?;
            }
            "networks" => {
                self.networks = short_list(value, network).ok_or(
                    "networks are at most 16, each once, by their first address: 203.0.113.0/24 or 2001:db8::/32",
                )?;
            }
            "heartbeat" => self.streams.heartbeat = switch(name, value)?,
            "keep_alive" => self.streams.keep_alive_s = count(name, value, MAX_KEEP_ALIVE_S)?,
            "on_disconnect" => {
                self.streams.on_disconnect = match value {
                    "abort" => OnDisconnect::Abort,
                    "finish" => OnDisconnect::Finish,
                    _ => return Err("on_disconnect is abort or finish".into()),
                }
            }
            "conversations" => {
                self.conversations = short_list(value, header_name)
                    .ok_or("conversations are at most 16 header names, each once, that hold no secret")?;
            }
            "tasks" => {
                self.tasks = match value {
                    "aside" => TaskPolicy::Aside,
                    "inline" => TaskPolicy::Inline,
                    _ => return Err("tasks is aside or inline".into()),
                }
            }
            "tools" => {
                self.tools = match value {
                    "ignore" => ToolPolicy::Ignore,
                    "refuse" => ToolPolicy::Refuse,
                    _ => return Err("tools is ignore or refuse".into()),
                }
            }
            "reasoning" => self.reasoning = switch(name, value)?,
            "progress" => self.progress = switch(name, value)?,
            "label" => self.label = Some(label(value)?),
            _ => {
                return Err(
                    "there is an unknown field; the fields are agents, default, sessions, scopes, not_before, expires, rpm, runs, \
                     origins, networks, heartbeat, keep_alive, on_disconnect, conversations, tasks, tools, reasoning, progress and label"
                        .into(),
                );
            }
        }
        Ok(())
    }

    fn into_client(self, id: &KeyId, current: Digest, previous: Option<Digest>) -> Result<Client, String> {
        let agents = self.agents.ok_or("agents= is missing (agents=* allows every agent)")?;
        let default_agent = match (self.default_agent, &agents) {
            (Some(agent), _) if !agents.allows(&agent) => return Err("default is not one of agents".into()),
            (None, Agents::Listed(listed)) if listed.len() == 1 => listed.first().cloned(),
            (default_agent, _) => default_agent,
        };
        if let (Some(from), Some(to)) = (self.not_before, self.expires)
            && from >= to
        {
            return Err("expires is not after not_before".into());
        }
        Ok(Client {
            id: id.clone(),
            agents,
            default_agent,
            sessions: self.sessions,
            scopes: self.scopes.unwrap_or_else(|| Scope::DEFAULT.to_vec()),
            not_before: self.not_before,
            expires: self.expires,
            limits: self.limits,
            origins: self.origins,
            networks: self.networks,
            streams: self.streams,
            conversations: self.conversations,
            tasks: self.tasks,
            reasoning: self.reasoning,
            progress: self.progress,
            tools: self.tools,
            label: self.label,
            secrets: Secrets {
                id: Digest::of(id.as_str()),
                current,
                previous,
            },
        })
    }
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{name} is on or off")),
    }
}

fn agents(value: &str) -> Result<Agents, String> {
    if value == "*" {
        return Ok(Agents::Any);
    }
    list(value, AgentId::parse)
        .map(Agents::Listed)
        .ok_or_else(|| "agents is * or agent ids with commas between them, each once".into())
}

/// Values with commas between them, each of them once.
fn list<T: PartialEq>(value: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let mut list = Vec::new();
    for item in value.split(',') {
        let item = parse(item)?;
        if list.contains(&item) {
            return None;
        }
        list.push(item);
    }
    Some(list)
}

/// The same, of bounded length.
fn short_list<T: PartialEq>(value: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    list(value, parse).filter(|list| list.len() <= MAX_LIST)
}

fn scope(name: &str) -> Option<Scope> {
    Scope::ALL.into_iter().find(|scope| scope.name() == name)
}

fn date(name: &str, value: &str) -> Result<Date, String> {
    Date::parse(value).ok_or_else(|| format!("{name} is written 2027-01-31 or 2027-01-31T18:00:00Z"))
}

fn count(name: &str, value: &str, max: u32) -> Result<u32, String> {
    value
        .parse()
        .ok()
        .filter(|count| (1..=max).contains(count) && value.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("{name} is a number from 1 to {max}"))
}

/// A block of addresses, or one address. IPv4 is written as IPv4, and a block by its first address.
fn network(value: &str) -> Option<IpNet> {
    let network: IpNet = value
        .parse()
        .ok()
        .or_else(|| value.parse::<IpAddr>().ok().map(IpNet::from))?;
    (network.trunc() == network && network.addr().to_canonical() == network.addr()).then_some(network)
}

fn header_name(value: &str) -> Option<String> {
    let valid = !value.is_empty()
        && value.len() <= MAX_HEADER_NAME_BYTES
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let name = value.to_ascii_lowercase();
    (valid && name != "host" && !NO_CONVERSATION.iter().any(|part| name.contains(part))).then_some(name)
}

fn label(value: &str) -> Result<String, String> {
    let text = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    // Neither control characters nor those that turn the direction of what follows.
    let is_odd = |c: char| c == '"' || c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let valid = !text.is_empty() && text.len() <= MAX_LABEL_BYTES && !text.contains(is_odd);
    if valid {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "label is a text of 1 to {MAX_LABEL_BYTES} bytes, in double quotes if it has blanks"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
    const OTHER: &str = "sha256:aa8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";

    fn entry(fields: &str) -> Client {
        parse(&format!("phone {HASH} {fields}")).unwrap()
    }

    #[test]
    fn an_entry_with_agents_alone_has_the_careful_defaults() {
        let client = entry("agents=main");
        assert_eq!(
            client.default_agent,
            AgentId::parse("main"),
            "the only agent is the default"
        );
        assert_eq!(client.sessions, SessionPolicy::Own);
        assert_eq!(client.scopes, Scope::DEFAULT);
        assert_eq!((client.not_before, client.expires), (None, None));
        assert_eq!(client.limits, Limits::default());
        assert!(client.origins.is_empty() && client.networks.is_empty() && client.conversations.is_empty());
        assert_eq!(client.streams, StreamPolicy::default());
        assert_eq!(client.tasks, TaskPolicy::Aside);
        assert!(!client.reasoning && !client.progress);
        assert_eq!(client.tools, ToolPolicy::Ignore);
        assert_eq!(client.label, None);
        assert_eq!(entry("agents=main,beta").default_agent, None);
        assert_eq!(entry("agents=*").default_agent, None);
    }

    #[test]
    fn every_field_is_read() {
        let client = entry(
            "sessions=any label=\"Anna's phone = mine\" tasks=inline tools=refuse conversations=X-OpenWebUI-Chat-Id,x-session-id heartbeat=off keep_alive=5 reasoning=on progress=on on_disconnect=finish \
             networks=203.0.113.0/24,2001:db8::1 origins=https://chat.example.com,http://localhost:3000 runs=2 rpm=30 \
             expires=2027-06-30 not_before=2026-11-01 scopes=chat default=notes agents=main,notes",
        );
        assert_eq!(client.default_agent, AgentId::parse("notes"));
        assert_eq!(client.sessions, SessionPolicy::Any);
        assert_eq!(client.scopes, [Scope::Chat]);
        assert_eq!(client.not_before, Date::parse("2026-11-01"));
        assert_eq!(client.expires, Date::parse("2027-06-30"));
        assert_eq!(
            client.limits,
            Limits {
                requests_per_minute: Some(30),
                concurrent_runs: Some(2)
            }
        );
        let origins: Vec<_> = client.origins.iter().map(Origin::as_str).collect();
        assert_eq!(origins, ["https://chat.example.com", "http://localhost:3000"]);
        let networks: Vec<_> = client.networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["203.0.113.0/24", "2001:db8::1/128"]);
        assert_eq!(
            client.streams,
            StreamPolicy {
                heartbeat: false,
                on_disconnect: OnDisconnect::Finish,
                keep_alive_s: 5
            }
        );
        assert_eq!(client.conversations, ["x-openwebui-chat-id", "x-session-id"]);
        assert_eq!(client.tasks, TaskPolicy::Inline);
        assert!(client.reasoning && client.progress);
        assert_eq!(client.tools, ToolPolicy::Refuse);
        assert_eq!(client.label.as_deref(), Some("Anna's phone = mine"));
    }

    #[test]
    fn a_list_has_one_entry_per_line_or_semicolon() {
        let entries: Vec<_> = split("# people; a\r\n a b ; c\r\n\n;#d; d\n e # f").collect();
        assert_eq!(entries, [(1, "a b"), (2, "c"), (3, "e # f")]);
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "it is one list, and is read as one")]
    fn every_mistake_is_named_without_its_value() {
        let plain = "claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh";
        let zero = "0".repeat(64);
        let hash_must_follow = "sha256:<64 lower-case hex digits> must follow the id";
        for (entry, expected) in [
            (
                format!("Phone {HASH} agents=main"),
                "does not begin with an id (a-z, 0-9 and -, at most 32)",
            ),
            ("phone".into(), hash_must_follow),
            ("phone sha256:abc agents=main".into(), hash_must_follow),
            (format!("phone {} agents=main", HASH.to_uppercase()), hash_must_follow),
            (format!("phone sha256:{zero} agents=main"), hash_must_follow),
            (
                format!("phone {plain} agents=main"),
                "phone: holds a key in the clear: store its sha256, and make a new key",
            ),
            (
                format!("phone {HASH} agents=main label=\"{plain}\""),
                "phone: holds a key in the clear: store its sha256, and make a new key",
            ),
            (
                format!("phone {HASH} hunter2 agents=main"),
                "phone: what follows the hash is neither a second hash nor a field",
            ),
            (
                format!("phone {HASH} {OTHER} hunter2"),
                "phone: every field is written name=value",
            ),
            (
                format!("phone {HASH} {HASH} agents=main"),
                "phone: both hashes are the same",
            ),
            (
                format!("phone {HASH}"),
                "phone: agents= is missing (agents=* allows every agent)",
            ),
            (
                format!("phone {HASH} agents="),
                "phone: agents is * or agent ids with commas between them, each once",
            ),
            (
                format!("phone {HASH} agents=main,Main"),
                "phone: agents is * or agent ids with commas between them, each once",
            ),
            (
                format!("phone {HASH} agents=main networks=203.0.113.7/24"),
                "phone: networks are at most 16, each once, by their first address: 203.0.113.0/24 or 2001:db8::/32",
            ),
            (
                format!("phone {HASH} agents=main networks=::ffff:203.0.113.0/120"),
                "phone: networks are at most 16, each once, by their first address: 203.0.113.0/24 or 2001:db8::/32",
            ),
            (
                format!("phone {HASH} agents=main,*"),
                "phone: agents is * or agent ids with commas between them, each once",
            ),
            (
                format!("phone {HASH} agents=main agents=beta"),
                "phone: agents is given twice",
            ),
            (
                format!("phone {HASH} agents=main default=beta"),
                "phone: default is not one of agents",
            ),
            (
                format!("phone {HASH} agents=main sessions=all"),
                "phone: sessions is own or any",
            ),
            (
                format!("phone {HASH} agents=main scopes=chat,admin"),
                "phone: scopes are chat, models, responses and status, with commas between them, each once",
            ),
            (
                format!("phone {HASH} agents=main expires=31.01.2027"),
                "phone: expires is written 2027-01-31 or 2027-01-31T18:00:00Z",
            ),
            (
                format!("phone {HASH} agents=main not_before=2027-01-31 expires=2027-01-31"),
                "phone: expires is not after not_before",
            ),
            (
                format!("phone {HASH} agents=main rpm=0"),
                "phone: rpm is a number from 1 to 60000",
            ),
            (
                format!("phone {HASH} agents=main rpm=+5"),
                "phone: rpm is a number from 1 to 60000",
            ),
            (
                format!("phone {HASH} agents=main runs=1001"),
                "phone: runs is a number from 1 to 1000",
            ),
            (
                format!("phone {HASH} agents=main origins=*"),
                "phone: origins are at most 16, each once, as browsers write them: https://host or https://host:port, no *, no default port",
            ),
            (
                format!("phone {HASH} agents=main networks=203.0.113.0/33"),
                "phone: networks are at most 16, each once, by their first address: 203.0.113.0/24 or 2001:db8::/32",
            ),
            (
                format!("phone {HASH} agents=main heartbeat=never"),
                "phone: heartbeat is on or off",
            ),
            (
                format!("phone {HASH} agents=main reasoning=yes"),
                "phone: reasoning is on or off",
            ),
            (
                format!("phone {HASH} agents=main on_disconnect=stop"),
                "phone: on_disconnect is abort or finish",
            ),
            (
                format!("phone {HASH} agents=main conversations=cookie"),
                "phone: conversations are at most 16 header names, each once, that hold no secret",
            ),
            (
                format!("phone {HASH} agents=main tasks=off"),
                "phone: tasks is aside or inline",
            ),
            (
                format!("phone {HASH} agents=main label=\"Anna"),
                "phone: a quote is not closed (a label has no quote, no ; and no line break in it)",
            ),
            (
                format!("phone {HASH} agents=main label="),
                "phone: label is a text of 1 to 64 bytes, in double quotes if it has blanks",
            ),
            (
                format!("phone {HASH} agents=main admin=yes"),
                "phone: there is an unknown field; the fields are agents, default, sessions, scopes, not_before, expires, rpm, \
                 runs, origins, networks, heartbeat, keep_alive, on_disconnect, conversations, tasks, tools, reasoning, progress and label",
            ),
        ] {
            assert_eq!(parse(&entry).err().as_deref(), Some(expected), "{entry}");
        }
    }

    #[test]
    fn what_only_looks_like_a_key_is_none() {
        assert!(parse(&format!("phone {HASH} agents=openclaw_dev label=claw_team_x")).is_ok());
    }

    #[test]
    fn entries_that_collide_are_refused_by_name() {
        let mut clients = super::super::Clients::default();
        let mut problems = Vec::new();
        clients.extend(
            &format!("phone {HASH} agents=main\nphone {OTHER} agents=main\nbot {HASH} agents=main\ncar {OTHER} {HASH} agents=main"),
            &mut problems,
        );
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "entry 2: phone: the id is used twice",
                "entry 3: bot: has the same hash as phone",
                "entry 4: car: has the same hash as phone"
            ]
        );
    }
}
