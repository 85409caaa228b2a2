//! The target `keys`: a value of `CLIENT_KEYS`, each of whose lines is presented as a key, too.

use std::sync::LazyLock;

use clawfront_core::access::admit::Grants;
use clawfront_core::access::bearer::{self, Bearer};
use clawfront_core::access::edit;
use clawfront_core::access::grant::Grant;
use clawfront_core::access::hub_key::{HubKey, HubKeys};
use clawfront_core::access::key::{self, KeyId, NewKey, SECRET_BYTES};
use clawfront_core::access::proof::{ENTROPY_BYTES, KeysSecret};
use clawfront_core::access::quota::Counts;
use clawfront_core::admin::{Call, Desk};
use clawfront_core::openai::error::ErrorResponse;

use crate::replay::START_MS;

use super::SECRET;

/// Parses the value and presents its lines.
pub(super) fn run(text: &str) {
    let pieces: String = edit::pieces(text).collect();
    assert_eq!(pieces, text);
    let entries: Vec<&str> = edit::pieces(text).filter_map(edit::entry).collect();
    let (mut clients, mut problems) = (Grants::default(), Vec::new());
    clients.extend(text, &mut problems);
    assert_eq!(clients.iter().count() + problems.len(), entries.len());
    for problem in &problems {
        assert!(!problem.to_string().contains(SECRET), "{problem}");
    }
    for client in clients.iter() {
        assert!(
            client
                .default_agent
                .as_ref()
                .is_none_or(|agent| client.agents.allows(agent))
        );
        if let Some(label) = &client.label {
            let written = edit::write(
                &client.id,
                &phone().hash,
                [("agents", "main"), ("label", label.as_str())],
            );
            assert_eq!(
                one_client(&written).unwrap().label.as_ref(),
                Some(label),
                "{written}"
            );
        }
    }

    for presented in text.lines().chain([phone().plaintext.as_str()]) {
        for presented in [presented, presented.trim()] {
            if let Ok(client) = clients.admit(presented, START_MS, None) {
                assert_eq!(
                    *presented,
                    *phone().plaintext,
                    "nothing else is known of a hash"
                );
                assert_eq!(key::id_of(presented), Some(client.id.as_str()));
            }
        }
        if let Some(token) = bearer::token(presented) {
            assert!(token.bytes().all(|b| b.is_ascii_graphic()));
        }
        let headers = bearer::Headers {
            authorization: Some(presented.to_owned()),
            x_api_key: Some(presented.to_owned()),
            ..bearer::Headers::default()
        };
        match bearer::admit(&clients, Some(secret()), &headers, START_MS, None) {
            Ok(bearer) => assert!(matches!(bearer, Bearer::Listed(_)), "nobody forges a proof"),
            Err(denied) => assert_eq!(ErrorResponse::of(&denied).status, 401),
        }
    }
    for entry in entries {
        check_edits(entry);
        check_change(entry);
    }
    check_hub(text);
}

/// Checks that a valid entry is valid after a change of another field, and has its other fields.
fn check_change(entry: &str) {
    if let Some(before) = one_client(entry) {
        let changed = edit::change(entry, &[("rpm", Some("7".to_owned())), ("label", None)]);
        let after = one_client(&changed).unwrap_or_else(|| panic!("{entry:?} became {changed:?}"));
        assert_eq!(after.limits.requests_per_minute, Some(7));
        assert_eq!((after.label, after.scopes), (None, before.scopes));
    }
}

/// Reads the text as rows of the hub's keys, and as the body of a request to the admin API.
fn check_hub(text: &str) {
    let mut keys = HubKeys::read(text);
    let rows: Vec<String> = keys.iter().map(HubKey::row).collect();
    let again = HubKeys::read(&rows.join("\n"));
    assert_eq!(again.iter().map(HubKey::row).collect::<Vec<_>>(), rows);
    let count = keys.len();
    let mut desk = Desk {
        keys: &mut keys,
        listed: &Grants::default(),
        secret: Some(secret()),
        counts: &Counts::default(),
        actor: &KeyId::parse("ops").unwrap(),
        entropy: [7; ENTROPY_BYTES],
        now_ms: START_MS,
    };
    match desk.perform(&Call::Create(text.as_bytes())) {
        Ok(reply) => {
            let row = reply.change.unwrap().row;
            assert_eq!(HubKeys::read(&row).len(), 1, "{row}");
        }
        Err(refused) => {
            assert!(ErrorResponse::of(&refused).status < 500);
            assert_eq!(keys.len(), count);
        }
    }
}

fn secret() -> &'static KeysSecret {
    static KEYS: LazyLock<KeysSecret> =
        LazyLock::new(|| KeysSecret::parse("0123456789abcdef".repeat(2)).unwrap());
    &KEYS
}

/// Checks that a valid entry is valid after every step of a rotation, and has the same meaning.
fn check_edits(entry: &str) {
    let new = NewKey::from_entropy(&KeyId::parse("phone").unwrap(), &[9; SECRET_BYTES]);
    let (rotated, finished) = (edit::rotate(entry, &new.hash), edit::finish(entry));
    let Some(before) = one_client(entry) else {
        return;
    };
    assert_ne!(rotated.is_some(), finished.is_some(), "{entry}");
    if entry.contains(&new.hash) {
        return;
    }
    let finished = rotated
        .as_ref()
        .map_or(finished, |rotated| edit::finish(rotated))
        .unwrap();
    for edited in rotated.iter().chain([&finished]) {
        let after = one_client(edited).unwrap_or_else(|| panic!("{entry:?} became {edited:?}"));
        let meaning = |client: &Grant| {
            let text = format!("{client:?}");
            text.split("secrets:").next().unwrap_or_default().to_owned()
        };
        assert_eq!(meaning(&before), meaning(&after), "{edited}");
    }
    if rotated.is_some() {
        assert!(
            finished.contains(&new.hash) && edit::finish(&finished).is_none(),
            "{finished}"
        );
    }
}

pub(super) fn phone() -> &'static NewKey {
    static PHONE: LazyLock<NewKey> =
        LazyLock::new(|| NewKey::from_entropy(&KeyId::parse("phone").unwrap(), &[7; SECRET_BYTES]));
    &PHONE
}

/// Returns the client of an entry, if the entry is valid.
pub(super) fn one_client(entry: &str) -> Option<Grant> {
    let (mut clients, mut problems) = (Grants::default(), Vec::new());
    clients.extend(entry, &mut problems);
    clients
        .iter()
        .next()
        .filter(|_| problems.is_empty())
        .cloned()
}
