//! The data of a tool call's events on protocol 4: the streams `tool`, `item` and
//! `command_output`.

use serde_json::{Value, json};

const TOOL_CALL_ID: &str = "call_fake1";
const COMMAND: &str = "echo hi";
const MEANING: &str = "print text";
const DURATION_MS: u64 = 40;

pub(super) fn started(tool: &str) -> Value {
    json!({ "phase": "start", "name": tool, "toolCallId": TOOL_CALL_ID, "args": { "command": COMMAND } })
}

pub(super) fn updated(tool: &str) -> Value {
    json!({
        "phase": "update", "name": tool, "toolCallId": TOOL_CALL_ID,
        "partialResult": { "content": [{ "type": "text", "text": "hi\n" }], "details": { "status": "running", "tail": "hi\n" } },
    })
}

pub(super) fn ended(tool: &str, agent_id: &str) -> Value {
    json!({
        "phase": "result", "name": tool, "toolCallId": TOOL_CALL_ID, "meta": MEANING, "isError": false, "commandBearing": true,
        "result": {
            "content": [{ "type": "text", "text": "hi" }],
            "details": {
                "status": "completed", "exitCode": 0, "exitSignal": null, "exitReason": "exit", "durationMs": DURATION_MS,
                "aggregated": "hi", "noOutputTimedOut": false, "cwd": workspace(agent_id),
            },
        },
    })
}

/// Returns the data of the stream `item`; `times` are added to it.
pub(super) fn item(tool: &str, phase: &str, status: &str, times: Value) -> Value {
    let mut title = tool.to_owned();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut item = json!({
        "itemId": format!("tool:{TOOL_CALL_ID}"), "toolCallId": TOOL_CALL_ID, "name": tool, "kind": "tool", "phase": phase,
        "title": format!("{title} {MEANING}"), "status": status, "meta": MEANING, "commandBearing": true,
    });
    if let (Some(item), Value::Object(times)) = (item.as_object_mut(), times) {
        item.extend(times);
    }
    item
}

pub(super) fn preamble(phase: &str, text: &str) -> Value {
    json!({
        "kind": "preamble", "title": "Preamble", "phase": phase, "progressText": text, "itemId": "commentary-0-5f1d",
    })
}

pub(super) fn output_updated(tool: &str) -> Value {
    json!({
        "itemId": format!("command:{TOOL_CALL_ID}"), "phase": "delta", "title": format!("command {MEANING}"),
        "toolCallId": TOOL_CALL_ID, "name": tool, "output": "hi", "status": "running",
    })
}

pub(super) fn output_ended(tool: &str, agent_id: &str) -> Value {
    json!({
        "itemId": format!("command:{TOOL_CALL_ID}"), "phase": "end", "title": format!("command {MEANING}"),
        "toolCallId": TOOL_CALL_ID, "name": tool, "output": "hi", "status": "completed", "exitCode": 0,
        "durationMs": DURATION_MS, "cwd": workspace(agent_id),
    })
}

fn workspace(agent_id: &str) -> String {
    format!("/srv/openclaw/ws-{agent_id}")
}
