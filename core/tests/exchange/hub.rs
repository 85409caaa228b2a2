//! Several exchanges that share one connection.

use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::hub::Input;
use serde_json::{Value, json};

use crate::replay::exchange_with;
use crate::shared::{IDLE_MS, STREAM, Shared, UNREACHABLE, accepted, ended};

#[test]
fn runs_on_one_connection_need_one_handshake_and_do_not_mix() {
    let mut shared = Shared::new(IDLE_MS);
    let (first, second) = (shared.begin(1), shared.begin(2));
    shared.shake_hands();
    assert_eq!(
        shared.methods(),
        [
            "connect",
            "sessions.messages.subscribe",
            "agent",
            "sessions.messages.subscribe",
            "agent"
        ]
    );
    shared.respond("agent", &accepted());
    shared.respond("agent", &accepted());
    shared.say(second, "two");
    shared.say(first, "one");
    let third = shared.begin(3);
    shared.say(second, "zwei");
    assert_eq!(shared.connects, 1);
    let (_, body, _) = shared.outcome(first);
    assert!(body.contains("one") && !body.contains("two"), "{body}");
    let (_, body, _) = shared.outcome(second);
    assert!(body.contains("two") && body.contains("zwei"), "{body}");
    assert!(!body.contains("one"), "{body}");
    assert_eq!(shared.outcome(third), (0, "", false));
}

#[test]
fn a_run_on_an_open_connection_is_requested_at_once() {
    let mut shared = Shared::connected();
    shared.begin(1);
    assert_eq!(shared.methods(), ["sessions.messages.subscribe", "agent"]);
    assert_eq!(shared.connects, 1);
}

#[test]
fn after_a_loss_all_runs_are_found_again_on_one_connection() {
    let mut shared = Shared::connected();
    let clients = [shared.begin(1), shared.begin(2)];
    for _ in clients {
        shared.respond("agent", &accepted());
    }
    shared.give(Input::Closed { code: 1012 });
    shared.pass_ms(100);
    assert_eq!((shared.connects, shared.disconnects), (2, 1));
    shared.shake_hands();
    let runs: Vec<String> = shared
        .clients
        .iter()
        .map(|client| client.run.clone())
        .collect();
    let claims: Vec<&Value> = shared
        .requests
        .iter()
        .filter(|request| request["method"] == "agent")
        .collect();
    assert_eq!(claims.len(), 2);
    for (claim, run) in claims.iter().zip(&runs) {
        // A claim starts no run: its agent does not exist.
        assert_eq!(claim["params"]["agentId"], "clawfront-nobody");
        assert_eq!(claim["params"]["idempotencyKey"], run.as_str());
    }
    shared.respond("agent", &ended("one"));
    shared.respond("agent", &ended("two"));
    for (client, text) in clients.into_iter().zip(["one", "two"]) {
        let (status, body, has_ended) = shared.outcome(client);
        assert!(status == 200 && has_ended && body.contains(text), "{body}");
        assert!(body.contains(r#""finish_reason":"stop""#), "{body}");
    }
}

#[test]
fn a_connection_for_another_exchange_serves_a_run_that_waits_for_its_next_attempt() {
    let mut shared = Shared::connected();
    let waiting = shared.begin(1);
    shared.respond("agent", &accepted());
    shared.give(Input::Closed { code: 1006 });
    shared.pass_ms(100);
    for pause_ms in [300, 900] {
        shared.give(Input::Failed(UNREACHABLE));
        shared.pass_ms(pause_ms);
    }
    shared.give(Input::Failed(UNREACHABLE));
    let before = shared.connects;
    // The next attempt of its own is 2.7 s away.
    let fresh = shared.begin(2);
    assert_eq!(shared.connects, before + 1);
    shared.shake_hands();
    assert_eq!(
        shared.methods(),
        [
            "connect",
            "sessions.messages.subscribe",
            "agent",
            "sessions.messages.subscribe",
            "agent"
        ]
    );
    assert_eq!(shared.requests[2]["params"]["agentId"], "clawfront-nobody");
    shared.respond("agent", &ended("found"));
    shared.respond("agent", &accepted());
    assert!(shared.outcome(waiting).1.contains("found"));
    assert_eq!(shared.outcome(fresh), (0, "", false));
}

#[test]
fn a_login_page_ends_the_requests_without_a_run_and_no_run() {
    let login = || Failure::NotAGateway {
        status: 302,
        diagnosis: Diagnosis::AccessLogin,
    };
    let mut shared = Shared::connected();
    let going = [shared.begin(1), shared.begin(2)];
    for _ in going {
        shared.respond("agent", &accepted());
    }
    shared.give(Input::Closed { code: 1006 });
    let fresh = shared.begin(3);
    shared.give(Input::Failed(login()));
    let (status, body, has_ended) = shared.outcome(fresh);
    assert!(
        status == 502 && has_ended && body.contains("gateway_refused"),
        "{body}"
    );
    shared.pass_ms(100);
    shared.give(Input::Failed(login()));
    shared.pass_ms(300);
    shared.shake_hands();
    for (client, text) in going.into_iter().zip(["one", "two"]) {
        shared.respond("agent", &ended(text));
        assert!(shared.outcome(client).1.contains(text));
    }
}

#[test]
fn an_attempt_that_fails_is_told_to_all_that_wait_for_it() {
    let mut shared = Shared::new(IDLE_MS);
    let clients = [shared.begin(1), shared.begin(2)];
    shared.ask_agents();
    for pause_ms in [250, 750, 2_000] {
        shared.give(Input::Failed(UNREACHABLE));
        shared.pass_ms(pause_ms);
    }
    shared.give(Input::Failed(UNREACHABLE));
    assert_eq!(shared.connects, 4);
    assert_eq!(shared.answers, [Err(UNREACHABLE)]);
    for client in clients {
        let (status, body, has_ended) = shared.outcome(client);
        assert!(status == 502 && has_ended, "{body}");
    }
    assert_eq!(shared.hub.wake_at_ms(), None);
}

#[test]
fn a_subscription_ends_with_the_last_exchange_of_its_session() {
    let mut shared = Shared::connected();
    let session = [("x-openclaw-session-key", "one")];
    shared.begin_with(1, &session);
    shared.begin_with(2, &session);
    for _ in 0..2 {
        shared.respond("sessions.get", &json!({ "messages": [] }));
    }
    shared.begin(3);
    let subscriptions: Vec<Value> = ["sessions.messages.subscribe"; 3]
        .map(|method| shared.take(method)["params"].clone())
        .into();
    assert_eq!(subscriptions[0], subscriptions[1]);
    for _ in 0..3 {
        shared.respond("agent", &accepted());
    }
    shared.requests.clear();
    let hang_up = |shared: &mut Shared, client: usize| {
        let id = shared.clients[client].id;
        shared.give(Input::HungUp(id));
        shared.take("chat.abort");
    };
    hang_up(&mut shared, 0);
    assert_eq!(shared.methods(), [""; 0]);
    hang_up(&mut shared, 1);
    assert_eq!(
        shared.take("sessions.messages.unsubscribe")["params"],
        subscriptions[1]
    );
    hang_up(&mut shared, 2);
    assert_eq!(
        shared.take("sessions.messages.unsubscribe")["params"],
        subscriptions[2]
    );
}

#[test]
fn a_session_that_clients_may_spell_differently_ends_with_the_last_of_them() {
    let mut shared = Shared::connected();
    for (run, session) in [(1, "agent:main:CAF\u{c9}"), (2, "agent:main:caf\u{e9}")] {
        let headers = [("x-openclaw-session-key", session)];
        let hi = r#"{"model":"openclaw","messages":[{"role":"user","content":"hi"}]}"#;
        let fields = "agents=main sessions=any";
        let exchange = exchange_with([run; 16], hi, &headers, STREAM, fields);
        shared.add(exchange, format!("{run:02x}").repeat(16));
        shared.respond("sessions.get", &json!({ "messages": [] }));
        shared.respond("agent", &accepted());
    }
    // A session that only the Worker names is not one of these.
    shared.begin(3);
    shared.respond("agent", &accepted());
    shared.requests.clear();
    for (client, expected) in [(0, 0), (2, 1), (1, 2)] {
        let id = shared.clients[client].id;
        shared.give(Input::HungUp(id));
        let methods = shared.methods();
        let ended = methods
            .iter()
            .filter(|method| method.ends_with("unsubscribe"));
        assert_eq!(ended.count(), expected, "{client}");
    }
}

#[test]
fn a_frame_may_have_all_the_bytes_that_the_protocol_allows() {
    const MAX_BYTES: usize = 26_214_400;
    let tick = |bytes: usize| {
        let [begin, end] = [
            r#"{"type":"event","event":"tick","payload":{"x":""#,
            r#""}}"#,
        ];
        let padding = "x".repeat(bytes - begin.len() - end.len());
        [begin, &padding, end].concat()
    };
    let mut shared = Shared::connected();
    let client = shared.begin(1);
    shared.respond("agent", &accepted());
    shared.frame(&tick(MAX_BYTES));
    assert!(!shared.clients[client].has_ended);
    shared.frame(&tick(MAX_BYTES + 1));
    let (_, body, has_ended) = shared.outcome(client);
    assert!(
        has_ended && body.contains("gateway_protocol_error"),
        "{body}"
    );
}

#[test]
fn an_unused_connection_is_closed_after_its_time_and_not_before() {
    let mut shared = Shared::connected();
    let tick = r#"{"type":"event","event":"tick","payload":{"ts":1}}"#;
    for _ in 0..9 {
        shared.pass_ms(30_000);
        shared.frame(tick);
    }
    shared.pass_ms(29_999);
    assert_eq!(shared.disconnects, 0);
    shared.pass_ms(1);
    assert_eq!((shared.disconnects, shared.hub.wake_at_ms()), (1, None));
    // Events of the old socket mean nothing.
    shared.give(Input::Closed { code: 1000 });
    let client = shared.begin(1);
    shared.shake_hands();
    assert_eq!(
        (shared.connects, shared.outcome(client)),
        (2, (0, "", false))
    );

    let mut shared = Shared::new(0);
    let client = shared.begin(1);
    shared.shake_hands();
    let id = shared.clients[client].id;
    shared.give(Input::HungUp(id));
    assert_eq!((shared.connects, shared.disconnects), (1, 1));
}

#[test]
fn an_unused_connection_whose_tick_is_missing_is_replaced_before_it_is_used() {
    let mut shared = Shared::connected();
    shared.pass_ms(34_999);
    shared.begin(1);
    assert_eq!((shared.connects, shared.disconnects), (1, 0));

    let mut shared = Shared::connected();
    shared.pass_ms(35_000);
    shared.begin(1);
    assert_eq!((shared.connects, shared.disconnects), (2, 1));
    // Another use changes nothing.
    shared.begin(2);
    assert_eq!((shared.connects, shared.methods()), (2, vec![]));
    shared.shake_hands();
    let asked = shared
        .methods()
        .iter()
        .filter(|method| **method == "agent")
        .count();
    assert_eq!(asked, 2);
}

#[test]
fn another_run_replaces_a_connection_whose_tick_is_missing_for_all_its_runs() {
    let mut shared = Shared::connected();
    let going = shared.begin(1);
    shared.respond("agent", &accepted());
    shared.pass_ms(35_000);
    let fresh = shared.begin(2);
    assert_eq!((shared.connects, shared.disconnects), (2, 1));
    shared.shake_hands();
    shared.respond("agent", &ended("found"));
    shared.respond("agent", &accepted());
    assert!(shared.outcome(going).1.contains("found"));
    assert!(!shared.outcome(fresh).2);
}

#[test]
fn a_connection_that_answers_no_request_is_given_up_for_all_its_runs() {
    let mut shared = Shared::connected();
    let going = shared.begin(1);
    shared.respond("agent", &accepted());
    shared.pass_ms(1_000);
    shared.begin(2);
    shared.pass_ms(9_999);
    assert_eq!(shared.disconnects, 0);
    shared.pass_ms(1);
    assert_eq!(shared.disconnects, 1);
    shared.pass_ms(100);
    shared.shake_hands();
    shared.respond("agent", &ended("found"));
    assert!(shared.outcome(going).1.contains("found"));

    // Any frame shows that it is alive.
    let mut shared = Shared::connected();
    shared.begin(1);
    shared.pass_ms(9_000);
    shared.frame(r#"{"type":"event","event":"tick","payload":{"ts":1}}"#);
    shared.pass_ms(20_000);
    assert_eq!(shared.disconnects, 0);
}

#[test]
fn an_attempt_that_took_too_long_is_repeated_for_those_who_came_later() {
    let slow = || Failure::TimedOut(Deadline::Connect);
    let mut shared = Shared::new(IDLE_MS);
    let first = shared.begin(1);
    shared.pass_ms(9_500);
    let later = shared.begin(2);
    shared.pass_ms(500);
    shared.give(Input::Failed(slow()));
    let (status, body, has_ended) = shared.outcome(first);
    assert!(status == 504 && has_ended, "{body}");
    assert_eq!((shared.connects, shared.outcome(later).2), (2, false));
    shared.shake_hands();
    assert_eq!(
        shared.methods(),
        ["connect", "sessions.messages.subscribe", "agent"]
    );
    assert_eq!(
        shared.requests[2]["params"]["idempotencyKey"],
        shared.clients[later].run
    );
}

#[test]
fn a_crowd_asks_for_no_more_at_a_time_than_the_gateway_can_answer() {
    const CROWD: usize = 100;
    const AT_A_TIME: usize = 32;
    let asking = |shared: &Shared| {
        let methods = shared.methods();
        methods.iter().filter(|method| **method == "agent").count()
    };
    let mut shared = Shared::connected();
    for run in 1..=CROWD {
        shared.begin(run);
    }
    let mut asked = asking(&shared);
    assert_eq!(asked, AT_A_TIME);
    for _ in 0..CROWD {
        shared.respond("agent", &accepted());
        asked = asked.max(asking(&shared));
    }
    assert_eq!((asked, asking(&shared)), (AT_A_TIME, 0));
    // A place is also free after a client has left.
    shared.give(Input::Closed { code: 1006 });
    shared.pass_ms(100);
    shared.shake_hands();
    assert_eq!(asking(&shared), AT_A_TIME);
    shared.give(Input::HungUp(shared.clients[0].id));
    assert_eq!(asking(&shared), AT_A_TIME + 1);
    shared
        .requests
        .retain(|request| request["method"] == "agent");
    for _ in 0..CROWD {
        shared.respond("agent", &ended("found"));
    }
    let found = shared
        .clients
        .iter()
        .filter(|client| client.body.contains("found"));
    assert_eq!(found.count(), CROWD - 1);
}

#[test]
fn a_message_that_is_too_large_for_a_frame_is_refused_and_nothing_is_sent() {
    let mut shared = Shared::connected();
    let text = r#"\""#.repeat(7 * 1024 * 1024);
    let body = json!({ "model": "openclaw", "messages": [{ "role": "user", "content": text }] });
    let exchange = exchange_with([1; 16], &body.to_string(), &[], STREAM, "agents=main");
    shared.add(exchange, "01".repeat(16));
    let (status, body, has_ended) = shared.outcome(0);
    assert!(
        status == 400 && has_ended && body.contains("too large for the gateway"),
        "{body}"
    );
    assert_eq!((shared.methods(), shared.disconnects), (vec![], 0));
}

#[test]
fn a_silent_connection_is_given_up_for_all_its_runs() {
    let mut shared = Shared::connected();
    let clients = [shared.begin(1), shared.begin(2)];
    for _ in clients {
        shared.respond("agent", &accepted());
    }
    shared.pass_ms(75_000);
    assert_eq!((shared.connects, shared.disconnects), (1, 1));
    shared.pass_ms(100);
    assert_eq!(shared.connects, 2);
    for client in clients {
        assert!(!shared.outcome(client).2);
    }
}

#[test]
fn missing_events_concern_every_run() {
    let mut shared = Shared::connected();
    let clients = [shared.begin(1), shared.begin(2)];
    for _ in clients {
        shared.respond("agent", &accepted());
    }
    let tick = |seq: u64| {
        json!({ "type": "event", "event": "tick", "payload": {}, "seq": seq }).to_string()
    };
    let needs = |shared: &Shared| {
        shared
            .hub
            .filters()
            .map(|(_, needs)| needs)
            .collect::<Vec<_>>()
    };
    shared.frame(&tick(1));
    shared.give(Input::Frame {
        text: &tick(4),
        skipped: 2,
    });
    assert_eq!(needs(&shared), [false, false]);
    assert!(shared.hub.take_filter_change());
    shared.give(Input::Frame {
        text: &tick(8),
        skipped: 2,
    });
    assert_eq!(needs(&shared), [true, true]);
    assert!(shared.hub.take_filter_change() && !shared.hub.take_filter_change());
}

#[test]
fn two_exchanges_of_one_run_both_get_it() {
    let mut shared = Shared::connected();
    let (first, again) = (shared.begin(1), shared.begin(1));
    shared.respond("agent", &accepted());
    shared.respond("agent", &json!({ "status": "in_flight" }));
    shared.say(first, "once");
    shared.respond("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    shared.respond("agent", &ended("once"));
    let (status, body, has_ended) = shared.outcome(again);
    assert!(
        status == 200 && has_ended && body.contains("once"),
        "{body}"
    );
    assert!(shared.outcome(first).1.contains("once"));
}

#[test]
fn a_frame_that_is_too_large_ends_its_own_run_and_no_other() {
    let mut shared = Shared::connected();
    let clients: Vec<usize> = (1..5).map(|run| shared.begin(run)).collect();
    for _ in &clients[1..] {
        shared.respond("agent", &accepted());
    }
    let padding = " ".repeat(26_214_401);
    let response = shared.take("agent")["id"].as_str().unwrap().to_owned();
    let run = |shared: &Shared, client: usize| shared.clients[client].run.clone();
    for (frame, victim) in [
        (
            format!(
                r#"{{"type":"event","event":"agent","payload":{{"runId":"{}""#,
                run(&shared, clients[0])
            ),
            Some(clients[0]),
        ),
        (
            format!(
                r#"{{"type":"event","event":"chat","payload":{{"runId":"{}""#,
                run(&shared, clients[1])
            ),
            Some(clients[1]),
        ),
        (
            format!(r#"{{"type":"res","id":"{response}""#),
            Some(clients[3]),
        ),
        (
            r#"{"type":"event","event":"agent","payload":{"runId":"another""#.to_owned(),
            None,
        ),
        (r#"{"type":"res","id":"99""#.to_owned(), None),
    ] {
        let before: Vec<bool> = clients
            .iter()
            .map(|client| shared.outcome(*client).2)
            .collect();
        shared.frame(&[frame.as_str(), &padding].concat());
        for (client, had_ended) in clients.iter().zip(before) {
            let (_, body, has_ended) = shared.outcome(*client);
            assert_eq!(has_ended, had_ended || victim == Some(*client), "{frame}");
            assert_eq!(has_ended, body.contains("gateway_protocol_error"), "{body}");
        }
    }
    // It is no gap: the other run is still read by its events.
    assert_eq!(
        shared
            .hub
            .filters()
            .map(|(_, chat)| chat)
            .collect::<Vec<_>>(),
        [false]
    );
    shared.say(clients[2], "still here");
    assert!(shared.outcome(clients[2]).1.contains("still here"));
    assert_eq!(shared.disconnects, 0);
    // One that is for nobody ends all.
    shared.frame(&padding);
    assert!(shared.outcome(clients[2]).2);
    assert_eq!(shared.disconnects, 1);
}
