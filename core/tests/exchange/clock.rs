//! The effects of time on an exchange: heartbeats and deadlines, to the millisecond.

use clawfront_core::openai::Delivery;

use crate::scenario::{CHALLENGE, Scenario};

const STREAM: Delivery = Delivery::Stream {
    include_usage: false,
};
const TEXT: &str = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"assistant","data":{"text":"t","delta":"t","itemId":"i"}}}"#;
const BEGUN: &str = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"lifecycle","data":{"phase":"start"}}}"#;
const TICK: &str = r#"{"type":"event","event":"tick","payload":{"ts":1}}"#;

#[test]
fn a_gateway_that_does_not_shake_hands_is_given_up_after_twenty_seconds() {
    for mut run in [Scenario::new(STREAM), Scenario::new(STREAM).with(CHALLENGE)] {
        assert!(run.due(20_000).contains("gateway_handshake_timeout"));
        assert_eq!((run.shown.status(), run.wake_at_ms()), (504, None));
    }
}

#[test]
fn a_gateway_that_does_not_take_the_run_is_given_up_after_thirty_seconds() {
    let mut run = Scenario::new(STREAM).requested();
    // Ticks show that the gateway lives, not that it will accept the run.
    run.at_ms(20_000).frame(TICK);
    assert!(run.due(30_000).contains("gateway_acceptance_timeout"));
    assert_eq!(
        (run.shown.status(), run.shown.header("x-should-retry")),
        (400, Some("false"))
    );
    assert_eq!(run.last_method(), "chat.abort");
}

#[test]
fn a_failure_within_two_seconds_has_a_status_and_a_later_one_is_an_event() {
    let failed = r#"{"type":"res","id":"3","ok":false,"error":{"code":"UNAVAILABLE"}}"#;
    let mut run = Scenario::new(STREAM).accepted();
    run.at_ms(1_999).frame(failed);
    assert_eq!(
        (run.shown.status(), run.shown.header("x-should-retry")),
        (400, Some("false"))
    );

    let mut run = Scenario::new(STREAM).accepted();
    run.due(2_000);
    run.at_ms(2_001).frame(failed);
    assert_eq!(run.shown.status(), 200);
    assert_eq!(
        run.shown.body,
        concat!(
            r#"data: {"error":{"message":"The agent's run failed. (invalid_request_error: run_failed)","#,
            r#""type":"invalid_request_error","param":null,"code":"run_failed"}}"#,
            "\n\ndata: [DONE]\n\n"
        )
    );
}

#[test]
fn a_run_that_waits_to_be_started_makes_one_comment() {
    let mut run = Scenario::new(STREAM).accepted();
    run.due(2_000);
    assert_eq!(
        run.due(5_000),
        ": waiting for the gateway to start the run\n"
    );
    run.at_ms(5_001).frame(BEGUN);
    assert_eq!(run.due(20_000), ": ping\n");
}

#[test]
fn the_first_words_send_the_head_of_a_stream_at_once() {
    let run = Scenario::new(STREAM).accepted();
    assert!(run.shown.head.is_none());
    let run = Scenario::new(STREAM).accepted().with(TEXT);
    assert_eq!(
        (run.shown.status(), run.shown.header("content-type")),
        (200, Some("text/event-stream; charset=utf-8"))
    );
}

#[test]
fn a_silent_stream_beats_every_fifteen_seconds_and_ends_after_seventy_five_without_a_frame() {
    let mut run = Scenario::new(STREAM).accepted().with(BEGUN);
    assert!(run.due(2_000).contains(r#""role":"assistant""#));
    for beat in 1..=4 {
        assert_eq!(run.due(2_000 + 15_000 * beat), ": ping\n");
    }
    // A frame restarts the silence, not the heartbeat: it brought the client nothing.
    run.at_ms(63_000).frame(TICK);
    for beat in 5..=9 {
        assert_eq!(run.due(2_000 + 15_000 * beat), ": ping\n");
    }
    // The connection is given up, not the run: see `recovery`.
    run.due(63_000 + 75_000);
    assert!(!run.shown.ended);
    run.out_of_reach();
    assert!(
        run.shown.body.contains("gateway_silent") && run.shown.body.ends_with("data: [DONE]\n\n"),
        "{}",
        run.shown.body
    );
}

#[test]
fn a_whole_answer_that_takes_long_begins_with_blank_lines() {
    let answer = r#"{"type":"res","id":"3","ok":true,"payload":{"status":"ok","result":{"meta":{"stopReason":"stop"}}}}"#;
    let mut run = Scenario::new(Delivery::Whole).accepted().with(TEXT);
    assert!(run.shown.head.is_none());
    for after_ms in [30_000, 45_000, 60_000] {
        assert_eq!(run.due(after_ms), "\n");
        assert_eq!(run.shown.header("content-type"), Some("application/json"));
    }
    run.at_ms(61_000).frame(answer);
    assert!(
        run.shown.body.starts_with(r#"{"id":"chatcmpl-00ff""#)
            && run.shown.body.contains(r#""content":"t""#)
    );
}

#[test]
fn a_whole_answer_that_fails_has_its_status_at_first_and_is_an_error_object_later() {
    let failed = r#"{"type":"res","id":"3","ok":false,"error":{"code":"UNAVAILABLE"}}"#;
    let mut run = Scenario::new(Delivery::Whole).accepted();
    run.at_ms(29_999).frame(failed);
    assert_eq!(
        (run.shown.status(), run.shown.header("x-should-retry")),
        (400, Some("false"))
    );

    let mut run = Scenario::new(Delivery::Whole).accepted();
    assert_eq!(run.due(30_000), "\n");
    run.at_ms(30_001).frame(failed);
    assert_eq!(run.shown.status(), 200);
    assert_eq!(
        run.shown.body,
        r#"{"error":{"message":"The agent's run failed. (invalid_request_error: run_failed)","type":"invalid_request_error","param":null,"code":"run_failed"}}"#
    );
}

#[test]
fn notices_of_retries_end_no_run_and_are_not_silence() {
    let retrying = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"run_status","data":{"phase":"retrying","retryAttempt":1,"maxRetries":8}}}"#;
    let failed = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"lifecycle","data":{"phase":"error","error":"x"}}}"#;
    let mut run = Scenario::new(STREAM).accepted();
    // Longer than any silence, each a minute after the last.
    for minute in 1..=10 {
        for notice in [retrying, failed] {
            run.at_ms(minute * 60_000).frame(notice);
        }
        run.at_ms(minute * 60_000 + 59_999).tick();
    }
    assert!(!run.shown.ended && run.shown.connects == 0);
}

#[test]
fn a_run_is_given_up_after_two_days() {
    const TWO_DAYS_MS: u64 = 172_800_000;
    let mut run = Scenario::new(STREAM).accepted();
    run.at_ms(TWO_DAYS_MS - 1).frame(TICK);
    assert!(!run.shown.ended);
    run.at_ms(TWO_DAYS_MS).frame(TICK);
    run.at_ms(TWO_DAYS_MS).tick();
    assert!(run.shown.ended && run.shown.body.contains("run_timeout"));
    assert_eq!(run.last_method(), "chat.abort");
}
