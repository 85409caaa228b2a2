//! The admin API: the keys that the hub makes, changes and takes back, and the record of all
//! changes.
//!
//! The caller has checked that the request's own key has the scope `admin`. It gives a [`Call`] to
//! [`Desk::perform`], writes the row of the [`Reply`] and its record, and ends the streams of the
//! key as the reply requires. The gateway is not involved.

mod fields;
pub mod usage;

use crate::access::admit::Grants;
use crate::access::field::FIELDS;
use crate::access::hub_key::{self, HubKey, HubKeys, MAX_KEYS};
use crate::access::key::{KeyId, NewKey};
use crate::access::proof::{ENTROPY_BYTES, KeysSecret};
use crate::access::quota::Counts;
use crate::access::status::{self, OfHub};
use crate::failure::Failure;
use crate::http::route::Resource;

use fields::Fields;

/// Largest body of a request, in bytes: an entry has at most a few hundred.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Time for which the secret before a rotation is valid if the request gives none, in seconds.
const DEFAULT_OVERLAP_S: u64 = 86_400;

/// Longest time for it: 30 days.
const MAX_OVERLAP_S: u64 = 2_592_000;

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// The beginning and the end of a list.
const LIST: &str = r#"{"object":"list","data":["#;
const LIST_END: &str = r#"],"has_more":false}"#;

const CREATED: u16 = 201;
const OK: u16 = 200;

/// A request about keys.
#[derive(Debug)]
pub enum Call<'a> {
    List,
    Show(&'a str),
    Create(&'a [u8]),
    Change(&'a str, &'a [u8]),
    Rotate(&'a str, &'a [u8]),
    Remove(&'a str),
}

impl<'a> Call<'a> {
    /// Returns the call for a request about keys, whose method the resource has.
    pub fn of(method: &str, resource: &'a Resource, body: &'a [u8]) -> Self {
        match (method, resource) {
            ("POST", Resource::Keys) => Self::Create(body),
            ("POST", Resource::Key(id)) => Self::Change(id, body),
            ("DELETE", Resource::Key(id)) => Self::Remove(id),
            (_, Resource::Key(id)) => Self::Show(id),
            (_, Resource::Rotation(id)) => Self::Rotate(id, body),
            _ => Self::List,
        }
    }
}

/// The result of a call.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub change: Option<Change>,
}

/// A change of a key, which the caller stores.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    pub id: KeyId,
    /// The key's row; empty if the key is removed.
    pub row: String,
    /// The moment at which the key's streams end, in milliseconds since the Unix epoch.
    pub ends_ms: Option<u64>,
    /// The line for the record of all changes, as JSON.
    pub record: String,
}

/// Everything that a call concerns.
#[derive(Debug)]
pub struct Desk<'a> {
    pub keys: &'a mut HubKeys,
    /// The keys of `CLIENT_KEYS`.
    pub listed: &'a Grants,
    /// Absent: the hub cannot make keys.
    pub secret: Option<&'a KeysSecret>,
    pub counts: &'a Counts,
    /// The key of the administrator.
    pub actor: &'a KeyId,
    pub entropy: [u8; ENTROPY_BYTES],
    pub now_ms: u64,
}

impl Desk<'_> {
    /// Carries out a call. After a failure nothing has changed.
    #[inline(never)]
    pub fn perform(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        match *call {
            Call::List => Ok(self.list()),
            Call::Show(id) => self.find(id).map(|key| self.shown(OK, key, None)),
            Call::Create(body) => self.create(body),
            Call::Change(id, body) => self.change(id, body),
            Call::Rotate(id, body) => self.rotate(id, body),
            Call::Remove(id) => self.remove(id),
        }
    }

    fn list(&self) -> Reply {
        let mut body = LIST.as_bytes().to_vec();
        for (number, key) in self.keys.iter().enumerate() {
            if number > 0 {
                body.push(b',');
            }
            self.write(key, None, &mut body);
        }
        body.extend_from_slice(LIST_END.as_bytes());
        Reply {
            status: OK,
            body,
            change: None,
        }
    }

    fn create(&mut self, body: &[u8]) -> Result<Reply, Failure> {
        let mut fields = Fields::read(body)?;
        let id = fields.take_text("id")?;
        let id = KeyId::parse(&id.unwrap_or_default())
            .ok_or_else(|| Failure::invalid("id", "`id` is a-z, 0-9 and -, at most 32."))?;
        if self.keys.find(&id).is_some() || self.listed.lists(&id) {
            return Err(Failure::invalid(
                "id",
                "There is a key with this id already.",
            ));
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(Failure::invalid(
                "id",
                "The hub has 1000 keys; revoke one first.",
            ));
        }
        let new = self.new_key(&id)?;
        let is_disabled = fields.take_switch("disabled")?;
        let changes = fields.changes()?;
        let set = changes
            .iter()
            .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        let mut key = hub_key::make(&id, &new.hash, set, self.now_s()).map_err(mistake)?;
        key.facts.is_disabled = is_disabled.unwrap_or_default();
        Ok(self.store(CREATED, key, "key.created", Some(&new.plaintext)))
    }

    fn change(&mut self, id: &str, body: &[u8]) -> Result<Reply, Failure> {
        let key = self.find(id)?;
        let mut fields = Fields::read(body)?;
        let is_disabled = fields.take_switch("disabled")?;
        let mut changed = key.with_fields(&fields.changes()?).map_err(mistake)?;
        changed.facts.is_disabled = is_disabled.unwrap_or(key.facts.is_disabled);
        Ok(self.store(OK, changed, "key.updated", None))
    }

    fn rotate(&mut self, id: &str, body: &[u8]) -> Result<Reply, Failure> {
        let key = self.find(id)?;
        let mut fields = Fields::read(body)?;
        let overlap_s = fields.take_text("overlap_s")?;
        let overlap_s = overlap_s.map_or(Some(DEFAULT_OVERLAP_S), |text| text.parse().ok());
        let overlap_s = overlap_s
            .filter(|seconds| *seconds <= MAX_OVERLAP_S)
            .ok_or_else(|| {
                Failure::invalid("overlap_s", "`overlap_s` is a number from 0 to 2592000.")
            })?;
        fields.refuse_others()?;
        let new = self.new_key(&key.grant.id)?;
        let until_s = self.now_s().saturating_add(overlap_s);
        let rotated = key.rotated(&new.hash, until_s).map_err(mistake)?;
        Ok(self.store(OK, rotated, "key.rotated", Some(&new.plaintext)))
    }

    fn remove(&mut self, id: &str) -> Result<Reply, Failure> {
        let id = self.find(id)?.grant.id.clone();
        self.keys.remove(&id);
        let body = [
            r#"{"object":"key.deleted","id":""#,
            id.as_str(),
            r#"","deleted":true}"#,
        ];
        Ok(Reply {
            status: OK,
            body: body.concat().into_bytes(),
            change: Some(Change {
                record: self.record("key.deleted", &id),
                id,
                row: String::new(),
                ends_ms: Some(0),
            }),
        })
    }

    fn store(&mut self, status: u16, key: HubKey, action: &str, plaintext: Option<&str>) -> Reply {
        let mut reply = self.shown(status, &key, plaintext);
        reply.change = Some(Change {
            record: self.record(action, &key.grant.id),
            id: key.grant.id.clone(),
            row: key.row(),
            ends_ms: key.ends_ms(),
        });
        self.keys.put(key);
        reply
    }

    fn find(&self, id: &str) -> Result<&HubKey, Failure> {
        KeyId::parse(id)
            .and_then(|id| self.keys.find(&id))
            .ok_or(Failure::KeyNotFound)
    }

    fn new_key(&self, id: &KeyId) -> Result<NewKey, Failure> {
        let secret = self.secret.ok_or_else(|| Failure::InvalidRequest {
            param: None,
            message: "The hub makes no keys: set the secret KEYS_SECRET first.".into(),
        })?;
        Ok(secret.new_key(id, &self.entropy))
    }

    fn shown(&self, status: u16, key: &HubKey, plaintext: Option<&str>) -> Reply {
        let mut body = Vec::new();
        self.write(key, plaintext, &mut body);
        Reply {
            status,
            body,
            change: None,
        }
    }

    fn write(&self, key: &HubKey, plaintext: Option<&str>, out: &mut Vec<u8>) {
        let of_hub = OfHub {
            facts: key.facts,
            key: plaintext,
        };
        status::write(&key.grant, Some(of_hub), self.counts, self.now_ms, out);
    }

    fn record(&self, action: &str, target: &KeyId) -> String {
        record(self.actor, action, target.as_str(), self.now_ms)
    }

    fn now_s(&self) -> u64 {
        self.now_ms.saturating_div(SECOND_MS)
    }
}

impl Reply {
    /// Returns a list of JSON objects, which have commas between them.
    pub fn list(objects: &str) -> Self {
        Self::of([LIST, objects, LIST_END].concat())
    }

    /// Returns the answer about a run that is stopped at once, or on the next connection.
    pub fn stopped(run: &str, is_stopped: bool) -> Self {
        let stopped = if is_stopped { "true}" } else { "false}" };
        Self::of(
            [
                r#"{"object":"run.stopped","id":""#,
                run,
                r#"","stopped":"#,
                stopped,
            ]
            .concat(),
        )
    }

    /// Returns the answer with this JSON.
    pub fn of(body: String) -> Self {
        Self {
            status: OK,
            body: body.into_bytes(),
            change: None,
        }
    }
}

/// Returns the line for the record about a run that `actor` stops.
pub fn run_stopped(actor: &KeyId, key: &str, run: &str, now_ms: u64) -> String {
    let target = [key, r#"","run":""#, run].concat();
    record(actor, "run.stopped", &target, now_ms)
}

/// Returns a line of the record. All of its parts are ids and words of ours.
fn record(actor: &KeyId, action: &str, target: &str, now_ms: u64) -> String {
    [
        r#"{"object":"audit_log","time":"#,
        &(now_ms / SECOND_MS).to_string(),
        r#","actor":""#,
        actor.as_str(),
        r#"","action":""#,
        action,
        r#"","key":""#,
        target,
        r#""}"#,
    ]
    .concat()
}

/// Returns the failure for a mistake in a key's fields. The description begins with the key's id
/// and the field's name, and has no value.
fn mistake(what: String) -> Failure {
    let name = what
        .split_once(": ")
        .and_then(|(_, rest)| rest.split_once(' '));
    let field = name.and_then(|(name, _)| FIELDS.iter().find(|field| field.name == name));
    Failure::InvalidRequest {
        param: field.map(|field| field.member.to_owned()),
        message: what.into(),
    }
}

#[cfg(test)]
mod tests;
