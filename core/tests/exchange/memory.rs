//! The request for a session's rows before a run, and the message that the agent then receives.

use clawfront_core::exchange::Outcome;
use serde_json::{Value, json};

use crate::scenario::Scenario;

const BODY: &str = r#"{"model":"openclaw","user":"anna","messages":[{"role":"user","content":"q1"},{"role":"assistant","content":"a1"},{"role":"user","content":"q2"}]}"#;
const WHOLE: &str = "[Chat messages since your last reply - for context]\nUser: q1\nAssistant: \
                     a1\n\n[Current message - respond to this]\nUser: q2";

/// One question of a user, without an earlier answer.
const QUESTION: &str =
    r#"{"model":"openclaw","user":"anna","messages":[{"role":"user","content":"q1"}]}"#;

/// The header by which a client names a run.
const NAMED: [(&str, &str); 1] = [("idempotency-key", "k")];

/// Gives the response to the request for rows.
fn answer(scenario: &mut Scenario, result: &Value) {
    let mut frame = json!({ "type": "res", "id": "2" });
    for (name, value) in result.as_object().unwrap() {
        frame[name] = value.clone();
    }
    scenario.frame(&frame.to_string());
}

/// Returns the message that the agent receives after this response.
fn message(protocol: u8, result: &Value) -> String {
    let mut scenario = Scenario::of_request(BODY, &[]).requested_of(protocol);
    answer(&mut scenario, result);
    let asked = scenario.last_request();
    assert_eq!(asked["method"], "agent");
    asked["params"]["message"].as_str().unwrap().to_owned()
}

fn rows(rows: &Value) -> Value {
    json!({ "ok": true, "payload": { "messages": rows } })
}

#[test]
fn a_session_is_asked_for_its_last_rows_before_the_run() {
    for protocol in [3, 4] {
        let scenario = Scenario::of_request(BODY, &[]).requested_of(protocol);
        assert_eq!(scenario.shown.methods(), ["connect", "sessions.get"]);
        assert_eq!(
            scenario.last_request()["params"],
            json!({ "key": "agent:main:edge:phone:user:=anna", "limit": 20 })
        );
    }
}

#[test]
fn the_agent_gets_the_messages_that_its_session_lacks() {
    for protocol in [3, 4] {
        let held = json!([{ "role": "user", "content": "q1" }, { "role": "assistant", "content": "a1", "stopReason": "stop" }]);
        assert_eq!(message(protocol, &rows(&held)), "q2");
        assert_eq!(message(protocol, &rows(&json!([]))), WHOLE);
        let other = json!([{ "role": "assistant", "content": "something else" }]);
        assert_eq!(message(protocol, &rows(&other)), WHOLE);
    }
}

/// Returns the parameters of `agent` after these rows, on protocol 4.
fn params(body: &str, held: &Value) -> Value {
    let mut scenario = Scenario::of_request(body, &[]).requested();
    answer(&mut scenario, &rows(held));
    let asked = scenario.last_request();
    assert_eq!(asked["method"], "agent");
    asked["params"].clone()
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text, "timestamp": 1 })
}

fn assistant(text: &str, stop_reason: &str) -> Value {
    json!({ "role": "assistant", "content": text, "stopReason": stop_reason, "timestamp": 1 })
}

#[test]
fn a_session_of_another_conversation_begins_again() {
    for held in [
        json!([user("q1"), assistant("other", "stop")]),
        json!([user("edited"), assistant("a1", "stop")]),
        json!([
            user("q1"),
            assistant("a1", "stop"),
            user("q2"),
            assistant("", "error")
        ]),
        json!([
            user("q1"),
            assistant("a1", "stop"),
            user("q2"),
            assistant("a2", "stop")
        ]),
    ] {
        let params = params(BODY, &held);
        assert_eq!(params["message"], WHOLE, "{held}");
        assert_eq!(params["sessionId"], params["idempotencyKey"], "{held}");
        assert_eq!(params["sessionKey"], "agent:main:edge:phone:user:=anna");
    }
    let params = params(QUESTION, &json!([user("q1"), assistant("a1", "stop")]));
    assert_eq!(params["sessionId"], params["idempotencyKey"]);
}

#[test]
fn a_session_that_holds_the_conversation_or_nothing_does_not_begin_again() {
    for held in [
        json!([]),
        json!([user("q1"), assistant("a1", "stop")]),
        json!([
            user("<client-instructions 1>\nx\n</client-instructions 1>\n\nq1"),
            assistant("a1", "stop")
        ]),
        json!([
            user("[Chat messages since]\nUser: q0\nAssistant: a0\n\n[Current message]\nUser: q1"),
            assistant("a1", "stop")
        ]),
    ] {
        assert_eq!(params(BODY, &held)["sessionId"], Value::Null, "{held}");
    }
    // The session remembers what its client does not show.
    for held in [
        json!([user("q0"), assistant("a0", "stop")]),
        json!([
            user("q0"),
            assistant("a0", "stop"),
            user("q1"),
            assistant("a1", "stop")
        ]),
    ] {
        assert_eq!(params(QUESTION, &held)["sessionId"], Value::Null, "{held}");
    }
}

#[test]
fn a_turn_that_is_going_is_left_alone() {
    let mut going = user("q2");
    going["timestamp"] = json!(u64::MAX);
    let held = json!([user("q1"), assistant("a1", "stop"), going]);
    let params = params(BODY, &held);
    let run = params["idempotencyKey"].as_str().unwrap();
    let session = format!("agent:main:edge:phone:user:=anna:run:{run}");
    assert_eq!(params["sessionKey"], session);
    assert_eq!(
        (&params["message"], &params["sessionId"]),
        (&json!(WHOLE), &Value::Null)
    );
}

/// A session in which another turn is going.
fn with_going() -> Value {
    let mut going = user("q3");
    going["timestamp"] = json!(u64::MAX);
    rows(&json!([user("q1"), assistant("a1", "stop"), going]))
}

/// Gives the response to the last request for rows.
fn answer_last(scenario: &mut Scenario, result: &Value) {
    let mut frame = result.clone();
    frame["type"] = json!("res");
    frame["id"] = scenario.last_request()["id"].clone();
    scenario.frame(&frame.to_string());
}

/// Answers the requests for rows until there is another one, which is returned: those of the named
/// session have another turn that is going.
fn asked_after(scenario: &mut Scenario, aside: &Value) -> Value {
    while scenario.last_method() == "sessions.get" {
        let key = scenario.last_request()["params"]["key"].clone();
        let is_named = key == "agent:main:edge:phone:user:=anna";
        answer_last(scenario, &if is_named { with_going() } else { rows(aside) });
    }
    scenario.last_request()["params"].clone()
}

#[test]
fn a_run_in_a_session_of_its_own_is_found_there_and_not_requested_again() {
    let mut first = Scenario::of_request(BODY, &NAMED).requested();
    let asked = asked_after(&mut first, &json!([]));
    let run = asked["idempotencyKey"].as_str().unwrap();
    let session = format!("agent:main:edge:phone:user:=anna:run:{run}");
    assert_eq!(asked["sessionKey"], session);
    // The same request again: the gateway may have forgotten the run.
    let message =
        json!({ "role": "user", "content": WHOLE, "idempotencyKey": format!("{run}:user") });
    let mut again = Scenario::of_request(BODY, &NAMED).requested();
    let claim = asked_after(&mut again, &json!([message, assistant("a2", "stop")]));
    assert_eq!(claim["agentId"], "clawfront-nobody", "it could start a run");
    assert_eq!(again.exchange.session().unwrap().as_str(), session);
    let refused = json!({ "ok": false, "error": { "code": "INVALID_REQUEST", "message": "" } });
    answer_last(&mut again, &refused);
    let body = &again.shown.body;
    assert!(
        again.shown.ended && body.contains(r#""content":"a2""#),
        "{body}"
    );
}

#[test]
fn an_unreadable_session_gets_the_whole_conversation() {
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
    let mut scenario = Scenario::of_request(BODY, &[]).requested();
    answer(
        &mut scenario,
        &json!({ "ok": false, "error": { "code": "UNAVAILABLE" } }),
    );
    let Scenario {
        exchange, shown, ..
    } = scenario;
    assert_eq!(shown.methods(), ["connect", "sessions.get"]);
    assert_eq!(shown.status(), 503);
    assert!(!exchange.may_have_started() && matches!(exchange.outcome(), Outcome::Failed(_)));
}

#[test]
fn a_conversation_without_an_answer_costs_no_question() {
    let scenario = Scenario::of_request(QUESTION, &[]).requested_of(3);
    assert_eq!(scenario.shown.methods(), ["connect", "agent"]);
}

#[test]
fn a_run_that_its_client_named_is_searched_in_its_session() {
    // Rows of protocol 3 do not name their run.
    let scenario = Scenario::of_request(QUESTION, &NAMED).requested_of(3);
    assert_eq!(scenario.shown.methods(), ["connect", "agent"]);
    let mut scenario = Scenario::of_request(QUESTION, &NAMED).requested();
    assert_eq!(scenario.shown.methods(), ["connect", "sessions.get"]);
    answer(&mut scenario, &rows(&json!([])));
    assert_eq!(scenario.last_method(), "agent");
}

/// Returns the row of the client's message in the session of its run.
fn row_of_message() -> Value {
    let mut scenario = Scenario::of_request(QUESTION, &NAMED).requested();
    answer(&mut scenario, &rows(&json!([])));
    let asked = scenario.last_request();
    let run = asked["params"]["idempotencyKey"].as_str().unwrap();
    json!({ "role": "user", "content": "q1", "idempotencyKey": format!("{run}:user") })
}

#[test]
fn a_run_that_its_session_has_is_claimed_and_not_requested() {
    let with = |text: &str| json!({ "role": "assistant", "content": text, "stopReason": "stop" });
    let done = with("Done.");
    for (further, status, text) in [
        (json!([done]), 200, r#""content":"Done.""#),
        (json!([with("NO")]), 200, r#""content":"NO""#),
        (json!([with("NO_REPLY")]), 400, r#""code":"run_failed""#),
        (
            json!([{ "role": "assistant", "content": 7 }, done]),
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
        let mut scenario = Scenario::of_request(QUESTION, &NAMED).requested();
        let mut held = vec![row_of_message()];
        held.extend(further.as_array().unwrap().iter().cloned());
        answer(&mut scenario, &rows(&json!(held)));
        assert_eq!(
            scenario.shown.methods(),
            [
                "connect",
                "sessions.get",
                "sessions.messages.subscribe",
                "agent"
            ]
        );
        assert_eq!(
            scenario.last_request()["params"]["agentId"],
            "clawfront-nobody",
            "nothing can be started by it"
        );
        assert!(scenario.exchange.may_have_started());
        let refused = json!({ "type": "res", "id": "4", "ok": false, "error": { "code": "INVALID_REQUEST", "message": "" } });
        scenario.frame(&refused.to_string());
        let shown = &scenario.shown;
        assert!(
            shown.ended && shown.status() == status && shown.body.contains(text),
            "{}",
            shown.body
        );
    }
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
        let mut scenario = Scenario::of_request(body, &NAMED).requested();
        answer(&mut scenario, &result);
        let Scenario {
            exchange, shown, ..
        } = scenario;
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
