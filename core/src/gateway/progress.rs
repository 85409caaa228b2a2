//! The progress of a run besides its text: tools that are called, and attempts that failed. Also
//! reads text that comes only as progress.
//!
//! Source: recordings of both versions. OpenClaw 2026.9.6 sends tools in the stream `item` to every
//! subscriber. 2026.3.13 sends them in the stream `tool`, to the connection that requested the run
//! and has the capability `tool-events`. They also contain arguments and results, which are not
//! read.

use crate::gateway::frame::{ItemData, Json, RunStatusData, ToolData};
use crate::gateway::link::Protocol;
use crate::turn::{Progress, ToolEnd};

/// Reads the progress in an agent event of `stream`, if there is any.
pub(crate) fn read<'a>(protocol: Protocol, stream: &str, data: Json<'a>) -> Option<Progress<'a>> {
    match (protocol, stream) {
        (Protocol::V4, "item") => {
            let data: ItemData<'_> = data.read()?;
            match (&*data.kind, &*data.phase) {
                ("tool", "start") => Some(Progress::ToolStarted { name: data.name }),
                ("tool", "end") => Some(Progress::ToolEnded {
                    end: match &*data.status {
                        "completed" => ToolEnd::Completed,
                        _ if is_denial(&data.error, &data.name) => ToolEnd::Denied,
                        _ => ToolEnd::Failed,
                    },
                    name: data.name,
                }),
                _ => None,
            }
        }
        (Protocol::V3, "tool") => {
            let data: ToolData<'_> = data.read()?;
            match &*data.phase {
                "start" => Some(Progress::ToolStarted { name: data.name }),
                "result" => Some(Progress::ToolEnded {
                    name: data.name,
                    end: if data.is_error {
                        ToolEnd::Failed
                    } else {
                        ToolEnd::Completed
                    },
                }),
                _ => None,
            }
        }
        (Protocol::V4, "run_status") => {
            let data: RunStatusData<'_> = data.read()?;
            (data.phase == "retrying").then_some(Progress::Retrying {
                attempt: data.retry_attempt,
                of: data.max_retries,
            })
        }
        _ => None,
    }
}

/// Text that the model emitted before a tool call, and the id of its item (protocol 4).
pub(crate) fn read_preamble(data: Json<'_>) -> Option<ItemData<'_>> {
    data.read()
        .filter(|data: &ItemData<'_>| data.kind == "preamble")
}

/// Returns true if an operator or a rule of the gateway denied the tool: `exec denied: …`.
fn is_denial(error: &str, tool: &str) -> bool {
    let rest = error.strip_prefix(tool).unwrap_or_default();
    rest.strip_prefix(" denied")
        .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[track_caller]
    fn comment(protocol: Protocol, stream: &str, data: &str) -> String {
        let data: Json<'_> = parse::from_str(data).unwrap();
        read(protocol, stream, data).map_or(String::new(), |progress| progress.to_string())
    }

    #[test]
    fn each_protocol_sends_tools_in_its_own_stream() {
        let item = r#"{"itemId":"tool:1","name":"exec","kind":"tool","phase":"start","title":"Exec print text","status":"running"}"#;
        assert_eq!(comment(Protocol::V4, "item", item), "tool exec started");
        let item = r#"{"name":"exec","kind":"tool","phase":"end","status":"completed"}"#;
        assert_eq!(comment(Protocol::V4, "item", item), "tool exec ended");
        let item = r#"{"name":"exec","kind":"tool","phase":"end","status":"failed"}"#;
        assert_eq!(comment(Protocol::V4, "item", item), "tool exec failed");
        let item = r#"{"name":"exec","kind":"tool","phase":"end","status":"failed","error":"exec denied: Headless runs cannot wait for interactive exec approval."}"#;
        assert_eq!(comment(Protocol::V4, "item", item), "tool exec denied");
        let item = r#"{"name":"exec","kind":"tool","phase":"end","status":"failed","error":"secret: permission denied"}"#;
        assert_eq!(comment(Protocol::V4, "item", item), "tool exec failed");
        let tool = r#"{"phase":"start","name":"exec","args":{"command":"echo secret"}}"#;
        assert_eq!(comment(Protocol::V3, "tool", tool), "tool exec started");
        let tool = r#"{"phase":"result","name":"exec","isError":true,"result":"secret"}"#;
        assert_eq!(comment(Protocol::V3, "tool", tool), "tool exec failed");
        // Sent twice on protocol 4, which also sends the stream `tool`.
        assert_eq!(comment(Protocol::V4, "tool", tool), "");
        assert_eq!(comment(Protocol::V3, "item", item), "");
    }

    #[test]
    fn updates_and_other_items_make_no_comment() {
        let item = r#"{"name":"exec","kind":"tool","phase":"update","status":"running"}"#;
        assert_eq!(comment(Protocol::V4, "item", item), "");
        let item = r#"{"kind":"preamble","phase":"start","title":"secret"}"#;
        assert_eq!(comment(Protocol::V4, "item", item), "");
        assert_eq!(comment(Protocol::V4, "item", "[]"), "");
    }

    #[test]
    fn a_comment_has_the_number_of_the_attempt_at_the_model() {
        let status = r#"{"phase":"retrying","message":"secret","retryAttempt":2,"maxRetries":8,"delayMs":712,"reason":"timeout"}"#;
        assert_eq!(
            comment(Protocol::V4, "run_status", status),
            "model failed, retry 2 of 8 follows"
        );
        assert_eq!(
            comment(Protocol::V4, "run_status", r#"{"phase":"done"}"#),
            ""
        );
    }

    #[test]
    fn a_tools_name_cannot_end_its_comment() {
        let item = r#"{"name":"exec\n\ndata: [DONE]\r\n","kind":"tool","phase":"start"}"#;
        assert_eq!(
            comment(Protocol::V4, "item", item),
            "tool execdata:DONE started"
        );
    }
}
