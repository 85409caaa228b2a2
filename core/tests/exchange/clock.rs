//! The effects of time on an exchange: heartbeats and deadlines, to the millisecond.

use clawfront_core::exchange::{Exchange, Input};
use clawfront_core::openai::Delivery;

use crate::replay::{START_MS, Shown, exchange, feed, out_of_reach};

const STREAM: Delivery = Delivery::Stream {
    include_usage: false,
};
const CHALLENGE: &str =
    r#"{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1}}"#;
const HELLO: &str = r#"{"type":"res","id":"1","ok":true,"payload":{"protocol":4,"auth":{"scopes":["operator.read","operator.write"]}}}"#;
const ACCEPTED: &str = r#"{"type":"res","id":"3","ok":true,"payload":{"status":"accepted"}}"#;
const TEXT: &str = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"assistant","data":{"text":"t","delta":"t","itemId":"i"}}}"#;
const BEGUN: &str = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"lifecycle","data":{"phase":"start"}}}"#;
const TICK: &str = r#"{"type":"event","event":"tick","payload":{"ts":1}}"#;

/// Returns an exchange that received these frames at the start.
fn after(delivery: Delivery, frames: &[&str]) -> (Exchange, Shown) {
    let (mut exchange, mut shown) = (exchange(delivery), Shown::default());
    for frame in frames {
        feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
    }
    shown.body.clear();
    (exchange, shown)
}

/// Checks that nothing happens a millisecond early, and returns the output on time.
fn due(exchange: &mut Exchange, shown: &mut Shown, after_ms: u64) -> String {
    assert_eq!(exchange.wake_at_ms(), Some(START_MS + after_ms));
    feed(exchange, Input::Tick, START_MS + after_ms - 1, shown);
    assert_eq!(shown.body, "");
    feed(exchange, Input::Tick, START_MS + after_ms, shown);
    std::mem::take(&mut shown.body)
}

#[test]
fn a_gateway_that_does_not_shake_hands_is_given_up_after_twenty_seconds() {
    for frames in [&[][..], &[CHALLENGE]] {
        let (mut exchange, mut shown) = after(STREAM, frames);
        assert!(due(&mut exchange, &mut shown, 20_000).contains("gateway_handshake_timeout"));
        assert_eq!((shown.status(), exchange.wake_at_ms()), (504, None));
    }
}

#[test]
fn a_gateway_that_does_not_take_the_run_is_given_up_after_thirty_seconds() {
    let (mut exchange, mut shown) = after(STREAM, &[CHALLENGE, HELLO]);
    // Ticks show that the gateway lives, not that it will accept the run.
    feed(
        &mut exchange,
        Input::Frame(TICK),
        START_MS + 20_000,
        &mut shown,
    );
    assert!(due(&mut exchange, &mut shown, 30_000).contains("gateway_acceptance_timeout"));
    assert_eq!(
        (shown.status(), shown.header("x-should-retry")),
        (400, Some("false"))
    );
    assert_eq!(
        shown.methods().last().map(String::as_str),
        Some("chat.abort")
    );
}

#[test]
fn a_failure_within_two_seconds_has_a_status_and_a_later_one_is_an_event() {
    let failed = r#"{"type":"res","id":"3","ok":false,"error":{"code":"UNAVAILABLE"}}"#;
    let (mut exchange, mut shown) = after(STREAM, &[CHALLENGE, HELLO, ACCEPTED]);
    feed(
        &mut exchange,
        Input::Frame(failed),
        START_MS + 1_999,
        &mut shown,
    );
    assert_eq!(
        (shown.status(), shown.header("x-should-retry")),
        (400, Some("false"))
    );

    let (mut exchange, mut shown) = after(STREAM, &[CHALLENGE, HELLO, ACCEPTED]);
    due(&mut exchange, &mut shown, 2_000);
    feed(
        &mut exchange,
        Input::Frame(failed),
        START_MS + 2_001,
        &mut shown,
    );
    assert_eq!(shown.status(), 200);
    assert_eq!(
        shown.body,
        concat!(
            r#"data: {"error":{"message":"The agent's run failed. (invalid_request_error: run_failed)","#,
            r#""type":"invalid_request_error","param":null,"code":"run_failed"}}"#,
            "\n\ndata: [DONE]\n\n"
        )
    );
}

#[test]
fn a_run_that_waits_to_be_started_makes_one_comment() {
    let (mut exchange, mut shown) = after(STREAM, &[CHALLENGE, HELLO, ACCEPTED]);
    due(&mut exchange, &mut shown, 2_000);
    assert_eq!(
        due(&mut exchange, &mut shown, 5_000),
        ": waiting for the gateway to start the run\n"
    );
    feed(
        &mut exchange,
        Input::Frame(BEGUN),
        START_MS + 5_001,
        &mut shown,
    );
    assert_eq!(due(&mut exchange, &mut shown, 20_000), ": ping\n");
}

#[test]
fn the_first_words_send_the_head_of_a_stream_at_once() {
    let (_, shown) = after(STREAM, &[CHALLENGE, HELLO, ACCEPTED]);
    assert!(shown.head.is_none());
    let (_, shown) = after(STREAM, &[CHALLENGE, HELLO, ACCEPTED, TEXT]);
    assert_eq!(
        (shown.status(), shown.header("content-type")),
        (200, Some("text/event-stream; charset=utf-8"))
    );
}

#[test]
fn a_silent_stream_beats_every_fifteen_seconds_and_ends_after_seventy_five_without_a_frame() {
    let (mut exchange, mut shown) = after(STREAM, &[CHALLENGE, HELLO, ACCEPTED, BEGUN]);
    assert!(due(&mut exchange, &mut shown, 2_000).contains(r#""role":"assistant""#));
    for beat in 1..=4 {
        assert_eq!(
            due(&mut exchange, &mut shown, 2_000 + 15_000 * beat),
            ": ping\n"
        );
    }
    // A frame restarts the silence, not the heartbeat: it brought the client nothing.
    feed(
        &mut exchange,
        Input::Frame(TICK),
        START_MS + 63_000,
        &mut shown,
    );
    for beat in 5..=9 {
        assert_eq!(
            due(&mut exchange, &mut shown, 2_000 + 15_000 * beat),
            ": ping\n"
        );
    }
    // The connection is given up, not the run: see `recovery`.
    due(&mut exchange, &mut shown, 63_000 + 75_000);
    assert!(!shown.ended);
    out_of_reach(&mut exchange, &mut shown);
    assert!(
        shown.body.contains("gateway_silent") && shown.body.ends_with("data: [DONE]\n\n"),
        "{}",
        shown.body
    );
}

#[test]
fn a_whole_answer_that_takes_long_begins_with_blank_lines() {
    let answer = r#"{"type":"res","id":"3","ok":true,"payload":{"status":"ok","result":{"meta":{"stopReason":"stop"}}}}"#;
    let (mut exchange, mut shown) = after(Delivery::Whole, &[CHALLENGE, HELLO, ACCEPTED, TEXT]);
    assert!(shown.head.is_none());
    for after_ms in [30_000, 45_000, 60_000] {
        assert_eq!(due(&mut exchange, &mut shown, after_ms), "\n");
        assert_eq!(shown.header("content-type"), Some("application/json"));
    }
    feed(
        &mut exchange,
        Input::Frame(answer),
        START_MS + 61_000,
        &mut shown,
    );
    assert!(
        shown.body.starts_with(r#"{"id":"chatcmpl-00ff""#)
            && shown.body.contains(r#""content":"t""#)
    );
}

#[test]
fn a_whole_answer_that_fails_has_its_status_at_first_and_is_an_error_object_later() {
    let failed = r#"{"type":"res","id":"3","ok":false,"error":{"code":"UNAVAILABLE"}}"#;
    let (mut exchange, mut shown) = after(Delivery::Whole, &[CHALLENGE, HELLO, ACCEPTED]);
    feed(
        &mut exchange,
        Input::Frame(failed),
        START_MS + 29_999,
        &mut shown,
    );
    assert_eq!(
        (shown.status(), shown.header("x-should-retry")),
        (400, Some("false"))
    );

    let (mut exchange, mut shown) = after(Delivery::Whole, &[CHALLENGE, HELLO, ACCEPTED]);
    assert_eq!(due(&mut exchange, &mut shown, 30_000), "\n");
    feed(
        &mut exchange,
        Input::Frame(failed),
        START_MS + 30_001,
        &mut shown,
    );
    assert_eq!(shown.status(), 200);
    assert_eq!(
        shown.body,
        r#"{"error":{"message":"The agent's run failed. (invalid_request_error: run_failed)","type":"invalid_request_error","param":null,"code":"run_failed"}}"#
    );
}

#[test]
fn a_gateway_that_says_it_tries_again_is_not_silent_and_its_run_has_not_ended() {
    let retrying = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"run_status","data":{"phase":"retrying","retryAttempt":1,"maxRetries":8}}}"#;
    let failed = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"lifecycle","data":{"phase":"error","error":"x"}}}"#;
    let (mut exchange, mut shown) = after(STREAM, &[CHALLENGE, HELLO, ACCEPTED]);
    // Longer than any silence, each a minute after the last.
    for minute in 1..=10 {
        for notice in [retrying, failed] {
            feed(
                &mut exchange,
                Input::Frame(notice),
                START_MS + minute * 60_000,
                &mut shown,
            );
        }
        feed(
            &mut exchange,
            Input::Tick,
            START_MS + minute * 60_000 + 59_999,
            &mut shown,
        );
    }
    assert!(!shown.ended && shown.connects == 0);
}

#[test]
fn a_run_is_given_up_after_two_days() {
    const TWO_DAYS_MS: u64 = 172_800_000;
    let (mut exchange, mut shown) = after(STREAM, &[CHALLENGE, HELLO, ACCEPTED]);
    feed(
        &mut exchange,
        Input::Frame(TICK),
        START_MS + TWO_DAYS_MS - 1,
        &mut shown,
    );
    assert!(!shown.ended);
    feed(
        &mut exchange,
        Input::Frame(TICK),
        START_MS + TWO_DAYS_MS,
        &mut shown,
    );
    feed(
        &mut exchange,
        Input::Tick,
        START_MS + TWO_DAYS_MS,
        &mut shown,
    );
    assert!(shown.ended && shown.body.contains("run_timeout"));
    assert_eq!(
        shown.methods().last().map(String::as_str),
        Some("chat.abort")
    );
}
