//! Keys of the hub as text for people. The members have the names of `GET /v1/key`.
//!
//! The texts come from another machine, so no character of them may move a terminal's cursor or
//! change the direction of the text after it.

use std::fmt::Write as _;

use clawfront_core::access::date::Date;
use clawfront_core::access::key::KeyId;
use serde_json::{Map, Value};

use super::super::view::{State, day, lines, table};
use super::snippet::Settings;

/// Returns the entries of a list.
pub(super) fn data(answer: &Value) -> &[Value] {
    let data = answer.get("data").and_then(Value::as_array);
    data.map(Vec::as_slice).unwrap_or_default()
}

/// Returns a text in which control characters, and characters that change the direction of the text
/// or have no width, are written as JSON escapes them. So JSON stays the same JSON.
pub(super) fn escaped(text: &str) -> String {
    let code = |c: char| format!("\\u{:04x}", u32::from(c));
    text.chars()
        .map(|c| if is_odd(c) { code(c) } else { c.to_string() })
        .collect()
}

fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(c, '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Returns the model that requests with this key name; empty for an administrator's key.
pub(super) fn model(key: &Value) -> String {
    let agents = key.get("agents").and_then(Value::as_array);
    let agents: Vec<_> = agents
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let has_default = key.get("default_agent").is_some_and(Value::is_string);
    let model = match agents.first() {
        None => String::new(),
        Some(first) if !has_default && *first != "*" => format!("openclaw/{first}"),
        Some(_) => "openclaw".to_owned(),
    };
    escaped(&model)
}

pub(super) fn new_text(url: &str, id: &KeyId, key: &str, model: &str) -> String {
    let use_of_it = if model.is_empty() {
        format!(
            "{id} is an administrator. To use it here: CLAWFRONT_ADMIN_KEY in .dev.vars or in the \
             environment.\n"
        )
    } else {
        format!("Base URL  {url}/v1\nModel     {model}\n")
    };
    key_line(key) + &use_of_it
}

/// Returns the settings of a client, below the key.
pub(super) fn settings_text(id: &KeyId, settings: &Settings) -> String {
    let mut text = String::new();
    for (name, value) in &settings.variables {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "export {name}={value}");
    }
    let conversations = settings.conversations.as_ref().map(|header| {
        format!(
            "\nSo that each chat is a session: clawfront keys set {id} --conversations {header}\n"
        )
    });
    let space = if text.is_empty() { "" } else { "\n" };
    let snippet = &settings.snippet;
    format!(
        "\n{text}{space}{snippet}{}",
        conversations.unwrap_or_default()
    )
}

pub(super) fn rotated_text(id: &KeyId, key: &str, answer: &Value, now_ms: u64) -> String {
    let until = time(answer, "previous_key_valid_until");
    let until = until.filter(|until| until.unix_ms() > now_ms);
    key_line(key)
        + &match until {
            Some(until) => format!("The old key of {id} works until {until}.\n"),
            None => format!("The old key of {id} is refused from the next request on.\n"),
        }
}

fn key_line(key: &str) -> String {
    format!("Key, for the client, shown only here:\n  {key}\n\n")
}

pub(super) fn list_text(url: &str, keys: &[Value], now_ms: u64) -> String {
    let mut rows =
        vec![["ID", "STATE", "AGENTS", "EXPIRES", "LAST USED", "LABEL"].map(str::to_owned)];
    for key in keys {
        let agents = key.get("agents").and_then(Value::as_array);
        let agents = agents.into_iter().flatten().filter_map(Value::as_str);
        rows.push([
            text(key, "id"),
            state(key, now_ms),
            escaped(&agents.collect::<Vec<_>>().join(",")),
            date(key, "expires").map_or("never".to_owned(), day),
            time(key, LAST_USED).map_or("-".to_owned(), |time| time.to_string()),
            text(key, "label"),
        ]);
    }
    let count = keys.len();
    let plural = if count == 1 { "key" } else { "keys" };
    let list = table(&rows);
    format!("{list}\n{count} {plural} in the hub at {url}. Those of CLIENT_KEYS: --static.\n")
}

/// Returns a key, one field per line; limits that it does not have are left out.
pub(super) fn key_text(key: &Value, now_ms: u64) -> String {
    let mut fields: Map<String, Value> = key.as_object().cloned().unwrap_or_default();
    fields.insert("state".to_owned(), state(key, now_ms).into());
    for (member, count) in [
        ("requests_per_minute", "remaining"),
        ("concurrent_runs", "running"),
    ] {
        let of = |name: &str| key.get(member)?.get(name)?.as_u64();
        let shown = of("limit").map(|limit| {
            let count = of(count).map(|number| format!(" ({number} {count})"));
            format!("{limit}{}", count.unwrap_or_default())
        });
        fields.insert(member.to_owned(), shown.into());
    }
    for (member, source) in [
        ("created", "created_at"),
        ("old_key_until", "previous_key_valid_until"),
    ] {
        let shown = time(key, source).map(|date| date.to_string());
        fields.insert(member.to_owned(), shown.into());
    }
    let last_used = time(key, LAST_USED).map(|time| {
        let [network, client] =
            ["last_used_network", "last_used_client"].map(|member| text(key, member));
        let of = |word: &str, text: String| match text.as_str() {
            "" => text,
            text => format!(" {word} {text}"),
        };
        format!("{time}{}{}", of("from", network), of("by", client))
    });
    fields.insert("last_used".to_owned(), last_used.into());
    lines(fields)
        .lines()
        .map(|line| escaped(line) + "\n")
        .collect()
}

/// A key's member: the time of its last request. Null: it was not used for 92 days.
const LAST_USED: &str = "last_used_at";

pub(super) fn audit_text(records: &[Value]) -> String {
    let mut rows = vec![["TIME", "ACTOR", "ACTION", "KEY", "RUN"].map(str::to_owned)];
    for record in records {
        rows.push([
            time(record, "time").map_or_else(String::new, |time| time.to_string()),
            text(record, "actor"),
            text(record, "action"),
            text(record, "key"),
            text(record, "run"),
        ]);
    }
    table(&rows)
}

pub(super) fn runs_text(runs: &[Value]) -> String {
    let heads = ["RUN", "STATE", "KEY", "AGENT", "BEGAN", "CLIENTS"];
    let mut rows = vec![heads.map(str::to_owned)];
    for run in runs {
        let clients = run.get("clients").and_then(Value::as_u64);
        rows.push([
            text(run, "id"),
            text(run, "state"),
            text(run, "key"),
            text(run, "agent"),
            time(run, "created_at").map_or_else(String::new, |time| time.to_string()),
            clients.unwrap_or_default().to_string(),
        ]);
    }
    table(&rows)
}

fn text(of: &Value, member: &str) -> String {
    escaped(of.get(member).and_then(Value::as_str).unwrap_or_default())
}

fn date(of: &Value, member: &str) -> Option<Date> {
    Date::parse(of.get(member)?.as_str()?)
}

fn time(of: &Value, member: &str) -> Option<Date> {
    Some(Date::from_unix_s(of.get(member)?.as_u64()?))
}

fn state(key: &Value, now_ms: u64) -> String {
    if key.get("disabled").and_then(Value::as_bool) == Some(true) {
        return "disabled".to_owned();
    }
    let state = State::at(date(key, "not_before"), date(key, "expires"), now_ms).text();
    let until = time(key, "previous_key_valid_until");
    let is_rotating = until.is_some_and(|until| until.unix_ms() > now_ms);
    format!("{state}{}", if is_rotating { ", rotating" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW_MS: u64 = 1_798_761_600_000;

    #[test]
    fn a_hostile_text_cannot_move_the_cursor() {
        let key = json!({
            "id": "x", "agents": ["main"], "default_agent": "main",
            "label": "\u{1b}[2J\u{9b}2J\r\u{202e}evil\u{200b}",
            "last_used_at": 1, "last_used_client": "\u{1b}[2Jevil",
        });
        let shown = list_text("https://x", std::slice::from_ref(&key), NOW_MS);
        assert!(!shown.chars().any(|c| c != '\n' && is_odd(c)), "{shown:?}");
        assert!(
            !key_text(&key, NOW_MS)
                .chars()
                .any(|c| c != '\n' && is_odd(c))
        );
        let line = escaped(&key.to_string());
        assert!(line.is_ascii() && !line.contains('\u{1b}'), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), key);
    }

    #[test]
    fn a_key_is_shown_with_its_state_and_its_counts() {
        let key = json!({
            "object": "key", "id": "x", "label": null, "agents": ["main", "notes"],
            "expires": "2027-01-02T00:00:00Z", "disabled": false, "created_at": 1_798_000_000,
            "previous_key_valid_until": 1_798_761_601_u64, "last_used_at": 1_798_761_000,
            "last_used_network": "203.0.113.0/24", "last_used_client": "OpenAI/JS",
            "requests_per_minute": { "limit": 30, "remaining": 29, "reset_s": 2 },
            "concurrent_runs": { "limit": null, "running": 1, "reading": 0 },
        });
        let expected = "id                  x
state               expires soon, rotating
agents              main, notes
expires             2027-01-02T00:00:00Z
requests per minute 30 (29 remaining)
created             2026-12-23T04:26:40Z
old key until       2027-01-01T00:00:01Z
last used           2026-12-31T23:50:00Z from 203.0.113.0/24 by OpenAI/JS
";
        assert_eq!(key_text(&key, NOW_MS), expected);
        assert_eq!(model(&key), "openclaw/main");
        assert_eq!(model(&json!({ "agents": [] })), "");
        assert_eq!(model(&json!({ "agents": ["*"] })), "openclaw");
    }
}
