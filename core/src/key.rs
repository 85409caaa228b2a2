//! Client keys: what an operator hands out, how it is stored, and how a caller is admitted with one.
//!
//! A key is `claw_<id>_<secret>`: the id is public and may be logged, the secret is 160 random bits as 32 lower-case base32
//! characters. The Worker only ever holds its SHA-256, in entries such as
//!
//! ```text
//! phone sha256:<64 hex> agents=main,beta default=main
//! ```
//!
//! A fast hash is right here because the secret is random, not chosen: there is nothing to guess that 160 bits do not settle.

use std::fmt;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::agent::{AgentId, Agents};
use crate::secret::Digest;
use crate::session::SessionPolicy;

/// Bytes of entropy in a key's secret.
pub const SECRET_BYTES: usize = 20;

/// Characters of a key's secret: base32 of [`SECRET_BYTES`].
const SECRET_CHARS: usize = 32;

/// Longest key id, in bytes.
const MAX_ID_BYTES: usize = 32;

/// What every key begins with, so that secret scanners and people recognise one.
const PREFIX: &str = "claw_";

/// A key's public name: lower-case letters, digits and `-`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyId(String);

impl KeyId {
    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.len() <= MAX_ID_BYTES
            && text.bytes().next()?.is_ascii_alphanumeric()
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        valid.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key in the clear, for the moment in which it is made.
pub struct NewKey {
    /// `claw_<id>_<secret>`, to be shown once.
    pub plaintext: Zeroizing<String>,
    /// Its SHA-256 as an entry writes it: `sha256:<64 hex>`.
    pub hash: String,
}

impl NewKey {
    pub fn from_entropy(id: &KeyId, entropy: &[u8; SECRET_BYTES]) -> Self {
        let secret = Zeroizing::new(BASE32_NOPAD.encode(entropy).to_ascii_lowercase());
        let plaintext = Zeroizing::new(format!("{PREFIX}{id}_{}", secret.as_str()));
        let hash = format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(plaintext.as_bytes())));
        Self { plaintext, hash }
    }
}

/// A caller that was admitted: everything later code may ask about it.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: KeyId,
    pub agents: Agents,
    /// The agent of requests that name none: the entry's `default`, or the only agent of its list.
    pub default_agent: Option<AgentId>,
    pub sessions: SessionPolicy,
    digest: Digest,
}

/// All client keys of a deployment.
#[derive(Debug, Default)]
pub struct Clients(Vec<Client>);

impl Clients {
    /// Admits the bearer of `key`, in time that depends on neither the id nor the secret.
    ///
    /// Every entry is compared whether or not an earlier one matched, so an unknown id costs what a wrong secret costs.
    pub fn admit(&self, key: &str) -> Option<&Client> {
        let digest = Digest::new(Sha256::digest(key.as_bytes()).into());
        let mut admitted = None;
        for client in &self.0 {
            if bool::from(client.digest.matches(&digest)) {
                admitted = Some(client);
            }
        }
        // What is left to check follows from the digest for every key that `NewKey` made.
        admitted.filter(|client| is_well_formed(key) && id_of(key) == Some(client.id.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the entries of one `CLIENT_KEYS` value; every mistake in it becomes one sentence in `problems`, none of which
    /// repeats a value.
    pub fn extend(&mut self, entries: &str, problems: &mut Vec<String>) {
        for (index, entry) in entries
            .split(['\n', ';'])
            .map(str::trim)
            .filter(|entry| !entry.is_empty() && !entry.starts_with('#'))
            .enumerate()
        {
            let number = index.saturating_add(1);
            match parse_entry(entry) {
                Ok(client) if self.0.iter().any(|other| other.id == client.id) => {
                    problems.push(format!("entry {number}: the id {} is used twice", client.id));
                }
                Ok(client) => self.0.push(client),
                Err(why) => problems.push(format!("entry {number}: {why}")),
            }
        }
    }
}

/// The public id inside a presented key, for the log of a refused attempt; it may name no entry.
pub fn id_of(key: &str) -> Option<&str> {
    let (id, _) = key.strip_prefix(PREFIX)?.split_once('_')?;
    (KeyId::parse(id)?.as_str() == id).then_some(id)
}

/// Whether `key` has the form of a key that [`NewKey`] made: a hash of anything weaker admits nobody.
fn is_well_formed(key: &str) -> bool {
    key.strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('_'))
        .is_some_and(|(id, secret)| {
            KeyId::parse(id).is_some()
                && secret.len() == SECRET_CHARS
                && secret.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
        })
}

fn parse_entry(entry: &str) -> Result<Client, String> {
    if entry.split_whitespace().any(|word| word.contains(PREFIX)) {
        return Err("holds a key in the clear: store its sha256, and make a new key".into());
    }
    let mut words = entry.split_whitespace();
    let id = words
        .next()
        .and_then(KeyId::parse)
        .ok_or("does not begin with an id (a-z, 0-9 and -, at most 32)")?;
    let digest = words
        .next()
        .and_then(parse_hash)
        // Not named: until its hash is there, the first word may be anything, a secret too.
        .ok_or("sha256:<64 lower-case hex digits> must follow the id")?;

    let mut agents = None;
    let mut default_agent = None;
    let mut sessions = None;
    for word in words {
        let (field, value) = word
            .split_once('=')
            .ok_or_else(|| format!("{id}: every field is written name=value"))?;
        let twice = match field {
            "agents" => agents.replace(parse_agents(&id, value)?).is_some(),
            "default" => default_agent
                .replace(AgentId::parse(value).ok_or_else(|| format!("{id}: default is not an agent id"))?)
                .is_some(),
            "sessions" => sessions.replace(parse_sessions(&id, value)?).is_some(),
            _ => {
                return Err(format!(
                    "{id}: there are the fields agents, default and sessions, and no others"
                ));
            }
        };
        if twice {
            return Err(format!("{id}: {field} is given twice"));
        }
    }

    let agents = agents.ok_or_else(|| format!("{id}: agents= is missing (agents=* allows every agent)"))?;
    if let Some(agent) = &default_agent
        && !agents.allows(agent)
    {
        return Err(format!("{id}: default is not one of agents"));
    }
    if let (None, Agents::Listed(listed)) = (&default_agent, &agents)
        && let [only] = listed.as_slice()
    {
        default_agent = Some(only.clone());
    }
    Ok(Client {
        id,
        agents,
        default_agent,
        sessions: sessions.unwrap_or_default(),
        digest,
    })
}

fn parse_hash(word: &str) -> Option<Digest> {
    let bytes = HEXLOWER.decode(word.strip_prefix("sha256:")?.as_bytes()).ok()?;
    Some(Digest::new(bytes.try_into().ok()?))
}

fn parse_agents(id: &KeyId, value: &str) -> Result<Agents, String> {
    if value == "*" {
        return Ok(Agents::Any);
    }
    value
        .split(',')
        .map(AgentId::parse)
        .collect::<Option<Vec<_>>>()
        .map(Agents::Listed)
        .ok_or_else(|| format!("{id}: agents is * or agent ids with commas between them"))
}

fn parse_sessions(id: &KeyId, value: &str) -> Result<SessionPolicy, String> {
    match value {
        "own" => Ok(SessionPolicy::Own),
        "any" => Ok(SessionPolicy::Any),
        _ => Err(format!("{id}: sessions is own or any")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTROPY: [u8; SECRET_BYTES] = [7; SECRET_BYTES];

    fn key(id: &str) -> NewKey {
        NewKey::from_entropy(&KeyId::parse(id).unwrap(), &ENTROPY)
    }

    fn clients(entries: &str) -> (Clients, Vec<String>) {
        let mut clients = Clients::default();
        let mut problems = Vec::new();
        clients.extend(entries, &mut problems);
        (clients, problems)
    }

    #[test]
    fn a_key_and_its_entry_are_written_as_documented() {
        let key = key("phone");
        assert_eq!(key.plaintext.as_str(), "claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh");
        // printf %s claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh | sha256sum
        assert_eq!(
            key.hash,
            "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab"
        );
    }

    #[test]
    fn the_bearer_of_a_key_is_admitted_as_its_entry_says() {
        let (phone, bot) = (key("phone"), key("bot"));
        let (clients, problems) = clients(&format!(
            "# people\nphone {} agents=main,beta default=beta sessions=any\n\nbot {} agents=main;",
            phone.hash, bot.hash
        ));
        assert_eq!(problems, Vec::<String>::new());
        let admitted = clients.admit(&phone.plaintext).unwrap();
        assert_eq!(admitted.id.as_str(), "phone");
        assert_eq!(admitted.default_agent, AgentId::parse("beta"));
        assert_eq!(admitted.sessions, SessionPolicy::Any);
        let admitted = clients.admit(&bot.plaintext).unwrap();
        assert_eq!(
            admitted.default_agent,
            AgentId::parse("main"),
            "the only agent is the default"
        );
        assert_eq!(admitted.sessions, SessionPolicy::Own);
        assert!(!admitted.agents.allows(&AgentId::parse("beta").unwrap()));
    }

    #[test]
    fn nobody_else_is_admitted() {
        let phone = key("phone");
        let (clients, _) = clients(&format!("phone {} agents=*", phone.hash));
        let mut last_changed = phone.plaintext.to_string();
        last_changed.pop();
        last_changed.push('a');
        for wrong in [
            "",
            "claw_",
            "claw_phone_",
            "claw_phone",
            &last_changed,
            &phone.plaintext.to_uppercase(),
            &phone.plaintext.replace("phone", "bot"),
            &format!("{} ", phone.plaintext.as_str()),
        ] {
            assert!(clients.admit(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_key_with_too_little_entropy_is_refused_even_if_its_hash_is_listed() {
        let weak = "claw_phone_hunter2";
        let hash = HEXLOWER.encode(&Sha256::digest(weak));
        let (clients, problems) = clients(&format!("phone sha256:{hash} agents=*"));
        assert!(problems.is_empty());
        assert!(clients.admit(weak).is_none());
    }

    #[test]
    fn every_mistake_is_named_without_its_value() {
        let hash = key("phone").hash;
        let plaintext = key("phone").plaintext;
        for (entry, expected) in [
            (
                format!("Phone {hash} agents=main"),
                "entry 1: does not begin with an id (a-z, 0-9 and -, at most 32)",
            ),
            (
                "phone".into(),
                "entry 1: sha256:<64 lower-case hex digits> must follow the id",
            ),
            (
                "phone sha256:abc agents=main".into(),
                "entry 1: sha256:<64 lower-case hex digits> must follow the id",
            ),
            (
                format!("phone {} agents=main", plaintext.as_str()),
                "entry 1: holds a key in the clear: store its sha256, and make a new key",
            ),
            (
                format!("phone {hash}"),
                "entry 1: phone: agents= is missing (agents=* allows every agent)",
            ),
            (
                format!("phone {hash} agents="),
                "entry 1: phone: agents is * or agent ids with commas between them",
            ),
            (
                format!("phone {hash} agents=main,*"),
                "entry 1: phone: agents is * or agent ids with commas between them",
            ),
            (
                format!("phone {hash} agents=main agents=beta"),
                "entry 1: phone: agents is given twice",
            ),
            (
                format!("phone {hash} agents=main default=beta"),
                "entry 1: phone: default is not one of agents",
            ),
            (
                format!("phone {hash} agents=main sessions=all"),
                "entry 1: phone: sessions is own or any",
            ),
            (
                format!("phone {hash} agents=main admin=yes"),
                "entry 1: phone: there are the fields agents, default and sessions, and no others",
            ),
            (
                format!("phone {hash} agents=main admin"),
                "entry 1: phone: every field is written name=value",
            ),
            (
                format!("phone {hash} agents=main;phone {hash} agents=main"),
                "entry 2: the id phone is used twice",
            ),
        ] {
            let (_, problems) = clients(&entry);
            assert_eq!(problems, [expected], "{entry}");
        }
    }

    #[test]
    fn a_secret_cannot_be_printed() {
        let (clients, _) = clients(&format!("phone {} agents=*", key("phone").hash));
        let printed = format!("{clients:?}");
        assert!(printed.contains("Digest(…)") && !printed.contains("2a8d"), "{printed}");
    }
}
