//! Checks the requests that an exchange sends to the gateway.

use serde_json::{Value, json};

use crate::replay::RUN_ID;

/// Parameters that a request for a run can have; a claim is checked by its exact parameters.
const RUN_PARAMS: [&str; 8] = [
    "agentId",
    "attachments",
    "channel",
    "extraSystemPrompt",
    "idempotencyKey",
    "message",
    "sessionKey",
    "thinking",
];

/// Returns the parameters of a claim, which cannot start a run.
pub(super) fn claim() -> Value {
    json!({ "agentId": "clawfront-nobody", "channel": "clawfront-nowhere", "idempotencyKey": RUN_ID, "message": "-" })
}

/// Returns true if a run is the requested one, or the gateway started it to continue the requested
/// one.
pub(super) fn is_ours(run_id: &Value) -> bool {
    let id = run_id.as_str().unwrap();
    id == RUN_ID || id.starts_with("announce:")
}

/// Returns true if the request is a claim of a continuation, which cannot start a run, either.
pub(super) fn is_claim_of_continuation(params: &Value) -> bool {
    let mut claim = claim();
    claim["idempotencyKey"] = params["idempotencyKey"].clone();
    *params == claim
        && params["idempotencyKey"]
            .as_str()
            .unwrap()
            .starts_with("announce:")
}

/// Checks that a request for a run has parameters of our list only.
pub(super) fn check_run_params(params: &Value) {
    let params = params.as_object().unwrap();
    for name in params.keys() {
        assert!(
            RUN_PARAMS.contains(&name.as_str()),
            "{name} is not on our list"
        );
    }
    assert!(
        params
            .get("channel")
            .is_none_or(|channel| channel == "webchat")
    );
}
