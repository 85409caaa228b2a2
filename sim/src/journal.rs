//! The record of the clients' actions, which tests read: `GET /sim/journal`.

use std::collections::VecDeque;

use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::now_ms;
use crate::request::Request;

/// Entries of each list that are kept; the oldest are removed first. A benchmark that never reads
/// the journal must not fill the memory.
const MAX_ENTRIES: usize = 10_000;

/// Fields of `auth` in `connect` and headers of an upgrade whose values are secrets.
const SECRET_HEADERS: [&str; 4] = [
    "authorization",
    "cf-access-client-secret",
    "cookie",
    "proxy-authorization",
];
const REDACTED: &str = "<redacted>";

/// The longest text of a request that is kept. Attachments are longer, and `echo` returns their
/// length.
const MAX_TEXT_BYTES: usize = 65_536;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Journal {
    /// Connections since the start or the last reset.
    connections: u64,
    open_connections: u64,
    frames: VecDeque<FrameEntry>,
    runs: VecDeque<RunEntry>,
    upgrades: VecDeque<UpgradeEntry>,
    closes: VecDeque<CloseEntry>,
    completions: VecDeque<CompletionEntry>,
    /// Wire faults that reached their point.
    wire_faults: u64,
}

#[derive(Debug, Serialize)]
struct FrameEntry {
    connection: u64,
    method: String,
    params: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RunEntry {
    run_id: String,
    session_key: String,
    agent_id: String,
    ended: Ending,
    aborted_by: Option<AbortedBy>,
}

/// The client that aborted a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AbortedBy {
    pub(crate) connection: u64,
    pub(crate) method: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ending {
    Running,
    Ok,
    Error,
    Aborted,
}

#[derive(Debug, Serialize)]
struct UpgradeEntry {
    path: String,
    headers: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct CloseEntry {
    connection: u64,
    by: &'static str,
    /// `None`: the connection ended without a close frame, or its close frame had no code.
    code: Option<u16>,
    /// Milliseconds since the Unix epoch.
    at_ms: u64,
}

/// A request for a completion over HTTP.
#[derive(Debug)]
pub(crate) struct Completion<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Value,
    pub(crate) status: u16,
    pub(crate) run: Option<CompletionRun>,
}

/// The run of a request for a completion.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CompletionRun {
    pub(crate) connection: u64,
    pub(crate) run_id: String,
    pub(crate) session_key: String,
    pub(crate) agent_id: String,
    /// The request has every scope.
    pub(crate) is_owner: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CompletionEntry {
    /// Milliseconds since the Unix epoch.
    at_ms: u64,
    headers: Map<String, Value>,
    body: Value,
    status: u16,
    #[serde(flatten)]
    run: Option<CompletionRun>,
    ended: Option<Ending>,
}

impl Journal {
    /// Forgets everything except which connections are open.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            open_connections: self.open_connections,
            ..Self::default()
        };
    }

    pub(crate) fn opened(&mut self) {
        self.connections = self.connections.saturating_add(1);
        self.open_connections = self.open_connections.saturating_add(1);
    }

    pub(crate) fn closed(&mut self, connection: u64, by: &'static str, code: Option<u16>) {
        self.open_connections = self.open_connections.saturating_sub(1);
        push(
            &mut self.closes,
            CloseEntry {
                connection,
                by,
                code,
                at_ms: now_ms(),
            },
        );
    }

    pub(crate) fn wire_fault(&mut self) {
        self.wire_faults = self.wire_faults.saturating_add(1);
    }

    pub(crate) fn upgrade(&mut self, path: &str, headers: &HeaderMap) {
        push(
            &mut self.upgrades,
            UpgradeEntry {
                path: path.to_owned(),
                headers: without_secrets(headers),
            },
        );
    }

    /// Notes a request; if it starts a run, that is going on.
    pub(crate) fn completion(&mut self, completion: Completion<'_>) {
        push(
            &mut self.completions,
            CompletionEntry {
                at_ms: now_ms(),
                headers: without_secrets(completion.headers),
                body: shortened(completion.body),
                status: completion.status,
                ended: completion.run.as_ref().map(|_| Ending::Running),
                run: completion.run,
            },
        );
    }

    pub(crate) fn frame(&mut self, connection: u64, request: &Request) {
        let mut params = shortened(&request.params);
        if request.method == "connect"
            && let Some(auth) = params.get_mut("auth").and_then(Value::as_object_mut)
        {
            for (_, secret) in auth.iter_mut() {
                *secret = Value::from(REDACTED);
            }
        }
        push(
            &mut self.frames,
            FrameEntry {
                connection,
                method: request.method.clone(),
                params,
                traceparent: request.traceparent.clone(),
            },
        );
    }

    pub(crate) fn run_began(&mut self, run_id: &str, session_key: &str, agent_id: &str) {
        push(
            &mut self.runs,
            RunEntry {
                run_id: run_id.to_owned(),
                session_key: session_key.to_owned(),
                agent_id: agent_id.to_owned(),
                ended: Ending::Running,
                aborted_by: None,
            },
        );
    }

    pub(crate) fn run_ended(&mut self, run_id: &str, ended: Ending, aborted_by: Option<AbortedBy>) {
        if let Some(run) = self.runs.iter_mut().rev().find(|run| run.run_id == run_id) {
            run.ended = ended;
            run.aborted_by = aborted_by;
        }
        let is_of_run = |entry: &&mut CompletionEntry| {
            entry.run.as_ref().is_some_and(|run| run.run_id == run_id)
        };
        if let Some(completion) = self.completions.iter_mut().rev().find(is_of_run) {
            completion.ended = Some(ended);
        }
    }
}

fn without_secrets(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = if SECRET_HEADERS.contains(&name.as_str()) {
                REDACTED
            } else {
                value.to_str().unwrap_or("<not text>")
            };
            (name.as_str().to_owned(), Value::from(value))
        })
        .collect()
}

/// Returns the parameters with long texts replaced.
fn shortened(params: &Value) -> Value {
    match params {
        Value::String(text) if text.len() > MAX_TEXT_BYTES => {
            Value::from(format!("<{} bytes>", text.len()))
        }
        Value::Array(items) => items.iter().map(shortened).collect(),
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| (name.clone(), shortened(value)))
            .collect(),
        other => other.clone(),
    }
}

fn push<T>(entries: &mut VecDeque<T>, entry: T) {
    if entries.len() >= MAX_ENTRIES {
        entries.pop_front();
    }
    entries.push_back(entry);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_not_written_down() {
        let mut journal = Journal::default();
        journal.frame(
            1,
            &Request {
                id: "1".to_owned(),
                method: "connect".to_owned(),
                params: json!({ "auth": { "token": "s3cret" }, "role": "operator" }),
                traceparent: None,
            },
        );
        let headers = [
            ("cf-access-client-secret", "s3cret"),
            ("cf-access-client-id", "id"),
        ];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        journal.upgrade("/", &HeaderMap::from_iter(headers));
        let text = serde_json::to_string(&journal).unwrap();
        assert!(!text.contains("s3cret"));
        assert!(text.contains(r#""auth":{"token":"<redacted>"}"#));
        assert!(text.contains(r#""cf-access-client-id":"id""#));
    }

    #[test]
    fn a_reset_keeps_the_count_of_open_connections() {
        let mut journal = Journal::default();
        journal.opened();
        journal.reset();
        assert_eq!((journal.connections, journal.open_connections), (0, 1));
    }
}
