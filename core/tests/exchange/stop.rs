//! Runs as an administrator sees and stops them.

use clawfront_core::access::key::KeyId;
use clawfront_core::failure::Failure;
use clawfront_core::hub::{Hub, Input};
use clawfront_core::log_key::LogKey;
use serde_json::{Value, json};

use crate::replay::gateway;
use crate::scenario::{CHALLENGE, HELLO};
use crate::shared::{IDLE_MS, Shared, accepted, ended};

const FIRST: &str = "01010101010101010101010101010101";

fn runs(shared: &Shared) -> Vec<Value> {
    let runs = shared.hub.runs(&LogKey::of(&gateway().credential));
    serde_json::from_str(&format!("[{runs}]")).unwrap()
}

fn states(shared: &Shared) -> Vec<String> {
    let state = |run: &Value| run["state"].as_str().unwrap().to_owned();
    runs(shared).iter().map(state).collect()
}

fn begin(shared: &mut Shared, key: &str, number: usize) -> usize {
    let mut exchange = Shared::exchange(number, &[]);
    exchange.set_key(KeyId::parse(key).unwrap());
    shared.add(exchange, format!("{number:02x}").repeat(16))
}

fn aborts(shared: &Shared) -> usize {
    let methods = shared.methods();
    methods.iter().filter(|name| **name == "chat.abort").count()
}

/// Asserts that the client's stream has ended with the error of a stopped run.
fn assert_stopped(shared: &Shared, client: usize) {
    let (_, body, has_ended) = shared.outcome(client);
    assert!(
        has_ended && body.contains(r#""code":"run_aborted""#),
        "{body}"
    );
}

#[test]
fn a_run_is_seen_with_its_key_its_agent_and_its_state() {
    let mut shared = Shared::new(IDLE_MS);
    shared.hub = Hub::new(IDLE_MS).with_max_runs(Some(1));
    assert_eq!(runs(&shared), Vec::<Value>::new());
    let first = begin(&mut shared, "phone", 1);
    begin(&mut shared, "tablet", 2);
    assert_eq!(states(&shared), ["starting", "queued"]);
    shared.shake_hands();
    shared.respond("agent", &accepted());
    assert_eq!(states(&shared), ["waiting", "queued"]);
    shared.say(first, "hi");
    let seen = runs(&shared);
    let session = seen[0]["session"].as_str().unwrap();
    assert_eq!(session.len(), 16);
    let run = json!({
        "object": "run", "id": FIRST, "key": "phone", "agent": "main", "session": session,
        "state": "running", "created_at": shared.now_ms / 1000, "clients": 1,
        "can_be_stopped": true,
    });
    assert_eq!(seen[0], run);
    assert_eq!(
        (&seen[1]["key"], &seen[1]["session"]),
        (&json!("tablet"), &Value::Null)
    );
    shared.give(Input::Closed { code: 1006 });
    assert_eq!(states(&shared), ["recovering", "queued"]);
}

#[test]
fn a_stopped_run_ends_for_all_who_share_it_and_no_other_run_ends() {
    let mut shared = Shared::connected();
    let sharing = [
        begin(&mut shared, "phone", 1),
        begin(&mut shared, "phone", 1),
    ];
    let other = begin(&mut shared, "phone", 2);
    for _ in sharing {
        shared.respond("agent", &accepted());
    }
    shared.say(sharing[0], "hi");
    assert_eq!(runs(&shared)[0]["clients"], 2);
    assert_eq!(runs(&shared).len(), 2);
    assert_eq!(shared.hub.stoppable_key(FIRST), Ok("phone"));
    shared.give(Input::Stopped(FIRST));
    for client in sharing {
        assert_stopped(&shared, client);
    }
    // The gateway ignores the second one.
    assert_eq!(aborts(&shared), 2);
    assert_eq!(shared.hub.stoppable_key(FIRST), Err(Failure::RunNotFound));
    shared.respond("agent", &ended("whole"));
    assert!(shared.outcome(other).1.contains("whole"));
}

#[test]
fn a_run_in_the_queue_is_stopped_before_it_starts() {
    let mut shared = Shared::connected();
    shared.hub = Hub::new(IDLE_MS).with_max_runs(Some(1));
    begin(&mut shared, "phone", 2);
    let queued = begin(&mut shared, "phone", 1);
    shared.give(Input::Stopped(FIRST));
    assert_stopped(&shared, queued);
    assert_eq!(shared.outcome(queued).0, 400);
    assert_eq!(aborts(&shared), 0);
}

#[test]
fn a_run_without_a_connection_is_stopped_on_the_next_one() {
    let mut shared = Shared::connected();
    let client = begin(&mut shared, "phone", 1);
    shared.respond("agent", &accepted());
    shared.say(client, "hi");
    shared.give(Input::Closed { code: 1006 });
    shared.give(Input::Stopped(FIRST));
    assert!(!shared.outcome(client).2);
    assert!(shared.hub.stoppable_key(FIRST).is_ok());
    shared.shake_hands();
    assert_eq!(aborts(&shared), 1);
    assert_stopped(&shared, client);
}

#[test]
fn a_run_that_could_not_be_stopped_is_not_said_to_be() {
    let mut shared = Shared::connected();
    let client = begin(&mut shared, "phone", 1);
    shared.respond("agent", &accepted());
    shared.say(client, "hi");
    shared.give(Input::Closed { code: 1006 });
    shared.give(Input::Stopped(FIRST));
    shared.pass_ms(10_000);
    let (_, body, has_ended) = shared.outcome(client);
    assert!(
        has_ended && body.contains("gateway_connection_lost"),
        "{body}"
    );
}

#[test]
fn a_run_that_protocol_3_does_not_stop_is_not_said_to_be_while_its_retry_waits() {
    let mut shared = Shared::new(IDLE_MS);
    let other = begin(&mut shared, "phone", 2);
    begin(&mut shared, "phone", 1);
    shared.frame(CHALLENGE);
    shared.frame(&HELLO.replace(r#""protocol":4"#, r#""protocol":3"#));
    for _ in 0..2 {
        shared.respond("agent", &accepted());
    }
    shared.give(Input::Closed { code: 1006 });
    begin(&mut shared, "phone", 1);
    // The place of a client that leaves goes to the last one, the retry.
    let id = shared.clients[other].id;
    shared.give(Input::HungUp(id));
    let refused = shared.hub.stoppable_key(FIRST);
    assert!(matches!(refused, Err(Failure::InvalidRequest { .. })));
    assert_eq!(runs(&shared)[0]["can_be_stopped"], false);
}
