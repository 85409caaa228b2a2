//! Random histories of a hub with several clients.

use std::collections::{BTreeMap, BTreeSet};

use clawfront_core::exchange::Progress;
use clawfront_core::hub::Input;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::background::{self, KINDS, Kind};
use crate::shared::{Client, IDLE_MS, Shared, UNREACHABLE, accepted, ended};

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Begin,
    /// A response in the background begins.
    BeginBackground {
        kind: Kind,
    },
    Connected,
    Failed,
    Closed,
    Respond {
        nth: usize,
        kind: u8,
    },
    Say {
        nth: usize,
        piece: usize,
    },
    HangUp {
        nth: usize,
    },
    /// The client cancels its response, if it is in the background.
    Cancel {
        nth: usize,
    },
    /// An administrator stops the run.
    Stop {
        nth: usize,
    },
    Overrun {
        nth: usize,
    },
    AskAgents,
    Gap,
    Pass {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Begin),
        3 => prop::sample::select(&KINDS).prop_map(|kind| Step::BeginBackground { kind }),
        3 => Just(Step::Connected),
        1 => Just(Step::Failed),
        1 => Just(Step::Closed),
        6 => (0..8usize, 0..8u8).prop_map(|(nth, kind)| Step::Respond { nth, kind }),
        6 => (0..8usize, 0..3usize).prop_map(|(nth, piece)| Step::Say { nth, piece }),
        1 => (0..8usize).prop_map(|nth| Step::HangUp { nth }),
        1 => (0..8usize).prop_map(|nth| Step::Cancel { nth }),
        1 => (0..8usize).prop_map(|nth| Step::Stop { nth }),
        1 => (0..8usize).prop_map(|nth| Step::Overrun { nth }),
        1 => Just(Step::AskAgents),
        1 => Just(Step::Gap),
        2 => prop_oneof![Just(50u64), Just(300), Just(5_000), Just(20_000), Just(80_000)]
            .prop_map(|ms| Step::Pass { ms }),
    ]
}

/// Checks the frames of one connection: which runs are requested, and how often. A run that the
/// gateway does not know may be requested once more.
#[derive(Default)]
struct Asked {
    times: BTreeMap<String, usize>,
    unknown: BTreeSet<String>,
}

impl Asked {
    fn check(&mut self, shared: &Shared, seen: &mut usize) {
        for request in shared.requests.iter().skip(*seen) {
            if request["method"] == "agent" && request["params"]["agentId"] != "clawfront-nobody" {
                let run = request["params"]["idempotencyKey"].as_str().unwrap();
                *self.times.entry(run.to_owned()).or_default() += 1;
            }
        }
        *seen = shared.requests.len();
    }
}

/// The status of a response that was answered, in its object.
const COMPLETED: &str = r#""status":"completed","error""#;

fn is_in_background(client: &Client) -> bool {
    matches!(client.record.progress.first(), Some(Progress::Begun(_)))
}

/// Checks that a client of a response in the background has the bytes that are stored, and that a
/// stream has no event twice, lacks none, and ends once: with the object that is stored.
fn check_record(client: &Client) {
    let Some(Progress::Begun(object)) = client.record.progress.first() else {
        return;
    };
    let events = client.record.events();
    let ended = client.record.ended();
    assert_eq!(ended.is_some(), client.has_ended);
    if events.is_empty() {
        // A whole response has no events, and no other bytes follow.
        assert_eq!(&client.body, object);
        return;
    }
    assert_eq!(background::events_of(&client.body), events);
    let deltas = background::read(&events);
    if let Some(ended) = ended {
        let object: Value = serde_json::from_str(ended).unwrap();
        assert!(events.ends_with(&format!("\"response\":{ended}}}\n\n")));
        let items = object["output"].as_array().unwrap().iter();
        let texts = items.map(|item| item["content"][0]["text"].as_str().unwrap());
        assert_eq!(texts.collect::<String>(), deltas);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens: no run is requested twice that the gateway knows, no client gets a word of
    /// another's run, every exchange ends once, and a stream that was not answered does not end as
    /// if it was. A response in the background has one record, and no byte leaves before it is
    /// stored.
    #[test]
    fn no_history_mixes_runs_or_requests_one_twice(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut shared = Shared::new(IDLE_MS);
        let (mut asked, mut seen) = (Asked::default(), 0);
        let mut is_ready = false;
        let mut answered = Vec::new();
        for step in steps {
            let count = shared.clients.len();
            let before = (shared.connects, shared.disconnects);
            match step {
                Step::Begin if count < 8 => {
                    shared.begin(count + 1);
                    answered.push(false);
                }
                Step::BeginBackground { kind } if count < 8 => {
                    let number = u8::try_from(count + 1).unwrap();
                    let exchange = background::exchange(number, kind, "agents=main");
                    shared.add(exchange, format!("{number:02x}").repeat(16));
                    answered.push(false);
                }
                Step::Connected if !is_ready => {
                    shared.shake_hands();
                    is_ready = shared.methods().contains(&"connect");
                    seen = 0;
                }
                Step::Failed if !is_ready => shared.give(Input::Failed(UNREACHABLE)),
                Step::Closed => shared.give(Input::Closed { code: 1006 }),
                Step::Respond { nth, kind } if is_ready && nth < shared.requests.len() => {
                    asked.check(&shared, &mut seen);
                    let request = shared.requests.remove(nth);
                    seen -= 1;
                    let run = request["params"]["idempotencyKey"].as_str().unwrap_or_default().to_owned();
                    let is_unknown = kind > 5 && request["params"]["agentId"] == "clawfront-nobody";
                    if is_unknown {
                        asked.unknown.insert(run.clone());
                    }
                    let payload = match kind {
                        _ if request["method"] == "sessions.get" => json!({ "messages": [] }),
                        0 | 1 => accepted(),
                        2 => json!({ "status": "in_flight" }),
                        3 => json!({ "status": "timeout" }),
                        _ => ended(&run),
                    };
                    let asks = |client: &Client| client.run == run;
                    if let Some(client) = shared.clients.iter().position(asks) {
                        answered[client] |= kind > 3 && !is_unknown;
                    }
                    let mut response = json!({ "type": "res", "id": request["id"], "ok": !is_unknown });
                    if is_unknown {
                        response["error"] = json!({ "code": "INVALID_REQUEST" });
                    } else {
                        response["payload"] = payload;
                    }
                    shared.frame(&response.to_string());
                }
                Step::Say { nth, piece } if nth < count && is_ready => {
                    let text = format!("{} {piece}", shared.clients[nth].run);
                    shared.say(nth, &text);
                }
                Step::HangUp { nth } if nth < count => {
                    let id = shared.clients[nth].id;
                    shared.give(Input::HungUp(id));
                }
                Step::Cancel { nth } if nth < count && is_in_background(&shared.clients[nth]) => {
                    let id = shared.clients[nth].id;
                    shared.give(Input::Cancelled(id));
                }
                Step::Stop { nth } if nth < count => {
                    let run = shared.clients[nth].run.clone();
                    shared.give(Input::Stopped(&run));
                }
                Step::Overrun { nth } if nth < count => {
                    let id = shared.clients[nth].id;
                    shared.give(Input::Overrun(id));
                }
                Step::AskAgents => shared.ask_agents(),
                Step::Gap if is_ready => {
                    let tick = json!({ "type": "event", "event": "tick", "payload": {}, "seq": 9 }).to_string();
                    shared.give(Input::Frame { text: &tick, skipped: 3 });
                }
                Step::Pass { ms } => shared.pass_ms(ms),
                _ => {}
            }
            if before != (shared.connects, shared.disconnects) {
                is_ready = false;
                seen = 0;
            }
            asked.check(&shared, &mut seen);
            for (run, times) in &asked.times {
                let most = 1 + usize::from(asked.unknown.contains(run));
                prop_assert!(*times <= most, "{} was requested {} times", run, times);
            }
            for (index, client) in shared.clients.iter().enumerate() {
                for other in shared.clients.iter().filter(|other| other.run != client.run) {
                    prop_assert!(!client.body.contains(&other.run), "{}", client.body);
                }
                check_record(client);
                let has_stopped = client.body.contains(r#""finish_reason":"stop""#)
                    || client.record.ended().is_some_and(|object| object.contains(COMPLETED));
                prop_assert!(!has_stopped || answered[index], "{}", client.body);
                prop_assert!(!has_stopped || client.has_ended);
            }
        }
        // In the end every exchange ends by itself.
        for _ in 0..2_000 {
            let Some(at_ms) = shared.hub.wake_at_ms() else { break };
            shared.now_ms = shared.now_ms.max(at_ms);
            shared.give(Input::Tick);
        }
        prop_assert!(shared.clients.iter().all(|client| client.has_ended), "an exchange does not end");
        prop_assert_eq!(shared.hub.wake_at_ms(), None);
        for client in shared.clients.iter().filter(|client| is_in_background(client)) {
            check_record(client);
            prop_assert!(client.record.ended().is_some(), "a response does not end");
        }
    }
}
