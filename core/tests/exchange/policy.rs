//! What a key's entry says about its streams.

use clawfront_core::exchange::{Input, Outcome};
use clawfront_core::openai::Form;

use crate::replay::{START_MS, Shown, exchange_of, feed};

const STREAM: Form = Form::Chunks { include_usage: false };
const TALK: [&str; 3] = [
    r#"{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1}}"#,
    r#"{"type":"res","id":"1","ok":true,"payload":{"protocol":4,"auth":{"scopes":["operator.read","operator.write"]}}}"#,
    r#"{"type":"res","id":"3","ok":true,"payload":{"status":"accepted"}}"#,
];

#[test]
fn a_key_without_heartbeats_gets_a_silent_stream_until_the_gateway_is_silent_too() {
    let (mut exchange, mut shown) = (exchange_of(STREAM, "agents=main heartbeat=off"), Shown::default());
    for frame in TALK {
        feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
    }
    assert_eq!(exchange.wake_at_ms(), Some(START_MS + 75_000));
    shown.body.clear();
    feed(&mut exchange, Input::Tick, START_MS + 74_999, &mut shown);
    assert_eq!(shown.body, "");
    // White space before an object is no comment: whole answers keep theirs.
    let (mut exchange, mut shown) = (exchange_of(Form::Whole, "agents=main heartbeat=off"), Shown::default());
    for frame in TALK {
        feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
    }
    feed(&mut exchange, Input::Tick, START_MS + 30_000, &mut shown);
    assert_eq!(shown.body, "\n");
    // And begin them when the key says.
    let (mut exchange, mut shown) = (exchange_of(Form::Whole, "agents=main keep_alive=7"), Shown::default());
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
    for (fields, expected) in [("agents=main", "chat.abort"), ("agents=main on_disconnect=finish", "")] {
        let (mut exchange, mut shown) = (exchange_of(STREAM, fields), Shown::default());
        let [before @ .., accepted] = TALK;
        for frame in before {
            feed(&mut exchange, Input::Frame(frame), START_MS, &mut shown);
        }
        assert_eq!(exchange.last_words(), None);
        feed(&mut exchange, Input::Frame(accepted), START_MS, &mut shown);
        shown.frames = exchange.last_words().unwrap();
        assert_eq!(shown.methods().join(" "), expected, "{fields}");
        // The run itself goes on.
        assert!(exchange.wake_at_ms().is_some());
    }
}
