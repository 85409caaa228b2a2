//! Every fault that takes time or a certain frame, at every frame of every recording, streamed and
//! whole. The tests use a clock of their own.
//!
//! Faults of a real wire that need no deadline are in `tests/matrix.test.mjs`.

use std::collections::BTreeMap;
use std::iter::once;

use clawfront_core::openai::Delivery;
use serde_json::Value;

use crate::replay::{
    Alone, Input, Recorded, START_MS, Shown, exchange, exchange_of, feed, out_of_reach, recording,
    replay, step,
};
use crate::transcripts::{RUNS, check_broken_off};

const DELIVERIES: [Delivery; 2] = [
    Delivery::Stream {
        include_usage: true,
    },
    Delivery::Whole,
];

const TICK: &str = r#"{"type":"event","event":"tick","payload":{"ts":1795374204000}}"#;
/// Source: `policy.tickIntervalMs` of both versions.
const TICK_MS: u64 = 30_000;
const GARBAGE: &str = r#"{"type":"event","event":"agent","payl"#;
/// One more than `policy.maxPayload` of both versions.
const OVERSIZE_BYTES: usize = 26_214_401;

/// Longest time for which an exchange waits for a silent gateway, and then searches for the run.
const SILENCE_AND_SEARCH_MS: u64 = 75_000 + 60_000;
const RUN_MS: u64 = 172_800_000;

/// An exchange in the middle of a recording.
struct Middle<'a> {
    place: String,
    exchange: Alone,
    shown: Shown,
    now_ms: u64,
    /// The rest of the recording.
    rest: &'a [Recorded],
}

/// Replays a recording and calls `cell` before each of its frames. Returns the number of calls.
fn at_every_frame(
    name: &str,
    nth: usize,
    delivery: Delivery,
    fields: &str,
    mut cell: impl FnMut(Middle<'_>),
) -> usize {
    let recorded = recording(name, nth);
    let (mut exchange, mut shown) = (exchange_of(delivery, fields), Shown::default());
    for (index, item) in recorded.iter().enumerate() {
        let now_ms = START_MS + index as u64;
        cell(Middle {
            place: format!("{name}, {delivery:?}, in front of frame {index}"),
            exchange: exchange.clone(),
            shown: shown.clone(),
            now_ms,
            rest: &recorded[index..],
        });
        step(&mut exchange, item, now_ms, &mut shown);
        if shown.ended {
            return index + 1;
        }
    }
    recorded.len()
}

fn over_all(mut cell: impl FnMut(Middle<'_>, &Shown)) -> usize {
    let mut cells = 0;
    for (name, nth, _) in RUNS {
        for delivery in DELIVERIES {
            let undisturbed = replay(delivery, &recording(name, nth));
            cells += at_every_frame(name, nth, delivery, "agents=main", |middle| {
                cell(middle, &undisturbed);
            });
        }
    }
    cells
}

impl Middle<'_> {
    /// Continues with these frames to the end. If they do not end the exchange, it ends because no
    /// connection can be made.
    fn go_on<'a>(mut self, frames: impl Iterator<Item = &'a Recorded>) -> Shown {
        for (now_ms, item) in (self.now_ms..).zip(frames) {
            step(&mut self.exchange, item, now_ms, &mut self.shown);
        }
        out_of_reach(&mut self.exchange, &mut self.shown);
        self.shown
    }
}

/// Returns the code of an error, or the text of an answer that claims to be complete.
fn outcome(shown: &Shown) -> Result<String, String> {
    let body = shown.body.trim_start();
    if !body.starts_with("data: ") {
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{shown:?}"));
        return match body["error"]["code"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => Ok(body["choices"][0]["message"]["content"]
                .as_str()
                .unwrap()
                .to_owned()),
        };
    }
    let mut text = String::new();
    for data in body.lines().filter_map(|line| line.strip_prefix("data: {")) {
        let chunk: Value = serde_json::from_str(&format!("{{{data}")).unwrap();
        if let Some(code) = chunk["error"]["code"].as_str() {
            return Err(code.to_owned());
        }
        text.push_str(
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap_or_default(),
        );
    }
    Ok(text)
}

/// Returns the number of runs that these frames may have started: requests of `agent` that are not
/// claims.
fn runs_asked_for(shown: &Shown) -> usize {
    let is_run = |frame: &&String| {
        frame.contains(r#""method":"agent""#) && !frame.contains("clawfront-nobody")
    };
    shown.frames.iter().filter(is_run).count()
}

#[test]
fn silence_from_any_frame_on_ends_in_time_with_one_clean_error() {
    let mut codes = BTreeMap::new();
    let cells = over_all(|mut middle, _| {
        let now_ms = middle.now_ms;
        let mut ended_ms = now_ms;
        while let Some(at_ms) = middle.exchange.wake_at_ms() {
            let connects = middle.shown.connects;
            feed(&mut middle.exchange, Input::Tick, at_ms, &mut middle.shown);
            if middle.shown.connects > connects {
                // The connection is there, and silent, too.
                continue;
            }
            ended_ms = at_ms;
        }
        let Middle { place, shown, .. } = middle;
        check_broken_off(&shown, &place);
        assert!(
            ended_ms - now_ms <= SILENCE_AND_SEARCH_MS,
            "{place}: {} ms",
            ended_ms - now_ms
        );
        assert!(runs_asked_for(&shown) <= 1, "{place}");
        *codes.entry(outcome(&shown).unwrap_err()).or_insert(0) += 1;
    });
    println!("silence: {cells} cells, {codes:?}");
    let expected = [
        "gateway_acceptance_timeout",
        "gateway_connection_lost",
        "gateway_handshake_timeout",
        "gateway_refused",
        "gateway_silent",
    ];
    assert!(
        codes.keys().all(|code| expected.contains(&code.as_str())),
        "{codes:?}"
    );
}

#[test]
fn a_gateway_that_only_ticks_is_left_when_the_run_may_take_no_longer() {
    let mut cells = 0;
    for name in ["latest-basic", "march-basic"] {
        for delivery in DELIVERIES {
            cells += at_every_frame(
                name,
                0,
                delivery,
                "agents=main heartbeat=off",
                |mut middle| {
                    let mut tick_ms = middle.now_ms;
                    let mut ended_ms = middle.now_ms;
                    while let Some(at_ms) = middle.exchange.wake_at_ms() {
                        let (input, now_ms) = if tick_ms <= at_ms {
                            tick_ms += TICK_MS;
                            (Input::Frame(TICK), tick_ms - TICK_MS)
                        } else {
                            (Input::Tick, at_ms)
                        };
                        feed(&mut middle.exchange, input, now_ms, &mut middle.shown);
                        ended_ms = now_ms;
                        // Otherwise the body has the heartbeats of two days.
                        if delivery == Delivery::Whole {
                            middle
                                .shown
                                .body
                                .truncate(middle.shown.body.trim_end_matches('\n').len());
                        }
                    }
                    let Middle { place, shown, .. } = middle;
                    assert!(shown.ended && !shown.body.is_empty(), "{place}: {shown:?}");
                    let code = outcome(&shown).unwrap_err();
                    let waited_ms = ended_ms - START_MS;
                    assert!(waited_ms <= RUN_MS + TICK_MS, "{place}: {waited_ms} ms");
                    assert!(
                        [
                            "gateway_handshake_timeout",
                            "gateway_acceptance_timeout",
                            "gateway_refused",
                            "run_timeout"
                        ]
                        .contains(&code.as_str()),
                        "{place}: {code}"
                    );
                    assert!(runs_asked_for(&shown) <= 1, "{place}");
                },
            );
        }
    }
    println!("ticks only: {cells} cells");
}

#[test]
fn a_frame_that_comes_twice_changes_nothing() {
    let cells = over_all(|middle, undisturbed| {
        let Some(first) = middle.rest.first().cloned() else {
            return;
        };
        if matches!(first, Recorded::Closed(_)) {
            return;
        }
        let place = middle.place.clone();
        let frames: Vec<_> = once(first).chain(middle.rest.iter().cloned()).collect();
        let shown = middle.go_on(frames.iter());
        assert_eq!(shown.body, undisturbed.body, "{place}");
        assert_eq!(
            runs_asked_for(&shown),
            runs_asked_for(undisturbed),
            "{place}"
        );
    });
    println!("twice: {cells} cells");
}

#[test]
fn garbage_in_front_of_any_frame_changes_nothing() {
    let cells = over_all(|mut middle, undisturbed| {
        feed(
            &mut middle.exchange,
            Input::Frame(GARBAGE),
            middle.now_ms,
            &mut middle.shown,
        );
        let place = middle.place.clone();
        let rest = middle.rest;
        assert_eq!(middle.go_on(rest.iter()).body, undisturbed.body, "{place}");
    });
    println!("garbage: {cells} cells");
}

#[test]
fn a_frame_beyond_the_protocols_size_ends_what_it_breaks_into() {
    let oversize = "x".repeat(OVERSIZE_BYTES);
    let cells = over_all(|mut middle, _| {
        feed(
            &mut middle.exchange,
            Input::Frame(&oversize),
            middle.now_ms,
            &mut middle.shown,
        );
        let Middle { place, shown, .. } = middle;
        check_broken_off(&shown, &place);
        assert_eq!(
            outcome(&shown),
            Err("gateway_protocol_error".to_owned()),
            "{place}"
        );
    });
    println!("oversize: {cells} cells");
}

#[test]
fn neighbours_that_change_places_never_make_a_wrong_answer() {
    let mut same = 0;
    let cells = over_all(|middle, undisturbed| {
        let [first, second, others @ ..] = middle.rest else {
            return;
        };
        if matches!(first, Recorded::Closed(_)) || matches!(second, Recorded::Closed(_)) {
            return;
        }
        let place = middle.place.clone();
        let frames: Vec<_> = [second, first].into_iter().chain(others).cloned().collect();
        let shown = middle.go_on(frames.iter());
        same += usize::from(check_never_wrong(&shown, undisturbed, &place));
    });
    println!("changed places: {cells} cells, the same answer in {same}");
}

#[test]
fn a_frame_that_is_lost_never_makes_a_wrong_answer() {
    let mut same = 0;
    let cells = over_all(|middle, undisturbed| {
        let place = middle.place.clone();
        let frames: Vec<_> = middle.rest.iter().skip(1).cloned().collect();
        let shown = middle.go_on(frames.iter());
        same += usize::from(check_never_wrong(&shown, undisturbed, &place));
    });
    println!("lost: {cells} cells, the same answer in {same}");
}

/// Checks that an answer that claims to be complete equals the undisturbed one, and that all other
/// output is an error. Returns true if the two are equal.
fn check_never_wrong(shown: &Shown, undisturbed: &Shown, place: &str) -> bool {
    assert!(shown.ended, "{place} does not end");
    assert!(runs_asked_for(shown) <= 1, "{place}");
    let result = outcome(shown);
    if result.is_ok() {
        assert_eq!(result, outcome(undisturbed), "{place}");
    }
    result == outcome(undisturbed)
}

#[test]
fn an_exchange_without_any_frame_ends() {
    for delivery in DELIVERIES {
        let (mut exchange, mut shown) = (exchange(delivery), Shown::default());
        out_of_reach(&mut exchange, &mut shown);
        assert_eq!(outcome(&shown), Err("gateway_handshake_timeout".to_owned()));
    }
}
