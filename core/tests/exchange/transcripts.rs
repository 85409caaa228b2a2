//! Recorded connections of real gateways (OpenClaw 2026.9.6 and 2026.3.13), replayed: the client's
//! bytes are compared one by one.
//!
//! The expected bytes are files in `expected/`. After a wanted change, write them again with
//! `CLAWFRONT_WRITE_EXPECTED=1` and read the difference.

use std::fs;
use std::path::PathBuf;

use crate::replay::{
    Input, Recorded, START_MS, Shown, exchange, exchange_of, feed, feed_all, is_surplus,
    out_of_reach, recording, replay, replay_to, step,
};
use clawfront_core::openai::Delivery;

const STREAM: Delivery = Delivery::Stream {
    include_usage: true,
};

/// A recording, the number of its run, and the status of the whole answer.
pub(crate) const RUNS: [(&str, usize, u16); 39] = [
    ("latest-basic", 0, 200),
    ("latest-tool", 0, 200),
    ("latest-thinking", 0, 200),
    ("latest-scoped_owner", 1, 200),
    ("latest-shutdown", 0, 200),
    ("latest-abort", 0, 400),
    ("latest-provider_cut", 0, 400),
    ("latest-provider_empty", 0, 200),
    ("latest-provider_err400", 0, 400),
    ("latest-provider_err500", 0, 400),
    ("latest-provider_finish_length", 0, 200),
    ("latest-provider_streamerror", 0, 400),
    ("latest-disconnect", 0, 200),
    ("latest-dupes", 0, 200),
    ("latest-observers", 0, 200),
    ("latest-invalid", 0, 502),
    ("latest-pairing-required", 0, 502),
    ("latest-media", 0, 200),
    ("latest-media_only", 0, 200),
    ("latest-message_tool", 0, 200),
    ("latest-no_reply", 0, 400),
    ("march-media", 0, 200),
    ("march-media_only", 0, 200),
    ("march-basic", 0, 200),
    ("march-tool", 0, 200),
    ("march-thinking", 0, 200),
    ("march-concurrent", 1, 200),
    ("march-shutdown", 0, 200),
    ("march-provider_cut", 0, 400),
    ("march-provider_empty", 0, 200),
    ("march-provider_err400", 0, 400),
    ("march-provider_err500", 0, 400),
    ("march-provider_finish_length", 0, 200),
    ("march-provider_streamerror", 0, 400),
    ("march-disconnect", 0, 200),
    ("march-dupes", 0, 200),
    ("march-observers", 0, 200),
    ("march-invalid", 0, 502),
    ("march-pairing-required", 0, 502),
];

#[test]
fn every_recorded_run_yields_exactly_the_expected_bytes() {
    for (name, nth, status) in RUNS {
        let recorded = recording(name, nth);
        let streamed = replay(STREAM, &recorded);
        let whole = replay(Delivery::Whole, &recorded);
        assert!(streamed.ended && whole.ended, "{name} does not end");
        assert_eq!(whole.status(), status, "{name}");
        compare(&format!("{name}.sse"), &streamed);
        compare(&format!("{name}.json"), &whole);
    }
}

#[test]
fn skipped_frames_change_nothing() {
    let mut skipped = 0;
    for (name, nth, _) in RUNS {
        let recorded = recording(name, nth);
        for delivery in [STREAM, Delivery::Whole] {
            let (mut all, mut some) = (exchange(delivery), exchange(delivery));
            let (mut full, mut picked) = (Shown::default(), Shown::default());
            for (now_ms, item) in (START_MS..).zip(&recorded) {
                if let Recorded::Frame(frame) = item {
                    skipped += usize::from(is_surplus(&some, frame));
                    feed_all(&mut all, Input::Frame(frame), now_ms, &mut full);
                } else {
                    step(&mut all, item, now_ms, &mut full);
                }
                step(&mut some, item, now_ms, &mut picked);
                assert_eq!(
                    (&full.body, &full.frames),
                    (&picked.body, &picked.frames),
                    "{name}"
                );
            }
        }
    }
    assert!(skipped > 300, "only {skipped}");
}

#[test]
fn every_recording_broken_off_anywhere_ends_with_one_clean_error() {
    let mut cuts = 0;
    for (name, nth, _) in RUNS {
        for delivery in [STREAM, Delivery::Whole] {
            let mut exchange = exchange(delivery);
            let mut shown = Shown::default();
            for (length, item) in recording(name, nth).iter().enumerate() {
                let now_ms = START_MS + length as u64;
                let (mut broken, mut end) = (exchange.clone(), shown.clone());
                feed(&mut broken, Input::Closed { code: 1006 }, now_ms, &mut end);
                out_of_reach(&mut broken, &mut end);
                check_broken_off(&end, &format!("{name} {delivery:?} after {length} frames"));
                cuts += 1;
                step(&mut exchange, item, now_ms, &mut shown);
                if shown.ended {
                    break;
                }
            }
        }
    }
    assert!(cuts > 1000, "{cuts}");
}

pub(crate) fn check_broken_off(end: &Shown, place: &str) {
    assert!(end.ended, "{place}");
    assert!(!end.body.contains(r#""finish_reason":""#), "{place}");
    if end.status() == 200 && end.body.starts_with('\n') {
        // A whole answer that was kept alive.
        assert!(
            is_error_object(end.body.trim_start()),
            "{place}: {}",
            end.body
        );
    } else if end.status() == 200 {
        assert_eq!(end.body.matches(r#"{"error":"#).count(), 1, "{place}");
        assert_eq!(end.body.matches("data: [DONE]\n\n").count(), 1, "{place}");
        assert!(end.body.ends_with("data: [DONE]\n\n"), "{place}");
    } else {
        assert!(
            (end.status() >= 500 || end.status() == 400) && is_error_object(&end.body),
            "{place}: {}",
            end.body
        );
        // A client must not retry on its own after a run was requested and not refused, nor if a
        // retry cannot help.
        let methods = end.methods();
        let asked = methods.iter().any(|method| method == "agent")
            && methods.last().is_some_and(|last| last != "agents.list");
        let permanent = end.body.contains("gateway_refused");
        assert_eq!(
            end.header("x-should-retry"),
            (asked || permanent).then_some("false"),
            "{place}"
        );
        assert_eq!(end.status() == 400, asked, "{place}");
    }
}

#[test]
fn tools_and_failed_attempts_are_comments_for_who_asks() {
    const RETRIES: [&str; 7] = [
        ": model failed, retry 1 of 8 follows",
        ": model failed, retry 2 of 8 follows",
        ": model failed, retry 3 of 8 follows",
        ": model failed, retry 4 of 8 follows",
        ": model failed, retry 5 of 8 follows",
        ": model failed, retry 6 of 8 follows",
        ": model failed, retry 7 of 8 follows",
    ];
    const TOOL: [&str; 2] = [": tool exec started", ": tool exec ended"];
    const ATTEMPTS: [&str; 4] = [": model failed"; 4];
    let cases: [(&str, &[&str]); 6] = [
        ("latest-basic", &[]),
        ("latest-tool", &TOOL),
        ("latest-provider_err500", &RETRIES),
        ("march-basic", &[]),
        ("march-tool", &TOOL),
        ("march-provider_err500", &ATTEMPTS),
    ];
    for (name, expected) in cases {
        let recorded = recording(name, 0);
        let shown = replay_to(exchange_of(STREAM, "agents=main progress=on"), &recorded);
        let (comments, rest): (Vec<&str>, Vec<&str>) =
            shown.body.lines().partition(|line| line.starts_with(':'));
        assert_eq!(comments, expected, "{name}");
        // The answer is the same without them.
        let plain = replay(STREAM, &recorded);
        if plain.status() != 200 {
            // A comment begins the stream, so the failure after it is an event.
            assert!(
                shown.status() == 200 && shown.body.contains("provider_error")
                    || shown.body.contains("run_failed")
            );
            continue;
        }
        assert_eq!(rest, plain.body.lines().collect::<Vec<_>>(), "{name}");
        let whole = |fields| replay_to(exchange_of(Delivery::Whole, fields), &recorded).body;
        assert_eq!(
            whole("agents=main progress=on"),
            whole("agents=main"),
            "{name}"
        );
    }
}

#[test]
fn runs_of_others_change_nothing() {
    for (name, nth, _) in RUNS {
        let recorded = recording(name, nth);
        let mut interleaved = Vec::new();
        for item in &recorded {
            if let Recorded::Frame(frame) = item
                && frame.contains(crate::replay::RUN_ID)
            {
                // The same frame for another run, before and after ours.
                let foreign =
                    frame.replace(crate::replay::RUN_ID, "cccccccccccccccccccccccccccccccc");
                let foreign = foreign
                    .replace(r#""id":"3""#, r#""id":"99""#)
                    .replace(r#""id":"2""#, r#""id":"99""#);
                // With other events between them, our events would have other numbers.
                let mut foreign: serde_json::Value = serde_json::from_str(&foreign).unwrap();
                foreign.as_object_mut().unwrap().remove("seq");
                let foreign = foreign.to_string();
                interleaved.push(Recorded::Frame(foreign.clone()));
                interleaved.push(item.clone());
                interleaved.push(Recorded::Frame(foreign));
            } else {
                interleaved.push(item.clone());
            }
        }
        for delivery in [STREAM, Delivery::Whole] {
            assert_eq!(
                replay(delivery, &interleaved).body,
                replay(delivery, &recorded).body,
                "{name}"
            );
        }
    }
}

#[test]
fn unknown_frames_change_nothing() {
    let unknown = [
        r#"{"type":"event","event":"brand.new","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","text":7}}"#,
        r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"brand-new","data":[]}}"#,
        r#"{"type":"event","event":"agent","payload":{"runId":7,"stream":"assistant","data":{"text":"x","delta":"x"}}}"#,
        r#"{"type":"event","event":"agent","payload":"x"}"#,
        r#"{"type":"event","event":"agent"}"#,
        r#"{"type":"event"}"#,
        r#"{"type":"res","id":"invalid","ok":false,"error":{"code":"INVALID_REQUEST","message":"x"}}"#,
        r#"{"type":"res","id":"77","ok":true,"payload":{"status":"ok"}}"#,
        r#"{"type":"brand-new"}"#,
        r#"{"type":7}"#,
        "[]",
        "not json",
        "",
    ];
    for (name, nth, _) in RUNS {
        let recorded = recording(name, nth);
        let mut accepted = false;
        let mut interleaved = Vec::new();
        for item in &recorded {
            interleaved.push(item.clone());
            // Only a run that was accepted can have an event.
            accepted |=
                contains(item, r#""status":"accepted""#) && contains(item, crate::replay::RUN_ID);
            for frame in unknown {
                if accepted || !frame.contains(crate::replay::RUN_ID) {
                    interleaved.push(Recorded::Frame(frame.to_owned()));
                }
            }
        }
        for delivery in [STREAM, Delivery::Whole] {
            assert_eq!(
                replay(delivery, &interleaved).body,
                replay(delivery, &recorded).body,
                "{name}"
            );
        }
    }
}

#[test]
fn a_part_of_the_answer_that_cannot_be_read_is_made_up_for_by_the_next_or_is_an_error() {
    let unread = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"assistant","data":{"text":7}}}"#;
    let recorded = recording("latest-basic", 0);
    let texts: Vec<usize> = (0..recorded.len())
        .filter(
            |index| matches!(&recorded[*index], Recorded::Frame(frame) if frame.contains(r#""stream":"assistant""#)),
        )
        .collect();
    let with = |position: usize| {
        let mut changed = recorded.clone();
        changed.insert(position + 1, Recorded::Frame(unread.to_owned()));
        replay(STREAM, &changed).body
    };
    assert_eq!(with(texts[0]), replay(STREAM, &recorded).body);
    let last = with(*texts.last().unwrap());
    assert!(
        last.contains("gateway_protocol_error") && !last.contains(r#""finish_reason":"stop""#),
        "{last}"
    );
}

#[test]
fn the_last_text_event_of_protocol_4_can_be_missing_or_all_of_the_last_item() {
    for name in [
        "latest-basic",
        "latest-tool",
        "latest-thinking",
        "latest-provider_finish_length",
    ] {
        let recorded = recording(name, 0);
        let is_text = |item: &Recorded| contains(item, r#""stream":"assistant""#);
        let last = recorded.iter().rposition(is_text).unwrap();
        let whole = replay(Delivery::Whole, &recorded).body;
        let mut lacking = recorded.clone();
        lacking.remove(last);
        assert_eq!(replay(Delivery::Whole, &lacking).body, whole, "{name}");
        let second_item = |item: &Recorded| contains(item, r#":2","#) || contains(item, r#":2"}"#);
        lacking.retain(|item| !(is_text(item) && second_item(item)));
        assert_eq!(replay(Delivery::Whole, &lacking).body, whole, "{name}");
    }
}

#[test]
fn a_delta_that_is_no_text_costs_nothing_where_it_is_not_needed() {
    let frame = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"assistant","data":{"text":"hi \ud83d\ude00!","delta":"\ude00!","itemId":"i"}}}"#;
    let mut recorded = recording("latest-basic", 0);
    let first = recorded
        .iter()
        .position(|item| matches!(item, Recorded::Frame(frame) if frame.contains(r#""stream":"assistant""#)))
        .unwrap();
    recorded.truncate(first);
    recorded.push(Recorded::Frame(frame.to_owned()));
    assert!(replay(STREAM, &recorded).body.contains("hi 😀!"));
}

fn contains(item: &Recorded, part: &str) -> bool {
    matches!(item, Recorded::Frame(frame) if frame.contains(part))
}

fn is_error_object(body: &str) -> bool {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    ["message", "type", "param", "code"]
        .iter()
        .all(|field| value["error"].get(field).is_some())
}

fn compare(file: &str, shown: &Shown) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/expected")
        .join(file);
    if std::env::var_os("CLAWFRONT_WRITE_EXPECTED").is_some() {
        fs::write(&path, &shown.body).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(shown.body, expected, "{file}");
}
