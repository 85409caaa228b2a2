//! The connection is lost in the middle of a recorded run, and the run is found again on another
//! one.
//!
//! The recordings have one connection each. The frames of the next connection are made here, from
//! measurements of both versions: a claim is answered by `in_flight` or `accepted`, then by the
//! recorded final response.

use std::collections::VecDeque;
use std::fmt::Write as _;

use clawfront_core::openai::Delivery;
use serde_json::{Value, json};

use crate::replay::{
    Alone, Input, RUN_ID, Recorded, START_MS, Shown, exchange, feed, recording, replay, step,
};
use crate::scenario::CHALLENGE;

const STREAM: Delivery = Delivery::Stream {
    include_usage: true,
};

/// Recordings of runs that have their end.
const RUNS: [(&str, usize); 23] = [
    ("latest-basic", 0),
    ("latest-tool", 0),
    ("latest-thinking", 0),
    ("latest-scoped_owner", 1),
    ("latest-shutdown", 0),
    ("latest-abort", 0),
    ("latest-provider_cut", 0),
    ("latest-provider_empty", 0),
    ("latest-provider_err400", 0),
    ("latest-provider_err500", 0),
    ("latest-provider_finish_length", 0),
    ("latest-provider_streamerror", 0),
    ("latest-observers", 0),
    ("march-basic", 0),
    ("march-tool", 0),
    ("march-thinking", 0),
    ("march-concurrent", 1),
    ("march-provider_cut", 0),
    ("march-provider_empty", 0),
    ("march-provider_err500", 0),
    ("march-provider_finish_length", 0),
    ("march-provider_streamerror", 0),
    ("march-observers", 0),
];

/// The gateway on the second connection.
struct Gateway {
    protocol: u64,
    /// The events that it still sends, before the final response.
    events: VecDeque<String>,
    last: Value,
    read: usize,
    waits: Option<String>,
}

impl Gateway {
    /// Returns the gateway of a recording that was cut before `cut`; the next `missed` events are
    /// sent to nobody.
    fn new(all: &[Value], cut: usize, missed: usize) -> Self {
        let protocol = all
            .iter()
            .find_map(|frame| frame["payload"]["protocol"].as_u64())
            .unwrap();
        let ours = if protocol == 4 { "3" } else { "2" };
        let last = all
            .iter()
            .rev()
            .find(|frame| {
                frame["id"] == ours
                    && !matches!(
                        frame["payload"]["status"].as_str(),
                        Some("accepted" | "in_flight")
                    )
            })
            .cloned()
            .unwrap();
        let events = all[cut..].iter().filter(|frame| frame["type"] == "event");
        Self {
            protocol,
            events: events.skip(missed).map(Value::to_string).collect(),
            last,
            read: 0,
            waits: None,
        }
    }

    /// Sends all its frames; time passes only while both sides wait.
    fn send_all(&mut self, exchange: &mut Alone, now_ms: &mut u64, shown: &mut Shown) {
        feed(exchange, Input::Frame(CHALLENGE), *now_ms, shown);
        while !shown.ended {
            if let Some(request) = shown.frames.get(self.read).cloned() {
                self.read += 1;
                if let Some(answer) = self.answer(&serde_json::from_str(&request).unwrap()) {
                    feed(exchange, Input::Frame(&answer), *now_ms, shown);
                }
            } else if let Some(event) = self.events.pop_front() {
                feed(exchange, Input::Frame(&event), *now_ms, shown);
            } else if let Some(id) = self.waits.take() {
                let ended = json!({ "type": "res", "id": id, "ok": true, "payload": { "status": "ok", "endedAt": 1 } });
                feed(exchange, Input::Frame(&ended.to_string()), *now_ms, shown);
            } else {
                *now_ms = exchange.wake_at_ms().unwrap();
                feed(exchange, Input::Tick, *now_ms, shown);
            }
        }
    }

    fn answer(&mut self, request: &Value) -> Option<String> {
        let id = &request["id"];
        let ok = |payload: Value| {
            Some(json!({ "type": "res", "id": id, "ok": true, "payload": payload }).to_string())
        };
        match request["method"].as_str().unwrap() {
            "connect" => ok(
                json!({ "protocol": self.protocol, "auth": { "scopes": ["operator.read", "operator.write"] } }),
            ),
            "sessions.messages.subscribe" => ok(json!({ "subscribed": true })),
            "agent" => {
                assert_eq!(request["params"], claim());
                if self.events.is_empty() {
                    let mut last = self.last.clone();
                    last["id"] = id.clone();
                    return Some(last.to_string());
                }
                ok(json!({ "status": if self.protocol == 4 { "in_flight" } else { "accepted" } }))
            }
            "agent.wait" => {
                assert_eq!(request["params"]["runId"], RUN_ID);
                self.waits = id.as_str().map(str::to_owned);
                None
            }
            // The session has begun again.
            "sessions.get" => ok(json!({ "messages": [] })),
            "chat.abort" => None,
            other => panic!("{other}"),
        }
    }
}

fn parsed(recorded: &[Recorded]) -> Vec<Value> {
    let frame = |item: &Recorded| match item {
        Recorded::Frame(frame) => serde_json::from_str(frame).unwrap(),
        Recorded::Closed(code) => json!({ "closed": code }),
    };
    recorded.iter().map(frame).collect()
}

/// The parameters of a claim, which can only request a response that the gateway remembers.
pub(crate) fn claim() -> Value {
    json!({ "message": "-", "agentId": "clawfront-nobody", "channel": "clawfront-nowhere", "idempotencyKey": RUN_ID })
}

/// Returns the text that a client reads, and its end with the usage.
fn read(shown: &Shown) -> (String, String) {
    if !shown.body.starts_with("data:") {
        let value: Value = serde_json::from_str(&shown.body).unwrap();
        let text = value["choices"][0]["message"]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let end = format!(
            "{} {} {}",
            value["choices"][0]["finish_reason"], value["usage"], value["error"]["code"]
        );
        return (text, end);
    }
    let (mut text, mut end) = (String::new(), String::new());
    for event in shown
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
    {
        let value: Value = serde_json::from_str(event).unwrap_or_else(|_| event.into());
        let choice = &value["choices"][0];
        text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        if choice["delta"]["content"].is_null() {
            let (finish, usage, code) = (
                &choice["finish_reason"],
                &value["usage"],
                &value["error"]["code"],
            );
            write!(end, "{finish} {usage} {code};").unwrap();
        }
    }
    (text, end)
}

/// Returns the places at which a recording can be cut while its run is active: the exchange, its
/// output, and the number of frames before.
fn cuts(delivery: Delivery, recorded: &[Recorded]) -> Vec<(Alone, Shown, usize)> {
    let (mut exchange, mut shown) = (exchange(delivery), Shown::default());
    let mut cuts = Vec::new();
    for (cut, item) in recorded.iter().enumerate() {
        let asked = shown.methods().iter().any(|method| method == "agent");
        if asked && !shown.ended {
            cuts.push((exchange.clone(), shown.clone(), cut));
        }
        step(&mut exchange, item, START_MS + cut as u64, &mut shown);
    }
    cuts
}

/// Loses the connection at the cut, and continues with a gateway that sent `missed` events to
/// nobody.
fn interrupted(
    all: &[Value],
    (exchange, shown, cut): &(Alone, Shown, usize),
    missed: usize,
) -> Shown {
    let (mut exchange, mut shown, cut) = (exchange.clone(), shown.clone(), *cut);
    let mut now_ms = START_MS + cut as u64;
    let sent = shown.frames.len();
    feed(
        &mut exchange,
        Input::Closed { code: 1006 },
        now_ms,
        &mut shown,
    );
    while shown.connects == 0 {
        now_ms = exchange.wake_at_ms().unwrap();
        feed(&mut exchange, Input::Tick, now_ms, &mut shown);
    }
    let mut gateway = Gateway::new(all, cut, missed);
    gateway.read = sent;
    gateway.send_all(&mut exchange, &mut now_ms, &mut shown);
    shown
}

#[test]
fn a_run_cut_at_any_frame_and_found_again_at_once_has_the_undisturbed_answer() {
    let mut count = 0;
    for (name, nth) in RUNS {
        let recorded = recording(name, nth);
        let all = parsed(&recorded);
        for delivery in [STREAM, Delivery::Whole] {
            let whole = read(&replay(delivery, &recorded));
            for cut in cuts(delivery, &recorded) {
                let shown = interrupted(&all, &cut, 0);
                count += 1;
                let place = format!("{name} {delivery:?} cut before frame {}", cut.2);
                let seen = read(&shown);
                if is_failure(&whole.1) {
                    // The class of a provider's failure comes in events, which may have been sent
                    // before the cut: only the code is compared.
                    assert_eq!(failure_code(&seen.1), failure_code(&whole.1), "{place}");
                    assert!(
                        whole.0.starts_with(&seen.0) || seen.0.starts_with(&whole.0),
                        "{place}"
                    );
                } else {
                    assert_eq!(seen, whole, "{place}");
                }
                assert_eq!(
                    shown
                        .methods()
                        .iter()
                        .filter(|method| *method == "connect")
                        .count(),
                    2,
                    "{place}"
                );
            }
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn text_missed_after_a_cut_is_completed_or_is_an_error() {
    let (mut complete, mut lost) = (0, 0);
    for (name, nth) in RUNS {
        let recorded = recording(name, nth);
        let all = parsed(&recorded);
        let whole = read(&replay(STREAM, &recorded));
        for cut in cuts(STREAM, &recorded) {
            for missed in [3, usize::MAX] {
                let shown = interrupted(&all, &cut, missed);
                let place = format!("{name} cut before frame {}, {missed} missed", cut.2);
                let seen = read(&shown);
                if seen.1.contains("finish") || !is_failure(&seen.1) {
                    complete += 1;
                    assert_eq!(seen, whole, "{place}");
                } else if !is_failure(&whole.1) {
                    lost += 1;
                    assert!(seen.1.contains("answer_lost"), "{place}: {seen:?}");
                    // Only with several items in progress is it unknown if one is missing.
                    assert!(
                        name.contains("tool")
                            || name.contains("scoped")
                            || name.contains("observers")
                            || name.contains("empty"),
                        "{place}"
                    );
                }
                // A failure before the first words has a status.
                let ends = usize::from(shown.body.starts_with("data: "));
                assert_eq!(shown.body.matches("data: [DONE]").count(), ends, "{place}");
            }
        }
    }
    assert!(
        complete > 500 && lost > 0 && lost * 5 < complete,
        "{complete} {lost}"
    );
}

/// Returns the code of a failure, which came as a status or as an event.
fn failure_code(end: &str) -> &str {
    end.split('"')
        .find(|word| is_failure(word))
        .unwrap_or_default()
}

fn is_failure(end: &str) -> bool {
    end.contains('_')
        && ["run_", "provider_", "answer_", "gateway_"]
            .iter()
            .any(|word| end.contains(word))
}
