//! Client keys: what an operator hands out, how it is stored, and how a caller is admitted with one.
//!
//! A key is `claw_<id>_<secret>`: the id is public and may be logged, the secret is 160 random bits as 32 lower-case base32
//! characters. The Worker only ever holds its SHA-256, in an entry of `CLIENT_KEYS` (`entry`).
//!
//! A fast hash is right here because the secret is random, not chosen: there is nothing to guess that 160 bits do not settle.

pub mod date;
pub mod edit;
mod entry;
pub mod status;

use core::net::IpAddr;
use std::fmt;

use base16ct::lower as hex;
use base32ct::{Base32Unpadded, Encoding};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::agent::{AgentId, Agents};
use crate::key::date::Date;
use crate::origin::Origin;
use crate::secret::Digest;
use crate::session::SessionPolicy;

pub use entry::Problem;

/// Bytes of entropy in a key's secret.
pub const SECRET_BYTES: usize = 20;

/// Characters of a key's secret: base32 of [`SECRET_BYTES`].
const SECRET_CHARS: usize = 32;

/// Longest key id, in bytes.
const MAX_ID_BYTES: usize = 32;

/// What every key begins with, so that secret scanners and people recognise one.
pub const PREFIX: &str = "claw_";

/// A key's public name: lower-case letters, digits and `-`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        let secret = Zeroizing::new(Base32Unpadded::encode_string(entropy));
        let plaintext = Zeroizing::new(format!("{PREFIX}{id}_{}", secret.as_str()));
        let hash = format!("sha256:{}", hex::encode_string(&Sha256::digest(plaintext.as_bytes())));
        Self { plaintext, hash }
    }
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `POST /v1/chat/completions`
    Chat,
    /// `GET /v1/models`
    Models,
    /// `POST /v1/responses`
    Responses,
    /// The gateway's state, with its details, at `GET /readyz`.
    Status,
}

impl Scope {
    pub const ALL: [Self; 4] = [Self::Chat, Self::Models, Self::Responses, Self::Status];
    /// What a client needs; the gateway's state is its operator's.
    pub const DEFAULT: [Self; 3] = [Self::Chat, Self::Models, Self::Responses];

    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Models => "models",
            Self::Responses => "responses",
            Self::Status => "status",
        }
    }
}

/// What a key may use up; `None` is without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests for a run in one minute.
    pub requests_per_minute: Option<u32>,
    /// Runs that go on at the same time.
    pub concurrent_runs: Option<u32>,
}

/// Where the title, tag and follow-up calls go that chat UIs make on their own (`openai/task`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TaskPolicy {
    /// To a session of their own, so that they leave no trace in the conversation.
    #[default]
    Aside,
    /// Where every other request would go.
    Inline,
}

/// What becomes of a request whose client offers tools of its own, which an agent cannot call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ToolPolicy {
    /// They are ignored, and named as that: many clients always send them.
    #[default]
    Ignore,
    /// It is refused.
    Refuse,
}

/// How the streams of a key behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPolicy {
    /// Whether a silent stream is kept alive by comments.
    pub heartbeat: bool,
    pub on_disconnect: OnDisconnect,
    /// For how long a whole answer keeps its real status, in seconds from the run's acceptance; then its head is sent, to keep the
    /// request alive.
    pub keep_alive_s: u32,
}

/// Proxies wait for a head 60 s and more.
const DEFAULT_KEEP_ALIVE_S: u32 = 30;

impl Default for StreamPolicy {
    fn default() -> Self {
        Self {
            heartbeat: true,
            on_disconnect: OnDisconnect::Abort,
            keep_alive_s: DEFAULT_KEEP_ALIVE_S,
        }
    }
}

/// What becomes of a run whose client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It is stopped, where the gateway lets us.
    Abort,
    /// It goes on to its end; its answer is in the session.
    Finish,
}

/// One entry: a key, and everything that later code may ask about whoever bears it.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: KeyId,
    pub agents: Agents,
    /// The agent of requests that name none: the entry's `default`, or the only agent of its list.
    pub default_agent: Option<AgentId>,
    pub sessions: SessionPolicy,
    pub scopes: Vec<Scope>,
    /// From then on the key is good.
    pub not_before: Option<Date>,
    /// From then on the key is good no more.
    pub expires: Option<Date>,
    pub limits: Limits,
    /// Web pages that may use the key from a browser.
    pub origins: Vec<Origin>,
    /// Networks that the key may be used from; none means every one.
    pub networks: Vec<IpNet>,
    pub streams: StreamPolicy,
    /// Headers that name a conversation, in lower case; the first one that a request has counts.
    pub conversations: Vec<String>,
    pub tasks: TaskPolicy,
    /// Whether answers tell what the model thinks, where a request does not say.
    pub reasoning: bool,
    /// Whether streams tell of tools and failed attempts, where a request does not say.
    pub progress: bool,
    pub tools: ToolPolicy,
    /// For people.
    pub label: Option<String>,
    secrets: Secrets,
}

impl Client {
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether the key is good now and here.
    fn check(&self, now_ms: u64, address: Option<IpAddr>) -> Result<(), Denial> {
        if self.not_before.is_some_and(|date| now_ms < date.unix_ms()) {
            return Err(Denial::NotYetValid);
        }
        if self.expires.is_some_and(|date| now_ms >= date.unix_ms()) {
            return Err(Denial::Expired);
        }
        let inside = |address: IpAddr| {
            let address = address.to_canonical();
            self.networks.iter().any(|network| network.contains(&address))
        };
        if !self.networks.is_empty() && !address.is_some_and(inside) {
            return Err(Denial::Network);
        }
        Ok(())
    }
}

/// The hashes that admit: of the key, and while it is being replaced of its predecessor too.
#[derive(Clone, Debug)]
struct Secrets {
    /// Of the id alone, so that looking for it takes the same time wherever it stands and however much of it is right.
    id: Digest,
    current: Digest,
    previous: Option<Digest>,
}

/// Why a caller was not admitted. The caller is never told which; the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No `Authorization: Bearer …` of the right form.
    Missing,
    /// A bearer token that is no key of ours.
    Malformed,
    UnknownId,
    WrongSecret,
    NotYetValid,
    Expired,
    /// Not from one of the key's networks.
    Network,
}

impl Denial {
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "key_missing",
            Self::Malformed => "key_malformed",
            Self::UnknownId => "key_unknown",
            Self::WrongSecret => "key_wrong_secret",
            Self::NotYetValid => "key_not_yet_valid",
            Self::Expired => "key_expired",
            Self::Network => "key_network",
        }
    }

    pub fn hint(self) -> &'static str {
        match self {
            Self::Missing => "no Authorization header with a bearer token",
            Self::Malformed => "the token is no key of this deployment: keys are claw_<id>_<32 characters>",
            Self::UnknownId => {
                "no entry of CLIENT_KEYS has this id: the key was revoked, or belongs to another deployment"
            }
            Self::WrongSecret => "the entry has another hash: the key was rotated, or its secret is wrong",
            Self::NotYetValid => "the entry's not_before has not come yet",
            Self::Expired => "the entry's expires has passed",
            Self::Network => "the client's address is in none of the entry's networks",
        }
    }
}

/// All client keys of a deployment.
#[derive(Debug, Default)]
pub struct Clients(Vec<Client>);

impl Clients {
    /// Admits the bearer of `key`, in time that depends on neither the id nor the secret.
    ///
    /// Every hash of every entry is compared, whether or not an earlier one matched: an unknown id costs what a wrong secret costs.
    pub fn admit(&self, key: &str, now_ms: u64, address: Option<IpAddr>) -> Result<&Client, Denial> {
        let digest = Digest::of(key);
        let claimed = id_of(key);
        let claimed_digest = Digest::of(claimed.unwrap_or_default());
        let mut bearer = None;
        let mut is_known = subtle::Choice::from(0);
        for client in &self.0 {
            let secrets = &client.secrets;
            let previous = secrets.previous.as_ref().unwrap_or(&secrets.current);
            is_known |= secrets.id.matches(&claimed_digest);
            if bool::from(secrets.current.matches(&digest) | previous.matches(&digest)) {
                bearer = Some(client);
            }
        }
        // What is left to check of a match follows from the digest, for every key that `NewKey` made.
        match bearer {
            Some(client) if is_well_formed(key) && claimed == Some(client.id.as_str()) => {
                client.check(now_ms, address).map(|()| client)
            }
            _ if claimed.is_none() || !is_well_formed(key) => Err(Denial::Malformed),
            _ if bool::from(is_known) => Err(Denial::WrongSecret),
            _ => Err(Denial::UnknownId),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether some key may be used from pages of this origin.
    pub fn any_allows(&self, origin: &Origin) -> bool {
        self.0.iter().any(|client| client.origins.contains(origin))
    }

    /// Adds the entries of one `CLIENT_KEYS` value; every mistake in it is described, none with a value.
    pub fn extend(&mut self, entries: &str, problems: &mut Vec<Problem>) {
        for (number, text) in entry::split(entries) {
            match entry::parse(text).and_then(|client| self.refuse_duplicate(client)) {
                Ok(client) => self.0.push(client),
                Err(what) => problems.push(Problem { entry: number, what }),
            }
        }
    }

    fn refuse_duplicate(&self, client: Client) -> Result<Client, String> {
        let id = &client.id;
        if self.0.iter().any(|other| other.id == *id) {
            return Err(format!("{id}: the id is used twice"));
        }
        let taken = |digest: &Digest| {
            self.0.iter().find(|other| {
                let secrets = &other.secrets;
                bool::from(secrets.current.matches(digest))
                    || secrets
                        .previous
                        .as_ref()
                        .is_some_and(|previous| bool::from(previous.matches(digest)))
            })
        };
        let secrets = &client.secrets;
        match taken(&secrets.current).or_else(|| secrets.previous.as_ref().and_then(taken)) {
            Some(other) => Err(format!("{id}: has the same hash as {}", other.id)),
            None => Ok(client),
        }
    }
}

/// The public id inside a presented key, for the log of a refused attempt; it may name no entry.
pub fn id_of(key: &str) -> Option<&str> {
    let (id, _) = key.strip_prefix(PREFIX)?.split_once('_')?;
    KeyId::parse(id).map(|_| id)
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_374_174_000;

    fn key(id: &str, entropy: u8) -> NewKey {
        NewKey::from_entropy(&KeyId::parse(id).unwrap(), &[entropy; SECRET_BYTES])
    }

    fn clients(entries: &str) -> Clients {
        let mut clients = Clients::default();
        let mut problems = Vec::new();
        clients.extend(entries, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        clients
    }

    #[test]
    fn a_key_and_its_entry_are_written_as_documented() {
        let key = key("phone", 7);
        assert_eq!(key.plaintext.as_str(), "claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh");
        // printf %s claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh | sha256sum
        assert_eq!(
            key.hash,
            "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab"
        );
    }

    #[test]
    fn the_bearer_of_a_key_is_admitted_as_its_entry_says() {
        let (phone, bot) = (key("phone", 7), key("bot", 8));
        let clients = clients(&format!(
            "# people\nphone {} agents=main,beta default=beta sessions=any\n\nbot {} agents=main;",
            phone.hash, bot.hash
        ));
        let admitted = clients.admit(&phone.plaintext, NOW_MS, None).unwrap();
        assert_eq!(admitted.id.as_str(), "phone");
        assert_eq!(admitted.default_agent, AgentId::parse("beta"));
        assert_eq!(admitted.sessions, SessionPolicy::Any);
        let admitted = clients.admit(&bot.plaintext, NOW_MS, None).unwrap();
        assert_eq!(admitted.id.as_str(), "bot");
        assert!(!admitted.agents.allows(&AgentId::parse("beta").unwrap()));
    }

    #[test]
    fn nobody_else_is_admitted_and_the_log_learns_why() {
        let phone = key("phone", 7);
        let clients = clients(&format!(
            "phone {} agents=*\nbot {} agents=*",
            phone.hash,
            key("bot", 8).hash
        ));
        for (wrong, why) in [
            ("", Denial::Malformed),
            ("sk-proj-x", Denial::Malformed),
            ("claw_", Denial::Malformed),
            ("claw_phone_", Denial::Malformed),
            ("claw_phone", Denial::Malformed),
            (&phone.plaintext.to_uppercase(), Denial::Malformed),
            (&format!("{} ", phone.plaintext.as_str()), Denial::Malformed),
            (&key("phone", 9).plaintext, Denial::WrongSecret),
            (&phone.plaintext.replace("phone", "bot"), Denial::WrongSecret),
            (&phone.plaintext.replace("phone", "phon"), Denial::UnknownId),
        ] {
            assert_eq!(
                clients.admit(wrong, NOW_MS, None).map(|client| &client.id),
                Err(why),
                "{wrong}"
            );
        }
    }

    #[test]
    fn both_secrets_of_a_key_that_is_being_replaced_are_good() {
        let (new, old) = (key("phone", 1), key("phone", 2));
        let clients = clients(&format!("phone {} {} agents=main", new.hash, old.hash));
        for key in [&new, &old] {
            assert!(clients.admit(&key.plaintext, NOW_MS, None).is_ok());
        }
        assert_eq!(
            clients.admit(&key("phone", 3).plaintext, NOW_MS, None).err(),
            Some(Denial::WrongSecret)
        );
    }

    #[test]
    fn a_key_is_good_from_its_first_moment_to_the_one_before_its_last() {
        let phone = key("phone", 7);
        let clients = clients(&format!(
            "phone {} agents=* not_before=2026-11-01 expires=2026-12-01T12:30:00Z",
            phone.hash
        ));
        let admit = |now_ms| clients.admit(&phone.plaintext, now_ms, None).err();
        // date -ud 2026-11-01 +%s; date -ud 2026-12-01T12:30:00Z +%s
        assert_eq!(admit(1_793_491_199_999), Some(Denial::NotYetValid));
        assert_eq!(admit(1_793_491_200_000), None);
        assert_eq!(admit(1_796_128_199_999), None);
        assert_eq!(admit(1_796_128_200_000), Some(Denial::Expired));
        // A wrong secret learns nothing of either.
        let wrong = key("phone", 8).plaintext;
        assert_eq!(clients.admit(&wrong, 0, None).err(), Some(Denial::WrongSecret));
    }

    #[test]
    fn a_key_with_networks_is_good_inside_them_only() {
        let phone = key("phone", 7);
        let clients = clients(&format!(
            "phone {} agents=* networks=203.0.113.0/24,192.0.2.7,2001:db8::/32",
            phone.hash
        ));
        let admit = |address| clients.admit(&phone.plaintext, NOW_MS, address).err();
        for inside in [
            "::ffff:203.0.113.1",
            "203.0.113.1",
            "203.0.113.255",
            "192.0.2.7",
            "2001:db8::1",
        ] {
            assert_eq!(admit(inside.parse().ok()), None, "{inside}");
        }
        for outside in ["203.0.114.1", "192.0.2.8", "2001:db9::1", "::1"] {
            assert_eq!(admit(outside.parse().ok()), Some(Denial::Network), "{outside}");
        }
        assert_eq!(admit(None), Some(Denial::Network), "an address nobody knows");
    }

    #[test]
    fn a_key_with_too_little_entropy_is_refused_even_if_its_hash_is_listed() {
        let weak = "claw_phone_hunter2";
        let hash = hex::encode_string(&Sha256::digest(weak));
        let clients = clients(&format!("phone sha256:{hash} agents=*"));
        assert_eq!(clients.admit(weak, NOW_MS, None).err(), Some(Denial::Malformed));
    }

    #[test]
    fn a_secret_cannot_be_printed() {
        let printed = format!("{:?}", clients(&format!("phone {} agents=*", key("phone", 7).hash)));
        assert!(printed.contains("Digest(…)") && !printed.contains("2a8d"), "{printed}");
    }
}
