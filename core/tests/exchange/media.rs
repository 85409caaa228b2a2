//! Runs whose agent has media made in the background.

use clawfront_core::openai::Delivery;
use serde_json::{Value, json};

use crate::replay::Input;
use crate::scenario::Scenario;

const STREAM: Delivery = Delivery::Stream {
    include_usage: true,
};
const LATER: &str = "image_generate:7:ok:agent-loop";
const SHOWN: &str = "Making it.\n\nHere it is.\n\n![red.png]";

/// A run that has started a task.
pub(crate) struct Making {
    pub(crate) scenario: Scenario,
    pub(crate) run: String,
    pub(crate) session: String,
}

impl Making {
    fn new(delivery: Delivery) -> Self {
        Self::of(Scenario::new(delivery))
    }

    fn of(scenario: Scenario) -> Self {
        let mut making = Self::accepted(scenario);
        let started = json!({ "name": "image_generate", "kind": "tool", "phase": "end", "status": "completed" });
        making.event(None, "item", &started);
        making
    }

    /// A run that was accepted.
    pub(crate) fn accepted(scenario: Scenario) -> Self {
        let scenario = scenario.accepted();
        let agent: Value = serde_json::from_str(&scenario.shown.frames[2]).unwrap();
        let text = |field: &str| agent["params"][field].as_str().unwrap().to_owned();
        let (run, session) = (text("idempotencyKey"), text("sessionKey"));
        Self {
            scenario,
            run,
            session,
        }
    }

    /// The final response of the answer.
    fn answered(delivery: Delivery) -> Self {
        let mut making = Self::new(delivery);
        making.text(None, "Making it.");
        making.end_run("3", "Making it.", &json!(null));
        making
    }

    /// The gateway sends an event of this run, or of the one that was requested.
    pub(crate) fn event(&mut self, run: Option<&str>, stream: &str, data: &Value) {
        let frame = json!({ "type": "event", "event": "agent", "payload": {
            "runId": run.unwrap_or(&self.run), "stream": stream, "data": data,
            "sessionKey": self.session,
        } });
        self.scenario.frame(&frame.to_string());
    }

    pub(crate) fn text(&mut self, run: Option<&str>, text: &str) {
        let data = json!({ "text": text, "delta": text, "itemId": text });
        self.event(run, "assistant", &data);
    }

    pub(crate) fn begin(&mut self, run: &str) {
        self.event(Some(run), "lifecycle", &json!({ "phase": "start" }));
    }

    pub(crate) fn end_run(&mut self, id: &str, text: &str, files: &Value) {
        let payload = json!({ "status": "ok", "result": {
            "payloads": [{ "text": text, "mediaUrls": files }],
            "meta": {
                "finalAssistantVisibleText": text,
                "agentMeta": { "usage": { "input": 10, "output": 2 }, "assistantTurns": 1 },
            },
        } });
        self.respond(id, &payload);
    }

    pub(crate) fn respond(&mut self, id: &str, payload: &Value) {
        let frame = json!({ "type": "res", "id": id, "ok": true, "payload": payload });
        self.scenario.frame(&frame.to_string());
    }

    /// Answers the last request, which must be this one.
    pub(crate) fn answer(&mut self, method: &str, payload: &Value) {
        let id = self.asked(method);
        self.respond(&id, payload);
    }

    pub(crate) fn asked(&self, method: &str) -> String {
        let request = self.scenario.last_request();
        assert_eq!(request["method"], method);
        request["id"].as_str().unwrap().to_owned()
    }

    fn list_tasks(&mut self, sessions: &[&str]) {
        let tasks = sessions.iter().map(|session| {
            json!({ "kind": "image_generation", "sessionKey": session, "status": "running" })
        });
        self.answer("tasks.list", &json!({ "tasks": tasks.collect::<Vec<_>>() }));
    }

    /// Claims the run that shows the media, which has this text and this file.
    fn show_media(&mut self, text: &str) {
        // A run that was noted before is claimed at once.
        if self.scenario.last_method() == "agent.wait" {
            self.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
        }
        let id = self.asked("agent");
        self.end_run(&id, text, &json!(["/srv/red.png"]));
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.scenario.shown.ended
    }

    pub(crate) fn whole(&self) -> (String, u64) {
        assert!(self.has_ended());
        let answer: Value = serde_json::from_str(self.scenario.shown.body.trim()).unwrap();
        let content = &answer["choices"][0]["message"]["content"];
        let content = content.as_str().unwrap();
        // The id of a file's link depends on the run's.
        let text = match content.split_once("(https://") {
            Some((text, _)) => text,
            None => content,
        };
        (
            text.to_owned(),
            answer["usage"]["total_tokens"].as_u64().unwrap(),
        )
    }
}

#[test]
fn an_answer_waits_for_the_media_that_its_agent_makes() {
    let mut making = Making::answered(Delivery::Whole);
    let session = making.session.clone();
    making.list_tasks(&[&session]);
    assert!(!making.has_ended());
    making.begin(LATER);
    making.text(Some(LATER), "Here it is.");
    making.show_media("Here it is.");
    // Another task may go on.
    making.list_tasks(&[&session]);
    making.scenario.at_ms(5_000).tick();
    making.list_tasks(&[]);
    let expected = SHOWN.to_owned();
    assert_eq!(making.whole(), (expected, 24));
}

#[test]
fn an_answer_that_makes_nothing_more_ends_at_once() {
    // The tool only listed something, or the task is of another session.
    for sessions in [&[][..], &["agent:main:other"]] {
        let mut making = Making::answered(Delivery::Whole);
        making.list_tasks(sessions);
        assert_eq!(making.whole(), ("Making it.".to_owned(), 12));
    }
    // The list has tasks that are over, too.
    let mut making = Making::answered(Delivery::Whole);
    let task =
        json!({ "kind": "image_generation", "sessionKey": making.session, "status": "completed" });
    making.answer("tasks.list", &json!({ "tasks": [task] }));
    assert_eq!(making.whole().0, "Making it.");
    // Without the list it is not known.
    let mut making = Making::answered(Delivery::Whole);
    making.answer("tasks.list", &json!([]));
    assert_eq!(making.whole().0, "Making it.");
    let mut making = Making::new(STREAM);
    let failed =
        json!({ "name": "image_generate", "kind": "tool", "phase": "end", "status": "failed" });
    let mut other = Making::new(STREAM);
    other.event(None, "item", &failed);
    making.text(None, "No.");
    assert!(!making.has_ended());
}

#[test]
fn an_answer_without_links_does_not_wait() {
    let mut making = Making::of(Scenario::of_key(Delivery::Whole, "agents=main files=off"));
    making.text(None, "Making it.");
    making.end_run("3", "Making it.", &json!(null));
    assert_eq!(making.whole().0, "Making it.");
}

#[test]
fn media_that_is_shown_before_the_final_response_is_not_lost() {
    let mut making = Making::new(Delivery::Whole);
    making.text(None, "Making it.");
    making.begin(LATER);
    making.end_run("3", "Making it.", &json!(null));
    making.show_media("Here it is.");
    making.list_tasks(&[]);
    assert_eq!(making.whole().0, SHOWN);
}

#[test]
fn media_that_fails_leaves_the_answer() {
    let mut making = Making::answered(Delivery::Whole);
    let session = making.session.clone();
    making.list_tasks(&[&session]);
    making.begin(LATER);
    making.answer("agent.wait", &json!({ "status": "error", "endedAt": 1 }));
    let id = making.asked("agent");
    let failed = json!({ "type": "res", "id": id, "ok": false, "payload": { "status": "error" },
        "error": { "code": "UNAVAILABLE", "message": "failed" } });
    making.scenario.frame(&failed.to_string());
    making.list_tasks(&[]);
    assert_eq!(making.whole(), ("Making it.".to_owned(), 12));
}

#[test]
fn media_of_another_session_is_not_shown() {
    let mut making = Making::answered(STREAM);
    let session = std::mem::replace(&mut making.session, "agent:main:other".to_owned());
    making.begin(LATER);
    making.text(Some(LATER), "Secret.");
    making.session = session;
    making.list_tasks(&[]);
    assert!(making.has_ended());
    assert!(!making.scenario.shown.body.contains("Secret."));
}

#[test]
fn media_is_awaited_for_ten_minutes() {
    let mut making = Making::answered(STREAM);
    let session = making.session.clone();
    assert!(
        making
            .scenario
            .shown
            .body
            .contains(": waiting for generated media\n")
    );
    for after_ms in (0..=600_000).step_by(5_000) {
        assert!(!making.has_ended());
        making.scenario.at_ms(after_ms).tick();
        making.list_tasks(&[&session]);
    }
    assert!(making.has_ended());
    assert!(
        making
            .scenario
            .shown
            .body
            .contains(r#""finish_reason":"stop""#)
    );
}

#[test]
fn media_is_awaited_on_the_next_connection() {
    let mut making = Making::answered(Delivery::Whole);
    making
        .scenario
        .at_ms(100)
        .give(Input::Closed { code: 1012 });
    making.scenario.next_attempt();
    making.scenario = making.scenario.requested();
    let session = making.session.clone();
    making.list_tasks(&[&session]);
    making.begin(LATER);
    making.text(Some(LATER), "Here it is.");
    making.show_media("Here it is.");
    making.list_tasks(&[]);
    assert_eq!(making.whole(), (SHOWN.to_owned(), 24));
}

const SECOND: &str = "image_generate:8:ok:agent-loop";

impl Making {
    fn has_asked_about(&self, run: &str) -> bool {
        self.scenario
            .shown
            .frames
            .iter()
            .any(|frame| frame.contains(run))
    }

    pub(crate) fn refuse(&mut self, method: &str, code: &str) {
        let id = self.asked(method);
        let frame = json!({ "type": "res", "id": id, "ok": false, "error": { "code": code, "message": "no" } });
        self.scenario.frame(&frame.to_string());
    }
}

#[test]
fn a_list_of_tasks_that_never_comes_leaves_the_answer() {
    let mut making = Making::answered(Delivery::Whole);
    assert_eq!(making.scenario.last_method(), "tasks.list");
    making.scenario.at_ms(30_000).tick();
    assert_eq!(making.whole().0, "Making it.");
}

#[test]
fn a_gateway_that_is_gone_leaves_the_answer_that_was_complete() {
    let mut making = Making::answered(Delivery::Whole);
    making
        .scenario
        .at_ms(100)
        .give(Input::Closed { code: 1012 });
    making.scenario.out_of_reach();
    assert_eq!(making.whole().0, "Making it.");
}

#[test]
fn a_gateway_that_restarts_during_the_medias_run_leaves_the_answer() {
    let mut making = Making::answered(Delivery::Whole);
    let session = making.session.clone();
    making.list_tasks(&[&session]);
    making.begin(LATER);
    making
        .scenario
        .at_ms(100)
        .give(Input::Closed { code: 1012 });
    making.scenario.next_attempt();
    making.scenario = making.scenario.requested();
    making.refuse("agent", "INVALID_REQUEST");
    if making.scenario.last_method() == "agent.wait" {
        making.answer("agent.wait", &json!({ "status": "timeout" }));
        making.refuse("agent", "INVALID_REQUEST");
    }
    if making.scenario.last_method() == "tasks.list" {
        making.list_tasks(&[]);
    }
    assert_eq!(making.whole().0, "Making it.");
}

#[test]
fn media_that_the_gateway_has_forgotten_is_not_awaited_for_two_days() {
    // The sub-agents of the answer took longer than the gateway remembers the media's run.
    let mut making = Making::new(Delivery::Whole);
    making.text(None, "Making it.");
    making.begin(LATER);
    making.scenario.at_ms(400_000);
    making.end_run("3", "Making it.", &json!(null));
    // The gateway answers each wait after its 20 s.
    let (mut waits, mut now_ms) = (0, 400_000);
    while !making.has_ended() && waits < 60 {
        match making.scenario.last_method().as_str() {
            "agent.wait" => {
                waits += 1;
                now_ms += 20_000;
                making.scenario.at_ms(now_ms);
                making.answer("agent.wait", &json!({ "status": "timeout" }));
            }
            "agent" => making.refuse("agent", "INVALID_REQUEST"),
            "tasks.list" => making.list_tasks(&[]),
            other => panic!("{other}"),
        }
        now_ms += 1_000;
        making.scenario.at_ms(now_ms).tick();
    }
    assert!(waits < 60, "still waiting");
    assert_eq!(making.whole().0, "Making it.");
}

#[test]
fn both_of_two_media_that_came_before_the_end_are_shown() {
    let mut making = Making::new(Delivery::Whole);
    making.text(None, "Making it.");
    making.begin(LATER);
    making.begin(SECOND);
    making.end_run("3", "Making it.", &json!(null));
    making.show_media("Here it is.");
    making.show_media("And the other.");
    making.list_tasks(&[]);
    assert!(making.has_asked_about(LATER), "the first one");
    assert!(making.has_asked_about(SECOND), "the second one");
}

#[test]
fn media_that_comes_while_another_is_claimed_is_shown() {
    let mut making = Making::answered(Delivery::Whole);
    let session = making.session.clone();
    making.list_tasks(&[&session]);
    making.begin(LATER);
    making.answer("agent.wait", &json!({ "status": "ok", "endedAt": 1 }));
    // The session is free for the next one before our claim is answered.
    making.begin(SECOND);
    making.event(Some(SECOND), "lifecycle", &json!({ "phase": "end" }));
    let id = making.asked("agent");
    making.end_run(&id, "Here it is.", &json!(["/srv/red.png"]));
    if making.scenario.last_method() == "tasks.list" {
        making.list_tasks(&[]);
    }
    assert!(making.has_asked_about(SECOND));
}

#[test]
fn media_does_not_break_an_answer_in_a_format() {
    let body = r#"{"model":"openclaw","messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_object"}}"#;
    let mut making = Making::accepted(Scenario::of_request(body, &[]));
    let started =
        json!({ "name": "image_generate", "kind": "tool", "phase": "end", "status": "completed" });
    making.event(None, "item", &started);
    making.text(None, r#"{"a":1}"#);
    making.end_run("3", r#"{"a":1}"#, &json!(null));
    if !making.has_ended() {
        let session = making.session.clone();
        making.list_tasks(&[&session]);
        making.begin(LATER);
        making.text(Some(LATER), "Here it is.");
        making.show_media("Here it is.");
        making.list_tasks(&[]);
    }
    assert_eq!(making.whole().0, r#"{"a":1}"#);
}
