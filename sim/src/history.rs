//! The content of sessions: rows of users and answers, as `sessions.get` returns them.
//!
//! They survive a crash, as the gateway's own do. Source of the rows: recorded on both versions,
//! without the fields that no client reads.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::clock;
use crate::frames::Protocol;

/// Sessions that are kept. All are forgotten when there are more, because a benchmark takes a new
/// one for every run.
const MAX_SESSIONS: usize = 1000;

/// Rows of one session that are kept.
const MAX_ROWS: usize = 1000;

#[derive(Debug, Default)]
pub(crate) struct Histories(HashMap<String, Vec<Value>>, HashMap<String, String>);

/// A message of the model, complete or not.
pub(crate) struct Answer<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) text: &'a str,
    pub(crate) stop_reason: &'a str,
}

impl Histories {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
        self.1.clear();
    }

    /// Gives a session this id. A session with another one begins again. Source: protocol 4,
    /// measured; there the former id brings the former rows back.
    pub(crate) fn rotate(&mut self, session_key: &str, session_id: &str) {
        let id = self.1.entry(session_key.to_owned()).or_default();
        if id != session_id {
            session_id.clone_into(id);
            self.0.remove(session_key);
        }
    }

    /// A turn begins.
    pub(crate) fn asked(
        &mut self,
        protocol: Protocol,
        session_key: &str,
        run_id: &str,
        message: &str,
    ) {
        let mut row = json!({ "role": "user", "content": message, "timestamp": clock::now_ms() });
        if protocol == Protocol::V4 {
            set(&mut row, "idempotencyKey", json!(user_key(run_id)));
        }
        self.push(protocol, session_key, row, json!({}));
    }

    /// Adds a message of the model.
    pub(crate) fn answered(&mut self, protocol: Protocol, session_key: &str, answer: &Answer<'_>) {
        let row = json!({
            "role": "assistant",
            "content": [{ "type": "text", "text": answer.text }],
            "stopReason": answer.stop_reason,
            "timestamp": clock::now_ms(),
        });
        self.push(
            protocol,
            session_key,
            row,
            json!({ "runId": answer.run_id }),
        );
    }

    /// Leaves the rows that an administrator's `sessions.reset` leaves. Source: protocol 4 leaves a
    /// row of its own, protocol 3 nothing; measured.
    pub(crate) fn reset(&mut self, protocol: Protocol, session_key: &str) {
        self.0.remove(session_key);
        if protocol == Protocol::V4 {
            let row = json!({ "role": "system", "content": "", "timestamp": clock::now_ms() });
            self.push(protocol, session_key, row, json!({ "kind": "reset" }));
        }
    }

    /// Copies the rows before a user's row to another session.
    pub(crate) fn fork(&mut self, session_key: &str, entry: &str, to: &str) -> Result<(), String> {
        let rows = self.0.get(session_key).map_or(&[][..], Vec::as_slice);
        let place = rows
            .iter()
            .position(|row| row.pointer("/__openclaw/id").and_then(Value::as_str) == Some(entry))
            .ok_or_else(|| format!("message entry not found: {entry}"))?;
        let (before, from) = rows.split_at(place);
        let is_of_user = |row: &Value| row.get("role").and_then(Value::as_str) == Some("user");
        if !from.first().is_some_and(is_of_user) {
            return Err(format!("entry is not a user message: {entry}"));
        }
        let copy = before.to_vec();
        self.0.insert(to.to_owned(), copy);
        Ok(())
    }

    /// Copies all rows of a session to another one, whose rows are replaced.
    pub(crate) fn copy(&mut self, session_key: &str, to: &str) {
        let rows = self.0.get(session_key).cloned().unwrap_or_default();
        self.0.insert(to.to_owned(), rows);
    }

    pub(crate) fn delete(&mut self, session_key: &str) {
        self.0.remove(session_key);
    }

    fn push(&mut self, protocol: Protocol, session_key: &str, mut row: Value, mut meta: Value) {
        if self.0.len() >= MAX_SESSIONS && !self.0.contains_key(session_key) {
            self.clear();
        }
        let rows = self.0.entry(session_key.to_owned()).or_default();
        if rows.len() >= MAX_ROWS {
            rows.remove(0);
        }
        if protocol == Protocol::V4 {
            set(&mut meta, "id", json!(clock::uuid()));
            set(&mut meta, "seq", json!(rows.len().saturating_add(1)));
            set(&mut row, "__openclaw", meta);
        }
        rows.push(row);
    }

    pub(crate) fn last(&self, session_key: &str, limit: u64) -> Vec<Value> {
        let rows = self.0.get(session_key).map_or(&[][..], Vec::as_slice);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        rows.iter()
            .skip(rows.len().saturating_sub(limit))
            .cloned()
            .collect()
    }
}

fn user_key(run_id: &str) -> String {
    format!("{run_id}:user")
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}
