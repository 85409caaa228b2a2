//! The whole answer of a run that ended while nobody received its text: the rows of its session
//! have it.

use clawfront_core::access::usage::Counter;
use clawfront_core::hub;
use clawfront_core::openai::Delivery;
use serde_json::{Value, json};

use crate::replay::{Input, RUN_ID};
use crate::scenario::{CHALLENGE, HELLO, Scenario};
use crate::shared::{IDLE_MS, Shared};

const STREAM: Delivery = Delivery::Stream {
    include_usage: true,
};

/// Answers the last request.
fn answer(scenario: &mut Scenario, ok: bool, content: &Value) {
    let id = scenario.last_request()["id"].clone();
    let name = if ok { "payload" } else { "error" };
    scenario.frame(&json!({ "type": "res", "id": id, "ok": ok, name: content }).to_string());
}

/// The final response of a run with two calls of the model: it repeats the last text.
fn ended() -> Value {
    let usage = json!({ "input": 7, "output": 2 });
    let meta = json!({ "agentMeta": { "assistantTurns": 2, "usage": usage },
        "finalAssistantVisibleText": "It is sunny." });
    json!({ "status": "ok", "result": { "payloads": [{ "text": "It is sunny." }], "meta": meta } })
}

fn text(text: &str, stop_reason: &str) -> Value {
    json!({ "role": "assistant", "stopReason": stop_reason,
        "content": [{ "type": "text", "text": text }] })
}

/// The rows of the run's session.
fn rows(later: &[Value]) -> Value {
    let message =
        json!({ "role": "user", "content": "hi", "idempotencyKey": format!("{RUN_ID}:user") });
    let messages = [&[message], later].concat();
    json!({ "messages": messages })
}

/// The rows of the whole run.
fn whole() -> Value {
    let result = json!({ "role": "toolResult", "content": [] });
    rows(&[
        text("Let me look.", "toolUse"),
        result,
        text("It is sunny.", "stop"),
    ])
}

/// A run whose client has this text, and which ended after its connection was lost.
fn lost_after(shown: &str) -> Scenario {
    let mut scenario = Scenario::new(STREAM).accepted();
    if !shown.is_empty() {
        scenario.frame(&event(shown).to_string());
    }
    scenario.give(Input::Closed { code: 1006 });
    scenario.next_attempt();
    scenario.frame(CHALLENGE);
    scenario.frame(HELLO);
    answer(&mut scenario, true, &ended());
    assert_eq!(scenario.last_method(), "sessions.get");
    scenario
}

fn event(text: &str) -> Value {
    json!({ "type": "event", "event": "agent", "payload": { "runId": RUN_ID,
        "stream": "assistant", "data": { "text": text, "delta": text, "itemId": "1" } } })
}

/// Returns the text that the client has, and the rest of the body.
fn read(body: &str) -> (String, Vec<Value>) {
    let events = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = events.filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let (texts, rest): (Vec<Value>, Vec<Value>) =
        events.partition(|event| event["choices"][0]["delta"]["content"].is_string());
    let content = |event: &Value| {
        event["choices"][0]["delta"]["content"]
            .as_str()
            .map(str::to_owned)
    };
    (texts.iter().filter_map(content).collect(), rest)
}

#[test]
fn the_rows_have_the_text_before_a_tool() {
    for shown in ["", "Let", "Let me look."] {
        let mut scenario = lost_after(shown);
        assert_eq!(scenario.last_request()["params"]["limit"], 200);
        answer(&mut scenario, true, &whole());
        let (text, rest) = read(&scenario.shown.body);
        assert_eq!(text, "Let me look.\n\nIt is sunny.");
        assert_eq!(rest[0]["choices"][0]["finish_reason"], "stop");
        assert_eq!(rest[1]["usage"]["total_tokens"], 9);
        assert!(scenario.shown.ended);
    }
}

#[test]
fn rows_of_another_run_or_none_are_no_answer() {
    let other = json!({ "messages": [{ "role": "user", "content": "hi", "idempotencyKey": "x:user" },
        text("It is sunny.", "stop")] });
    let failed = rows(&[text("Let me look.", "error")]);
    for (ok, content) in [
        (true, json!({ "messages": [] })),
        (true, other),
        (true, failed),
        (false, json!({ "code": "UNAVAILABLE" })),
    ] {
        let mut scenario = lost_after("Let");
        answer(&mut scenario, ok, &content);
        assert!(scenario.shown.ended);
        assert!(
            scenario.shown.body.contains("answer_lost"),
            "{}",
            scenario.shown.body
        );
    }
    // The client has something else than its beginning.
    let mut scenario = lost_after("Something else.");
    answer(&mut scenario, true, &whole());
    assert!(scenario.shown.body.contains("answer_lost"));
}

#[test]
fn rows_that_are_still_being_written_are_read_again() {
    let mut scenario = lost_after("");
    let begun = rows(&[text("Let me look.", "toolUse")]);
    answer(&mut scenario, true, &begun);
    assert!(!scenario.shown.ended);
    let after_ms = scenario.wake_at_ms().unwrap();
    scenario.at_ms(after_ms).tick();
    // The run is claimed again, and counts once.
    answer(&mut scenario, true, &ended());
    answer(&mut scenario, true, &whole());
    let (text, rest) = read(&scenario.shown.body);
    assert_eq!(text, "Let me look.\n\nIt is sunny.");
    assert_eq!(rest[1]["usage"]["total_tokens"], 9);

    // Not for ever.
    let mut scenario = lost_after("");
    let mut reads = 0;
    while !scenario.shown.ended {
        if scenario.last_method() == "sessions.get" {
            answer(&mut scenario, true, &begun);
            reads += 1;
        }
        if !scenario.shown.ended {
            let after_ms = scenario.wake_at_ms().unwrap();
            scenario.at_ms(after_ms).tick();
            answer(&mut scenario, true, &ended());
        }
    }
    assert!(
        scenario.shown.body.contains("answer_lost") && (5..30).contains(&reads),
        "{reads}"
    );
}

#[test]
fn a_connection_that_is_lost_meanwhile_is_no_reason_to_count_twice() {
    let mut scenario = lost_after("Let");
    scenario.give(Input::Closed { code: 1006 });
    scenario.next_attempt();
    scenario.frame(CHALLENGE);
    scenario.frame(HELLO);
    answer(&mut scenario, true, &ended());
    answer(&mut scenario, true, &whole());
    let (text, rest) = read(&scenario.shown.body);
    assert_eq!(text, "Let me look.\n\nIt is sunny.");
    assert_eq!(rest[1]["usage"]["total_tokens"], 9);
}

#[test]
fn a_gateway_that_does_not_send_the_rows_ends_the_answer_with_an_error() {
    let mut scenario = lost_after("");
    let after_ms = scenario.wake_at_ms().unwrap();
    scenario.at_ms(after_ms).tick();
    scenario.out_of_reach();
    assert!(scenario.shown.ended && scenario.shown.body.contains(r#"{"error":"#));
}

#[test]
fn a_retry_after_a_reset_gets_the_whole_answer_and_the_run_counts_once() {
    let mut shared = Shared::new(IDLE_MS);
    shared.attempt(0xAA, 0, "agents=main").unwrap();
    shared.shake_hands();
    shared.respond("agent", &json!({ "status": "accepted" }));
    shared.say(0, "Let");
    shared.reset();
    let retry = shared.attempt(0xAA, 1, "agents=main").unwrap();
    shared.shake_hands();
    // The next hub claims the run, and so does the retry, which looks for it first.
    shared.respond("agent", &ended());
    for _ in 0..2 {
        shared.respond("sessions.get", &whole());
        if shared.methods().contains(&"agent") {
            shared.respond("agent", &ended());
        }
    }
    let (text, _) = read(&shared.clients[retry].body);
    assert_eq!(text, "Let me look.\n\nIt is sunny.");
    let usage = shared.usage_of(0xAA);
    let counts = [Counter::Runs, Counter::Answers, Counter::OutputTokens];
    assert_eq!(counts.map(|counter| usage.get(counter)), [1, 1, 2]);
}

#[test]
fn events_that_were_missed_on_the_runs_own_connection_and_no_rows_are_no_internal_error() {
    // The run is going on its own connection, events were missed, and the final response arrives.
    let mut scenario = Scenario::new(STREAM).accepted();
    for seq in [1, 5] {
        let mut event = event("Let");
        event["seq"] = json!(seq);
        scenario.frame(&event.to_string());
    }
    scenario
        .frame(&json!({ "type": "res", "id": "3", "ok": true, "payload": ended() }).to_string());
    assert_eq!(scenario.last_method(), "sessions.get");
    while !scenario.shown.ended {
        let after_ms = scenario.wake_at_ms().unwrap();
        scenario.at_ms(after_ms).tick();
    }
    assert!(
        !scenario.shown.body.contains("internal_error"),
        "{}",
        scenario.shown.body
    );
}

#[test]
fn rows_that_end_in_a_question_are_no_answer() {
    let mut scenario = lost_after("");
    let options = json!([{ "label": "A" }, { "label": "B" }]);
    let question = json!({ "id": "q", "question": "Which?", "header": "h", "options": options });
    let call = json!({ "type": "toolCall", "id": "c", "name": "ask_user",
        "arguments": { "questions": [question] } });
    let ask = json!({ "role": "assistant", "stopReason": "toolUse",
        "content": [{ "type": "text", "text": "Let me look." }, call] });
    answer(&mut scenario, true, &rows(&[ask]));
    assert!(
        !scenario.shown.body.contains("stop"),
        "{}",
        scenario.shown.body
    );
}

#[test]
fn an_empty_text_is_not_the_end_of_the_rows() {
    // The first attempt at the model was empty, and ended with `stop`: the gateway tried again.
    let mut scenario = lost_after("");
    let empty = json!({ "role": "assistant", "stopReason": "stop", "content": [] });
    answer(
        &mut scenario,
        true,
        &rows(&[empty, text("It is sunny.", "stop")]),
    );
    assert!(
        scenario.shown.body.contains("It is sunny") || scenario.shown.body.contains("answer_lost"),
        "{}",
        scenario.shown.body
    );
}

#[test]
fn silence_after_a_tool_is_not_shown() {
    let mut scenario = lost_after("");
    answer(
        &mut scenario,
        true,
        &rows(&[text("Let me look.", "toolUse"), text("NO_REPLY", "stop")]),
    );
    assert!(
        !scenario.shown.body.contains("NO_REPLY"),
        "{}",
        scenario.shown.body
    );
}

#[test]
fn a_message_that_a_tool_sent_is_not_taken_for_the_end() {
    // The gateway writes the message as a row of its own, with `stop`.
    let mut scenario = Scenario::new(STREAM).accepted();
    scenario.give(Input::Closed { code: 1006 });
    scenario.next_attempt();
    scenario.frame(CHALLENGE);
    scenario.frame(HELLO);
    let mut reply = ended();
    reply["result"]["messagingToolSentTexts"] = json!(["Message."]);
    reply["result"]["payloads"] = json!([{ "text": "Message." }, { "text": "It is sunny." }]);
    answer(&mut scenario, true, &reply);
    if scenario.last_method() == "sessions.get" {
        answer(
            &mut scenario,
            true,
            &rows(&[
                text("I send it.", "toolUse"),
                text("Message.", "stop"),
                text("It is sunny.", "stop"),
            ]),
        );
    }
    let (text, rest) = read(&scenario.shown.body);
    assert!(text.matches("Message.").count() < 2, "{text}");
    let is_stop = rest
        .first()
        .is_some_and(|end| end["choices"][0]["finish_reason"] == "stop");
    assert!(!is_stop || text.contains("sunny"), "{text}");
}

#[test]
fn a_masked_secret_is_not_shown() {
    for masked in [
        "PASSWORD=***",
        "-----BEGIN PRIVATE KEY-----\n…redacted…\n-----END PRIVATE KEY-----",
    ] {
        let mut scenario = lost_after("");
        answer(
            &mut scenario,
            true,
            &rows(&[text(masked, "toolUse"), text("It is sunny.", "stop")]),
        );
        assert!(
            scenario.shown.body.contains("answer_lost"),
            "{}",
            scenario.shown.body
        );
    }
}

/// A hub whose connection was lost in the middle of run 0xAA, which has ended when it is found.
fn ended_while_lost(fields: &str) -> Shared {
    let mut shared = Shared::new(IDLE_MS);
    shared.attempt(0xAA, 0, fields).unwrap();
    shared.shake_hands();
    shared.respond("agent", &json!({ "status": "accepted" }));
    shared.say(0, "Let");
    shared.give(hub::Input::Closed { code: 1006 });
    while shared.connects < 2 {
        let at_ms = shared.hub.wake_at_ms().unwrap();
        shared.pass_ms(at_ms - shared.now_ms);
    }
    shared.shake_hands();
    shared.respond("agent", &ended());
    shared
}

#[test]
fn a_hub_that_is_reset_while_the_rows_are_read_counts_the_tokens_once() {
    let mut shared = ended_while_lost("agents=main");
    assert!(
        shared.methods().contains(&"sessions.get"),
        "{:?}",
        shared.methods()
    );
    shared.reset();
    shared.shake_hands();
    shared.respond("agent", &ended());
    let usage = shared.usage_of(0xAA);
    let counts = [Counter::Runs, Counter::InputTokens, Counter::OutputTokens];
    assert_eq!(counts.map(|counter| usage.get(counter)), [1, 7, 2]);
}

#[test]
fn a_client_that_leaves_between_two_looks_leaves_the_tokens_counted() {
    for fields in ["agents=main", "agents=main on_disconnect=finish"] {
        let mut shared = ended_while_lost(fields);
        shared.respond("sessions.get", &rows(&[text("Let me look.", "toolUse")]));
        let id = shared.clients[0].id;
        shared.give(hub::Input::HungUp(id));
        if fields.len() > 12 {
            shared.pass_ms(30);
            // The gateway has forgotten the run meanwhile.
            let id = shared.take("agent")["id"].clone();
            shared.frame(&json!({ "type": "res", "id": id, "ok": false, "error": { "code": "INVALID_REQUEST" } }).to_string());
        }
        let usage = shared.usage_of(0xAA);
        let counts = [Counter::Runs, Counter::InputTokens, Counter::OutputTokens];
        assert_eq!(
            counts.map(|counter| usage.get(counter)),
            [1, 7, 2],
            "{fields}"
        );
    }
}

#[test]
fn events_that_were_missed_and_a_busy_gateway_are_no_internal_error() {
    let mut scenario = Scenario::new(STREAM).accepted();
    for seq in [1, 5] {
        let mut event = event("Let");
        event["seq"] = json!(seq);
        scenario.frame(&event.to_string());
    }
    scenario
        .frame(&json!({ "type": "res", "id": "3", "ok": true, "payload": ended() }).to_string());
    answer(
        &mut scenario,
        true,
        &rows(&[text("Let me look.", "toolUse")]),
    );
    let after_ms = scenario.wake_at_ms().unwrap();
    scenario.at_ms(after_ms).tick();
    assert_eq!(scenario.last_method(), "agent");
    answer(&mut scenario, false, &json!({ "code": "RATE_LIMITED" }));
    assert!(
        !scenario.shown.body.contains("internal_error"),
        "{}",
        scenario.shown.body
    );
}

#[test]
fn two_retries_of_a_run_that_has_ended_leave_no_run_that_is_going() {
    // The run has ended and was counted. Two retries come; the first one writes the row again.
    let mut shared = Shared::new(IDLE_MS);
    shared.attempt(0xAA, 0, "agents=main").unwrap();
    shared.shake_hands();
    shared.respond("agent", &json!({ "status": "accepted" }));
    let last = json!({ "status": "ok", "result": { "payloads": [{ "text": "hi" }], "meta": {} } });
    shared.frame(&json!({ "type": "res", "id": "3", "ok": true, "payload": last }).to_string());
    assert!(shared.outcome(0).2);
    let one = shared.attempt(0xAA, 1, "agents=main").unwrap();
    shared.respond("sessions.get", &whole());
    let two = shared.attempt(0xAA, 2, "agents=main").unwrap();
    for client in [one, two] {
        let id = shared.clients[client].id;
        shared.give(hub::Input::HungUp(id));
    }
    assert!(shared.clients.iter().all(|client| client.account.is_none()));
    assert_eq!(shared.usage_of(0xAA).get(Counter::Runs), 1);
    assert!(
        !shared
            .storage
            .runs
            .values()
            .any(|row| row.starts_with("0\t")),
        "{:?}",
        shared.storage.runs
    );
}
