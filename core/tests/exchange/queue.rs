//! The queue of runs that the gateway does not get yet.

use std::collections::BTreeMap;

use clawfront_core::access::key::KeyId;
use clawfront_core::hub::{Hub, Input};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::shared::{IDLE_MS, Shared, accepted, ended};

/// A hub with a connection, whose gateway gets at most `max_runs` runs at a time.
fn limited(max_runs: usize) -> Shared {
    let mut shared = Shared::new(IDLE_MS);
    shared.hub = Hub::new(IDLE_MS).with_max_runs(Some(max_runs));
    shared.ask_agents();
    shared.shake_hands();
    shared.respond("agents.list", &json!({ "agents": [] }));
    shared.requests.clear();
    shared
}

fn begin(shared: &mut Shared, key: &str, number: usize) -> usize {
    begin_run(shared, key, number, number)
}

/// Begins an exchange of a run that another one may have, too.
fn begin_run(shared: &mut Shared, key: &str, number: usize, run: usize) -> usize {
    let mut exchange = Shared::exchange(run, &[]);
    exchange.set_key(KeyId::parse(key).unwrap());
    // The harness names a client by its own run.
    shared.add(exchange, format!("{number:02x}").repeat(16))
}

/// Returns the runs that were requested, by their numbers, and forgets the requests.
fn requested(shared: &mut Shared) -> Vec<u64> {
    let requests = shared.requests.iter();
    let runs = requests
        .filter(|request| request["method"] == "agent")
        .map(|request| &request["params"]["idempotencyKey"]);
    let number =
        |run: &Value| u64::from_str_radix(run.as_str().unwrap().get(..2).unwrap(), 16).unwrap();
    runs.map(number).collect()
}

/// Ends the first run that the gateway has not ended.
fn end_first(shared: &mut Shared) {
    shared.respond("agent", &ended("done"));
}

#[test]
fn runs_beyond_the_limit_wait_in_order() {
    let mut shared = limited(2);
    for number in 1..=4 {
        begin(&mut shared, "phone", number);
    }
    assert_eq!(requested(&mut shared), [1, 2]);
    end_first(&mut shared);
    assert_eq!(requested(&mut shared), [2, 3]);
    end_first(&mut shared);
    end_first(&mut shared);
    end_first(&mut shared);
    assert!(shared.clients.iter().all(|client| client.has_ended));
    assert_eq!(shared.connects, 1);
}

#[test]
fn a_key_with_many_runs_in_the_queue_does_not_delay_another_keys_first_one() {
    let mut shared = limited(2);
    for number in 1..=5 {
        begin(&mut shared, "many", number);
    }
    begin(&mut shared, "other", 6);
    begin(&mut shared, "other", 7);
    assert_eq!(requested(&mut shared), [1, 2]);
    end_first(&mut shared);
    assert_eq!(requested(&mut shared), [2, 6]);
    end_first(&mut shared);
    assert_eq!(requested(&mut shared), [6, 3]);
    end_first(&mut shared);
    assert_eq!(requested(&mut shared), [3, 7]);
}

#[test]
fn a_client_that_leaves_the_queue_starts_nothing() {
    let mut shared = limited(1);
    let clients: Vec<_> = (1..=3)
        .map(|number| begin(&mut shared, "phone", number))
        .collect();
    let id = shared.clients[clients[1]].id;
    shared.give(Input::HungUp(id));
    assert!(shared.clients[clients[1]].has_ended);
    end_first(&mut shared);
    assert_eq!(requested(&mut shared), [3]);
}

#[test]
fn a_wait_is_shown_has_heartbeats_and_no_deadline() {
    let mut shared = limited(1);
    begin(&mut shared, "phone", 1);
    shared.respond("agent", &accepted());
    let waiting = begin(&mut shared, "phone", 2);
    shared.pass_ms(1_999);
    assert_eq!(shared.outcome(waiting), (0, "", false));
    shared.pass_ms(3_001);
    let (status, body, has_ended) = shared.outcome(waiting);
    assert!(status == 200 && !has_ended);
    assert!(
        body.ends_with(": waiting for other runs to end\n"),
        "{body}"
    );
    shared.pass_ms(60_000);
    let (_, body, has_ended) = shared.outcome(waiting);
    // The last frame of the gateway is old, so its connection is looked at.
    assert!(body.matches(": ping").count() >= 3 && !has_ended, "{body}");
}

#[test]
fn a_lost_connection_does_not_end_a_run_that_waits() {
    let mut shared = limited(1);
    begin(&mut shared, "phone", 1);
    shared.respond("agent", &accepted());
    let waiting = begin(&mut shared, "phone", 2);
    shared.give(Input::Closed { code: 1006 });
    shared.pass_ms(100);
    shared.shake_hands();
    assert_eq!(shared.outcome(waiting), (0, "", false));
    // The first one is claimed, and ends.
    assert_eq!(requested(&mut shared), [1]);
    end_first(&mut shared);
    assert_eq!(requested(&mut shared), [2]);
    // The gateway goes away for good: the next one has its own attempts.
    let third = begin(&mut shared, "phone", 3);
    shared.give(Input::Closed { code: 1006 });
    shared.pass_ms(61_000);
    assert!(shared.clients[waiting].has_ended);
    shared.shake_hands();
    assert_eq!(requested(&mut shared), [3]);
    assert!(!shared.clients[third].has_ended);
}

#[test]
fn a_second_request_for_a_run_that_is_going_does_not_wait() {
    let mut shared = limited(1);
    begin_run(&mut shared, "phone", 1, 1);
    begin(&mut shared, "phone", 2);
    begin_run(&mut shared, "phone", 3, 1);
    assert_eq!(requested(&mut shared), [1, 1]);
    // Two that wait for the same run go together.
    begin_run(&mut shared, "phone", 4, 2);
    end_first(&mut shared);
    end_first(&mut shared);
    assert_eq!(requested(&mut shared), [2, 2]);
}

#[test]
fn a_key_cannot_fill_the_queue_alone() {
    let mut shared = limited(1);
    let many: Vec<_> = (1..=66)
        .map(|number| begin(&mut shared, "many", number))
        .collect();
    let refused = |shared: &Shared, client: usize| shared.outcome(client).0 == 503;
    let is_refused: Vec<_> = many
        .iter()
        .map(|client| refused(&shared, *client))
        .collect();
    // One run, and half of the queue.
    assert_eq!(is_refused.iter().position(|refused| *refused), Some(65));
    let (_, body, has_ended) = shared.outcome(many[65]);
    assert!(has_ended && body.contains("too_many_streams"), "{body}");
    let other = begin(&mut shared, "other", 67);
    assert!(!refused(&shared, other));
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Begin { key: usize },
    End { nth: usize },
    HangUp { nth: usize },
    Lose,
    Connect,
    Pass { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize).prop_map(|key| Step::Begin { key }),
        5 => (0..8usize).prop_map(|nth| Step::End { nth }),
        2 => (0..40usize).prop_map(|nth| Step::HangUp { nth }),
        1 => Just(Step::Lose),
        3 => Just(Step::Connect),
        1 => prop_oneof![Just(100u64), Just(3_000), Just(30_000)].prop_map(|ms| Step::Pass { ms }),
    ]
}

const KEYS: [&str; 3] = ["a", "b", "c"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever happens: the gateway gets no more runs than it may have, no run waits while there
    /// is room, the runs of a key begin in their order, and none of a client that left the queue.
    #[test]
    fn no_history_breaks_the_order_of_the_queue(
        max_runs in 1..4usize,
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut shared = limited(max_runs);
        let mut is_ready = true;
        let mut keys = Vec::new();
        let mut times: BTreeMap<u64, usize> = BTreeMap::new();
        let mut left_queue = Vec::new();
        for step in steps {
            let before = (shared.connects, shared.disconnects);
            let queued = |shared: &Shared, client: usize| {
                let exchange = shared.hub.exchange(shared.clients[client].id);
                exchange.is_some_and(clawfront_core::exchange::Exchange::is_queued)
            };
            match step {
                Step::Begin { key } if keys.len() < 40 => {
                    keys.push(key);
                    let number = keys.len();
                    begin(&mut shared, KEYS[key], number);
                }
                Step::End { nth } if is_ready => {
                    let asked = shared.requests.iter().enumerate();
                    let runs: Vec<_> = asked
                        .filter(|(_, request)| request["method"] == "agent")
                        .map(|(index, _)| index)
                        .collect();
                    if let Some(index) = runs.get(nth) {
                        let id = shared.requests.remove(*index)["id"].clone();
                        let response = json!({ "type": "res", "id": id, "ok": true, "payload": ended("x") });
                        shared.frame(&response.to_string());
                    }
                }
                Step::HangUp { nth } if nth < keys.len() && !shared.clients[nth].has_ended => {
                    if queued(&shared, nth) {
                        left_queue.push(u64::try_from(nth + 1).unwrap());
                    }
                    let id = shared.clients[nth].id;
                    shared.give(Input::HungUp(id));
                }
                Step::Lose => shared.give(Input::Closed { code: 1006 }),
                Step::Connect if !is_ready => {
                    shared.shake_hands();
                    is_ready = shared.methods().contains(&"connect");
                }
                Step::Pass { ms } => shared.pass_ms(ms),
                _ => {}
            }
            if before != (shared.connects, shared.disconnects) {
                is_ready = false;
            }
            for run in requested(&mut shared) {
                *times.entry(run).or_default() += 1;
                prop_assert!(!left_queue.contains(&run), "{} was started", run);
            }
            let living = (0..keys.len()).filter(|client| !shared.clients[*client].has_ended);
            let (waiting, going): (Vec<usize>, Vec<usize>) =
                living.partition(|client| queued(&shared, *client));
            prop_assert!(going.len() <= max_runs, "{} runs at a time", going.len());
            let has_room = going.len() < max_runs;
            prop_assert!(waiting.is_empty() || !has_room, "{} wait", waiting.len());
            for client in going {
                let is_passed = |other: &&usize| keys[**other] == keys[client] && **other < client;
                prop_assert_eq!(waiting.iter().find(is_passed), None, "not in order");
            }
        }
        // Each that waits gets its turn.
        for _ in 0..2_000 {
            let Some(at_ms) = shared.hub.wake_at_ms() else { break };
            shared.now_ms = shared.now_ms.max(at_ms);
            shared.give(Input::Tick);
        }
        prop_assert!(shared.clients.iter().all(|client| client.has_ended), "an exchange does not end");
    }
}

#[test]
fn an_answer_that_waits_for_a_sub_agent_takes_no_place_of_the_gateway() {
    let mut shared = limited(1);
    let body = json!({ "model": "openclaw", "input": "q" });
    let mut response = crate::branch::accept(1, &body, &[], false);
    response.accepted.turn.linger_s = 3600;
    let mut exchange = crate::branch::exchange_of(response, "agents=main");
    exchange.set_key(KeyId::parse("phone").unwrap());
    shared.add(exchange, "01".repeat(16));
    begin(&mut shared, "laptop", 2);
    let asked = shared.requests.iter().find(|it| it["method"] == "agent");
    let id = asked.unwrap()["id"].clone();
    let reply =
        |payload: &Value| json!({ "type": "res", "id": id, "ok": true, "payload": payload });
    shared.frame(&reply(&json!({ "status": "accepted" })).to_string());
    assert_eq!(requested(&mut shared), [1]);
    let mut answer = ended("done");
    answer["result"]["acceptedSessionSpawns"] =
        json!([{ "runId": "kid1", "childSessionKey": "agent:main:subagent:a" }]);
    shared.frame(&reply(&answer).to_string());
    assert_eq!(requested(&mut shared), [1, 2]);
}
