//! Names that clients give to their runs, so that a retry does not start another run.
//!
//! - An `Idempotency-Key` names any run.
//! - Codex names the turn of its user in `client_metadata`: `thread_id` and `turn_id`, both UUIDs
//!   of its own. Each attempt at a request has the same ids and the same body, except for the order
//!   of members. The turn's next request, after the result of a tool or another message, has
//!   another body. Therefore the body is a part of the name. Source: codex 0.171.0, measured;
//!   `tests/recorded/codex.json`.

use std::borrow::Cow;

use base16ct::lower as hex;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::json::digest;
use super::request::{Entropy, Request};
use crate::access::grant::Grant;
use crate::failure::Failure;
use crate::parse::{self, object};
use crate::session::Session;
use crate::turn::AgentChoice;

/// Source: the IETF draft `draft-ietf-httpapi-idempotency-key-header`. OpenAI's SDKs send it if
/// they are configured to.
pub(super) const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// Longest `Idempotency-Key`, in bytes.
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// The positions of a UUID's dashes, and its length in bytes. Source: RFC 9562, section 4.
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];
const UUID_BYTES: usize = 36;

/// The name of a run, with the body that it came with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The parts of the name. None contains a zero byte.
    parts: [String; 3],
    body: [u8; 32],
}

/// The fields of `client_metadata` that are read.
#[derive(Default)]
struct Metadata<'a> {
    thread_id: Cow<'a, str>,
    turn_id: Cow<'a, str>,
}

object!(Metadata<'_>, [thread_id, turn_id], []);

impl Name {
    /// Returns the name of the request, if it has one.
    pub(super) fn of(
        request: &Request<'_>,
        metadata: Option<&RawValue>,
    ) -> Result<Option<Self>, Failure> {
        Ok(Self::of_header(request)?.or_else(|| Self::of_turn(request, metadata?)))
    }

    fn of_header(request: &Request<'_>) -> Result<Option<Self>, Failure> {
        let Some(key) = (request.header)(IDEMPOTENCY_HEADER).filter(|key| !key.trim().is_empty())
        else {
            return Ok(None);
        };
        if key.len() > MAX_IDEMPOTENCY_KEY_BYTES
            || !key.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        {
            return Err(Failure::invalid(
                IDEMPOTENCY_HEADER,
                format!(
                    "Idempotency-Key is at most {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII \
                     characters."
                ),
            ));
        }
        Ok(Some(Self {
            parts: [key, String::new(), String::new()],
            body: Sha256::digest(request.body).into(),
        }))
    }

    /// Returns the name of a turn of Codex. Only UUIDs count, because other programs do not use
    /// them in these fields.
    fn of_turn(request: &Request<'_>, metadata: &RawValue) -> Option<Self> {
        let ids: Metadata<'_> = parse::from_str(metadata.get()).ok()?;
        if !is_uuid(&ids.thread_id) || !is_uuid(&ids.turn_id) {
            return None;
        }
        let body = digest::digest(request.body)?;
        let caller_and_body = [request.caller, body].concat();
        Some(Self {
            parts: [
                ids.thread_id.into_owned(),
                ids.turn_id.into_owned(),
                hex::encode_string(&caller_and_body),
            ],
            body,
        })
    }

    /// Returns the ids of the run. The run's id depends on this key, agent, session and name. The
    /// session's id depends on the body too, so that another body never continues in the first
    /// one's session.
    pub(super) fn entropy(
        &self,
        client: &Grant,
        agent: &AgentChoice,
        session: Option<&Session>,
    ) -> Entropy {
        let agent = match agent {
            AgentChoice::Named(agent) => agent.as_str(),
            AgentChoice::GatewayDefault(_) => "",
        };
        let mut hash = Sha256::new();
        let [first, second, third] = &self.parts;
        for part in [
            client.id.as_str(),
            agent,
            session.map_or("", Session::name),
            first,
            second,
            third,
        ] {
            hash.update(part);
            hash.update([0]);
        }
        let half = |hash: Sha256| {
            let hash: [u8; 32] = hash.finalize().into();
            hash.split_at(16).0.try_into().unwrap_or_default()
        };
        Entropy {
            run: half(hash.clone()),
            session: half(hash.chain_update(self.body)),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == UUID_BYTES
        && text.bytes().enumerate().all(|(at, byte)| {
            if UUID_DASHES.contains(&at) {
                byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::openai::body::Body;
    use crate::openai::json::text::Json;

    #[derive(Deserialize)]
    struct Recorded {
        body: String,
    }

    /// Bodies of codex 0.171.0: a request, its retry, the turn's next request, and the same words
    /// in the next turn.
    fn recorded() -> Vec<String> {
        let recorded: Vec<Recorded> =
            serde_json::from_str(include_str!("../../../tests/recorded/codex.json")).unwrap();
        recorded.into_iter().map(|request| request.body).collect()
    }

    fn name(body: &str, key: Option<&str>, caller: [u8; 32]) -> Option<Name> {
        let header = |name: &str| {
            key.filter(|_| name == IDEMPOTENCY_HEADER)
                .map(str::to_owned)
        };
        let request = Request {
            body: body.as_bytes(),
            header: &header,
            caller,
            is_repeated: false,
        };
        let json = Json::read(body.as_bytes()).ok().unwrap();
        Name::of(&request, Body::parse(&json).ok().unwrap().client_metadata).unwrap()
    }

    fn turn(body: &str) -> Option<Name> {
        name(body, None, [0; 32])
    }

    #[test]
    fn codexs_repetition_has_the_name_of_the_first_attempt_and_no_other_request_has() {
        let bodies = recorded();
        let names: Vec<_> = bodies.iter().map(|body| turn(body).unwrap()).collect();
        let [first, repeated, next, next_turn] = names.as_slice() else {
            panic!("{names:?}");
        };
        assert_ne!(bodies.first(), bodies.get(1), "the bytes differ");
        assert_eq!(first, repeated);
        assert_ne!(first.parts, next.parts);
        assert_ne!(first.parts, next_turn.parts);
        assert_ne!(next.parts, next_turn.parts);
    }

    #[test]
    fn two_callers_of_one_key_never_have_one_name() {
        let body = recorded().swap_remove(0);
        assert_ne!(
            name(&body, None, [0; 32]).unwrap().parts,
            name(&body, None, [1; 32]).unwrap().parts
        );
    }

    #[test]
    fn ids_that_are_not_codexs_name_nothing() {
        const ID: &str = "01990000-0000-7000-8000-000000000001";
        let of =
            |metadata: &str| turn(&format!(r#"{{"input":"hi","client_metadata":{metadata}}}"#));
        assert!(of(&format!(r#"{{"thread_id":"{ID}","turn_id":"{ID}"}}"#)).is_some());
        for metadata in [
            "null".to_owned(),
            "7".to_owned(),
            "{}".to_owned(),
            format!(r#"{{"thread_id":"{ID}"}}"#),
            format!(r#"{{"turn_id":"{ID}"}}"#),
            format!(r#"{{"thread_id":"support","turn_id":"{ID}"}}"#),
            format!(r#"{{"thread_id":"{ID}","turn_id":"1"}}"#),
            format!(
                r#"{{"thread_id":"{ID}","turn_id":"{}"}}"#,
                ID.replace('-', "_")
            ),
            format!(r#"{{"thread_id":"{ID}","turn_id":7}}"#),
        ] {
            assert_eq!(of(&metadata), None, "{metadata}");
        }
    }

    #[test]
    fn an_idempotency_key_goes_before_the_turn() {
        let body = recorded().swap_remove(0);
        let [key, ..] = name(&body, Some("k1"), [0; 32]).unwrap().parts;
        assert_eq!(key, "k1");
    }
}
