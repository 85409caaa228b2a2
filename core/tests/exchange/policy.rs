//! The settings of a key's entry for its streams.

use clawfront_core::exchange::Outcome;
use clawfront_core::openai::Delivery;

use crate::replay::Input;
use crate::scenario::{ACCEPTED, Scenario};

const STREAM: Delivery = Delivery::Stream {
    include_usage: false,
};

#[test]
fn a_key_without_heartbeats_gets_a_silent_stream_until_the_gateway_is_silent_too() {
    let mut run = Scenario::of_key(STREAM, "agents=main heartbeat=off").accepted();
    run.at_ms(2_000).tick();
    assert_eq!(run.shown.status(), 200);
    assert_eq!(run.wake_at_ms(), Some(75_000));
    run.shown.body.clear();
    run.at_ms(74_999).tick();
    assert_eq!(run.shown.body, "");
}

/// White space before an object is not a comment, so the key's heartbeats do not concern it.
#[test]
fn a_whole_answer_begins_with_white_space_at_the_time_that_its_key_sets() {
    for (fields, after_ms) in [
        ("agents=main heartbeat=off", 30_000),
        ("agents=main keep_alive=7", 7_000),
    ] {
        let mut run = Scenario::of_key(Delivery::Whole, fields).accepted();
        assert_eq!(run.due(after_ms), "\n", "{fields}");
        assert_eq!(run.shown.status(), 200);
    }
}

#[test]
fn a_run_whose_client_left_is_stopped_or_left_to_finish() {
    for (fields, stopped) in [
        ("agents=main", true),
        ("agents=main on_disconnect=abort", true),
        ("agents=main on_disconnect=finish", false),
    ] {
        let mut run = Scenario::of_key(STREAM, fields).accepted();
        run.give(Input::HungUp);
        assert!(
            run.shown.ended && matches!(run.exchange.outcome(), Outcome::Failed(_)),
            "{fields}"
        );
        assert_eq!(has_aborted(&run), stopped, "{fields}");
    }
}

fn has_aborted(run: &Scenario) -> bool {
    let methods = run.shown.methods();
    methods.iter().any(|method| method == "chat.abort")
}

#[test]
fn after_a_panic_a_run_is_stopped_by_the_same_policy_as_before() {
    for (fields, expected) in [
        ("agents=main", "chat.abort"),
        ("agents=main on_disconnect=finish", ""),
    ] {
        let mut run = Scenario::of_key(STREAM, fields).requested();
        for is_shared in [false, true] {
            // The gateway may have started it, although it has not said so yet.
            let mut exchange = (*run.exchange).clone();
            exchange.share(is_shared);
            run.shown.frames = exchange.abort_frame().into_iter().collect();
            assert_eq!(run.shown.methods().join(" "), expected, "{fields}");
            run.frame(ACCEPTED);
        }
        // The run itself continues.
        assert!(run.wake_at_ms().is_some());
    }
}

#[test]
fn a_key_that_expires_ends_its_answers_and_stops_its_runs_by_its_policy() {
    for (delivery, fields, stopped) in [
        (STREAM, "agents=main", true),
        (STREAM, "agents=main on_disconnect=finish", false),
        (Delivery::Whole, "agents=main", true),
    ] {
        let mut run = Scenario::of_key(delivery, fields)
            .expiring(5_000)
            .accepted();
        if delivery == STREAM {
            // The head.
            run.at_ms(2_000).tick();
        }
        assert_eq!(run.wake_at_ms(), Some(5_000));
        run.at_ms(4_999).tick();
        assert!(!run.shown.ended);
        run.at_ms(5_000).tick();
        let shown = &run.shown;
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
        assert_eq!(has_aborted(&run), stopped, "{fields}");
    }
}

#[test]
fn a_key_that_expires_while_its_connection_is_lost_has_its_run_stopped_on_the_next_one() {
    let mut run = Scenario::new(STREAM).expiring(5_000).accepted();
    run.at_ms(4_950).give(Input::Closed { code: 1006 });
    run.at_ms(5_000).tick();
    assert_eq!((run.shown.connects, run.shown.ended), (1, false));
    run.at_ms(5_100);
    let run = run.requested();
    assert!(
        run.shown.ended && run.shown.body.contains("api_key_expired"),
        "{}",
        run.shown.body
    );
    assert_eq!(run.last_method(), "chat.abort");
}
