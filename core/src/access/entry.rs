//! The entries of `CLIENT_KEYS`: one key each, one per line or with `;` between them. A `#` where
//! an entry could begin makes the rest of its line a comment.
//!
//! ```text
//! phone sha256:<64 hex> agents=main,notes default=main rpm=30 expires=2027-06-30 label="My phone"
//! ```
//!
//! An entry is the id, then the hash of the key, then fields in any order. While a key is being
//! replaced, its entry has two hashes, the new one first. The parser is strict: an unknown or
//! contradictory part is a mistake. Its description has the entry's id, and none of its values.

use std::fmt;

use base16ct::lower;
use percent_encoding::percent_decode_str;

use crate::access::edit;
use crate::access::field::FIELDS;
use crate::access::grant::{Grant, Secrets};
use crate::access::key::{KeyId, PREFIX};
use crate::access::policy::Scope;
use crate::agent::Agents;
use crate::secret::{Digest, Secret};

/// Fewest different hex digits of a hash. The chance that a random hash has fewer is below 10^-15;
/// `0000…` and similar placeholders have fewer.
const MIN_HASH_DIGITS: usize = 8;

/// One mistake in a list of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The number of the entry in the list, from 1; comments do not count.
    pub entry: usize,
    /// The description of the mistake. It has the entry's id, if there is one, and never a value.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}: {}", self.entry, self.what)
    }
}

/// Returns the entries of a list with their numbers, from 1.
pub(super) fn split(entries: &str) -> impl Iterator<Item = (usize, &str)> {
    edit::pieces(entries)
        .filter_map(edit::entry)
        .enumerate()
        .map(|(index, entry)| (index.saturating_add(1), entry))
}

/// Parses one entry.
pub(super) fn parse(entry: &str) -> Result<Grant, String> {
    let (first, rest) = entry.split_once(char::is_whitespace).unwrap_or((entry, ""));
    let id = KeyId::parse(first);
    if holds_a_key(entry) {
        let whose = id.map(|id| format!("{id}: ")).unwrap_or_default();
        return Err(format!(
            "{whose}holds a key in the clear: store its sha256, and make a new key"
        ));
    }
    let id = id.ok_or("does not begin with an id (a-z, 0-9 and -, at most 32)")?;
    let mut words = edit::words(rest)
        .map_err(|why| format!("{id}: {why}"))?
        .into_iter()
        .peekable();
    let current = words
        .next()
        .and_then(parse_hash)
        // The message does not name the first word: without a hash after it, the word may be
        // anything, even a secret.
        .ok_or("sha256:<64 lower-case hex digits> must follow the id")?;
    let previous = words
        .next_if(|word| !word.contains('='))
        .map(|word| {
            parse_hash(word).ok_or_else(|| {
                format!("{id}: what follows the hash is neither a second hash nor a field")
            })
        })
        .transpose()?;
    if let Some(previous) = &previous
        && bool::from(previous.matches(&current))
    {
        return Err(format!("{id}: both hashes are the same"));
    }

    let secrets = Secrets {
        id: Digest::of(id.as_str()),
        current,
        previous,
    };
    let grant = Grant::new(id.clone(), secrets, Secret::new(entry.to_owned()));
    read_fields(words, grant).map_err(|mistake| format!("{id}: {mistake}"))
}

/// The client of a request, as the edge knows it.
#[derive(Debug)]
pub enum Client {
    /// The edge has the entry of its key. The hub takes the edge's word for it, so that a key that
    /// was just added or changed is so at once: while a deploy is under way, the hub may be of the
    /// version before.
    Listed(Box<Grant>),
    /// The hub has made its key: only the hub knows the grant, and whether the key is valid.
    OfHub { id: KeyId, digest: Digest },
    /// It has the link of a file, and no key. The hub knows whose file it is.
    OfLink,
}

/// Begins the header for a key that the hub has made. No entry begins like this.
const OF_HUB: &str = "hub:";

/// The header for a client that has the link of a file.
pub(super) const OF_LINK: &str = "link:";

/// Returns the header for a client whose key the hub has made.
pub(super) fn hub_header(id: &KeyId, digest: &Digest) -> String {
    [OF_HUB, id.as_str(), ":", &digest.to_hex()].concat()
}

/// Reads the header in which the edge hands a client to the hub, with percent-encoding: the
/// [`Grant::entry`] of its key, or the id and the digest of a key that the hub has made.
pub fn from_header(header: &str) -> Option<Client> {
    let text = percent_decode_str(header).decode_utf8().ok()?;
    if let Some(key) = text.strip_prefix(OF_HUB) {
        let (id, digest) = key.split_once(':')?;
        return Some(Client::OfHub {
            id: KeyId::parse(id)?,
            digest: parse_hex(digest)?,
        });
    }
    if text == OF_LINK {
        return Some(Client::OfLink);
    }
    Some(Client::Listed(Box::new(parse(&text).ok()?)))
}

/// Parses the fields of an entry into its grant.
fn read_fields<'a>(
    words: impl Iterator<Item = &'a str>,
    mut grant: Grant,
) -> Result<Grant, String> {
    let mut seen = Vec::new();
    for word in words {
        let (name, value) = word
            .split_once('=')
            .ok_or("every field is written name=value")?;
        if seen.contains(&name) {
            return Err(format!("{name} is given twice"));
        }
        let Some(field) = FIELDS.iter().find(|field| field.name == name) else {
            return Err(unknown_field());
        };
        (field.parse)(value, &mut grant).map_err(|mistake| format!("{name} {mistake}"))?;
        seen.push(name);
    }
    if !seen.contains(&"agents") && !grant.may(Scope::Admin) {
        return Err("agents= is missing (agents=* allows every agent)".into());
    }
    if let Some(agent) = &grant.default_agent
        && !grant.agents.allows(agent)
    {
        return Err("default is not one of agents".into());
    }
    if let (None, Agents::Listed(listed)) = (&grant.default_agent, &grant.agents)
        && let [only] = listed.as_slice()
    {
        grant.default_agent = Some(only.clone());
    }
    if let (Some(from), Some(to)) = (grant.not_before, grant.expires)
        && from >= to
    {
        return Err("expires is not after not_before".into());
    }
    Ok(grant)
}

fn unknown_field() -> String {
    let names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    format!(
        "there is an unknown field; the fields are {} and {last}",
        others.join(", ")
    )
}

/// Returns true if the text contains a key, whatever surrounds the key.
fn holds_a_key(text: &str) -> bool {
    text.match_indices(PREFIX).any(|(start, _)| {
        let key = text.get(start..).unwrap_or_default();
        let end = key
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
            .unwrap_or(key.len());
        crate::access::key::is_well_formed(key.get(..end).unwrap_or_default())
    })
}

fn parse_hash(word: &str) -> Option<Digest> {
    let hex = word.strip_prefix("sha256:")?;
    let digits = (b'0'..=b'f')
        .filter(|digit| hex.as_bytes().contains(digit))
        .count();
    if digits < MIN_HASH_DIGITS {
        return None;
    }
    parse_hex(hex)
}

fn parse_hex(hex: &str) -> Option<Digest> {
    let mut hash = [0; 32];
    // Checks the length, because a shorter hash leaves a part of the buffer unwritten.
    let written = lower::decode(hex, &mut hash).ok()?.len();
    (written == hash.len()).then(|| Digest::new(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::date::Date;
    use crate::access::origin::Origin;
    use crate::access::policy::{
        Limits, OnDisconnect, Scope, SessionPolicy, StreamPolicy, SystemPolicy, TaskPolicy,
        ToolPolicy,
    };
    use crate::agent::AgentId;

    const HASH: &str = "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
    const OTHER: &str = "sha256:aa8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";

    fn entry(fields: &str) -> Grant {
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
        assert!(
            client.origins.is_empty()
                && client.networks.is_empty()
                && client.conversations.is_empty()
        );
        assert_eq!(client.streams, StreamPolicy::default());
        assert_eq!(client.tasks, TaskPolicy::Aside);
        assert!(client.files && !client.reasoning && !client.progress && !client.aliases);
        assert_eq!(client.tools, ToolPolicy::Ignore);
        assert_eq!(client.system, SystemPolicy::Allow);
        assert_eq!(client.label, None);
        assert_eq!(entry("agents=main,beta").default_agent, None);
        assert_eq!(entry("agents=*").default_agent, None);
    }

    #[test]
    fn every_field_is_read() {
        let client = entry(
            "sessions=any label=\"Anna's phone = mine\" tasks=inline tools=refuse system=user files=off conversations=X-OpenWebUI-Chat-Id,x-session-id heartbeat=off keep_alive=5 linger=600 reasoning=on progress=on aliases=on on_disconnect=finish \
             networks=203.0.113.0/24,2001:db8::1 origins=https://chat.example.com,http://localhost:3000 runs=2 rpm=30 tokens_day=50000 tokens_month=4000000000 runs_day=100 \
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
                concurrent_runs: Some(2),
                tokens_per_day: Some(50_000),
                tokens_per_month: Some(4_000_000_000),
                runs_per_day: Some(100)
            }
        );
        let origins: Vec<_> = client.origins.iter().map(Origin::as_str).collect();
        assert_eq!(
            origins,
            ["https://chat.example.com", "http://localhost:3000"]
        );
        let networks: Vec<_> = client.networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["203.0.113.0/24", "2001:db8::1/128"]);
        assert_eq!(
            client.streams,
            StreamPolicy {
                heartbeat: false,
                on_disconnect: OnDisconnect::Finish,
                keep_alive_s: 5,
                linger_s: Some(600)
            }
        );
        assert_eq!(
            client.conversations,
            ["x-openwebui-chat-id", "x-session-id"]
        );
        assert_eq!(client.tasks, TaskPolicy::Inline);
        assert!(!client.files && client.reasoning && client.progress && client.aliases);
        assert_eq!(client.tools, ToolPolicy::Refuse);
        assert_eq!(client.system, SystemPolicy::User);
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
            (
                format!("phone {} agents=main", HASH.to_uppercase()),
                hash_must_follow,
            ),
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
                "phone: scopes are chat, models, responses and status, with commas between them, each once; or admin alone",
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
                format!("phone {HASH} agents=main tokens_day=4000000001"),
                "phone: tokens_day is a number from 1 to 4000000000",
            ),
            (
                format!("phone {HASH} agents=main tokens_month=1e6"),
                "phone: tokens_month is a number from 1 to 4000000000",
            ),
            (
                format!("phone {HASH} agents=main runs_day=0"),
                "phone: runs_day is a number from 1 to 1000000",
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
                format!("phone {HASH} agents=main system=deny"),
                "phone: system is allow, user or refuse",
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
                "phone: there is an unknown field; the fields are label, agents, default, sessions, scopes, not_before, expires, rpm, \
                 runs, tokens_day, tokens_month, runs_day, origins, networks, heartbeat, keep_alive, linger, on_disconnect, conversations, tasks, tools, system, files, reasoning, progress and aliases",
            ),
        ] {
            assert_eq!(parse(&entry).err().as_deref(), Some(expected), "{entry}");
        }
    }

    #[test]
    fn words_that_look_like_a_key_are_allowed() {
        assert!(
            parse(&format!(
                "phone {HASH} agents=openclaw_dev label=claw_team_x"
            ))
            .is_ok()
        );
    }

    #[test]
    fn entries_that_collide_are_refused_by_name() {
        let mut clients = crate::access::admit::Grants::default();
        let mut problems = Vec::new();
        clients.extend(
            &format!(
                "phone {HASH} agents=main\nphone {OTHER} agents=main\nbot {HASH} agents=main\ncar \
                 {OTHER} {HASH} agents=main"
            ),
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

    #[test]
    fn the_edge_hands_a_grant_to_the_hub_in_a_header() {
        let grant = entry("agents=main,b label=\"Anna's 100 % \u{fc}\" rpm=3");
        let header = grant
            .entry()
            .replace('%', "%25")
            .replace('\u{fc}', "%C3%BC");
        let Some(Client::Listed(read)) = from_header(&header) else {
            panic!("{header}");
        };
        assert_eq!(format!("{read:?}"), format!("{grant:?}"));
        let digest = Digest::of("a key");
        let header = hub_header(&grant.id, &digest).replace(':', "%3A");
        let Some(Client::OfHub { id, digest: read }) = from_header(&header) else {
            panic!("{header}");
        };
        assert_eq!(id, grant.id);
        assert!(bool::from(read.matches(&digest)));
        let bad_digest = format!("hub:phone:{}", "0".repeat(63));
        for bad in [
            "",
            "phone",
            "phone%ff",
            "phone sha256:0 agents=main",
            "hub:phone",
            "hub:Phone:00",
            &bad_digest,
        ] {
            assert!(from_header(bad).is_none(), "{bad}");
        }
    }
}
