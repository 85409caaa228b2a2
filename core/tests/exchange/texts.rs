//! The text of an answer and its thoughts, as no recording has them.

use clawfront_core::exchange::Outcome;
use serde_json::{Value, json};

use crate::replay::RUN_ID;
use crate::scenario::Scenario;

const QUESTION: &str = r#"{"model":"openclaw","messages":[{"role":"user","content":"q1"}]}"#;

#[test]
fn an_answer_that_begins_like_silence_is_sent_although_its_letters_were_sent_before() {
    let mut scenario = Scenario::of_request(QUESTION, &[]).accepted();
    for (item, text) in [("1", "I look into the NOTES."), ("2", "NO")] {
        let data = json!({ "itemId": item, "text": text, "delta": text });
        scenario.frame(&event("assistant", &data));
    }
    let meta = json!({ "finalAssistantVisibleText": "NO", "agentMeta": { "assistantTurns": 2 } });
    scenario.frame(&last(
        &json!({ "payloads": [{ "text": "NO" }], "meta": meta }),
    ));
    let shown = &scenario.shown;
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
fn thoughts_are_shown_up_to_a_limit_and_the_answer_is_whole() {
    let headers = [("x-clawfront-reasoning", "on")];
    let mut scenario = Scenario::of_request(QUESTION, &headers).accepted();
    for digit in 1..=20 {
        let data = json!({ "text": digit.to_string().repeat(700_000) });
        scenario.frame(&event("thinking", &data));
    }
    let meta = json!({ "stopReason": "stop" });
    scenario.frame(&last(
        &json!({ "payloads": [{ "text": "Done." }], "meta": meta }),
    ));
    let outcome = scenario.exchange.outcome();
    assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    let answer: Value = serde_json::from_str(&scenario.shown.body).unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "Done.");
    let thoughts = message["reasoning_content"].as_str().unwrap().len();
    assert!((7 << 20..=8 << 20).contains(&thoughts), "{thoughts}");
}

fn event(stream: &str, data: &Value) -> String {
    let payload = json!({ "runId": RUN_ID, "stream": stream, "data": data });
    json!({ "type": "event", "event": "agent", "payload": payload }).to_string()
}

/// Returns the final response with this result.
fn last(result: &Value) -> String {
    let payload = json!({ "runId": RUN_ID, "status": "ok", "result": result });
    json!({ "type": "res", "id": "3", "ok": true, "payload": payload }).to_string()
}
