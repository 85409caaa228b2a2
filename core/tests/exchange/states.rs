//! Every state of an exchange with every possible input.
//!
//! A row has a state and an input, then the frames for the gateway, the output for the client, and
//! if the exchange ended. For a pair without a row nothing happens, and the test checks that as
//! well.

use crate::replay::{Alone, Input, RUN_ID, START_MS, Shown, exchange_of, feed};
use std::fmt::Write as _;

use clawfront_core::failure::Failure;
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::openai::Delivery;

const STREAM: Delivery = Delivery::Stream {
    include_usage: false,
};

/// Later than every deadline.
const MUCH_LATER_MS: u64 = START_MS + 3_600_000;

const CHALLENGE: &str =
    r#"{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1795374173763}}"#;

/// Name, key's fields, protocol, and the frames that lead to the state; `@` is the id of the
/// response that the state awaits.
const STATES: [(&str, &str, &[&str], &str); 19] = [
    ("challenge", "agents=main", &[], "0"),
    ("hello", "agents=main", &[CHALLENGE], "1"),
    ("choosing", "agents=*", &[CHALLENGE, "hello4"], "2"),
    ("starting/4", "agents=main", &[CHALLENGE, "hello4"], "3"),
    ("starting/3", "agents=main", &[CHALLENGE, "hello3"], "2"),
    (
        "no events/4",
        "agents=main",
        &[CHALLENGE, "hello4", "subscription refused"],
        "3",
    ),
    (
        "explaining",
        "agents=main",
        &[CHALLENGE, "hello4", "invalid:3"],
        "4",
    ),
    (
        "running/4",
        "agents=main",
        &[CHALLENGE, "hello4", "accepted:3"],
        "3",
    ),
    (
        "running/3",
        "agents=main",
        &[CHALLENGE, "hello3", "accepted:2"],
        "2",
    ),
    (
        "detached/4",
        "agents=main",
        &[CHALLENGE, "hello4", "accepted:3", "closed 1006"],
        "0",
    ),
    (
        "detached/3",
        "agents=main",
        &[CHALLENGE, "hello3", "accepted:2", "closed 1006"],
        "0",
    ),
    (
        "attempt/4",
        "agents=main",
        &[CHALLENGE, "hello4", "accepted:3", "closed 1006", "time"],
        "0",
    ),
    (
        "claiming/4",
        "agents=main",
        &[
            CHALLENGE,
            "hello4",
            "accepted:3",
            "closed 1006",
            "time",
            CHALLENGE,
            "hello4",
        ],
        "3",
    ),
    (
        "claiming/3",
        "agents=main",
        &[
            CHALLENGE,
            "hello3",
            "accepted:2",
            "closed 1006",
            "time",
            CHALLENGE,
            "hello3",
        ],
        "2",
    ),
    (
        "waiting/4",
        "agents=main",
        &[
            CHALLENGE,
            "hello4",
            "accepted:3",
            "closed 1006",
            "time",
            CHALLENGE,
            "hello4",
            "in flight:3",
        ],
        "4",
    ),
    (
        "seeking/3",
        "agents=main",
        &[
            CHALLENGE,
            "hello3",
            "accepted:2",
            "closed 1006",
            "time",
            CHALLENGE,
            "hello3",
            "invalid:2",
        ],
        "3",
    ),
    (
        "pausing/4",
        "agents=main",
        &[
            CHALLENGE,
            "hello4",
            "accepted:3",
            "closed 1006",
            "time",
            CHALLENGE,
            "hello4",
            "in flight:3",
            "waited:4",
            "in flight:5",
        ],
        "5",
    ),
    (
        "leaving/4",
        "agents=main",
        &[
            CHALLENGE,
            "hello4",
            "accepted:3",
            "closed 1006",
            "hung up",
            CHALLENGE,
        ],
        "1",
    ),
    (
        "ended",
        "agents=main",
        &[CHALLENGE, "hello4", "accepted:3", "final:3"],
        "3",
    ),
];

const INPUTS: [&str; 34] = [
    "challenge",
    "hello3",
    "hello4",
    "hello5",
    "hello admin",
    "hello read",
    "accepted",
    "in flight",
    "final",
    "final length",
    "final stopReason error",
    "final aborted",
    "final error kind",
    "final odd figures",
    "final timeout",
    "final unread",
    "invalid",
    "unavailable",
    "not paired",
    "forbidden",
    "listed",
    "listed without main",
    "subscription refused",
    "text",
    "lifecycle error",
    "chat final",
    "chat",
    "waited",
    "waited in vain",
    "unsubscribed",
    "failed",
    "closed 1006",
    "closed 1012",
    "hung up",
];

const EXPECTED: &str = include_str!("../expected/states.txt");

#[test]
fn every_state_meets_every_input() {
    let mut table = String::new();
    let mut pairs = 0;
    for (state, fields, path, awaited) in STATES {
        for input in INPUTS.iter().chain(&[
            "overrun",
            "deadline",
            "foreign",
            "unknown",
            "garbage",
            "tick event",
            "stray response",
        ]) {
            let mut exchange = exchange_of(STREAM, fields);
            let mut before = Shown::default();
            for step in path {
                give(&mut exchange, step, awaited, &mut before);
            }
            let mut shown = Shown {
                head: before.head.clone(),
                ended: before.ended,
                ..Shown::default()
            };
            give(&mut exchange, input, awaited, &mut shown);
            pairs += 1;
            let cell = describe(&before, &shown);
            if !cell.is_empty() {
                writeln!(table, "{state:<11} {input:<23} {cell}").unwrap();
            }
        }
    }
    assert_eq!(pairs, STATES.len() * (INPUTS.len() + 7));
    if std::env::var_os("CLAWFRONT_WRITE_EXPECTED").is_some() {
        std::fs::write(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected/states.txt"),
            &table,
        )
        .unwrap();
    }
    assert_eq!(table, EXPECTED);
}

fn give(exchange: &mut Alone, input: &str, awaited: &str, shown: &mut Shown) {
    let (name, id) = input.split_once(':').unwrap_or((input, awaited));
    let (input, now_ms) = match name {
        "failed" => (
            Input::Failed(Failure::GatewayUnreachable(Diagnosis::ConnectionFailed)),
            START_MS,
        ),
        "time" => (Input::Tick, exchange.wake_at_ms().unwrap()),
        "closed 1006" => (Input::Closed { code: 1006 }, START_MS),
        "closed 1012" => (Input::Closed { code: 1012 }, START_MS),
        "hung up" => (Input::HungUp, START_MS),
        "overrun" => (Input::Overrun, START_MS),
        "deadline" => (Input::Tick, MUCH_LATER_MS),
        _ => {
            let frame = if input == CHALLENGE {
                CHALLENGE.to_owned()
            } else {
                handshake(name)
                    .or_else(|| response(name, id))
                    .or_else(|| event(name))
                    .unwrap_or_else(|| panic!("{name}"))
            };
            return feed(exchange, Input::Frame(&frame), START_MS, shown);
        }
    };
    feed(exchange, input, now_ms, shown);
}

/// Returns a frame of the handshake.
fn handshake(name: &str) -> Option<String> {
    let scopes = r#""operator.read","operator.write""#;
    let (protocol, scopes) = match name {
        "challenge" => return Some(CHALLENGE.to_owned()),
        "hello3" => (3, scopes),
        "hello4" => (4, scopes),
        "hello5" => (5, scopes),
        "hello admin" => (4, r#""operator.read","operator.write","operator.admin""#),
        "hello read" => (4, r#""operator.read""#),
        _ => return None,
    };
    Some(format!(
        r#"{{"type":"res","id":"1","ok":true,"payload":{{"type":"hello-ok","protocol":{protocol},"auth":{{"scopes":[{scopes}]}}}}}}"#
    ))
}

/// Returns the response to the request with this id.
fn response(name: &str, id: &str) -> Option<String> {
    let usage = r#""agentMeta":{"usage":{"input":1,"output":2}}"#;
    let payload = match name {
        "accepted" => r#"{"status":"accepted"}"#,
        "in flight" => r#"{"status":"in_flight"}"#,
        "final" => &format!(
            r#"{{"status":"ok","result":{{"payloads":[{{"text":"x"}}],"meta":{{"stopReason":"stop",{usage}}}}}}}"#
        ),
        "final length" => {
            &format!(r#"{{"status":"ok","result":{{"meta":{{"stopReason":"length",{usage}}}}}}}"#)
        }
        "final stopReason error" => &format!(
            r#"{{"status":"ok","result":{{"payloads":[{{"text":"500 oops"}}],"meta":{{"stopReason":"error",{usage}}}}}}}"#
        ),
        "final aborted" => {
            &format!(r#"{{"status":"ok","result":{{"meta":{{"aborted":true,{usage}}}}}}}"#)
        }
        "final error kind" => {
            r#"{"status":"ok","result":{"payloads":[{"text":"too large"}],"meta":{"error":{"kind":"context_overflow"}}}}"#
        }
        "final odd figures" => {
            r#"{"status":"ok","result":{"payloads":[{"text":"x"}],"meta":{"agentMeta":{"usage":{"input":1.5,"output":null}}}}}"#
        }
        "final timeout" => r#"{"status":"timeout","summary":"aborted"}"#,
        "final unread" => r#"{"status":7}"#,
        "listed" => r#"{"defaultId":"main","agents":[{"id":"main"}]}"#,
        "listed without main" => r#"{"selectionRequired":true,"agents":[{"id":"beta"}]}"#,
        "waited" => r#"{"status":"ok","startedAt":1,"endedAt":2}"#,
        "waited in vain" => r#"{"status":"timeout"}"#,
        _ => return rejection(name, id),
    };
    Some(format!(
        r#"{{"type":"res","id":"{id}","ok":true,"payload":{payload}}}"#
    ))
}

/// Returns the refusal of the request with this id.
fn rejection(name: &str, id: &str) -> Option<String> {
    let error = match name {
        "invalid" => r#"{"code":"INVALID_REQUEST","message":"x"}"#,
        "unavailable" => r#"{"code":"UNAVAILABLE","message":"x","retryAfterMs":1500}"#,
        "not paired" => {
            r#"{"code":"NOT_PAIRED","details":{"code":"PAIRING_REQUIRED","requestId":"r"}}"#
        }
        "forbidden" => r#"{"code":"FORBIDDEN","details":{"code":"MISSING_SCOPE"}}"#,
        _ => return None,
    };
    Some(format!(
        r#"{{"type":"res","id":"{id}","ok":false,"error":{error}}}"#
    ))
}

/// Returns an event, or another frame that does not depend on the awaited response.
fn event(name: &str) -> Option<String> {
    let agent_event = |run: &str, stream: &str, data: &str| {
        format!(
            r#"{{"type":"event","event":"agent","payload":{{"runId":"{run}","stream":"{stream}","data":{data}}}}}"#
        )
    };
    Some(match name {
        "text" => agent_event(
            RUN_ID,
            "assistant",
            r#"{"text":"t","delta":"t","itemId":"i"}"#,
        ),
        "lifecycle error" => agent_event(RUN_ID, "lifecycle", r#"{"phase":"error","error":"x"}"#),
        "foreign" => agent_event("other", "assistant", r#"{"text":"t","delta":"t"}"#),
        "unknown" => agent_event(RUN_ID, "brand-new", "[]"),
        "chat final" => format!(
            r#"{{"type":"event","event":"chat","payload":{{"runId":"{RUN_ID}","state":"final"}}}}"#
        ),
        "chat" => format!(
            r#"{{"type":"event","event":"chat","payload":{{"runId":"{RUN_ID}","state":"delta","message":{{"content":[{{"type":"text","text":"whole"}}]}}}}}}"#
        ),
        "subscription refused" => {
            r#"{"type":"res","id":"2","ok":false,"error":{"code":"FORBIDDEN"}}"#.to_owned()
        }
        "unsubscribed" => {
            r#"{"type":"res","id":"2","ok":true,"payload":{"subscribed":false}}"#.to_owned()
        }
        "tick event" => r#"{"type":"event","event":"tick","payload":{"ts":1}}"#.to_owned(),
        "stray response" => {
            r#"{"type":"res","id":"77","ok":true,"payload":{"status":"ok"}}"#.to_owned()
        }
        "garbage" => "{".to_owned(),
        _ => return None,
    })
}

/// Describes an output: `→methods` that were sent, `status`, the new part of the body, `end`.
fn describe(before: &Shown, shown: &Shown) -> String {
    let mut words: Vec<String> = shown
        .methods()
        .iter()
        .map(|method| format!("→{method}"))
        .collect();
    if before.head.is_none() && shown.head.is_some() {
        words.push(shown.status().to_string());
        if let Some(repeat) = shown.header("x-should-retry") {
            words.push(format!("x-should-retry={repeat}"));
        }
        if let Some(seconds) = shown.header("retry-after") {
            words.push(format!("retry-after={seconds}"));
        }
    }
    for event in shown.body.split("\n\n").filter(|event| !event.is_empty()) {
        let json = event.strip_prefix("data: ").unwrap_or(event);
        let value: serde_json::Value = serde_json::from_str(json).unwrap_or_else(|_| json.into());
        let choice = &value["choices"][0];
        words.push(if let Some(code) = value["error"]["code"].as_str() {
            code.to_owned()
        } else if let Some(reason) = choice["finish_reason"].as_str() {
            format!("finish={reason}")
        } else if choice["delta"]["role"].is_string() {
            "role".to_owned()
        } else if let Some(text) = choice["delta"]["content"].as_str() {
            format!("{text:?}")
        } else {
            json.to_owned()
        });
    }
    if shown.connects > 0 {
        words.push("connect".to_owned());
    }
    if shown.ended && !before.ended {
        words.push("end".to_owned());
    }
    words.join(" ")
}
