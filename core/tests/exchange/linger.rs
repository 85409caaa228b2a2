//! Answers that wait for sub-agents whose agent does not wait for them.

use clawfront_core::openai::Delivery;
use serde_json::{Value, json};

use crate::media::Making;
use crate::replay::{Input, exchange_asked};
use crate::scenario::Scenario;

const STREAM: Delivery = Delivery::Stream {
    include_usage: true,
};
const FIRST: &str = "announce:v1:agent:main:subagent:a:kid1";
const SECOND: &str = "announce:v1:agent:main:subagent:b:kid2";

/// An answer that has left these sub-agents behind.
fn spawned(delivery: Delivery, fields: &str, kids: &[(&str, &str)]) -> Making {
    let scenario = Scenario::of_key(delivery, &format!("agents=main {fields}"));
    let mut run = Making::accepted(scenario);
    run.text(None, "I ask.");
    end(&mut run, "3", "I ask.", kids);
    run
}

fn one(delivery: Delivery) -> Making {
    spawned(delivery, "linger=60", &[("a", "kid1")])
}

fn two() -> Making {
    spawned(
        Delivery::Whole,
        "linger=60",
        &[("a", "kid1"), ("b", "kid2")],
    )
}

/// Ends a run that has left these sub-agents behind.
fn end(run: &mut Making, id: &str, text: &str, kids: &[(&str, &str)]) {
    let spawns: Vec<Value> = kids
        .iter()
        .map(|(session, run)| {
            json!({ "runId": run, "childSessionKey": format!("agent:main:subagent:{session}"),
                "expectsCompletionMessage": true })
        })
        .collect();
    let payload = json!({ "status": "ok", "result": {
        "payloads": [{ "text": text }],
        "acceptedSessionSpawns": spawns,
        "meta": {
            "finalAssistantVisibleText": text,
            "agentMeta": { "usage": { "input": 10, "output": 2 }, "assistantTurns": 1 },
        },
    } });
    run.respond(id, &payload);
}

/// Answers the request for the tasks: each sub-agent's run, its state, and that of its result.
fn list(run: &mut Making, kids: &[(&str, &str, &str)]) {
    let tasks: Vec<Value> = kids
        .iter()
        .map(|(kid, status, delivery)| {
            json!({ "kind": "subagent", "sessionKey": run.session, "status": status,
                "runId": kid, "deliveryStatus": delivery })
        })
        .collect();
    run.answer("tasks.list", &json!({ "tasks": tasks }));
}

fn running(run: &mut Making, kids: &[&str]) {
    let kids: Vec<_> = kids
        .iter()
        .map(|kid| (*kid, "running", "pending"))
        .collect();
    list(run, &kids);
}

/// The agent reports a result in this run, which is claimed.
fn report(run: &mut Making, id: &str, text: &str) {
    run.begin(id);
    run.text(Some(id), text);
    run.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    claimed(run, id, text);
}

/// Answers the claim of a run that failed.
fn fail(run: &mut Making) {
    let id = run.asked("agent");
    let failed = json!({ "type": "res", "id": id, "ok": false, "payload": { "status": "error" },
        "error": { "code": "UNAVAILABLE", "message": "failed" } });
    run.scenario.frame(&failed.to_string());
}

/// Has the connection lost and replaced.
fn lose(run: &mut Making) {
    run.scenario.at_ms(100).give(Input::Closed { code: 1012 });
    run.scenario.next_attempt();
    run.scenario = run.scenario.clone().requested();
}

/// Has both of two sub-agents report.
fn both_reported() -> Making {
    let mut run = two();
    running(&mut run, &["kid1", "kid2"]);
    report(&mut run, FIRST, "One.");
    running(&mut run, &["kid2"]);
    report(&mut run, SECOND, "Two.");
    list(&mut run, &[]);
    run
}

/// Answers the claim of this run.
fn claimed(run: &mut Making, id: &str, text: &str) {
    let request = run.asked("agent");
    assert_eq!(run.scenario.last_request()["params"]["idempotencyKey"], id);
    run.end_run(&request, text, &json!(null));
}

#[test]
fn an_answer_waits_for_the_report_of_a_sub_agent() {
    let mut run = one(Delivery::Whole);
    running(&mut run, &["kid1"]);
    assert!(!run.has_ended());
    run.scenario.at_ms(5_000).tick();
    list(&mut run, &[("kid1", "completed", "pending")]);
    report(&mut run, FIRST, "The kid says so.");
    // One without words stays pending, and is not waited for again.
    list(&mut run, &[("kid1", "completed", "pending")]);
    let expected = "I ask.\n\nThe kid says so.".to_owned();
    assert_eq!(run.whole(), (expected, 24));
}

#[test]
fn a_key_without_linger_does_not_wait() {
    let run = spawned(Delivery::Whole, "", &[("a", "kid1")]);
    assert_eq!(run.whole(), ("I ask.".to_owned(), 12));
}

#[test]
fn an_answer_without_sub_agents_asks_nothing() {
    let run = spawned(Delivery::Whole, "linger=60", &[]);
    assert_eq!(run.whole(), ("I ask.".to_owned(), 12));
}

#[test]
fn a_result_that_the_answer_has_already_costs_one_question() {
    let mut run = one(Delivery::Whole);
    list(&mut run, &[("kid1", "completed", "delivered")]);
    assert_eq!(
        run.scenario.last_request()["params"]["idempotencyKey"],
        FIRST
    );
    run.refuse("agent", "INVALID_REQUEST");
    list(&mut run, &[("kid1", "completed", "delivered")]);
    assert_eq!(run.whole(), ("I ask.".to_owned(), 12));
}

#[test]
fn a_report_whose_events_were_missed_is_claimed() {
    let mut run = one(Delivery::Whole);
    running(&mut run, &["kid1"]);
    lose(&mut run);
    list(&mut run, &[("kid1", "completed", "delivered")]);
    claimed(&mut run, FIRST, "The kid says so.");
    list(&mut run, &[("kid1", "completed", "delivered")]);
    assert_eq!(run.whole().0, "I ask.\n\nThe kid says so.");
}

#[test]
fn the_run_after_the_last_of_two_reports_is_a_part_of_the_answer() {
    let mut run = two();
    let settled = format!("announce:requester-settle:main:{}:kid1,kid2", run.session);
    running(&mut run, &["kid1", "kid2"]);
    report(&mut run, FIRST, "One.");
    running(&mut run, &["kid2"]);
    report(&mut run, SECOND, "Two.");
    list(&mut run, &[]);
    assert!(!run.has_ended(), "the last run may follow");
    report(&mut run, &settled, "Both are done.");
    list(&mut run, &[]);
    let expected = "I ask.\n\nOne.\n\nTwo.\n\nBoth are done.".to_owned();
    assert_eq!(run.whole(), (expected, 48));
}

#[test]
fn two_reports_without_a_further_run_end_the_answer_five_seconds_later() {
    let mut run = both_reported();
    run.scenario.at_ms(4_999).tick();
    assert!(!run.has_ended());
    run.scenario.at_ms(5_000).tick();
    list(&mut run, &[]);
    assert_eq!(run.whole().0, "I ask.\n\nOne.\n\nTwo.");
}

#[test]
fn reports_that_begin_while_another_is_read_are_not_lost() {
    let mut run = two();
    running(&mut run, &["kid1", "kid2"]);
    run.begin(FIRST);
    run.begin(SECOND);
    run.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    claimed(&mut run, FIRST, "One.");
    claimed(&mut run, SECOND, "Two.");
    list(&mut run, &[]);
    run.scenario.at_ms(5_000).tick();
    list(&mut run, &[]);
    assert_eq!(run.whole().0, "I ask.\n\nOne.\n\nTwo.");
}

#[test]
fn late_events_of_a_report_that_was_read_do_not_show_it_again() {
    let mut run = one(Delivery::Whole);
    running(&mut run, &["kid1"]);
    report(&mut run, FIRST, "The kid says so.");
    run.text(Some(FIRST), "The kid says so.");
    list(&mut run, &[("kid1", "completed", "pending")]);
    assert_eq!(run.whole().0, "I ask.\n\nThe kid says so.");
}

#[test]
fn a_report_that_starts_another_sub_agent_is_followed_by_that_ones() {
    let mut run = one(Delivery::Whole);
    running(&mut run, &["kid1"]);
    run.begin(FIRST);
    run.text(Some(FIRST), "I ask another.");
    run.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    let id = run.asked("agent");
    end(&mut run, &id, "I ask another.", &[("b", "kid2")]);
    running(&mut run, &["kid2"]);
    report(&mut run, SECOND, "Done.");
    list(&mut run, &[]);
    run.scenario.at_ms(5_000).tick();
    list(&mut run, &[]);
    assert_eq!(run.whole().0, "I ask.\n\nI ask another.\n\nDone.");
}

#[test]
fn a_sub_agent_of_another_session_or_turn_is_not_shown() {
    let mut run = one(STREAM);
    running(&mut run, &["kid1"]);
    let own = std::mem::replace(&mut run.session, "agent:main:other".to_owned());
    run.begin(FIRST);
    run.text(Some(FIRST), "Secret.");
    run.session = own;
    run.begin(SECOND);
    run.text(Some(SECOND), "Secret.");
    run.scenario.at_ms(60_000).tick();
    running(&mut run, &["kid1"]);
    assert!(run.has_ended());
    assert!(!run.scenario.shown.body.contains("Secret."));
}

#[test]
fn an_answer_waits_no_longer_than_its_key_says() {
    let mut run = one(STREAM);
    let waits = ": waiting for sub-agents\n";
    assert!(run.scenario.shown.body.contains(waits));
    for after_ms in (0..=60_000).step_by(5_000) {
        assert!(!run.has_ended());
        run.scenario.at_ms(after_ms).tick();
        running(&mut run, &["kid1"]);
    }
    assert!(run.has_ended());
    assert!(
        run.scenario
            .shown
            .body
            .contains(r#""finish_reason":"stop""#)
    );
}

#[test]
fn a_report_that_failed_leaves_the_answer() {
    let mut run = one(Delivery::Whole);
    running(&mut run, &["kid1"]);
    run.begin(FIRST);
    run.answer("agent.wait", &json!({ "status": "error", "endedAt": 1 }));
    fail(&mut run);
    list(&mut run, &[("kid1", "completed", "pending")]);
    assert_eq!(run.whole(), ("I ask.".to_owned(), 12));
}

#[test]
fn a_gateway_that_is_gone_leaves_the_answer_that_was_complete() {
    let mut run = one(Delivery::Whole);
    running(&mut run, &["kid1"]);
    run.scenario.at_ms(100).give(Input::Closed { code: 1012 });
    run.scenario.out_of_reach();
    assert_eq!(run.whole().0, "I ask.");
}

#[test]
fn an_answer_that_takes_no_further_text_does_not_wait() {
    for more in [
        r#""response_format":{"type":"json_object"}"#,
        r#""stop":"END""#,
    ] {
        let body = format!(
            r#"{{"model":"openclaw","messages":[{{"role":"user","content":"hi"}}],{more}}}"#
        );
        let scenario = exchange_asked(&body, &[], Delivery::Whole, "agents=main linger=60");
        let scenario = Scenario::of(scenario);
        let mut run = Making::accepted(scenario);
        run.text(None, r#"{"a":1}"#);
        end(&mut run, "3", r#"{"a":1}"#, &[("a", "kid1")]);
        assert_eq!(run.whole().0, r#"{"a":1}"#, "{more}");
    }
}

#[test]
fn the_next_hub_looks_for_the_answer_and_not_for_a_report() {
    let mut run = one(STREAM);
    let kept = |run: &Making| {
        let kept = run.scenario.exchange.kept().unwrap();
        (kept.id.to_owned(), kept.spent)
    };
    let expected = (run.run.clone(), [0, 0, 0]);
    assert_eq!(kept(&run), expected);
    running(&mut run, &["kid1"]);
    run.begin(FIRST);
    assert_eq!(kept(&run), expected);
    run.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    claimed(&mut run, FIRST, "The kid says so.");
    assert_eq!(kept(&run), expected);
}

/// The end of a run that called its model this many times.
fn ended(text: &str, calls: u64) -> Value {
    json!({ "status": "ok", "result": {
        "payloads": [{ "text": text }],
        "meta": {
            "finalAssistantVisibleText": text,
            "agentMeta": { "usage": { "input": 10, "output": 2 }, "assistantTurns": calls },
        },
    } })
}

/// A report of which the client got some words.
fn begun() -> Making {
    let mut run = one(STREAM);
    running(&mut run, &["kid1"]);
    run.begin(FIRST);
    run.text(Some(FIRST), "Delete the old files, but do not");
    run
}

fn is_failed(run: &Making) -> bool {
    let body = &run.scenario.shown.body;
    run.has_ended() && body.contains(r#""error""#) && !body.contains(r#""finish_reason":"stop""#)
}

#[test]
fn a_report_that_is_cut_off_is_no_success() {
    let mut run = begun();
    run.scenario.at_ms(100).give(Input::Closed { code: 1012 });
    run.scenario.out_of_reach();
    assert!(is_failed(&run), "the gateway is gone");

    let mut run = begun();
    run.answer("agent.wait", &json!({ "status": "error", "endedAt": 1 }));
    fail(&mut run);
    assert!(is_failed(&run), "its run failed");

    let mut run = begun();
    run.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    let id = run.asked("agent");
    let aborted =
        json!({ "status": "timeout", "result": { "payloads": [], "meta": { "aborted": true } } });
    run.respond(&id, &aborted);
    assert!(is_failed(&run), "its run was stopped");

    let mut run = begun();
    let data =
        json!({ "text": "Delete", "delta": "", "itemId": "Delete the old files, but do not" });
    run.event(Some(FIRST), "assistant", &data);
    run.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    let id = run.asked("agent");
    run.respond(&id, &ended("Delete", 1));
    assert!(is_failed(&run), "its text was taken back");
}

#[test]
fn a_report_that_waits_for_a_sub_agent_of_its_own_is_followed() {
    let mut run = one(Delivery::Whole);
    running(&mut run, &["kid1"]);
    run.begin(FIRST);
    run.text(Some(FIRST), "I ask another.");
    run.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    let id = run.asked("agent");
    let mut yielded = ended("I ask another.", 1);
    yielded["result"]["meta"]["yielded"] = json!(true);
    yielded["result"]["acceptedSessionSpawns"] =
        json!([{ "runId": "kid2", "childSessionKey": "agent:main:subagent:b" }]);
    run.respond(&id, &yielded);
    running(&mut run, &["kid2"]);
    let settled = format!(
        "announce:requester-settle:main:{}:kid2:yield-1",
        run.session
    );
    report(&mut run, &settled, "It is done.");
    list(&mut run, &[("kid2", "completed", "delivered")]);
    run.refuse("agent", "INVALID_REQUEST");
    list(&mut run, &[("kid2", "completed", "delivered")]);
    assert_eq!(run.whole().0, "I ask.\n\nI ask another.\n\nIt is done.");
}

#[test]
fn a_report_whose_events_were_missed_has_its_last_text() {
    let mut run = one(Delivery::Whole);
    list(&mut run, &[("kid1", "completed", "delivered")]);
    let id = run.asked("agent");
    run.respond(&id, &ended("The kid says so.", 2));
    list(&mut run, &[("kid1", "completed", "delivered")]);
    assert_eq!(run.whole().0, "I ask.\n\nThe kid says so.");
}

#[test]
fn a_result_in_the_gateways_queue_is_waited_for() {
    let mut run = one(Delivery::Whole);
    list(&mut run, &[("kid1", "completed", "session_queued")]);
    run.scenario.at_ms(5_000).tick();
    assert_eq!(run.scenario.last_method(), "tasks.list");
}

#[test]
fn a_report_that_the_gateway_has_forgotten_leaves_the_others() {
    let mut run = two();
    running(&mut run, &["kid1", "kid2"]);
    run.begin(FIRST);
    run.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    run.refuse("agent", "INVALID_REQUEST");
    running(&mut run, &["kid2"]);
    report(&mut run, SECOND, "Two.");
    list(&mut run, &[]);
    run.scenario.at_ms(5_000).tick();
    list(&mut run, &[]);
    assert_eq!(run.whole().0, "I ask.\n\nTwo.");
}

#[test]
fn media_and_sub_agents_have_limits_of_their_own() {
    let made =
        json!({ "name": "image_generate", "kind": "tool", "phase": "end", "status": "completed" });
    let mut run = Making::accepted(Scenario::of_key(Delivery::Whole, "agents=main linger=10"));
    run.event(None, "item", &made);
    run.text(None, "I ask.");
    end(&mut run, "3", "I ask.", &[("a", "kid1")]);
    running(&mut run, &["kid1"]);
    run.scenario.at_ms(10_000).tick();
    running(&mut run, &["kid1"]);
    assert!(run.has_ended(), "the sub-agent's");

    let mut run = spawned(Delivery::Whole, "linger=10", &[("a", "kid1")]);
    running(&mut run, &["kid1"]);
    run.begin(FIRST);
    run.event(Some(FIRST), "item", &made);
    run.text(Some(FIRST), "Making it.");
    run.scenario.at_ms(11_000);
    run.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    claimed(&mut run, FIRST, "Making it.");
    let task =
        json!({ "kind": "image_generation", "sessionKey": run.session, "status": "running" });
    run.answer("tasks.list", &json!({ "tasks": [task] }));
    assert!(!run.has_ended(), "the media's");
}

#[test]
fn a_client_that_leaves_ends_the_wait_and_stops_nothing() {
    for fields in ["linger=60", "linger=60 on_disconnect=finish"] {
        let mut run = spawned(STREAM, fields, &[("a", "kid1")]);
        running(&mut run, &["kid1"]);
        run.begin(FIRST);
        run.text(Some(FIRST), "The kid");
        run.scenario.at_ms(10).give(Input::HungUp);
        assert!(
            run.has_ended() && !run.scenario.exchange.goes_on(),
            "{fields}"
        );
        assert_eq!(run.scenario.last_method(), "agent.wait", "{fields}");
    }
}

#[test]
fn a_connection_that_is_lost_after_the_last_report_does_not_shorten_the_wait() {
    let mut run = both_reported();
    lose(&mut run);
    list(&mut run, &[]);
    assert!(!run.has_ended());
}
