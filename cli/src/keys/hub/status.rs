//! `clawfront status`: prints whether a Worker can be used, its keys, and what runs now.

use std::fmt::Write as _;

use clawfront_core::access::date::Date;
use serde_json::{Value, json};

use super::api::Hub;
use super::operate::RUNS;
use super::{Form, KEYS, Options, view};
use crate::outcome::{FAILED, Output, Problem};
use crate::system::now_ms;

/// The answers of the Worker.
struct Seen {
    version: String,
    readiness: Value,
    keys: Counts,
    runs: Vec<Value>,
}

/// The keys of the hub.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    all: usize,
    disabled: usize,
    /// Those that are not disabled as well.
    expired: usize,
}

pub(crate) fn run(options: &Options) -> Result<Output, Problem> {
    let form = Form::of_options(options);
    let hub = Hub::open(form.worker)?;
    let seen = see(&hub, now_ms()?).map_err(|refused| refused.of_hub(&hub))?;
    let is_ready = seen.status() == "ready";
    let code = if is_ready { 0 } else { FAILED };
    Ok(Output {
        code,
        ..form.output(&seen.json(&hub.url), seen.text(&hub.url))
    })
}

fn see(hub: &Hub, now_ms: u64) -> Result<Seen, super::api::Refused> {
    let about = hub.about()?;
    let version = about.get("version").and_then(Value::as_str);
    let keys = hub.get(KEYS)?;
    let runs = hub.get(RUNS)?;
    Ok(Seen {
        version: version.unwrap_or_default().to_owned(),
        readiness: hub.readiness()?,
        keys: Counts::of(view::data(&keys), now_ms),
        runs: view::data(&runs).to_vec(),
    })
}

impl Counts {
    fn of(keys: &[Value], now_ms: u64) -> Self {
        let is_disabled = |key: &&Value| key.get("disabled") == Some(&Value::Bool(true));
        let is_expired = |key: &&Value| {
            let expires = key.get("expires").and_then(Value::as_str);
            let expires = expires.and_then(Date::parse);
            expires.is_some_and(|date| date.unix_ms() <= now_ms)
        };
        let disabled = keys.iter().filter(is_disabled).count();
        let enabled = keys.iter().filter(|key| !is_disabled(key));
        Self {
            all: keys.len(),
            disabled,
            expired: enabled.filter(is_expired).count(),
        }
    }

    fn text(&self) -> String {
        let parts = [(self.disabled, "disabled"), (self.expired, "expired")];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts
            .map(|(count, name)| format!("{count} {name}"))
            .collect();
        if parts.is_empty() {
            return self.all.to_string();
        }
        format!("{} ({})", self.all, parts.join(", "))
    }
}

impl Seen {
    fn member(&self, name: &str) -> Option<&str> {
        self.readiness.get(name).and_then(Value::as_str)
    }

    fn status(&self) -> &str {
        self.member("status").unwrap_or_default()
    }

    /// Returns the fix, if the gateway cannot be used.
    fn fix(&self) -> Option<&str> {
        let no_fix = match self.status() {
            "ready" => return None,
            "unknown" => "deploy this version of Clawfront, whose Worker asks its gateway",
            _ => "read the Worker's log (wrangler tail), or run clawfront doctor",
        };
        Some(self.member("hint").unwrap_or(no_fix))
    }

    fn json(&self, url: &str) -> Value {
        json!({
            "object": "status",
            "worker": url,
            "version": self.version,
            "gateway": self.readiness,
            "fix": self.fix(),
            "keys": {
                "total": self.keys.all,
                "disabled": self.keys.disabled,
                "expired": self.keys.expired,
            },
            "runs": self.runs,
        })
    }

    fn text(&self, url: &str) -> String {
        let agents = self.readiness.get("agents").and_then(Value::as_u64);
        let gateway = match (self.status(), agents) {
            ("ready", Some(1)) => "ready, with 1 agent".to_owned(),
            ("ready", Some(count)) => format!("ready, with {count} agents"),
            ("ready", None) => "ready".to_owned(),
            ("unknown", _) => "unknown: the Worker has not asked it recently".to_owned(),
            _ => format!(
                "not ready: {}",
                self.member("cause").unwrap_or("no cause given")
            ),
        };
        let lines = [
            ("Worker", format!("{url}, Clawfront {}", self.version)),
            ("Gateway", gateway),
            ("Keys", format!("{} in the hub", self.keys.text())),
            ("Runs", self.runs.len().to_string()),
        ];
        let mut text = String::new();
        for (name, value) in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:8} {}", view::escaped(&value));
            if let ("Gateway", Some(fix)) = (name, self.fix()) {
                let _ = writeln!(text, "{:8} → {}", "", view::escaped(fix));
            }
        }
        if !self.runs.is_empty() {
            let _ = write!(text, "\n{}", view::runs_text(&self.runs));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_disabled_and_expired_counts_once() {
        let keys = [
            json!({ "id": "a", "disabled": false, "expires": null }),
            json!({ "id": "b", "disabled": true, "expires": "2026-01-01T00:00:00Z" }),
            json!({ "id": "c", "disabled": false, "expires": "2026-01-01T00:00:00Z" }),
            json!({ "id": "d", "disabled": false, "expires": "2028-01-01T00:00:00Z" }),
        ];
        let counts = Counts::of(&keys, 1_798_761_600_000);
        assert_eq!(counts.text(), "4 (1 disabled, 1 expired)");
        assert_eq!(Counts::of(&keys[..1], 0).text(), "1");
    }
}
