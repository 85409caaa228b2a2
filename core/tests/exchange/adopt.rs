//! Runs that go on without their clients, also those of an earlier hub.

use clawfront_core::access::usage::{Counter, RunEnd};
use clawfront_core::exchange::Exchange;
use clawfront_core::hub::{Hub, Input};
use clawfront_core::kept::Kept;
use serde_json::{Value, json};

use crate::kept::FIELDS;
use crate::replay::{exchange_with, gateway};
use crate::scenario::{CHALLENGE, HELLO};
use crate::shared::{IDLE_MS, STREAM, Shared, UNREACHABLE, accepted, ended};

/// Time after which an adopted run is stopped, and after which it is given up.
const RETURN_MS: u64 = 30_000;
const GIVE_UP_MS: u64 = 3_600_000;

/// A hub that was reset after the gateway had accepted run 1, of a key with these fields. The next
/// hub is not connected.
fn reset(fields: &str) -> Shared {
    let mut shared = Shared::connected();
    shared.attempt(1, 0, fields).unwrap();
    shared.respond("agent", &accepted());
    shared.reset();
    shared
}

/// The counts of run 1 that are not 0.
fn counts(shared: &Shared) -> Vec<&'static str> {
    let usage = shared.usage_of(1);
    let outcomes = Counter::ALL
        .iter()
        .filter(|counter| usage.get(**counter) > 0);
    outcomes
        .map(|counter| counter.name())
        .filter(|name| *name != "run_ms")
        .collect()
}

#[test]
fn an_adopted_run_is_claimed_and_counts_at_its_end() {
    for fields in FIELDS {
        let mut shared = reset(fields);
        assert_eq!(shared.connects, 2);
        shared.shake_hands();
        let claim = shared.take("agent");
        assert_eq!(claim["params"]["agentId"], "clawfront-nobody");
        assert_eq!(claim["params"]["idempotencyKey"], "01".repeat(16));
        assert!(!shared.methods().contains(&"agent"));
        let mut response = json!({ "type": "res", "id": claim["id"], "ok": true });
        response["payload"] = ended("whole");
        shared.frame(&response.to_string());
        assert_eq!(counts(&shared), ["runs", "answers"]);
        assert!(!shared.storage.runs[&"01".repeat(16)].starts_with("0\t"));
        // The next hub knows that, and adopts nothing.
        shared.reset();
        assert_eq!((shared.connects, shared.clients.len()), (2, 0));
        assert_eq!(counts(&shared), ["runs", "answers"]);
    }
}

#[test]
fn a_run_that_the_gateway_had_before_its_first_request_is_not_counted_again() {
    let mut shared = Shared::connected();
    shared.attempt(1, 0, FIELDS[0]).unwrap();
    // The row of the hub that started it is lost.
    shared.respond("agent", &json!({ "status": "in_flight" }));
    shared.respond("agent.wait", &json!({ "status": "ok" }));
    shared.respond("agent", &ended("whole"));
    assert!(shared.clients[0].has_ended);
    assert!(shared.storage.runs[&"01".repeat(16)].starts_with(|digit| digit != '0'));
    assert_eq!(counts(&shared), Vec::<&str>::new());
}

#[test]
fn the_tokens_of_the_runs_that_an_adopted_one_continues_stay_in_its_row() {
    let run = "01".repeat(16);
    let shared = reset(FIELDS[0]);
    let line = format!("{run}\t{}", shared.storage.runs[&run]);
    let kept = Kept {
        spent: [3, 2, 1],
        ..Kept::read(&line).unwrap()
    };
    let (exchange, _) = Exchange::adopt(&kept, shared.now_ms).unwrap();
    assert_eq!(exchange.kept().unwrap().spent, [3, 2, 1]);
}

#[test]
fn an_adopted_run_is_stopped_after_its_time_unless_it_may_go_on() {
    for (fields, is_stopped) in FIELDS.into_iter().zip([true, false]) {
        let mut shared = reset(fields);
        shared.shake_hands();
        shared.respond("agent", &json!({ "status": "in_flight" }));
        shared.pass_ms(RETURN_MS - 1);
        assert!(!shared.methods().contains(&"chat.abort"));
        // Another reset does not begin the time again.
        shared.reset();
        shared.shake_hands();
        shared.pass_ms(1);
        assert_eq!(shared.methods().contains(&"chat.abort"), is_stopped);
        assert_eq!(counts(&shared).contains(&"stopped"), is_stopped);
    }
}

#[test]
fn an_adopted_run_is_not_stopped_while_its_retry_shares_it() {
    let mut shared = reset(FIELDS[0]);
    shared.shake_hands();
    shared.respond("agent", &json!({ "status": "in_flight" }));
    let retry = shared.attempt(1, 1, FIELDS[0]).unwrap();
    shared.respond("sessions.get", &json!({ "messages": [] }));
    shared.respond("agent", &json!({ "status": "in_flight" }));
    shared.pass_ms(RETURN_MS);
    assert!(!shared.methods().contains(&"chat.abort"));
    // The retry's client leaves: the gateway's next answer shows it to the other.
    let id = shared.clients[retry].id;
    shared.give(Input::HungUp(id));
    assert!(!shared.methods().contains(&"chat.abort"));
    shared.respond("agent.wait", &json!({ "status": "timeout" }));
    shared.give(Input::Tick);
    assert!(shared.methods().contains(&"chat.abort"));
    assert_eq!(counts(&shared), ["runs", "stopped"]);
}

#[test]
fn an_adopted_run_and_its_retry_end_with_their_key() {
    let mut shared = reset(FIELDS[0]);
    shared.shake_hands();
    shared.respond("agent", &json!({ "status": "in_flight" }));
    let retry = shared.attempt(1, 1, FIELDS[0]).unwrap();
    shared.respond("sessions.get", &json!({ "messages": [] }));
    shared.respond("agent", &json!({ "status": "in_flight" }));
    for client in [0, retry] {
        let id = shared.clients[client].id;
        shared.hub.expire(id, Some(0));
    }
    shared.pass_ms(1_000);
    assert!(shared.clients[retry].body.contains("api_key_expired"));
    assert!(shared.methods().contains(&"chat.abort"));
    assert_eq!(counts(&shared), ["runs", "stopped"]);
}

#[test]
fn a_retry_that_fails_before_its_run_ends_does_not_end_it() {
    let mut shared = reset(FIELDS[1]);
    shared.shake_hands();
    shared.respond("agent", &json!({ "status": "in_flight" }));
    let retry = shared.attempt(1, 1, FIELDS[1]).unwrap();
    shared.respond("sessions.get", &json!({ "messages": [] }));
    shared.respond("agent", &json!({ "status": "in_flight" }));
    // The retry waits a minute for another connection, the adopted run an hour.
    shared.give(Input::Closed { code: 1006 });
    while !shared.clients[retry].has_ended {
        shared.give(Input::Failed(UNREACHABLE));
        shared.now_ms = shared.hub.wake_at_ms().unwrap();
        shared.give(Input::Tick);
    }
    assert!(
        shared.clients[retry]
            .body
            .contains("gateway_connection_lost")
    );
    assert_eq!(counts(&shared), [""; 0]);
    assert!(shared.storage.runs[&"01".repeat(16)].starts_with("0\t"));
    let attempts = shared.connects;
    while shared.connects == attempts {
        shared.now_ms = shared.hub.wake_at_ms().unwrap();
        shared.give(Input::Tick);
    }
    shared.shake_hands();
    shared.respond("agent", &ended("whole"));
    assert_eq!(counts(&shared), ["runs", "answers"]);
}

#[test]
fn an_adopted_run_whose_key_is_gone_is_stopped_once_there_is_a_connection() {
    for (fields, is_stopped) in FIELDS.into_iter().zip([true, false]) {
        let mut shared = reset(fields);
        let id = shared.clients[0].id;
        shared.hub.expire(id, Some(0));
        shared.give(Input::Tick);
        assert!(shared.hub.exchange(id).is_some());
        shared.shake_hands();
        shared.give(Input::Tick);
        assert_eq!(shared.methods().contains(&"chat.abort"), is_stopped);
        assert_eq!(counts(&shared).contains(&"stopped"), is_stopped);
    }
}

#[test]
fn an_adopted_run_that_an_administrator_stops_is_stopped_whenever_there_is_a_connection() {
    for fields in FIELDS {
        let mut shared = reset(fields);
        let run = "01".repeat(16);
        shared.give(Input::Failed(UNREACHABLE));
        shared.give(Input::Stopped(&run));
        shared.pass_ms(RETURN_MS);
        assert_eq!(counts(&shared), [""; 0]);
        let attempts = shared.connects;
        while shared.connects == attempts {
            shared.now_ms = shared.hub.wake_at_ms().unwrap();
            shared.give(Input::Tick);
        }
        shared.shake_hands();
        shared.pass_ms(0);
        assert!(shared.methods().contains(&"chat.abort"));
        assert_eq!(counts(&shared), ["runs", "stopped"]);
    }
}

#[test]
fn an_adopted_run_whose_gateway_is_not_reached_is_given_up_after_an_hour() {
    let mut shared = reset(FIELDS[0]);
    let began_ms = shared.now_ms;
    let mut attempts = 0;
    while !counts(&shared).contains(&"runs") {
        if attempts < shared.connects {
            attempts = shared.connects;
            shared.give(Input::Failed(UNREACHABLE));
        }
        shared.now_ms = shared.hub.wake_at_ms().unwrap();
        shared.give(Input::Tick);
    }
    assert_eq!(shared.now_ms, began_ms + GIVE_UP_MS);
    // About two in a minute.
    assert!((100..150).contains(&attempts), "{attempts}");
    assert_eq!(counts(&shared), ["runs", "other_failures"]);
    assert_eq!(shared.hub.wake_at_ms(), None);
}

#[test]
fn an_adopted_run_of_protocol_3_is_followed_and_not_stopped() {
    let mut shared = reset(FIELDS[0]);
    shared.frame(CHALLENGE);
    shared.frame(&HELLO.replace(r#""protocol":4"#, r#""protocol":3"#));
    assert_eq!(shared.methods(), ["connect", "agent"]);
    shared.respond("agent", &accepted());
    shared.pass_ms(RETURN_MS);
    assert_eq!(counts(&shared), [""; 0]);
    shared.respond("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    shared.respond("agent", &ended("whole"));
    assert_eq!(counts(&shared), ["runs", "answers"]);
}

/// The end of a run that used tokens, which waits for its sub-agents or not.
fn ended_with_tokens(is_yielded: bool) -> Value {
    json!({ "status": "ok", "result": { "payloads": [], "meta": { "yielded": is_yielded,
        "agentMeta": { "usage": { "input": 100, "cacheRead": 30, "output": 5 } } } } })
}

#[test]
fn the_tokens_of_a_run_that_waits_for_its_sub_agents_count_once() {
    let id = |number: &str| number.repeat(16);
    let continuation = [
        "announce:requester-settle:main:agent:main:edge:phone:run:",
        &id("10"),
        ":child:yield-1",
    ]
    .concat();
    let row = |run: &str| json!({ "role": "assistant", "__openclaw": { "runId": run } });
    let history = json!({ "messages": [row(&id("01")), row(&continuation)] });
    let mut shared = Shared::connected();
    shared.attempt(1, 0, FIELDS[1]).unwrap();
    let agent = shared.take("agent")["id"].clone();
    for payload in [accepted(), ended_with_tokens(true)] {
        let response = json!({ "type": "res", "id": agent, "ok": true, "payload": payload });
        shared.frame(&response.to_string());
    }
    assert_eq!(shared.methods().last(), Some(&"chat.history"));
    // The gateway returns the end of the first run again, and later that of the continuation.
    shared.reset();
    shared.shake_hands();
    shared.respond("agent", &ended_with_tokens(true));
    shared.respond("chat.history", &history);
    shared.reset();
    shared.shake_hands();
    assert_eq!(
        shared.requests.last().unwrap()["params"]["idempotencyKey"],
        continuation
    );
    shared.respond("agent", &ended_with_tokens(false));
    let usage = shared.usage_of(1);
    let tokens = [
        Counter::InputTokens,
        Counter::CachedTokens,
        Counter::OutputTokens,
    ];
    assert_eq!(tokens.map(|counter| usage.get(counter)), [260, 60, 10]);
}

#[test]
fn an_adopted_run_does_not_wait_for_others_to_end() {
    let mut shared = Shared::connected();
    for number in 1..=2 {
        shared.attempt(number, 0, FIELDS[0]).unwrap();
        shared.respond("agent", &accepted());
    }
    let limited = || Hub::new(IDLE_MS).with_max_runs(Some(1));
    shared.reset_with(limited());
    shared.shake_hands();
    let claims = shared
        .methods()
        .into_iter()
        .filter(|method| *method == "agent");
    assert_eq!(claims.count(), 2);
    // Another one does.
    shared.attempt(3, 0, FIELDS[0]).unwrap();
    let asked = shared
        .methods()
        .into_iter()
        .filter(|method| *method == "agent");
    assert_eq!(asked.count(), 2);
}

#[test]
fn a_run_whose_request_was_refused_leaves_no_row() {
    let mut shared = Shared::connected();
    shared.attempt(1, 0, FIELDS[0]).unwrap();
    assert_eq!(shared.storage.runs.len(), 1);
    let id = shared.take("agent")["id"].clone();
    let error = json!({ "code": "UNAVAILABLE" });
    let response = json!({ "type": "res", "id": id, "ok": false, "error": error });
    shared.frame(&response.to_string());
    assert_eq!((shared.storage.runs.len(), counts(&shared).len()), (0, 0));
}

#[test]
fn a_retry_that_is_refused_after_its_run_has_ended_leaves_no_run_that_is_going() {
    let mut shared = reset(FIELDS[0]);
    shared.shake_hands();
    shared.respond("agent", &ended("whole"));
    assert_eq!(counts(&shared), ["runs", "answers"]);
    // The gateway has forgotten the run, and takes no other one.
    shared.attempt(1, 1, FIELDS[0]).unwrap();
    shared.respond("sessions.get", &json!({ "messages": [] }));
    let id = shared.take("agent")["id"].clone();
    let error = json!({ "code": "UNAVAILABLE" });
    let response = json!({ "type": "res", "id": id, "ok": false, "error": error });
    shared.frame(&response.to_string());
    assert!(shared.clients.iter().all(|client| client.has_ended));
    assert!(!shared.storage.runs[&"01".repeat(16)].starts_with("0\t"));
    assert_eq!(counts(&shared), ["runs", "answers"]);
}

#[test]
fn a_run_that_goes_on_without_its_client_is_followed_to_its_end() {
    let hi = r#"{"model":"openclaw","messages":[{"role":"user","content":"hi"}]}"#;
    for (fields, goes_on) in [
        ("agents=main on_disconnect=finish", true),
        ("agents=main", false),
    ] {
        let mut shared = Shared::connected();
        let exchange = exchange_with([1; 16], hi, &[], STREAM, fields);
        let client = shared.add(exchange, "01".repeat(16));
        let (id, now_ms) = (shared.clients[client].id, shared.now_ms);
        let request = shared.take("agent")["id"].clone();
        let hub = &mut shared.hub;
        hub.handle(Input::HungUp(id), gateway(), now_ms);
        let (_, exchange, output) = hub.next_output().unwrap();
        assert!(output.ended);
        assert_eq!(
            (exchange.goes_on(), exchange.run_end().is_none()),
            (goes_on, goes_on)
        );
        if !goes_on {
            continue;
        }
        output.clear();
        hub.follow(id);
        hub.take_orders();
        // A day later.
        let now_ms = now_ms + 86_400_000;
        let usage = json!({ "input": 901, "output": 30, "cacheRead": 100 });
        let meta = json!({ "agentMeta": { "usage": usage } });
        let payload =
            json!({ "status": "ok", "result": { "payloads": [{ "text": "hi" }], "meta": meta } });
        let response = json!({ "type": "res", "id": request, "ok": true, "payload": payload });
        let text = &response.to_string();
        hub.handle(Input::Frame { text, skipped: 0 }, gateway(), now_ms);
        let (_, exchange, output) = hub.next_output().unwrap();
        assert!(output.ended && exchange.has_started_run() && !exchange.goes_on());
        let end = RunEnd {
            outcome: Counter::Answers,
            input_tokens: 1001,
            cached_tokens: 100,
            output_tokens: 30,
        };
        assert_eq!(exchange.run_end(), Some(end));
    }
}

/// A run that two requests of a key share.
fn shared_by_two(fields: &str) -> Shared {
    let mut shared = Shared::connected();
    for attempt in 0..2 {
        shared.attempt(1, attempt, fields).unwrap();
        if attempt > 0 {
            shared.respond("sessions.get", &json!({ "messages": [] }));
        }
        shared.respond("agent", &accepted());
    }
    shared
}

#[test]
fn a_run_whose_requests_all_end_at_once_ends_by_the_keys_policy() {
    for (fields, is_stopped) in FIELDS.into_iter().zip([true, false]) {
        let mut shared = shared_by_two(fields);
        for client in [0, 1] {
            let id = shared.clients[client].id;
            shared.hub.expire(id, Some(0));
        }
        shared.give(Input::Tick);
        assert!(shared.clients.iter().all(|client| client.has_ended));
        assert_eq!(shared.methods().contains(&"chat.abort"), is_stopped);
        let expected: &[&str] = if is_stopped {
            &["runs", "stopped"]
        } else {
            &[]
        };
        assert_eq!(counts(&shared), expected);
        // Clients that left while there was no connection.
        let mut shared = shared_by_two(fields);
        shared.give(Input::Closed { code: 1006 });
        for client in [0, 1] {
            let id = shared.clients[client].id;
            shared.give(Input::HungUp(id));
        }
        shared.shake_hands();
        assert_eq!(shared.methods().contains(&"chat.abort"), is_stopped);
        assert_eq!(counts(&shared), expected);
    }
}
