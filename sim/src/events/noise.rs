//! Events that no client may act on: those of other runs, and those of unknown kinds.

use serde_json::{Value, json};

use crate::clock;
use crate::gateway::Audience;
use crate::run::context::RunContext;

/// The text that a test looks for to check that no other run's text gets through.
const FOREIGN_TEXT: &str = "FOREIGN-TEXT";

const FOREIGN_SESSION: &str = "agent:main:somebody-else";

/// An event of some other run goes to the starter; `nth` chooses its shape.
pub(crate) fn foreign(context: &RunContext, nth: u32) {
    let shapes = foreign_shapes();
    let choice = usize::try_from(nth)
        .ok()
        .and_then(|nth| nth.checked_rem(shapes.len()));
    if let Some((event, payload)) = choice.and_then(|choice| shapes.get(choice)) {
        context
            .gateway
            .publish(event, payload, Audience::One(context.starter));
    }
}

/// Returns the events of a run that the client did not request.
fn foreign_shapes() -> [(&'static str, Value); 6] {
    let (run_id, now) = (clock::uuid(), clock::now_ms());
    let agent = |stream: &str, data: Value| {
        let payload = json!({
            "runId": run_id,
            "stream": stream,
            "data": data,
            "sessionKey": FOREIGN_SESSION,
            "agentId": "main",
            "seq": 1,
            "ts": now,
        });
        ("agent", payload)
    };
    let chat = |state: &str, more: Value| {
        let mut payload = json!({
            "runId": run_id,
            "sessionKey": FOREIGN_SESSION,
            "agentId": "main",
            "seq": 1,
            "state": state,
        });
        if let (Some(payload), Value::Object(more)) = (payload.as_object_mut(), more) {
            payload.extend(more);
        }
        ("chat", payload)
    };
    let message = json!({
        "role": "assistant",
        "content": [{ "type": "text", "text": FOREIGN_TEXT }],
        "timestamp": now,
    });
    [
        agent(
            "assistant",
            json!({ "text": FOREIGN_TEXT, "delta": FOREIGN_TEXT, "itemId": format!("{run_id}:1") }),
        ),
        chat(
            "delta",
            json!({ "deltaText": FOREIGN_TEXT, "message": message }),
        ),
        agent(
            "lifecycle",
            json!({ "phase": "error", "error": FOREIGN_TEXT, "endedAt": now }),
        ),
        chat("final", json!({ "stopReason": "stop", "message": message })),
        agent(
            "lifecycle",
            json!({ "phase": "end", "endedAt": now, "aborted": false, "stopReason": "stop" }),
        ),
        chat("error", json!({ "errorMessage": FOREIGN_TEXT })),
    ]
}

/// Emits an unknown event and an unknown stream, which a client must ignore.
pub(super) fn publish_unknown(context: &RunContext) {
    context.publish(
        "sim.unknown",
        &json!({ "runId": context.run_id, "phase": "end", "text": "unknown event" }),
    );
    let payload = json!({
        "runId": context.run_id, "stream": "sim_unknown", "data": { "phase": "end", "text": "unknown stream" },
        "sessionKey": context.place.session_key, "seq": 1, "ts": clock::now_ms(),
    });
    context.publish("agent", &payload);
}
