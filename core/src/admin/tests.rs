use crate::access::grant::{Grant, Home};
use crate::failure::Denial;
use crate::secret::Digest;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW_MS: u64 = 1_795_374_174_000;
const LISTED: &str =
    "ops sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab scopes=admin";

/// An office with the hub's keys, at which requests are made one after the other.
struct Office {
    keys: HubKeys,
    listed: Grants,
    secret: Option<KeysSecret>,
    counts: Counts,
    now_ms: u64,
    made: u8,
}

impl Office {
    fn new() -> Self {
        let mut listed = Grants::default();
        let mut problems = Vec::new();
        listed.extend(LISTED, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        Self {
            keys: HubKeys::default(),
            listed,
            secret: KeysSecret::parse(SECRET.to_owned()),
            counts: Counts::default(),
            now_ms: NOW_MS,
            made: 0,
        }
    }

    fn call(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        self.made = self.made.saturating_add(1);
        Desk {
            keys: &mut self.keys,
            listed: &self.listed,
            secret: self.secret.as_ref(),
            counts: &self.counts,
            actor: &KeyId::parse("ops").unwrap(),
            entropy: [self.made; ENTROPY_BYTES],
            now_ms: self.now_ms,
        }
        .perform(call)
    }

    /// Makes a key, and returns its text.
    fn create(&mut self, body: &str) -> String {
        key_in(&self.call(&Call::Create(body.as_bytes())).unwrap())
    }

    fn mistake(&mut self, call: &Call<'_>) -> (Option<String>, String) {
        match self.call(call) {
            Err(Failure::InvalidRequest { param, message }) => (param, message.into_owned()),
            other => panic!("{other:?}"),
        }
    }

    /// Presents a key to the hub, as the edge would.
    fn admit(&self, key: &str) -> Result<&Grant, Denial> {
        assert!(self.secret.as_ref().unwrap().made(key));
        let id = KeyId::parse(key.split('_').nth(1).unwrap()).unwrap();
        self.keys.admit(&id, &Digest::of(key), self.now_ms, None)
    }
}

fn json(reply: &Reply) -> serde_json::Value {
    serde_json::from_slice(&reply.body).unwrap()
}

fn key_in(reply: &Reply) -> String {
    json(reply)["key"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_is_made_shown_once_and_admitted() {
    let mut office = Office::new();
    let body = br#"{"id":"phone","agents":["main","notes"],"default_agent":"main",
        "requests_per_minute":30,"reasoning":true,"label":"Anna's phone","expires":null}"#;
    let reply = office.call(&Call::Create(body)).unwrap();
    let key = key_in(&reply);
    assert_eq!(reply.status, 201);
    assert_eq!(
        (
            json(&reply)["created_at"].as_u64(),
            json(&reply)["disabled"].as_bool()
        ),
        (Some(NOW_MS / 1000), Some(false))
    );
    let grant = office.admit(&key).unwrap();
    assert_eq!(grant.label.as_deref(), Some("Anna's phone"));
    assert_eq!(grant.limits.requests_per_minute, Some(30));
    assert_eq!(grant.home, Home::Hub);
    for call in [Call::List, Call::Show("phone")] {
        let shown = String::from_utf8(office.call(&call).unwrap().body).unwrap();
        assert!(
            shown.contains(r#""id":"phone""#) && !shown.contains("claw_"),
            "{shown}"
        );
        assert!(!shown.contains("sha256"), "{shown}");
    }
    let change = reply.change.unwrap();
    assert_eq!(
        change.record,
        r#"{"object":"audit_log","time":1795374174,"actor":"ops","action":"key.created","key":"phone"}"#
    );
    assert!(!change.row.contains(&key));
}

#[test]
fn the_rows_bring_the_keys_back() {
    let mut office = Office::new();
    let mut rows = Vec::new();
    for body in [
        r#"{"id":"phone","agents":["*"],"label":"a  b","disabled":true}"#,
        r#"{"id":"bot","agents":["main"]}"#,
    ] {
        let reply = office.call(&Call::Create(body.as_bytes())).unwrap();
        rows.push(reply.change.unwrap().row);
    }
    let rotated = office.call(&Call::Rotate("bot", b"")).unwrap();
    rows[1] = rotated.change.unwrap().row;
    rows.push("of a newer version".to_owned());
    let read = HubKeys::read(&rows.join("\n"));
    assert_eq!(read.len(), 2);
    for (read, kept) in read.iter().zip(office.keys.iter()) {
        assert_eq!((read.row(), read.facts), (kept.row(), kept.facts));
        assert_eq!(read.grant.home, Home::Hub);
    }
}

#[test]
fn a_change_sets_its_fields_and_leaves_the_others() {
    let mut office = Office::new();
    let key =
        office.create(r#"{"id":"phone","agents":["main"],"requests_per_minute":3,"label":"a b"}"#);
    let body = br#"{"requests_per_minute":null,"concurrent_runs":2,"label":"Anna's new phone"}"#;
    let reply = office.call(&Call::Change("phone", body)).unwrap();
    assert!(json(&reply)["key"].is_null());
    let grant = office.admit(&key).unwrap();
    assert_eq!(grant.limits.requests_per_minute, None);
    assert_eq!(grant.limits.concurrent_runs, Some(2));
    assert_eq!(grant.label.as_deref(), Some("Anna's new phone"));
    assert_eq!(reply.change.unwrap().ends_ms, None);
}

#[test]
fn a_disabled_key_is_refused_until_it_is_enabled() {
    let mut office = Office::new();
    let key = office.create(r#"{"id":"phone","agents":["main"]}"#);
    let reply = office
        .call(&Call::Change("phone", br#"{"disabled":true}"#))
        .unwrap();
    assert_eq!(reply.change.unwrap().ends_ms, Some(0));
    assert_eq!(office.admit(&key).err(), Some(Denial::Disabled));
    // Another change leaves it disabled.
    office
        .call(&Call::Change("phone", br#"{"label":"x"}"#))
        .unwrap();
    assert_eq!(office.admit(&key).err(), Some(Denial::Disabled));
    office
        .call(&Call::Change("phone", br#"{"disabled":false}"#))
        .unwrap();
    assert!(office.admit(&key).is_ok());
}

#[test]
fn a_revoked_key_is_unknown_and_its_streams_end() {
    let mut office = Office::new();
    let key = office.create(r#"{"id":"phone","agents":["main"]}"#);
    let reply = office.call(&Call::Remove("phone")).unwrap();
    assert_eq!(
        reply.body,
        br#"{"object":"key.deleted","id":"phone","deleted":true}"#
    );
    let change = reply.change.unwrap();
    assert_eq!((change.row.as_str(), change.ends_ms), ("", Some(0)));
    assert_eq!(office.admit(&key).err(), Some(Denial::UnknownId));
    for call in [
        Call::Remove("phone"),
        Call::Show("phone"),
        Call::Rotate("phone", b""),
    ] {
        assert_eq!(office.call(&call).err(), Some(Failure::KeyNotFound));
    }
    // A later key of the same name is another key.
    office.create(r#"{"id":"phone","agents":["main"]}"#);
    assert_eq!(office.admit(&key).err(), Some(Denial::WrongSecret));
}

#[test]
fn both_secrets_are_valid_until_the_overlap_ends() {
    let mut office = Office::new();
    let first = office.create(r#"{"id":"phone","agents":["main"]}"#);
    let reply = office
        .call(&Call::Rotate("phone", br#"{"overlap_s":60}"#))
        .unwrap();
    let second = key_in(&reply);
    assert_eq!(
        json(&reply)["previous_key_valid_until"].as_u64(),
        Some(NOW_MS / 1000 + 60)
    );
    assert!(office.admit(&first).is_ok() && office.admit(&second).is_ok());
    office.now_ms = NOW_MS + 59_999;
    assert!(office.admit(&first).is_ok());
    office.now_ms = NOW_MS + 60_000;
    assert_eq!(office.admit(&first).err(), Some(Denial::WrongSecret));
    assert!(office.admit(&second).is_ok());
    // The next rotation forgets the first secret for good.
    let third = key_in(&office.call(&Call::Rotate("phone", b"")).unwrap());
    assert_eq!(office.admit(&first).err(), Some(Denial::WrongSecret));
    assert!(office.admit(&second).is_ok() && office.admit(&third).is_ok());
    // Without an overlap the old secret ends at once.
    let fourth = key_in(
        &office
            .call(&Call::Rotate("phone", br#"{"overlap_s":0}"#))
            .unwrap(),
    );
    assert_eq!(office.admit(&third).err(), Some(Denial::WrongSecret));
    assert!(office.admit(&fourth).is_ok());
}

#[test]
fn every_mistake_is_described_and_changes_nothing() {
    let mut office = Office::new();
    office.create(r#"{"id":"phone","agents":["main"]}"#);
    let before: Vec<String> = office.keys.iter().map(HubKey::row).collect();
    let taken = "There is a key with this id already.";
    let no_member = "There is no such member; see GET /v1/key for their names.";
    let no_value = "The value has another type, or a character that no field may have.";
    for (body, param, message) in [
        ("[]", None, "The request body is not a JSON object."),
        ("", Some("id"), "`id` is a-z, 0-9 and -, at most 32."),
        (
            r#"{"id":"Phone"}"#,
            Some("id"),
            "`id` is a-z, 0-9 and -, at most 32.",
        ),
        (r#"{"id":"phone","agents":["main"]}"#, Some("id"), taken),
        (r#"{"id":"ops","agents":["main"]}"#, Some("id"), taken),
        (
            r#"{"id":"x"}"#,
            None,
            "x: agents= is missing (agents=* allows every agent)",
        ),
        (r#"{"id":"x","agent":"main"}"#, Some("agent"), no_member),
        (r#"{"id":"x","agents":{}}"#, Some("agents"), no_value),
        (
            r#"{"id":"x","agents":["main"],"label":"a\" sessions=any"}"#,
            Some("label"),
            no_value,
        ),
        (
            r#"{"id":"x","agents":["main"],"disabled":"yes"}"#,
            Some("disabled"),
            no_value,
        ),
        (
            r#"{"id":"x","agents":["main"],"requests_per_minute":0}"#,
            Some("requests_per_minute"),
            "x: rpm is a number from 1 to 60000",
        ),
    ] {
        assert_eq!(
            office.mistake(&Call::Create(body.as_bytes())),
            (param.map(str::to_owned), message.to_owned()),
            "{body}"
        );
    }
    for body in [
        r#"{"overlap_s":-1}"#,
        r#"{"overlap_s":2592001}"#,
        r#"{"overlap":1}"#,
    ] {
        office.mistake(&Call::Rotate("phone", body.as_bytes()));
    }
    office.secret = None;
    let (_, message) = office.mistake(&Call::Create(br#"{"id":"x","agents":["main"]}"#));
    assert!(message.contains("KEYS_SECRET"), "{message}");
    assert_eq!(
        office.keys.iter().map(HubKey::row).collect::<Vec<_>>(),
        before
    );
}

#[test]
fn the_hub_has_a_limit_for_keys() {
    let mut office = Office::new();
    let row = {
        office.create(r#"{"id":"key-0","agents":["main"]}"#);
        office.keys.iter().next().unwrap().row()
    };
    let rows: Vec<String> = (0..MAX_KEYS)
        .map(|number| row.replace("key-0", &format!("key-{number}")))
        .collect();
    office.keys = HubKeys::read(&rows.join("\n"));
    let (param, message) = office.mistake(&Call::Create(br#"{"id":"x","agents":["main"]}"#));
    assert_eq!(param.as_deref(), Some("id"));
    assert!(message.contains(&MAX_KEYS.to_string()), "{message}");
}
