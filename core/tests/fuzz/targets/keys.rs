//! The target `keys`: a value of `CLIENT_KEYS`, each of whose lines is presented as a key, too.

use std::sync::LazyLock;

use clawfront_core::access::admit::Grants;
use clawfront_core::access::edit;
use clawfront_core::access::grant::Grant;
use clawfront_core::access::key::{KeyId, NewKey, SECRET_BYTES};
use clawfront_core::access::{bearer, key};
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
        if let Err(denied) = bearer::admit(&clients, &headers, START_MS, None) {
            assert_eq!(ErrorResponse::of(&denied).status, 401);
        }
    }
    for entry in entries {
        check_edits(entry);
    }
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
