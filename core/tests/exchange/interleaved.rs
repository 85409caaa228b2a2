//! Several recorded runs on one connection, with their frames in any order: each client gets the
//! bytes that it gets alone.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;

use crate::replay::{RUN_ID, Recorded, exchange_with, recording};
use crate::scenario::CHALLENGE;
use crate::shared::{IDLE_MS, STREAM, Shared};
use crate::transcripts::RUNS;

/// Most runs on the connection.
const MAX_RUNS: usize = 4;

/// A recording, with the number of its run.
type Name = (&'static str, usize);

/// A client's response: the status, the body, and if that has ended.
type Seen = (u16, String, bool);

/// The recordings of each protocol whose run ends on its first connection, and what its client
/// gets.
static ALONE: LazyLock<[Vec<(Name, Seen)>; 2]> = LazyLock::new(|| {
    ["march", "latest"].map(|version| {
        let runs = RUNS.iter().map(|(name, nth, _)| (*name, *nth));
        let of_version =
            runs.filter(|(name, _)| name.starts_with(version) && !name.contains("pairing"));
        let alone = of_version.map(|name| (name, replay_all(&[name], &[0]).remove(0)));
        alone.filter(|(_, (.., has_ended))| *has_ended).collect()
    })
});

/// Returns true if the frame is a response to the request for the run.
fn is_response(frame: &Value) -> bool {
    frame["type"] == "res" && (frame["id"] == "2" || frame["id"] == "3")
}

/// The frames of a recording after its handshake, with this run, and the response to this request.
fn frames_of(recorded: &[Recorded], run: &str, request: &str) -> Vec<String> {
    let mut frames = Vec::new();
    for item in recorded {
        let Recorded::Frame(text) = item else {
            continue;
        };
        let frame: Value = serde_json::from_str(text).unwrap();
        if frame["event"] == "connect.challenge" || frame["id"] == "1" {
            continue;
        }
        let mut text = text.replace(RUN_ID, run);
        if is_response(&frame) {
            let mut frame: Value = serde_json::from_str(&text).unwrap();
            frame["id"] = request.into();
            text = frame.to_string();
        }
        frames.push(text);
    }
    frames
}

/// Gives the event the next number of the connection.
fn numbered(text: &str, number: &mut u64) -> String {
    let frame: Value = serde_json::from_str(text).unwrap();
    let Some(recorded) = frame["seq"].as_u64() else {
        return text.to_owned();
    };
    *number += 1;
    let field = format!("\"seq\":{recorded}");
    let (before, after) = text.rsplit_once(&field).unwrap();
    format!("{before}\"seq\":{number}{after}")
}

/// Replays these recordings on one connection; `order` picks the run of each next frame. Returns
/// what each client got.
fn replay_all(recordings: &[Name], order: &[usize]) -> Vec<Seen> {
    let mut shared = Shared::new(IDLE_MS);
    for number in 1..=recordings.len() {
        let hi = r#"{"model":"openclaw","messages":[{"role":"user","content":"hi"}]}"#;
        let run = [u8::try_from(number).unwrap(); 16];
        let exchange = exchange_with(run, hi, &[], STREAM, "agents=main");
        shared.add(exchange, format!("{number:02x}").repeat(16));
    }
    shared.frame(CHALLENGE);
    let recorded: Vec<Vec<Recorded>> = recordings
        .iter()
        .map(|(name, nth)| recording(name, *nth))
        .collect();
    let hello = recorded[0].iter().find_map(|item| match item {
        Recorded::Frame(text) if text.contains("hello-ok") => Some(text),
        _ => None,
    });
    shared.frame(hello.unwrap());
    let requests: BTreeMap<&str, &str> = shared
        .requests
        .iter()
        .filter(|request| request["method"] == "agent")
        .map(|request| {
            let run = request["params"]["idempotencyKey"].as_str().unwrap();
            (run, request["id"].as_str().unwrap())
        })
        .collect();
    let mut waiting: Vec<_> = shared
        .clients
        .iter()
        .zip(&recorded)
        .map(|(client, recorded)| {
            let frames = frames_of(recorded, &client.run, requests[client.run.as_str()]);
            frames.into_iter()
        })
        .collect();
    let (mut order, mut number) = (order.iter().cycle(), 0);
    while waiting.iter().any(|frames| frames.len() > 0) {
        let place = order.next().unwrap() % waiting.len();
        // The next one that has a frame.
        let place = (place..place + waiting.len())
            .map(|place| place % waiting.len())
            .find(|place| waiting[*place].len() > 0)
            .unwrap();
        let frame = waiting[place].next().unwrap();
        shared.now_ms += 1;
        shared.frame(&numbered(&frame, &mut number));
    }
    let clients = shared.clients.into_iter();
    let seen = clients.map(|client| {
        let body = without_file_ids(&client.body.replace(&client.run, RUN_ID));
        (client.status, body, client.has_ended)
    });
    seen.collect()
}

/// Removes the ids of files, which are made of the run's.
fn without_file_ids(body: &str) -> String {
    let mut parts = body.split("/v1/files/");
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, after) = part.split_once('/').unwrap();
        rest += after;
    }
    rest
}

#[test]
fn most_recordings_can_share_a_connection() {
    let counts = ALONE.each_ref().map(Vec::len);
    assert!(counts.iter().all(|count| *count >= 12), "{counts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn runs_that_share_a_connection_do_not_touch_each_other(
        is_v4 in any::<bool>(),
        picked in proptest::collection::vec(0..64usize, 2..=MAX_RUNS),
        order in proptest::collection::vec(0..MAX_RUNS, 1..64),
    ) {
        let all = &ALONE[usize::from(is_v4)];
        let picked: Vec<_> = picked.iter().map(|place| &all[place % all.len()]).collect();
        let names: Vec<Name> = picked.iter().map(|(name, _)| *name).collect();
        for (seen, (name, alone)) in replay_all(&names, &order).iter().zip(picked) {
            prop_assert_eq!(seen, alone, "{:?} among {:?}", name, names);
        }
    }
}
