//! The request for a session's rows before a run, and the message that the agent then receives.

use clawfront_core::exchange::{Exchange, Input, Outcome};
use clawfront_core::openai::Delivery;
use serde_json::{Value, json};

use crate::replay::{START_MS, Shown, exchange_asked, feed};

const BODY: &str = r#"{"model":"openclaw","user":"anna","messages":[{"role":"user","content":"q1"},{"role":"assistant","content":"a1"},{"role":"user","content":"q2"}]}"#;
const WHOLE: &str = "[Chat messages since your last reply - for context]\nUser: q1\nAssistant: \
                     a1\n\n[Current message - respond to this]\nUser: q2";
const CHALLENGE: &str =
    r#"{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1}}"#;

fn hello(protocol: u64) -> String {
    let auth = json!({ "scopes": ["operator.read", "operator.write"] });
    json!({ "type": "res", "id": "1", "ok": true, "payload": { "protocol": protocol, "auth": auth } }).to_string()
}

/// Returns an exchange that has requested the session's rows, and its output.
fn looking(protocol: u64) -> (Exchange, Shown) {
    let (mut exchange, mut shown) = (
        exchange_asked(BODY, &[], Delivery::Whole, "agents=main"),
        Shown::default(),
    );
    feed(&mut exchange, Input::Frame(CHALLENGE), START_MS, &mut shown);
    feed(
        &mut exchange,
        Input::Frame(&hello(protocol)),
        START_MS,
        &mut shown,
    );
    (exchange, shown)
}

fn answer(exchange: &mut Exchange, shown: &mut Shown, result: &Value) {
    let mut frame = json!({ "type": "res", "id": "2" });
    for (name, value) in result.as_object().unwrap() {
        frame[name] = value.clone();
    }
    feed(exchange, Input::Frame(&frame.to_string()), START_MS, shown);
}

/// Returns the message that the agent receives after this response.
fn message(protocol: u64, result: &Value) -> String {
    let (mut exchange, mut shown) = looking(protocol);
    answer(&mut exchange, &mut shown, result);
    let asked: Value = serde_json::from_str(shown.frames.last().unwrap()).unwrap();
    assert_eq!(asked["method"], "agent");
    asked["params"]["message"].as_str().unwrap().to_owned()
}

fn rows(rows: &Value) -> Value {
    json!({ "ok": true, "payload": { "messages": rows } })
}

#[test]
fn a_session_is_asked_for_its_last_rows_before_the_run() {
    for protocol in [3, 4] {
        let (_, shown) = looking(protocol);
        assert_eq!(shown.methods(), ["connect", "sessions.get"]);
        let asked: Value = serde_json::from_str(shown.frames.last().unwrap()).unwrap();
        assert_eq!(
            asked["params"],
            json!({ "key": "agent:main:edge:phone:user:=anna", "limit": 8 })
        );
    }
}

#[test]
fn the_agent_is_sent_what_its_session_lacks() {
    for protocol in [3, 4] {
        let held = json!([{ "role": "user", "content": "q1" }, { "role": "assistant", "content": "a1", "stopReason": "stop" }]);
        assert_eq!(message(protocol, &rows(&held)), "q2");
        assert_eq!(message(protocol, &rows(&json!([]))), WHOLE);
        let other = json!([{ "role": "assistant", "content": "something else" }]);
        assert_eq!(message(protocol, &rows(&other)), WHOLE);
    }
}

#[test]
fn what_cannot_be_learned_of_a_session_is_sent_again() {
    for result in [
        json!({ "ok": false, "error": { "code": "FORBIDDEN" } }),
        json!({ "ok": false, "error": { "code": "INVALID_REQUEST" } }),
        json!({ "ok": true }),
        json!({ "ok": true, "payload": 7 }),
    ] {
        assert_eq!(message(4, &result), WHOLE, "{result}");
    }
}

#[test]
fn a_gateway_that_is_busy_is_no_reason_to_guess() {
    let (mut exchange, mut shown) = looking(4);
    answer(
        &mut exchange,
        &mut shown,
        &json!({ "ok": false, "error": { "code": "UNAVAILABLE" } }),
    );
    assert_eq!(shown.methods(), ["connect", "sessions.get"]);
    assert_eq!(shown.status(), 503);
    assert!(!exchange.may_have_started() && matches!(exchange.outcome(), Outcome::Failed(_)));
}

#[test]
fn a_conversation_without_an_answer_costs_no_question() {
    let body = r#"{"model":"openclaw","user":"anna","messages":[{"role":"user","content":"q1"}]}"#;
    let (mut exchange, mut shown) = (
        exchange_asked(body, &[], Delivery::Whole, "agents=main"),
        Shown::default(),
    );
    feed(&mut exchange, Input::Frame(CHALLENGE), START_MS, &mut shown);
    feed(&mut exchange, Input::Frame(&hello(3)), START_MS, &mut shown);
    assert_eq!(shown.methods(), ["connect", "agent"]);
}

#[test]
fn a_run_with_a_name_of_its_clients_is_looked_for_and_not_asked_for_if_it_is_there() {
    let body = r#"{"model":"openclaw","user":"anna","messages":[{"role":"user","content":"q1"}]}"#;
    let begun = |protocol| {
        let headers = [("idempotency-key", "k")];
        let (mut exchange, mut shown) = (
            exchange_asked(body, &headers, Delivery::Whole, "agents=main"),
            Shown::default(),
        );
        feed(&mut exchange, Input::Frame(CHALLENGE), START_MS, &mut shown);
        feed(
            &mut exchange,
            Input::Frame(&hello(protocol)),
            START_MS,
            &mut shown,
        );
        (exchange, shown)
    };
    // Rows of protocol 3 do not name their run.
    assert_eq!(begun(3).1.methods(), ["connect", "agent"]);
    let (mut exchange, mut shown) = begun(4);
    assert_eq!(shown.methods(), ["connect", "sessions.get"]);
    answer(&mut exchange, &mut shown, &rows(&json!([])));
    let asked: Value = serde_json::from_str(shown.frames.last().unwrap()).unwrap();
    assert_eq!(asked["method"], "agent");
    let user = format!(
        "{}:user",
        asked["params"]["idempotencyKey"].as_str().unwrap()
    );

    let with = |text: &str| json!({ "role": "assistant", "content": text, "stopReason": "stop" });
    let said = with("Done.");
    for (further, status, text) in [
        (json!([said]), 200, r#""content":"Done.""#),
        (json!([with("NO")]), 200, r#""content":"NO""#),
        (json!([with("NO_REPLY")]), 400, r#""code":"run_failed""#),
        (
            json!([{ "role": "assistant", "content": 7 }, said]),
            400,
            r#""code":"answer_lost""#,
        ),
        (json!([]), 400, r#""code":"run_interrupted""#),
        (
            json!([{ "role": "assistant", "content": [], "stopReason": "error" }]),
            400,
            r#""code":"run_failed""#,
        ),
    ] {
        let (mut exchange, mut shown) = begun(4);
        let mut held = vec![json!({ "role": "user", "content": "q1", "idempotencyKey": user })];
        held.extend(further.as_array().unwrap().iter().cloned());
        answer(&mut exchange, &mut shown, &rows(&json!(held)));
        assert_eq!(
            shown.methods(),
            [
                "connect",
                "sessions.get",
                "sessions.messages.subscribe",
                "agent"
            ]
        );
        let claim: Value = serde_json::from_str(shown.frames.last().unwrap()).unwrap();
        assert_eq!(
            claim["params"]["agentId"], "clawfront-nobody",
            "nothing can be started by it"
        );
        assert!(exchange.may_have_started());
        let refused = json!({ "type": "res", "id": "4", "ok": false, "error": { "code": "INVALID_REQUEST", "message": "" } });
        feed(
            &mut exchange,
            Input::Frame(&refused.to_string()),
            START_MS,
            &mut shown,
        );
        assert!(
            shown.ended && shown.status() == status && shown.body.contains(text),
            "{}",
            shown.body
        );
    }
}

#[test]
fn an_answer_that_begins_like_silence_is_sent_although_its_letters_were_sent_before() {
    let body = r#"{"model":"openclaw","messages":[{"role":"user","content":"q1"}]}"#;
    let (mut exchange, mut shown) = (
        exchange_asked(body, &[], Delivery::Whole, "agents=main"),
        Shown::default(),
    );
    feed(&mut exchange, Input::Frame(CHALLENGE), START_MS, &mut shown);
    feed(&mut exchange, Input::Frame(&hello(4)), START_MS, &mut shown);
    let asked: Value = serde_json::from_str(shown.frames.last().unwrap()).unwrap();
    assert_eq!(asked["method"], "agent");
    let run = asked["params"]["idempotencyKey"].clone();
    let said = |item: &str, text: &str| {
        json!({ "type": "event", "event": "agent", "payload": { "runId": run, "stream": "assistant",
            "data": { "itemId": item, "text": text, "delta": text } } })
    };
    let meta = json!({ "finalAssistantVisibleText": "NO", "agentMeta": { "assistantTurns": 2 } });
    let answer = json!({ "runId": run, "status": "ok", "result": { "payloads": [{ "text": "NO" }], "meta": meta } });
    for frame in [
        json!({ "type": "res", "id": asked["id"], "ok": true, "payload": { "runId": run, "status": "accepted" } }),
        said("1", "I look into the NOTES."),
        said("2", "NO"),
        json!({ "type": "res", "id": asked["id"], "ok": true, "payload": answer }),
    ] {
        feed(
            &mut exchange,
            Input::Frame(&frame.to_string()),
            START_MS,
            &mut shown,
        );
    }
    assert!(
        shown.ended
            && shown
                .body
                .contains(r#""content":"I look into the NOTES.\n\nNO""#),
        "{}",
        shown.body
    );
}

#[test]
fn a_run_with_a_name_is_not_requested_while_it_is_unknown_whether_it_exists() {
    let body = r#"{"model":"openclaw","user":"anna","messages":[{"role":"user","content":"delete mail 7"}]}"#;
    let refused = |code: &str| json!({ "ok": false, "error": { "code": code, "message": "" } });
    for (result, is_requested) in [
        (refused("UNAVAILABLE"), false),
        (refused("INTERNAL"), false),
        (refused("FORBIDDEN"), false),
        (json!({ "ok": true }), false),
        (json!({ "ok": true, "payload": { "messages": 7 } }), false),
        // The gateway's code for an unknown agent.
        (refused("INVALID_REQUEST"), true),
    ] {
        let headers = [("idempotency-key", "k")];
        let (mut exchange, mut shown) = (
            exchange_asked(body, &headers, Delivery::Whole, "agents=main"),
            Shown::default(),
        );
        feed(&mut exchange, Input::Frame(CHALLENGE), START_MS, &mut shown);
        feed(&mut exchange, Input::Frame(&hello(4)), START_MS, &mut shown);
        answer(&mut exchange, &mut shown, &result);
        assert_eq!(
            shown.methods().contains(&"agent".to_owned()),
            is_requested,
            "{result}"
        );
        assert_eq!(exchange.may_have_started(), is_requested, "{result}");
        assert_eq!(
            shown.ended && shown.status() >= 500,
            !is_requested,
            "{result}"
        );
    }
}

#[test]
fn thoughts_are_shown_up_to_a_limit_and_the_answer_is_whole() {
    let body = r#"{"model":"openclaw","messages":[{"role":"user","content":"q1"}]}"#;
    let headers = [("x-clawfront-reasoning", "on")];
    let (mut exchange, mut shown) = (
        exchange_asked(body, &headers, Delivery::Whole, "agents=main"),
        Shown::default(),
    );
    feed(&mut exchange, Input::Frame(CHALLENGE), START_MS, &mut shown);
    feed(&mut exchange, Input::Frame(&hello(4)), START_MS, &mut shown);
    let asked: Value = serde_json::from_str(shown.frames.last().unwrap()).unwrap();
    let (id, run) = (&asked["id"], &asked["params"]["idempotencyKey"]);
    let accepted = json!({ "type": "res", "id": id, "ok": true, "payload": { "runId": run, "status": "accepted" } });
    feed(
        &mut exchange,
        Input::Frame(&accepted.to_string()),
        START_MS,
        &mut shown,
    );
    for seq in 1..=20 {
        let data = json!({ "text": seq.to_string().repeat(700_000) });
        let event = json!({ "type": "event", "event": "agent", "seq": seq, "payload": { "runId": run, "stream": "thinking", "data": data } });
        feed(
            &mut exchange,
            Input::Frame(&event.to_string()),
            START_MS,
            &mut shown,
        );
    }
    let result = json!({ "payloads": [{ "text": "Done." }], "meta": { "stopReason": "stop" } });
    let end = json!({ "type": "res", "id": id, "ok": true, "payload": { "runId": run, "status": "ok", "result": result } });
    feed(
        &mut exchange,
        Input::Frame(&end.to_string()),
        START_MS,
        &mut shown,
    );
    assert!(matches!(exchange.outcome(), Outcome::Answered(_)));
    let answer: Value = serde_json::from_str(&shown.body).unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "Done.");
    let thoughts = message["reasoning_content"].as_str().unwrap().len();
    assert!((7 << 20..=8 << 20).contains(&thoughts), "{thoughts}");
}
