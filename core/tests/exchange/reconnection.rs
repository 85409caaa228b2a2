//! The attempts to connect: the first connection, and the next one after a loss.

use clawfront_core::exchange::Outcome;
use clawfront_core::failure::Failure;
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::openai::Delivery;
use serde_json::{Value, json};

use crate::recovery::claim;
use crate::replay::{Input, RUN_ID, Recorded, recording};
use crate::scenario::{ACCEPTED, CHALLENGE, HELLO, Scenario};

const STREAM: Delivery = Delivery::Stream {
    include_usage: true,
};

const UNKNOWN: &str = r#"{"type":"res","id":"3","ok":false,"error":{"code":"INVALID_REQUEST"}}"#;

const UNREACHABLE: Input<'_> =
    Input::Failed(Failure::GatewayUnreachable(Diagnosis::ConnectionFailed));

/// Fails the first connection, again and again. Returns the times of the attempts since the start.
fn first_attempts(mut fail: impl FnMut(&mut Scenario)) -> (Vec<u64>, Scenario) {
    let mut scenario = Scenario::new(Delivery::Whole);
    let mut attempts = Vec::new();
    fail(&mut scenario);
    while !scenario.shown.ended {
        attempts.push(scenario.next_attempt());
        fail(&mut scenario);
    }
    (attempts, scenario)
}

/// The gateway refuses the connection because it starts.
fn refuse_while_starting(scenario: &mut Scenario) {
    for item in recording("latest-startup-unavailable", 0) {
        match item {
            Recorded::Frame(frame) => scenario.frame(&frame),
            Recorded::Closed(code) => scenario.give(Input::Closed { code }),
        }
    }
}

#[test]
fn a_first_connection_that_a_starting_gateway_refuses_is_tried_three_times_more() {
    let (attempts, Scenario { shown, .. }) = first_attempts(refuse_while_starting);
    assert_eq!(attempts, [250, 1_000, 3_000]);
    assert_eq!(shown.status(), 503);
    assert_eq!(shown.header("retry-after"), Some("1"));
    assert!(shown.body.contains("gateway_unavailable"), "{}", shown.body);

    let (attempts, Scenario { shown, .. }) = first_attempts(|scenario| scenario.give(UNREACHABLE));
    assert_eq!(
        (attempts.as_slice(), shown.status()),
        (&[250, 1_000, 3_000][..], 502)
    );
}

#[test]
fn a_first_connection_that_succeeds_late_requests_the_run_once() {
    let mut scenario = Scenario::new(STREAM);
    refuse_while_starting(&mut scenario);
    scenario.next_attempt();
    scenario.shown.frames.clear();
    let mut scenario = scenario.accepted();
    let shown = &scenario.shown;
    assert_eq!(
        shown.methods(),
        ["connect", "sessions.messages.subscribe", "agent"]
    );
    assert_eq!((shown.status(), shown.connects), (0, 1));
    // From here on the run is searched for, and never requested again.
    scenario.give(Input::Closed { code: 1013 });
    scenario.out_of_reach();
    let shown = &scenario.shown;
    assert!(
        shown.body.contains("gateway_connection_lost"),
        "{}",
        shown.body
    );
    let methods = shown.methods();
    let agents = methods.iter().filter(|method| *method == "agent");
    assert_eq!(agents.count(), 1);
}

/// A conversation that goes on in a session of its user, with the gateway's default agent.
const GOES_ON: &str = r#"{"model":"openclaw","user":"anna","messages":[{"role":"user","content":"q1"},{"role":"assistant","content":"a1"},{"role":"user","content":"q2"}]}"#;

/// The gateway's answer to a request for a session's rows.
fn rows(id: &str) -> String {
    json!({ "type": "res", "id": id, "ok": true, "payload": { "messages": [
        { "role": "user", "content": "q1" },
        { "role": "assistant", "content": "a1", "stopReason": "stop" },
    ] } })
    .to_string()
}

#[test]
fn a_connection_that_closes_while_a_run_is_prepared_is_replaced_and_the_run_requested_once() {
    for protocol in [3, 4] {
        for headers in [&[][..], &[("idempotency-key", "order-1")]] {
            let mut scenario = Scenario::of_request(GOES_ON, headers).requested_of(protocol);
            assert_eq!(scenario.last_method(), "sessions.get");
            // The code for a device that was removed: the next handshake shows whether it is true.
            let code = if headers.is_empty() { 4001 } else { 1006 };
            scenario.give(Input::Closed { code });
            assert!(!scenario.shown.ended);
            assert_eq!(scenario.next_attempt(), 250);
            scenario.shown.frames.clear();
            let mut scenario = scenario.requested_of(protocol).with(&rows("2"));
            let methods = scenario.shown.methods();
            assert_eq!(methods.first().map(String::as_str), Some("connect"));
            assert_eq!(methods.get(1).map(String::as_str), Some("sessions.get"));
            assert_eq!(methods.last().map(String::as_str), Some("agent"));
            let asked = scenario.last_request();
            assert_eq!(asked["params"]["message"], "q2");
            scenario.give(Input::Closed { code: 1006 });
            assert!(!scenario.shown.ended, "from here on it is searched for");
        }
    }
}

#[test]
fn connections_that_close_again_and_again_while_a_run_is_prepared_end_the_request() {
    let mut scenario = Scenario::of_request(GOES_ON, &[]).requested();
    for at_ms in [250, 1_000, 3_000] {
        scenario.give(Input::Closed { code: 1006 });
        assert_eq!(scenario.next_attempt(), at_ms);
        scenario = scenario.requested();
    }
    scenario.give(Input::Closed { code: 1006 });
    let shown = &scenario.shown;
    assert!(shown.ended && shown.body.contains("gateway_closed"));
    assert_eq!(shown.status(), 502);
    assert!(!shown.methods().contains(&"agent".to_owned()));
}

#[test]
fn a_permanent_failure_is_not_tried_again() {
    for failure in [
        Failure::GatewayUnreachable(Diagnosis::Tls),
        Failure::NotAGateway {
            status: 302,
            diagnosis: Diagnosis::AccessLogin,
        },
    ] {
        let (attempts, Scenario { shown, .. }) =
            first_attempts(|scenario| scenario.give(Input::Failed(failure.clone())));
        assert_eq!(
            (attempts.as_slice(), shown.status()),
            (&[][..], 502),
            "{failure:?}"
        );
    }
}

#[test]
fn attempts_have_growing_intervals_for_a_minute_and_the_client_gets_heartbeats() {
    let mut scenario = Scenario::new(STREAM).lost();
    let mut attempts = Vec::new();
    while !scenario.shown.ended {
        attempts.push(scenario.next_attempt());
        if !scenario.shown.ended {
            scenario.give(UNREACHABLE);
        }
    }
    assert_eq!(
        attempts,
        [
            100, 400, 1_300, 4_000, 9_000, 14_000, 19_000, 24_000, 29_000, 34_000, 39_000, 44_000,
            49_000, 54_000, 59_000, 60_000
        ]
    );
    let shown = &scenario.shown;
    assert_eq!(shown.body.matches(": ping\n").count(), 3);
    assert!(shown.body.contains("gateway_connection_lost") && shown.frames.is_empty());
}

#[test]
fn a_gateway_that_forgot_the_run_is_asked_twice_and_never_to_run_it() {
    let mut scenario = Scenario::new(STREAM).lost();
    scenario.next_attempt();
    let mut scenario = scenario.requested().with(UNKNOWN);
    assert_eq!(
        scenario.shown.methods(),
        [
            "connect",
            "sessions.messages.subscribe",
            "agent",
            "agent.wait"
        ]
    );
    scenario.frame(r#"{"type":"res","id":"4","ok":true,"payload":{"status":"timeout"}}"#);
    scenario.frame(&UNKNOWN.replace(r#""3""#, r#""5""#));
    let shown = &scenario.shown;
    assert!(shown.body.contains("gateway_connection_lost") && shown.ended);
    for frame in &shown.frames {
        let frame: Value = serde_json::from_str(frame).unwrap();
        assert!(frame["method"] != "agent" || frame["params"] == claim());
    }
}

#[test]
fn a_gateway_that_refuses_us_is_not_asked_again() {
    let mut scenario = Scenario::new(STREAM).lost();
    scenario.next_attempt();
    scenario.frame(CHALLENGE);
    scenario.frame(r#"{"type":"res","id":"1","ok":false,"error":{"code":"NOT_PAIRED"}}"#);
    let shown = &scenario.shown;
    assert!(shown.ended && shown.body.contains("gateway_connection_lost"));
    assert_eq!(shown.connects, 1);
}

/// Every failure of an attempt that ends a request whose run has not begun.
const PERMANENT: [(Failure, &str); 4] = [
    (Failure::GatewayUnreachable(Diagnosis::Tls), "tls_failure"),
    (
        Failure::NotAGateway {
            status: 302,
            diagnosis: Diagnosis::AccessLogin,
        },
        "access_login",
    ),
    (
        Failure::NotAGateway {
            status: 404,
            diagnosis: Diagnosis::NotAGateway,
        },
        "not_a_gateway",
    ),
    (Failure::InternalError, "connection_failed"),
];

#[test]
fn a_run_that_has_begun_is_looked_for_through_every_failure_and_its_end_names_the_last() {
    for (failure, cause) in PERMANENT {
        let mut scenario = Scenario::new(STREAM).lost();
        scenario.next_attempt();
        scenario.give(UNREACHABLE);
        scenario.next_attempt();
        scenario.give(Input::Failed(failure.clone()));
        assert!(!scenario.shown.ended, "{failure:?}");
        // It is found on the next connection.
        let mut found = scenario.clone();
        assert_eq!(found.next_attempt(), 1_300);
        let found = found.requested();
        assert_eq!(found.last_request()["params"], claim());

        let mut ended_ms = 0;
        while !scenario.shown.ended {
            ended_ms = scenario.next_attempt();
            if !scenario.shown.ended {
                scenario.give(Input::Failed(failure.clone()));
            }
        }
        assert_eq!(ended_ms, 60_000, "{failure:?}");
        let Outcome::Failed(lost) = scenario.exchange.outcome() else {
            panic!("{:?}", scenario.exchange.outcome());
        };
        assert_eq!(lost.code(), "gateway_connection_lost");
        assert_eq!(lost.cause().unwrap().code, cause);
    }
}

#[test]
fn a_run_that_has_begun_is_looked_for_at_a_gateway_of_another_protocol_or_without_scopes() {
    let mismatch = r#"{"type":"res","id":"1","ok":false,"error":{"code":"INVALID_REQUEST","details":{"code":"PROTOCOL_MISMATCH"}}}"#;
    let scopeless = HELLO.replace(r#""operator.read","operator.write""#, r#""operator.read""#);
    for answer in [mismatch, &scopeless] {
        let mut scenario = Scenario::new(STREAM).lost();
        scenario.next_attempt();
        scenario.frame(CHALLENGE);
        scenario.frame(answer);
        assert_eq!(
            (scenario.shown.ended, scenario.next_attempt()),
            (false, 400)
        );
        let found = scenario.requested();
        assert_eq!(found.last_request()["params"], claim());
        // A request whose run has not begun fails at once.
        let first = Scenario::new(STREAM).with(CHALLENGE).with(answer);
        assert!(first.shown.ended && first.shown.body.contains("gateway_refused"));
    }
}

#[test]
fn a_gateway_that_starts_or_is_silent_is_tried_again() {
    let starting =
        r#"{"type":"res","id":"1","ok":false,"error":{"code":"UNAVAILABLE","retryAfterMs":500}}"#;
    for frames in [&[][..], &[CHALLENGE], &[CHALLENGE, starting]] {
        let mut scenario = Scenario::new(STREAM).lost();
        scenario.next_attempt();
        for frame in frames {
            scenario.frame(frame);
        }
        scenario.next_attempt();
        let shown = &scenario.shown;
        assert_eq!((shown.connects, shown.ended), (2, false), "{frames:?}");
    }
}

#[test]
fn a_client_that_leaves_without_a_connection_has_its_run_stopped_on_the_next_one() {
    let mut scenario = Scenario::new(STREAM).lost();
    scenario.give(Input::HungUp);
    assert_eq!((scenario.shown.connects, scenario.shown.ended), (1, false));
    let Scenario { shown, .. } = scenario.requested();
    assert_eq!(shown.methods(), ["connect", "chat.abort"]);
    assert!(shown.ended && shown.body.is_empty());

    let mut scenario = Scenario::new(STREAM).lost();
    scenario.give(Input::HungUp);
    scenario.out_of_reach();
    let shown = &scenario.shown;
    assert!(shown.ended && shown.body.is_empty() && shown.frames.is_empty());
}

#[test]
fn connections_that_never_last_come_to_an_end() {
    let mut scenario = Scenario::new(STREAM).lost();
    while !scenario.shown.ended {
        scenario.next_attempt();
        for input in [
            Input::Frame(CHALLENGE),
            Input::Frame(HELLO),
            Input::Closed { code: 1006 },
        ] {
            if !scenario.shown.ended {
                scenario.give(input);
            }
        }
    }
    assert_eq!(scenario.shown.connects, 39);
    assert!(scenario.shown.body.contains("gateway_connection_lost"));
}

/// An SDK's second attempt that overtakes the first on its way to the gateway starts the run. The
/// first then finds the run already started.
#[test]
fn a_request_that_its_own_repetition_overtook_joins_the_run() {
    let text = json!({ "type": "event", "event": "agent", "payload": { "runId": RUN_ID, "stream": "assistant", "data": { "text": "Hel", "delta": "Hel" } } });
    let in_flight = ACCEPTED.replace("accepted", "in_flight");
    for before in [None, Some(text.to_string())] {
        let mut scenario = Scenario::new(STREAM).requested();
        for frame in before.iter().chain([&in_flight]) {
            scenario.frame(frame);
        }
        assert!(!scenario.shown.ended, "{}", scenario.shown.body);
        assert_eq!(scenario.last_method(), "agent.wait");
    }
}
