//! The keys that the hub has made, and can take back at once.
//!
//! Each is kept as a row of the hub's storage: the time at which it was made, its state, the end of
//! the time in which two secrets are valid, and its entry, which is written like an entry of
//! `CLIENT_KEYS`.
//!
//! ```text
//! 1795374174 on - phone sha256:<64 hex> agents=main,notes rpm=30
//! ```

use core::net::IpAddr;

use crate::access::edit;
use crate::access::entry;
use crate::access::grant::{Grant, Home};
use crate::access::key::KeyId;
use crate::failure::Denial;
use crate::secret::Digest;

/// Most keys of the hub: a list of them is about 500 kB.
pub const MAX_KEYS: usize = 1000;

/// Words of a row for the state of a key.
const ON: &str = "on";
const OFF: &str = "off";

/// Stands in a row for a time that there is not.
const NEVER: &str = "-";

/// A key that the hub has made.
#[derive(Clone, Debug)]
pub struct HubKey {
    pub grant: Grant,
    pub facts: Facts,
}

/// The facts about a key that are not in its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The time at which it was made, in seconds since the Unix epoch.
    pub created_s: u64,
    /// It is refused until it is enabled again.
    pub is_disabled: bool,
    /// The time until which the secret before the last rotation is valid, too.
    pub previous_until_s: Option<u64>,
}

/// All keys that the hub has made.
#[derive(Debug, Default)]
pub struct HubKeys(Vec<HubKey>);

impl HubKey {
    /// Reads a key from its row; `None` if only a newer version understands the row.
    fn read(row: &str) -> Option<Self> {
        let mut words = row.splitn(4, ' ');
        let created_s = words.next()?.parse().ok()?;
        let is_disabled = match words.next()? {
            ON => false,
            OFF => true,
            _ => return None,
        };
        let previous_until_s = match words.next()? {
            NEVER => None,
            time => Some(time.parse().ok()?),
        };
        let facts = Facts {
            created_s,
            is_disabled,
            previous_until_s,
        };
        Self::new(words.next()?, facts).ok()
    }

    fn new(entry: &str, facts: Facts) -> Result<Self, String> {
        let mut grant = entry::parse(entry)?;
        grant.home = Home::Hub;
        Ok(Self { grant, facts })
    }

    /// Returns the row that [`HubKey::read`] reads.
    pub fn row(&self) -> String {
        let Facts {
            created_s,
            is_disabled,
            previous_until_s,
        } = self.facts;
        let state = if is_disabled { OFF } else { ON };
        let until = previous_until_s.map_or(NEVER.to_owned(), |time_s| time_s.to_string());
        [&created_s.to_string(), state, &until, self.grant.entry()].join(" ")
    }

    /// Returns the moment from which the key is not valid, in milliseconds since the Unix epoch:
    /// 0 if it is disabled.
    pub fn ends_ms(&self) -> Option<u64> {
        if self.facts.is_disabled {
            Some(0)
        } else {
            self.grant.expires_ms()
        }
    }

    fn admit(
        &self,
        digest: &Digest,
        now_ms: u64,
        address: Option<IpAddr>,
    ) -> Result<&Grant, Denial> {
        let secrets = &self.grant.secrets;
        let previous = secrets.previous.as_ref().filter(|_| {
            let until_s = self.facts.previous_until_s.unwrap_or_default();
            now_ms < until_s.saturating_mul(1000)
        });
        let previous = previous.unwrap_or(&secrets.current);
        if !bool::from(secrets.current.matches(digest) | previous.matches(digest)) {
            return Err(Denial::WrongSecret);
        }
        if self.facts.is_disabled {
            return Err(Denial::Disabled);
        }
        self.grant.check(now_ms, address).map(|()| &self.grant)
    }
}

impl HubKeys {
    /// Reads the keys from their rows, one in each line. A row that only a newer version
    /// understands admits nobody.
    pub fn read(rows: &str) -> Self {
        Self(rows.lines().filter_map(HubKey::read).collect())
    }

    /// Admits the bearer of a key whose proof the edge has checked.
    pub fn admit(
        &self,
        id: &KeyId,
        digest: &Digest,
        now_ms: u64,
        address: Option<IpAddr>,
    ) -> Result<&Grant, Denial> {
        let key = self.find(id).ok_or(Denial::UnknownId)?;
        key.admit(digest, now_ms, address)
    }

    /// Returns the grant of a key that is valid at this time and from this address, without a proof
    /// that the client has it.
    pub fn holder(&self, id: &str, now_ms: u64, address: Option<IpAddr>) -> Option<&Grant> {
        let key = self.iter().find(|key| key.grant.id.as_str() == id)?;
        let is_valid = !key.facts.is_disabled && key.grant.check(now_ms, address).is_ok();
        is_valid.then_some(&key.grant)
    }

    pub fn find(&self, id: &KeyId) -> Option<&HubKey> {
        self.0.iter().find(|key| key.grant.id == *id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &HubKey> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces the key with the same id, or adds one.
    pub fn put(&mut self, key: HubKey) {
        match self.0.iter_mut().find(|old| old.grant.id == key.grant.id) {
            Some(old) => *old = key,
            None => self.0.push(key),
        }
    }

    /// Removes a key. Returns false if there is none with this id.
    pub fn remove(&mut self, id: &KeyId) -> bool {
        let count = self.0.len();
        self.0.retain(|key| key.grant.id != *id);
        self.0.len() < count
    }
}

/// Makes a key from its hash and its fields. An error describes the first mistake.
pub fn make<'a>(
    id: &KeyId,
    hash: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    created_s: u64,
) -> Result<HubKey, String> {
    let facts = Facts {
        created_s,
        is_disabled: false,
        previous_until_s: None,
    };
    HubKey::new(&edit::write(id, hash, fields), facts)
}

impl HubKey {
    /// Returns the key with other values of these fields; `None` is the default.
    pub fn with_fields(&self, changes: &[(&str, Option<String>)]) -> Result<Self, String> {
        Self::new(&edit::change(self.grant.entry(), changes), self.facts)
    }

    /// Returns the key with a new secret, beside which the present one is valid until this time.
    pub fn rotated(&self, hash: &str, previous_until_s: u64) -> Result<Self, String> {
        let single = edit::finish(self.grant.entry());
        let entry = single.as_deref().unwrap_or(self.grant.entry());
        let facts = Facts {
            previous_until_s: Some(previous_until_s),
            ..self.facts
        };
        Self::new(&edit::rotate(entry, hash).unwrap_or_default(), facts)
    }
}
