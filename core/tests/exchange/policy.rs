//! The settings of a key's entry for its streams.

use clawfront_core::exchange::{Input, Outcome};
use clawfront_core::openai::Delivery;

use crate::replay::{START_MS, Shown, exchange_of, feed};

const STREAM: Delivery = Delivery::Stream {
    include_usage: false,
};
const TALK: [&str; 3] = [
    r#"{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1}}"#,
    r#"{"type":"res","id":"1","ok":true,"payload":{"protocol":4,"auth":{"scopes":["operator.read","operator.write"]}}}"#,
    r#"{"type":"res","id":"3","ok":true,"payload":{"status":"accepted"}}"#,
];

#[test]
fn a_key_without_heartbeats_gets_a_silent_stream_until_the_gateway_is_silent_too() {
    let (mut exchange, mut shown) = (
        exchange_of(STREAM, "agents=main heartbeat=off"),
        Shown::default(),
    );
    for frame in TALK {
        feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
    }
    feed(&mut exchange, Input::Tick, START_MS + 2_000, &mut shown);
    assert_eq!(shown.status(), 200);
    assert_eq!(exchange.wake_at_ms(), Some(START_MS + 75_000));
    shown.body.clear();
    feed(&mut exchange, Input::Tick, START_MS + 74_999, &mut shown);
    assert_eq!(shown.body, "");
    // White space before an object is not a comment: whole answers keep theirs.
    let (mut exchange, mut shown) = (
        exchange_of(Delivery::Whole, "agents=main heartbeat=off"),
        Shown::default(),
    );
    for frame in TALK {
        feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
    }
    feed(&mut exchange, Input::Tick, START_MS + 30_000, &mut shown);
    assert_eq!(shown.body, "\n");
    // The white space begins at the time that the key sets.
    let (mut exchange, mut shown) = (
        exchange_of(Delivery::Whole, "agents=main keep_alive=7"),
        Shown::default(),
    );
    for frame in TALK {
        feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
    }
    assert_eq!(exchange.wake_at_ms(), Some(START_MS + 7_000));
    feed(&mut exchange, Input::Tick, START_MS + 7_000, &mut shown);
    assert_eq!((shown.status(), shown.body.as_str()), (200, "\n"));
}

#[test]
fn a_run_whose_client_left_is_stopped_or_left_to_finish() {
    for (fields, stopped) in [
        ("agents=main", true),
        ("agents=main on_disconnect=abort", true),
        ("agents=main on_disconnect=finish", false),
    ] {
        let (mut exchange, mut shown) = (exchange_of(STREAM, fields), Shown::default());
        for frame in TALK {
            feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
        }
        feed(&mut exchange, Input::HungUp, START_MS, &mut shown);
        assert!(
            shown.ended && matches!(exchange.outcome(), Outcome::Failed(_)),
            "{fields}"
        );
        assert_eq!(
            shown.methods().iter().any(|method| method == "chat.abort"),
            stopped,
            "{fields}"
        );
    }
}

#[test]
fn after_a_panic_a_run_is_stopped_by_what_would_have_stopped_it_before() {
    for (fields, expected) in [
        ("agents=main", "chat.abort"),
        ("agents=main on_disconnect=finish", ""),
    ] {
        let (mut exchange, mut shown) = (exchange_of(STREAM, fields), Shown::default());
        let [before @ .., accepted] = TALK;
        for frame in before {
            feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
        }
        assert_eq!(exchange.abort_frames(), None);
        feed(&mut exchange, Input::Frame(accepted), START_MS, &mut shown);
        shown.frames = exchange.abort_frames().unwrap();
        assert_eq!(shown.methods().join(" "), expected, "{fields}");
        // The run itself continues.
        assert!(exchange.wake_at_ms().is_some());
    }
}

#[test]
fn a_key_that_expires_ends_its_answers_and_stops_its_runs_by_its_policy() {
    const EXPIRES_MS: u64 = START_MS + 5_000;
    for (delivery, fields, stopped) in [
        (STREAM, "agents=main", true),
        (STREAM, "agents=main on_disconnect=finish", false),
        (Delivery::Whole, "agents=main", true),
    ] {
        let (mut exchange, mut shown) = (exchange_of(delivery, fields), Shown::default());
        exchange.expire_at(Some(EXPIRES_MS));
        for frame in TALK {
            feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
        }
        if delivery == STREAM {
            // The head.
            feed(&mut exchange, Input::Tick, START_MS + 2_000, &mut shown);
        }
        assert_eq!(exchange.wake_at_ms(), Some(EXPIRES_MS));
        feed(&mut exchange, Input::Tick, EXPIRES_MS - 1, &mut shown);
        assert!(!shown.ended);
        feed(&mut exchange, Input::Tick, EXPIRES_MS, &mut shown);
        assert!(
            shown.ended && shown.body.contains(r#""code":"api_key_expired""#),
            "{}",
            shown.body
        );
        let (status, end) = if delivery == STREAM {
            (200, "data: [DONE]\n\n")
        } else {
            (401, "}}")
        };
        assert!(
            shown.status() == status && shown.body.ends_with(end),
            "{}",
            shown.body
        );
        assert_eq!(
            shown.methods().iter().any(|method| method == "chat.abort"),
            stopped,
            "{fields}"
        );
    }
}

#[test]
fn a_key_that_expires_while_its_connection_is_lost_has_its_run_stopped_on_the_next_one() {
    let (mut exchange, mut shown) = (exchange_of(STREAM, "agents=main"), Shown::default());
    exchange.expire_at(Some(START_MS + 5_000));
    for frame in TALK {
        feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
    }
    feed(
        &mut exchange,
        Input::Closed { code: 1006 },
        START_MS + 4_950,
        &mut shown,
    );
    feed(&mut exchange, Input::Tick, START_MS + 5_000, &mut shown);
    assert_eq!((shown.connects, shown.ended), (1, false));
    for frame in TALK.iter().take(2) {
        feed(
            &mut exchange,
            Input::Frame(frame),
            START_MS + 5_100,
            &mut shown,
        );
    }
    assert!(
        shown.ended && shown.body.contains("api_key_expired"),
        "{}",
        shown.body
    );
    assert_eq!(
        shown.methods().last().map(String::as_str),
        Some("chat.abort")
    );
}
