//! A run that was asked for, and whose connection was lost before the gateway accepted it: it is
//! asked for once more only where that cannot start a second run.

use clawfront_core::openai::Delivery;
use serde_json::{Value, json};

use crate::recovery::claim;
use crate::replay::{Input, RUN_ID};
use crate::scenario::{CHALLENGE, HELLO, Scenario};

const STREAM: Delivery = Delivery::Stream {
    include_usage: false,
};

/// The hello of this process of the gateway.
fn hello(boot_id: &str) -> String {
    let server = format!(r#""protocol":4,"server":{{"bootId":"{boot_id}"}}"#);
    HELLO.replace(r#""protocol":4"#, &server)
}

/// Connects to this process.
fn connect(scenario: &mut Scenario, boot_id: &str) {
    scenario.frame(CHALLENGE);
    scenario.frame(&hello(boot_id));
}

/// Answers the last request.
fn answer(scenario: &mut Scenario, ok: bool, content: &Value) {
    let id = scenario.last_request()["id"].clone();
    let member = if ok { "payload" } else { "error" };
    let frame = json!({ "type": "res", "id": id, "ok": ok, member: content });
    scenario.frame(&frame.to_string());
}

fn unknown(scenario: &mut Scenario) {
    let error = json!({ "code": "INVALID_REQUEST", "message": "" });
    answer(scenario, false, &error);
}

/// The run was asked of the process `a`, the connection was lost, and process `b` was asked about
/// the run.
fn asked_about(boot_ids: [&str; 2]) -> Scenario {
    let mut scenario = Scenario::new(STREAM);
    connect(&mut scenario, boot_ids[0]);
    assert_eq!(scenario.last_method(), "agent");
    scenario.give(Input::Closed { code: 1006 });
    scenario.next_attempt();
    connect(&mut scenario, boot_ids[1]);
    assert_eq!(scenario.last_request()["params"], claim());
    scenario
}

/// The process that was asked does not know the run, and the session does not have it.
fn asked_again() -> Scenario {
    let mut scenario = asked_about(["a", "a"]);
    unknown(&mut scenario);
    assert_eq!(scenario.last_method(), "sessions.get");
    answer(&mut scenario, true, &json!({ "messages": [] }));
    scenario
}

/// Returns the requests that could start a run.
fn asks(scenario: &Scenario) -> Vec<Value> {
    let frames = scenario.shown.frames.iter();
    let frames = frames.map(|frame| serde_json::from_str::<Value>(frame).unwrap());
    frames
        .filter(|frame| frame["method"] == "agent")
        .map(|frame| frame["params"].clone())
        .filter(|params| *params != claim())
        .collect()
}

fn ended(text: &str) -> Value {
    json!({ "status": "ok", "result": { "payloads": [{ "text": text }], "meta": { "finalAssistantVisibleText": text } } })
}

#[test]
fn a_run_whose_request_never_arrived_is_asked_for_once_more_with_the_same_words() {
    let mut scenario = asked_again();
    let requests = asks(&scenario);
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], requests[1]);
    assert_eq!(requests[0]["message"], "hi");
    answer(&mut scenario, true, &json!({ "status": "accepted" }));
    let data = json!({ "text": "Hello", "delta": "Hello", "itemId": "1" });
    let payload = json!({ "runId": RUN_ID, "stream": "assistant", "data": data });
    let text = json!({ "type": "event", "event": "agent", "payload": payload });
    scenario.frame(&text.to_string());
    assert!(scenario.shown.body.contains("Hello"), "it streams");
    answer(&mut scenario, true, &ended("Hello"));
    let body = &scenario.shown.body;
    assert!(scenario.shown.ended && body.contains(r#""finish_reason":"stop""#));
    assert_eq!(body.matches("Hello").count(), 1, "{body}");
}

#[test]
fn a_run_whose_first_request_came_late_is_joined() {
    let mut scenario = asked_again();
    answer(&mut scenario, true, &json!({ "status": "in_flight" }));
    assert_eq!(scenario.last_method(), "agent.wait");
    answer(
        &mut scenario,
        true,
        &json!({ "status": "ok", "endedAt": 1 }),
    );
    assert_eq!(scenario.last_request()["params"], claim());
    answer(&mut scenario, true, &ended("Hello"));
    assert!(scenario.shown.ended && scenario.shown.body.contains("Hello"));
    assert_eq!(asks(&scenario).len(), 2);
}

#[test]
fn a_run_is_asked_for_no_third_time() {
    let mut scenario = asked_again();
    scenario.give(Input::Closed { code: 1006 });
    scenario.next_attempt();
    connect(&mut scenario, "a");
    unknown(&mut scenario);
    assert_eq!(scenario.last_method(), "agent.wait");
    answer(&mut scenario, true, &json!({ "status": "timeout" }));
    unknown(&mut scenario);
    let shown = &scenario.shown;
    assert!(shown.ended && shown.body.contains("gateway_connection_lost"));
    assert_eq!(asks(&scenario).len(), 2);
}

#[test]
fn a_run_that_may_have_begun_is_not_asked_for_again() {
    // Another process, or one without a name, may have forgotten it.
    for boot_ids in [["a", "b"], ["", ""], ["a", ""], ["", "a"]] {
        let mut scenario = asked_about(boot_ids);
        unknown(&mut scenario);
        assert_eq!(scenario.last_method(), "agent.wait", "{boot_ids:?}");
        assert_eq!(asks(&scenario).len(), 1);
    }
    // The gateway forgets a key after five minutes.
    let mut scenario = Scenario::new(STREAM);
    connect(&mut scenario, "a");
    scenario.give(Input::Closed { code: 1006 });
    for attempt in 0..10 {
        scenario.next_attempt();
        connect(&mut scenario, "a");
        scenario.at_ms(30_000 * (attempt + 1));
        scenario.give(Input::Closed { code: 1006 });
    }
    scenario.next_attempt();
    connect(&mut scenario, "a");
    unknown(&mut scenario);
    assert_eq!(scenario.last_method(), "agent.wait");
    assert_eq!(asks(&scenario).len(), 1);

    // It was accepted, or an event of it came.
    let payload = json!({ "runId": RUN_ID, "stream": "lifecycle", "data": { "phase": "start" } });
    let event = json!({ "type": "event", "event": "agent", "payload": payload });
    let accepted = r#"{"type":"res","id":"3","ok":true,"payload":{"status":"accepted"}}"#;
    for frame in [accepted, &event.to_string()] {
        let mut scenario = Scenario::new(STREAM);
        connect(&mut scenario, "a");
        scenario.frame(frame);
        scenario.give(Input::Closed { code: 1006 });
        scenario.next_attempt();
        connect(&mut scenario, "a");
        unknown(&mut scenario);
        assert_eq!(scenario.last_method(), "agent.wait", "{frame}");
    }
}

#[test]
fn a_run_that_its_session_has_is_not_asked_for_again() {
    let mut scenario = asked_about(["a", "a"]);
    unknown(&mut scenario);
    let rows = json!({ "messages": [
        { "role": "user", "content": "hi", "idempotencyKey": format!("{RUN_ID}:user") },
        { "role": "assistant", "content": "Hello", "stopReason": "stop" },
    ] });
    answer(&mut scenario, true, &rows);
    assert_eq!(scenario.last_request()["params"], claim());
    unknown(&mut scenario);
    assert!(scenario.shown.ended && scenario.shown.body.contains("Hello"));
    assert_eq!(asks(&scenario).len(), 1);
}

#[test]
fn a_run_is_not_asked_for_again_without_the_sessions_rows() {
    for (ok, content) in [
        (true, json!({ "messages": 5 })),
        (false, json!({ "code": "UNAVAILABLE" })),
        (false, json!({ "code": "FORBIDDEN" })),
    ] {
        let mut scenario = asked_about(["a", "a"]);
        unknown(&mut scenario);
        answer(&mut scenario, ok, &content);
        assert!(scenario.shown.ended, "{content}");
        assert_eq!(scenario.shown.status(), 400, "{content}");
        assert_eq!(scenario.shown.header("x-should-retry"), Some("false"));
        assert_eq!(asks(&scenario).len(), 1);
    }
}

#[test]
fn a_loss_or_a_client_that_leaves_before_the_second_request_is_handled_as_before_it() {
    let mut looking = asked_about(["a", "a"]);
    unknown(&mut looking);
    let mut scenario = looking.clone();
    scenario.give(Input::HungUp);
    assert_eq!(scenario.last_method(), "chat.abort");
    assert!(scenario.shown.ended);

    let mut scenario = looking;
    scenario.give(Input::Closed { code: 1006 });
    scenario.next_attempt();
    connect(&mut scenario, "a");
    assert_eq!(scenario.last_request()["params"], claim());
    unknown(&mut scenario);
    assert_eq!(scenario.last_method(), "sessions.get");
}

#[test]
fn the_content_of_the_request_is_kept_until_the_run_is_accepted() {
    let mut scenario = Scenario::new(STREAM);
    assert!(!scenario.exchange.keeps_request(), "nothing was asked for");
    connect(&mut scenario, "a");
    assert!(scenario.exchange.keeps_request());
    answer(&mut scenario, true, &json!({ "status": "accepted" }));
    assert!(!scenario.exchange.keeps_request());
    assert!(!asked_again().exchange.keeps_request());
    // Nothing asks a gateway again whose process has no name.
    assert!(!Scenario::new(STREAM).requested().exchange.keeps_request());
}
