//! The target `frames`: any text as a frame, in every state of an exchange.

use clawfront_core::gateway::agent_question::Question;
use clawfront_core::gateway::device::DeviceKey;
use clawfront_core::gateway::pairing::Pairing;
use clawfront_core::openai::error::ErrorResponse;

use crate::replay::gateway;

use super::script::{Scripted, refused};

/// Sends any text as a frame, in every state: once, and then a second time.
pub(super) fn run(text: &str) {
    thread_local! {
        static STATES: Vec<Scripted> = STATES_BY_SCRIPT
            .iter()
            .map(|script| Scripted::of(script))
            .collect();
    }
    for mut scripted in STATES.with(Clone::clone) {
        scripted.frame(text);
        scripted.frame(text);
        scripted.end();
    }
    let credential = &gateway().credential;
    for lead in [&[][..], &[CHALLENGE], &[CHALLENGE, HELLO_4]] {
        let (mut pairing, mut question) = (Pairing::default(), Question::default());
        for frame in lead {
            // Their results are not checked here.
            let _ = pairing.receive(frame, credential, DeviceKey::sign);
            let _ = question.receive(frame, credential, DeviceKey::sign, &mut Vec::new());
        }
        let _ = pairing.receive(text, credential, DeviceKey::sign);
        let mut outbox = Vec::new();
        let _ = question.receive(text, credential, DeviceKey::sign, &mut outbox);
        assert!(outbox.len() <= 1);
    }
    for status in [200, 403, 530] {
        let response = ErrorResponse::of(&refused(status, text));
        assert!(response.status >= 500, "{response:?}");
    }
}

pub(crate) const CHALLENGE: &str =
    r#"{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1}}"#;
pub(crate) const HELLO_4: &str = r#"{"type":"res","id":"1","ok":true,"payload":{"protocol":4,"auth":{"scopes":["operator.read","operator.write"]}}}"#;
pub(crate) const HELLO_3: &str = r#"{"type":"res","id":"1","ok":true,"payload":{"protocol":3,"auth":{"scopes":["operator.read","operator.write"]}}}"#;
const ACCEPTED: &str = r#"{"type":"res","id":"@","ok":true,"payload":{"status":"accepted"}}"#;
pub(super) const TEXT: &str = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"assistant","data":{"text":"so","delta":"so","itemId":"i"}}}"#;
const YIELDED: &str = r#"{"type":"res","id":"@","ok":true,"payload":{"status":"ok","result":{"meta":{"yielded":true,"stopReason":"end_turn"}}}}"#;
const IN_FLIGHT: &str = r#"{"type":"res","id":"@","ok":true,"payload":{"status":"in_flight"}}"#;
const INVALID: &str = r#"{"type":"res","id":"@","ok":false,"error":{"code":"INVALID_REQUEST"}}"#;

/// The states of an exchange, by the frames that lead to them.
const STATES_BY_SCRIPT: [&[&str]; 16] = [
    &[""],
    &["", CHALLENGE],
    &["*", CHALLENGE, HELLO_4],
    &["", CHALLENGE, HELLO_4],
    &["", CHALLENGE, HELLO_3],
    &["", CHALLENGE, HELLO_4, INVALID],
    &["u", CHALLENGE, HELLO_4, ACCEPTED],
    &["", CHALLENGE, HELLO_3, ACCEPTED, TEXT],
    &["w", CHALLENGE, HELLO_4, ACCEPTED, TEXT],
    &["", CHALLENGE, HELLO_4, ACCEPTED, YIELDED],
    &["", CHALLENGE, HELLO_3, ACCEPTED, YIELDED],
    &["", CHALLENGE, HELLO_4, ACCEPTED, TEXT, "!close 1006"],
    &[
        "",
        CHALLENGE,
        HELLO_4,
        ACCEPTED,
        TEXT,
        "!close 1006",
        "!wake",
    ],
    &[
        "",
        CHALLENGE,
        HELLO_4,
        ACCEPTED,
        TEXT,
        "!close 1006",
        "!wake",
        CHALLENGE,
        HELLO_4,
    ],
    &[
        "",
        CHALLENGE,
        HELLO_4,
        ACCEPTED,
        TEXT,
        "!close 1006",
        "!wake",
        CHALLENGE,
        HELLO_4,
        IN_FLIGHT,
    ],
    &[
        "",
        CHALLENGE,
        HELLO_3,
        ACCEPTED,
        TEXT,
        "!close 1006",
        "!wake",
        CHALLENGE,
        HELLO_3,
        INVALID,
    ],
];
