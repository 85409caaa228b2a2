//! Keys as text for people and as JSON for scripts.

use clawfront_core::access::date::Date;
use clawfront_core::access::edit;
use clawfront_core::access::field::FIELDS;
use clawfront_core::access::grant::Grant;
use serde_json::{Map, Value, json};

use super::list::{Key, List, MAX_SECRET_BYTES};
use crate::outcome::Problem;

/// Time before a key's end when its state becomes `expires_soon`: two weeks are enough to hand out
/// another key.
const EXPIRES_SOON_MS: u64 = 14 * 24 * 60 * 60 * 1000;

/// The state of a key now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Good,
    NotYetValid,
    ExpiresSoon,
    Expired,
}

impl State {
    fn of(client: &Grant, now_ms: u64) -> Self {
        Self::at(client.not_before, client.expires, now_ms)
    }

    /// Returns the state of a key that is valid between two dates.
    pub(super) fn at(not_before: Option<Date>, expires: Option<Date>, now_ms: u64) -> Self {
        let left_ms = expires.map(|date| date.unix_ms().saturating_sub(now_ms));
        match left_ms {
            Some(0) => Self::Expired,
            _ if not_before.is_some_and(|date| now_ms < date.unix_ms()) => Self::NotYetValid,
            Some(left_ms) if left_ms <= EXPIRES_SOON_MS => Self::ExpiresSoon,
            _ => Self::Good,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NotYetValid => "not_yet_valid",
            Self::ExpiresSoon => "expires_soon",
            Self::Expired => "expired",
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NotYetValid => "not yet valid",
            Self::ExpiresSoon => "expires soon",
            Self::Expired => "expired",
        }
    }
}

/// Returns a key with all its settings, with the names of `GET /v1/key`.
pub(super) fn key_json(key: &Key, now_ms: u64) -> Value {
    let grant = &key.client;
    let mut fields = Map::new();
    fields.insert("id".to_owned(), grant.id.as_str().into());
    for field in &FIELDS {
        let value = serde_json::to_value(field.of(grant)).unwrap_or_default();
        fields.insert(field.member.to_owned(), value);
    }
    fields.insert(
        "state".to_owned(),
        State::of(&key.client, now_ms).name().into(),
    );
    fields.insert(
        "rotating".to_owned(),
        edit::finish(&key.entry).is_some().into(),
    );
    fields.insert("entry".to_owned(), key.entry.clone().into());
    Value::Object(fields)
}

/// Returns a key, one field per line; limits that it does not have are left out.
pub(super) fn key_text(key: &Key, now_ms: u64) -> String {
    let Value::Object(mut fields) = key_json(key, now_ms) else {
        return String::new();
    };
    fields.insert("state".to_owned(), state(key, now_ms).into());
    fields.remove("rotating");
    lines(fields)
}

/// Returns the members of a key, one per line; those without a value are left out.
pub(super) fn lines(mut fields: Map<String, Value>) -> String {
    let lines = titles()
        .filter_map(|(member, title)| Some((title, fields.remove(member)?)))
        .filter_map(|(title, value)| {
            let text = match value {
                Value::Null => return None,
                Value::Bool(is_on) => if is_on { "on" } else { "off" }.to_owned(),
                Value::String(text) => text,
                Value::Array(items) if items.is_empty() => return None,
                Value::Array(items) => items
                    .iter()
                    .map(|item| item.as_str().unwrap_or_default())
                    .collect::<Vec<_>>()
                    .join(", "),
                other => other.to_string(),
            };
            Some(format!("{title:<19} {text}\n"))
        });
    lines.collect()
}

/// Returns the members of a key and their titles, in the order of core's table.
fn titles() -> impl Iterator<Item = (&'static str, String)> {
    let members = FIELDS.iter().map(|field| field.member);
    let last = ["created", "old_key_until", "last_used", "entry"];
    let all = ["id", "state"].into_iter().chain(members).chain(last);
    all.map(|member| {
        let title = match member.strip_suffix("_s") {
            Some(member) => format!("{} (s)", member.replace('_', " ")),
            None => member.replace('_', " "),
        };
        (member, title)
    })
}

/// Returns all keys, and the sizes of the secrets.
pub(super) fn list_json(file: &str, list: &List, now_ms: u64) -> Result<Value, Problem> {
    let keys: Vec<_> = list
        .keys()
        .iter()
        .map(|key| {
            let mut fields = key_json(key, now_ms);
            if let Some(fields) = fields.as_object_mut() {
                fields.remove("entry");
            }
            fields
        })
        .collect();
    let secrets: Vec<_> = list
        .secrets()?
        .iter()
        .map(|secret| json!({ "name": secret.name, "bytes": secret.text.len(), "limit": MAX_SECRET_BYTES }))
        .collect();
    Ok(json!({ "file": file, "keys": keys, "secrets": secrets }))
}

pub(super) fn list_text(list: &List, now_ms: u64) -> Result<String, Problem> {
    let mut rows = vec![["ID", "STATE", "AGENTS", "EXPIRES", "LABEL"].map(str::to_owned)];
    for key in list.keys() {
        let fields = key_json(&key, now_ms);
        let agents = fields.get("agents").and_then(Value::as_array);
        let agents = agents.into_iter().flatten().filter_map(Value::as_str);
        rows.push([
            key.client.id.to_string(),
            state(&key, now_ms),
            agents.collect::<Vec<_>>().join(","),
            key.client.expires.map_or("never".to_owned(), day),
            key.client.label.clone().unwrap_or_default(),
        ]);
    }
    let secrets = list.secrets()?;
    let sizes = secrets.iter().map(|secret| {
        format!(
            "{}: {} of {MAX_SECRET_BYTES} bytes\n",
            secret.name,
            secret.text.len()
        )
    });
    Ok(table(&rows) + "\n" + &sizes.collect::<String>())
}

fn state(key: &Key, now_ms: u64) -> String {
    let rotating = if edit::finish(&key.entry).is_some() {
        ", rotating"
    } else {
        ""
    };
    format!("{}{rotating}", State::of(&key.client, now_ms).text())
}

/// Returns a date; midnight is left out.
pub(super) fn day(date: Date) -> String {
    let text = date.to_string();
    text.strip_suffix("T00:00:00Z")
        .map_or(text.clone(), str::to_owned)
}

pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0_usize; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
    const OTHER: &str = "sha256:aa8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
    /// date -ud 2027-01-01 +%s
    const NOW_MS: u64 = 1_798_761_600_000;

    fn key(fields: &str) -> Key {
        let list = List::of_text(format!("phone {HASH} agents=main {fields}"));
        list.key("phone")
            .map_err(|problem| problem.message)
            .unwrap()
    }

    #[test]
    fn a_key_is_pointed_out_two_weeks_before_it_ends() {
        for (fields, state) in [
            ("", State::Good),
            ("expires=2027-01-16", State::Good),
            ("expires=2027-01-15", State::ExpiresSoon),
            ("expires=2027-01-01T00:00:01Z", State::ExpiresSoon),
            ("expires=2027-01-01", State::Expired),
            ("not_before=2027-01-02", State::NotYetValid),
            (
                "not_before=2027-01-01 expires=2027-01-02",
                State::ExpiresSoon,
            ),
        ] {
            assert_eq!(State::of(&key(fields).client, NOW_MS), state, "{fields}");
        }
    }

    #[test]
    fn a_key_is_shown_with_its_limits_and_without_counts() {
        let shown = key_json(
            &key("rpm=30 tokens_month=50000 expires=2027-06-30 label=\"Anna's phone\""),
            NOW_MS,
        );
        let expected = [
            r#"{"agents":["main"],"aliases":false,"concurrent_runs":null,"conversations":[],"default_agent":"main","entry":"phone "#,
            HASH,
            r#" agents=main rpm=30 tokens_month=50000 expires=2027-06-30 label=\"Anna's phone\"","expires":"2027-06-30T00:00:00Z","files":true,"heartbeat":true,"#,
            r#""id":"phone","keep_alive_s":30,"label":"Anna's phone","linger_s":null,"networks":[],"not_before":null,"on_disconnect":"abort","origins":[],"progress":false,"reasoning":false,"requests_per_minute":30,"#,
            r#""rotating":false,"runs_per_day":null,"scopes":["chat","models","responses"],"sessions":"own","state":"good","system":"allow","tasks":"aside","tokens_per_day":null,"tokens_per_month":50000,"tools":"ignore"}"#,
        ];
        assert_eq!(shown.to_string(), expected.concat());
    }

    #[test]
    fn a_key_is_shown_to_people_without_what_does_not_limit_it() {
        assert_eq!(
            key_text(&key("runs=2 heartbeat=off"), NOW_MS),
            format!(
                "id                  phone\nstate               good\nagents              \
                 main\ndefault agent       main\nsessions            own\nscopes              \
                 chat, models, responses\nconcurrent runs     2\nheartbeat           off\nkeep \
                 alive (s)      30\non disconnect       abort\ntasks               \
                 aside\ntools               ignore\nsystem              allow\nfiles               on\nreasoning           \
                 off\nprogress            off\naliases             off\nentry               \
                 phone {HASH} agents=main runs=2 heartbeat=off\n"
            )
        );
    }

    #[test]
    fn a_list_is_a_table_with_the_sizes_of_its_secrets() {
        let list = List::of_text(format!(
            "phone {HASH} {OTHER} agents=main,notes expires=2027-01-03 label=\"Anna's phone\"; \
             bot {} agents=*",
            HASH.replace("2a", "3a")
        ));
        assert_eq!(
            list_text(&list, NOW_MS)
                .map_err(|problem| problem.message)
                .unwrap(),
            concat!(
                "ID     STATE                   AGENTS      EXPIRES     LABEL\n",
                "phone  expires soon, rotating  main,notes  2027-01-03  Anna's phone\n",
                "bot    good                    *           never\n",
                "\nCLIENT_KEYS: 292 of 5000 bytes\n",
            )
        );
    }
}
