//! Runs whose agent asks its user a question.

use clawfront_core::openai::Delivery;
use serde_json::{Value, json};

use crate::replay::Input;
use crate::scenario::Scenario;

const STREAM: Delivery = Delivery::Stream {
    include_usage: true,
};
const STARTED: &str = r#"{"name":"ask_user","kind":"tool","phase":"start"}"#;
const REFUSED: &str = r#"{"name":"ask_user","kind":"tool","phase":"end","status":"failed"}"#;
const QUESTION: &str = "Where to?\n\n1. Here\n2. There";
const STOPPED: &str =
    r#"{"type":"res","id":"3","ok":true,"payload":{"status":"timeout","summary":"aborted"}}"#;

/// A run that has asked, and the row of its question.
struct Asking {
    scenario: Scenario,
    run: String,
}

impl Asking {
    fn new(delivery: Delivery) -> Self {
        let scenario = Scenario::new(delivery).accepted();
        let agent: Value = serde_json::from_str(&scenario.shown.frames[2]).unwrap();
        let run = agent["params"]["idempotencyKey"]
            .as_str()
            .unwrap()
            .to_owned();
        let mut asking = Self { scenario, run };
        asking.event("assistant", r#"{"text":"Hm.","delta":"Hm.","itemId":"1"}"#);
        asking.event("item", STARTED);
        asking
    }

    fn event(&mut self, stream: &str, data: &str) {
        let run = &self.run;
        let frame = format!(
            r#"{{"type":"event","event":"agent","payload":{{"runId":"{run}","stream":"{stream}","data":{data}}}}}"#
        );
        self.scenario.frame(&frame);
    }

    /// Answers the last request, for the rows, with these rows after the message.
    fn show_rows(&mut self, rows: &[Value]) {
        let request = self.scenario.last_request();
        assert_eq!(request["method"], "sessions.get");
        let mut messages = vec![
            json!({ "role": "user", "content": "q", "idempotencyKey": format!("{}:user", self.run) }),
        ];
        messages.extend_from_slice(rows);
        let frame = json!({
            "type": "res", "id": request["id"], "ok": true, "payload": { "messages": messages },
        });
        self.scenario.frame(&frame.to_string());
    }

    fn body(&self) -> &str {
        &self.scenario.shown.body
    }
}

fn question_row() -> Value {
    let options = json!([{ "label": "Here" }, { "label": "There" }]);
    json!({
        "role": "assistant",
        "stopReason": "toolUse",
        "usage": { "input": 7, "output": 5 },
        "content": [
            { "type": "text", "text": "Hm." },
            { "type": "toolCall", "name": "ask_user", "arguments": {
                "questions": [{ "question": "Where to?", "options": options }],
            } },
        ],
    })
}

#[test]
fn a_question_ends_the_answer() {
    let mut asking = Asking::new(Delivery::Whole);
    assert_eq!(asking.scenario.last_method(), "agent");
    asking.scenario.at_ms(1_000).tick();
    asking.show_rows(&[question_row()]);
    let abort = asking.scenario.last_request();
    assert_eq!(abort["method"], "chat.abort");
    assert_eq!(abort["params"]["runId"], asking.run.as_str());
    asking.scenario.frame(STOPPED);
    assert!(asking.scenario.shown.ended);
    let answer: Value = serde_json::from_str(asking.body()).unwrap();
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        format!("Hm.\n\n{QUESTION}")
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["total_tokens"], 12);
}

#[test]
fn a_question_is_streamed_before_the_run_has_stopped() {
    let mut asking = Asking::new(STREAM);
    asking.scenario.at_ms(1_000).tick();
    asking.show_rows(&[question_row()]);
    assert!(asking.body().contains("1. Here"));
    assert!(!asking.scenario.shown.ended);
    asking.scenario.frame(STOPPED);
    assert!(asking.body().ends_with("data: [DONE]\n\n"));
    assert!(asking.body().contains(r#""finish_reason":"stop""#));
}

#[test]
fn a_question_that_is_refused_or_answered_at_once_shows_nothing() {
    let mut asking = Asking::new(STREAM);
    asking.event("item", REFUSED);
    asking.scenario.at_ms(1_000).tick();
    assert_eq!(asking.scenario.last_method(), "agent");

    // It ended before the rows came.
    let mut asking = Asking::new(STREAM);
    asking.scenario.at_ms(1_000).tick();
    asking.event("item", REFUSED);
    asking.show_rows(&[question_row()]);
    assert!(!asking.body().contains("Where to?"));
    assert_eq!(asking.scenario.last_method(), "sessions.get");
}

#[test]
fn a_question_that_cannot_be_read_is_waited_for() {
    let other = json!({ "role": "toolResult", "content": [] });
    for rows in [vec![], vec![question_row(), other]] {
        let mut asking = Asking::new(STREAM);
        asking.scenario.at_ms(1_000).tick();
        asking.show_rows(&rows);
        assert!(
            asking
                .body()
                .contains(": waiting for an answer to the agent's question\n")
        );
        assert_eq!(asking.scenario.last_method(), "sessions.get");
        assert!(!asking.scenario.shown.ended);
    }
}

#[test]
fn a_run_that_was_not_stopped_in_time_has_its_own_end() {
    let mut asking = Asking::new(STREAM);
    asking.scenario.at_ms(1_000).tick();
    asking.show_rows(&[question_row()]);
    asking.event(
        "assistant",
        r#"{"text":"Well.","delta":"Well.","itemId":"2"}"#,
    );
    let ended = json!({
        "type": "res", "id": "3", "ok": true,
        "payload": { "status": "ok", "result": {
            "payloads": [{ "text": "Well." }],
            "meta": { "finalAssistantVisibleText": "Well.", "agentMeta": { "usage": { "input": 1, "output": 2 } } },
        } },
    });
    asking.scenario.frame(&ended.to_string());
    assert!(asking.scenario.shown.ended);
    assert!(asking.body().contains("Well."));
    assert!(asking.body().contains(r#""total_tokens":3"#));
}

#[test]
fn a_question_whose_connection_is_lost_is_read_on_the_next_one() {
    let mut asking = Asking::new(Delivery::Whole);
    asking
        .scenario
        .at_ms(500)
        .give(Input::Closed { code: 1012 });
    asking.scenario.next_attempt();
    asking.scenario = asking.scenario.requested();
    let claim = asking.scenario.last_request();
    assert_eq!(claim["params"]["agentId"], "clawfront-nobody");
    let going = json!({ "type": "res", "id": claim["id"], "ok": true, "payload": { "status": "in_flight" } });
    asking.scenario.frame(&going.to_string());
    let wait = asking.scenario.last_request();
    assert_eq!(wait["method"], "agent.wait");
    asking.scenario.tick();
    asking.show_rows(&[question_row()]);
    assert_eq!(asking.scenario.last_method(), "chat.abort");
    let stopped = json!({ "type": "res", "id": wait["id"], "ok": true, "payload": { "status": "timeout", "endedAt": 1 } });
    asking.scenario.frame(&stopped.to_string());
    let claim = asking.scenario.last_request();
    let stopped = json!({ "type": "res", "id": claim["id"], "ok": true, "payload": { "status": "timeout", "summary": "aborted" } });
    asking.scenario.frame(&stopped.to_string());
    assert!(asking.scenario.shown.ended);
    let answer: Value = serde_json::from_str(asking.body().trim()).unwrap();
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(content.ends_with(QUESTION), "{content}");
}

impl Asking {
    /// A run that has asked without a text that was received.
    fn silent(delivery: Delivery) -> Self {
        let scenario = Scenario::new(delivery).accepted();
        let agent: Value = serde_json::from_str(&scenario.shown.frames[2]).unwrap();
        let run = agent["params"]["idempotencyKey"]
            .as_str()
            .unwrap()
            .to_owned();
        let mut asking = Self { scenario, run };
        asking.event("item", STARTED);
        asking
    }

    /// The connection is lost, and the run is going on the next one. Returns the id of the wait.
    fn reconnect(&mut self) -> Value {
        self.scenario.give(Input::Closed { code: 1012 });
        self.scenario.next_attempt();
        self.scenario.shown.frames.clear();
        self.scenario.frame(crate::scenario::CHALLENGE);
        self.scenario.frame(crate::scenario::HELLO);
        let claim = self.scenario.last_request();
        let going = json!({ "type": "res", "id": claim["id"], "ok": true, "payload": { "status": "in_flight" } });
        self.scenario.frame(&going.to_string());
        self.scenario
            .shown
            .frames
            .iter()
            .map(|frame| serde_json::from_str::<Value>(frame).unwrap())
            .find(|frame| frame["method"] == "agent.wait")
            .unwrap()["id"]
            .clone()
    }

    fn stop(&mut self, wait: &Value) {
        let stopped = json!({ "type": "res", "id": wait, "ok": true, "payload": { "status": "timeout", "endedAt": 1 } });
        self.scenario.frame(&stopped.to_string());
        let claim = self.scenario.last_request();
        let stopped = json!({ "type": "res", "id": claim["id"], "ok": true, "payload": { "status": "timeout", "summary": "aborted" } });
        self.scenario.frame(&stopped.to_string());
    }
}

#[test]
fn a_run_whose_stop_was_lost_is_stopped_on_the_next_connection() {
    let mut asking = Asking::new(STREAM);
    asking.scenario.at_ms(1_000).tick();
    asking.show_rows(&[question_row()]);
    assert_eq!(asking.scenario.last_method(), "chat.abort");
    asking.reconnect();
    let after_ms = asking.scenario.wake_at_ms().unwrap();
    asking.scenario.at_ms(after_ms).tick();
    assert!(
        asking
            .scenario
            .shown
            .methods()
            .contains(&"chat.abort".to_owned())
    );
}

#[test]
fn a_text_before_the_question_that_was_not_received_is_shown() {
    let mut asking = Asking::silent(Delivery::Whole);
    asking.scenario.at_ms(500);
    let wait = asking.reconnect();
    asking.scenario.tick();
    asking.show_rows(&[question_row()]);
    asking.stop(&wait);
    let answer: Value = serde_json::from_str(asking.body().trim()).unwrap();
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        format!("Hm.\n\n{QUESTION}")
    );
}

#[test]
fn rows_that_are_too_large_do_not_end_the_run() {
    let mut asking = Asking::new(STREAM);
    asking.scenario.at_ms(1_000).tick();
    let id = asking.scenario.last_request()["id"].clone();
    let large = "x".repeat(26_214_400);
    asking.scenario.frame(&format!(
        r#"{{"type":"res","id":{id},"ok":true,"payload":{{"messages":[{{"role":"toolResult","content":"{large}"}}]}}}}"#
    ));
    assert_ne!(asking.scenario.last_method(), "chat.abort");
    assert!(!asking.scenario.shown.ended);
}

#[test]
fn a_text_after_the_question_is_a_paragraph() {
    let mut asking = Asking::silent(STREAM);
    asking.scenario.at_ms(1_000).tick();
    let mut row = question_row();
    row["content"].as_array_mut().unwrap().remove(0);
    asking.show_rows(&[row]);
    asking.event(
        "assistant",
        r#"{"text":"Well.","delta":"Well.","itemId":"2"}"#,
    );
    let text: String = asking
        .body()
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|data| serde_json::from_str::<Value>(&format!("{{{data}")).unwrap())
        .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect();
    assert_eq!(text, format!("{QUESTION}\n\nWell."));
}

/// The rows of a run that ended with the question.
fn rows_of(run: &str) -> Value {
    json!({ "messages": [
        { "role": "user", "content": "q", "idempotencyKey": format!("{run}:user") },
        question_row(),
    ] })
}

const ABORTED: &str = r#"{"status":"timeout","summary":"aborted"}"#;

#[test]
fn a_retry_of_an_answer_that_ended_with_a_question_gets_it_again() {
    let run = "01".repeat(16);
    let mut shared = crate::shared::Shared::connected();
    shared.attempt(1, 0, crate::kept::FIELDS[0]).unwrap();
    let agent = shared.take("agent")["id"].clone();
    let respond = |payload: &Value| {
        json!({ "type": "res", "id": agent, "ok": true, "payload": payload }).to_string()
    };
    shared.frame(&respond(&json!({ "status": "accepted" })));
    let event = format!(
        r#"{{"type":"event","event":"agent","payload":{{"runId":"{run}","stream":"item","data":{STARTED}}}}}"#
    );
    shared.frame(&event);
    shared.pass_ms(1_000);
    shared.respond("sessions.get", &rows_of(&run));
    shared.take("chat.abort");
    shared.frame(&respond(&serde_json::from_str(ABORTED).unwrap()));
    assert!(shared.clients[0].has_ended && shared.clients[0].body.contains("[DONE]"));
    // The client has not received the end, and sends the request again.
    shared.requests.clear();
    let retry = shared.attempt(1, 1, crate::kept::FIELDS[0]).unwrap();
    shared.respond("sessions.get", &rows_of(&run));
    shared.respond("agent", &serde_json::from_str(ABORTED).unwrap());
    let body = &shared.clients[retry].body;
    assert!(body.contains("1. Here"), "{body}");
}

#[test]
fn an_event_of_another_run_does_not_end_one_that_makes_media() {
    let mut shared = crate::shared::Shared::connected();
    shared.begin(1);
    shared.respond("agent", &json!({ "status": "accepted" }));
    let event = |run: &str, data: &str| {
        format!(
            r#"{{"type":"event","event":"agent","payload":{{"runId":"{run}","stream":"item","data":{data}}}}}"#
        )
    };
    let made = r#"{"name":"image_generate","kind":"tool","phase":"end","status":"completed"}"#;
    shared.frame(&event(&"01".repeat(16), made));
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat(26_214_400));
    shared.frame(&event(&"02".repeat(16), &large));
    assert!(!shared.clients[0].has_ended, "{}", shared.clients[0].body);
}

#[test]
fn the_tokens_of_a_question_are_counted_once() {
    let mut asking = Asking::new(Delivery::Whole);
    let agent: Value = serde_json::from_str(&asking.scenario.shown.frames[2]).unwrap();
    let session = agent["params"]["sessionKey"].as_str().unwrap().to_owned();
    asking.event(
        "item",
        r#"{"name":"image_generate","kind":"tool","phase":"end","status":"completed"}"#,
    );
    asking.scenario.at_ms(1_000).tick();
    asking.show_rows(&[question_row()]);
    // The run was not stopped in time: these are all its tokens.
    let ended = json!({ "type": "res", "id": "3", "ok": true, "payload": { "status": "ok", "result": {
        "payloads": [{ "text": "Hm." }],
        "meta": { "finalAssistantVisibleText": "Hm.", "agentMeta": { "usage": { "input": 7, "output": 5 } } },
    } } });
    asking.scenario.frame(&ended.to_string());
    let frame = format!(
        r#"{{"type":"event","event":"agent","payload":{{"runId":"image_generate:7:ok","stream":"lifecycle","data":{{"phase":"start"}},"sessionKey":"{session}"}}}}"#
    );
    asking.scenario.frame(&frame);
    let wait = asking.scenario.last_request()["id"].clone();
    asking.stop(&wait);
    if !asking.scenario.shown.ended {
        let id = asking.scenario.last_request()["id"].clone();
        let none = json!({ "type": "res", "id": id, "ok": true, "payload": { "tasks": [] } });
        asking.scenario.frame(&none.to_string());
    }
    let answer: Value = serde_json::from_str(asking.body().trim()).unwrap();
    assert_eq!(answer["usage"]["total_tokens"], 12);
}
