//! The question for the gateway's agents, on the connection of the runs.

use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::hub::Input;
use serde_json::json;

use crate::shared::{IDLE_MS, Shared};

#[test]
fn a_question_for_the_agents_is_one_for_all_and_has_a_limit() {
    let mut shared = Shared::new(IDLE_MS);
    shared.ask_agents();
    // It joins the first.
    shared.ask_agents();
    shared.shake_hands();
    assert_eq!(shared.methods(), ["connect", "agents.list"]);
    shared.respond("agents.list", &json!({ "agents": [{ "id": "main" }] }));
    assert_eq!(shared.answers.len(), 1);
    assert_eq!(shared.answers[0].as_ref().unwrap().agents.len(), 1);

    // An answer to an earlier question does not count.
    shared.requests.clear();
    shared.ask_agents();
    shared.ask_agents();
    assert_eq!(shared.methods(), ["agents.list", "agents.list"]);
    shared.respond("agents.list", &json!({ "agents": [] }));
    assert_eq!(shared.answers.len(), 1);
    shared.pass_ms(5_000);
    let late = Failure::TimedOut(Deadline::Handshake);
    assert_eq!(shared.answers[1], Err(late));
    assert_eq!(shared.disconnects, 0);
    shared.respond("agents.list", &json!({ "agents": [] }));
    assert_eq!(shared.answers.len(), 2);
}

#[test]
fn models_are_asked_for_without_details_at_a_gateway_that_has_none() {
    let mut shared = Shared::connected();
    shared.ask_agents();
    let main = json!({ "id": "main", "model": { "primary": "fake/fake-1" } });
    shared.respond("agents.list", &json!({ "agents": [main] }));
    let params = json!({ "agentId": "main", "includeDetails": true });
    let refused = shared.take("models.list");
    assert_eq!(refused["params"], params);
    let refusal = json!({ "type": "res", "id": refused["id"], "ok": false, "error": {
        "code": "INVALID_REQUEST", "message": "unexpected property 'includeDetails'" } });
    shared.frame(&refusal.to_string());
    assert_eq!(shared.requests[0]["params"], json!({ "agentId": "main" }));
    let model = json!({ "id": "fake-1", "provider": "fake", "contextWindow": 9 });
    shared.respond("models.list", &json!({ "models": [model] }));
    let list = shared.answers[0].as_ref().unwrap();
    assert_eq!(list.about[0].context_tokens, Some(9));
}

#[test]
fn the_agents_are_known_without_their_models() {
    let mut shared = Shared::connected();
    shared.ask_agents();
    let main = json!({ "id": "main", "model": { "primary": "fake/fake-1" } });
    shared.respond("agents.list", &json!({ "agents": [main] }));
    for _ in 0..2 {
        let id = shared.take("models.list")["id"].clone();
        let error = json!({ "code": "UNAVAILABLE", "message": "" });
        let refusal = json!({ "type": "res", "id": id, "ok": false, "error": error });
        shared.frame(&refusal.to_string());
    }
    assert!(shared.requests.is_empty());
    assert_eq!(shared.answers[0].as_ref().unwrap().agents.len(), 1);
}

#[test]
fn a_question_fails_with_its_connection() {
    let mut shared = Shared::connected();
    shared.ask_agents();
    shared.give(Input::Closed { code: 1012 });
    assert!(matches!(
        shared.answers.as_slice(),
        [Err(Failure::GatewayUnavailable { .. })]
    ));
    assert_eq!((shared.connects, shared.hub.wake_at_ms()), (1, None));
}
