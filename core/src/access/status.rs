//! `GET /v1/key`: the rights of a key, its expiry, and its remaining allowance. It contains nothing
//! about other keys.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::access::field::{self, FIELDS};
use crate::access::grant::Grant;
use crate::access::hub_key::Facts;
use crate::access::quota::Counts;
use crate::access::usage::{Counter, Day, LastUse};

/// Writes the status of the key of `grant`, as the hub has counted it. `of_hub` has further
/// members for administrators.
pub fn write(
    grant: &Grant,
    of_hub: Option<OfHub<'_>>,
    counts: &Counts,
    now_ms: u64,
    out: &mut Vec<u8>,
) {
    let status = Status {
        grant,
        of_hub,
        counts,
        now_ms,
    };
    // Writing to memory a type whose serialisation cannot fail.
    let written = serde_json::to_writer(out, &status);
    debug_assert!(written.is_ok());
}

/// The members that only administrators receive.
pub struct OfHub<'a> {
    pub facts: Facts,
    /// The key itself, where it was just made.
    pub key: Option<&'a str>,
}

/// A key's id, and its fields in the order of their table.
struct Status<'a> {
    grant: &'a Grant,
    of_hub: Option<OfHub<'a>>,
    counts: &'a Counts,
    now_ms: u64,
}

impl Serialize for Status<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("object", "key")?;
        map.serialize_entry("id", self.grant.id.as_str())?;
        let [tokens_day, tokens_month, runs_day] = self.budgets();
        for field in &FIELDS {
            match field.name {
                "rpm" => map.serialize_entry(field.member, &self.requests())?,
                "runs" => map.serialize_entry(field.member, &self.runs())?,
                "tokens_day" => map.serialize_entry(field.member, &tokens_day)?,
                "tokens_month" => map.serialize_entry(field.member, &tokens_month)?,
                "runs_day" => map.serialize_entry(field.member, &runs_day)?,
                _ => map.serialize_entry(field.member, &field.of(self.grant))?,
            }
        }
        map.serialize_entry("usage_today", &self.today())?;
        if let Some(OfHub { facts, key }) = &self.of_hub {
            map.serialize_entry("created_at", &facts.created_s)?;
            map.serialize_entry("disabled", &facts.is_disabled)?;
            map.serialize_entry("previous_key_valid_until", &facts.previous_until_s)?;
            // Not that of an earlier key with this id.
            let last_use = self.counts.usage.last_use(&self.grant.id);
            let last_use = last_use.filter(|last_use| last_use.time_s >= facts.created_s);
            map.serialize_entry("last_used_at", &last_use.map(|last_use| last_use.time_s))?;
            let [network, client] = last_use
                .map_or([""; 2], LastUse::words)
                .map(|word| field::text(Some(word).filter(|word| !word.is_empty())));
            map.serialize_entry("last_used_network", &network)?;
            map.serialize_entry("last_used_client", &client)?;
            if let Some(key) = key {
                map.serialize_entry("key", key)?;
            }
        }
        map.end()
    }
}

impl Serialize for Today {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            Counter::ALL
                .iter()
                .map(|counter| (counter.name(), self.0.get(*counter))),
        )
    }
}

impl Status<'_> {
    fn today(&self) -> Today {
        Today(self.counts.usage.today(&self.grant.id, self.now_ms))
    }

    fn budgets(&self) -> [Spent; 3] {
        let (id, now_ms) = (&self.grant.id, self.now_ms);
        let reading = self.counts.places.reading(id, now_ms);
        let budgets = self.counts.usage.budgets(self.grant, reading, now_ms);
        budgets.map(|budget| Spent {
            limit: budget.limit,
            used: budget.used,
            resets: budget.resets.to_string(),
        })
    }

    fn requests(&self) -> Option<Requests> {
        let left = self.counts.allowance(self.grant, self.now_ms)?;
        Some(Requests {
            limit: left.limit,
            remaining: left.remaining,
            reset_s: left.reset_s,
        })
    }

    fn runs(&self) -> Runs {
        let (id, places) = (&self.grant.id, &self.counts.places);
        Runs {
            limit: self.grant.limits.concurrent_runs,
            running: places.running(id, self.now_ms),
            reading: places.reading(id, self.now_ms),
        }
    }
}

/// The key's counts of today, by their names.
struct Today(Day);

#[derive(Serialize)]
struct Spent {
    limit: Option<u32>,
    used: u64,
    resets: String,
}

#[derive(Serialize)]
struct Requests {
    limit: u32,
    remaining: u32,
    reset_s: u32,
}

#[derive(Serialize)]
struct Runs {
    limit: Option<u32>,
    running: u32,
    /// Requests whose bodies are being read; they count against the limit, too.
    reading: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::admit::Grants;
    use crate::access::usage::RunEnd;

    #[test]
    fn the_status_of_a_key_has_all_its_fields() {
        let mut clients = Grants::default();
        let mut problems = Vec::new();
        let hash = "2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
        clients.extend(
            &format!(
                "phone sha256:{hash} agents=main,beta rpm=30 runs=2 tokens_day=500 expires=2027-06-30 \
                 label=\"Anna's \u{fc}\""
            ),
            &mut problems,
        );
        let client = clients.iter().next().unwrap();
        let mut counts = Counts::default();
        counts.request(client, 1000).unwrap();
        let ticket = counts.places.enter(client, 1000).unwrap();
        counts.places.begin_run(ticket, 1000);
        counts.places.enter(client, 1000).unwrap();
        counts.usage.begin(&client.id, "r", 1000);
        counts.usage.start("r");
        let end = RunEnd {
            outcome: Counter::ProviderFailures,
            input_tokens: 700,
            cached_tokens: 300,
            output_tokens: 9,
        };
        counts.usage.end("r", "main", &end, 1080);
        let mut out = Vec::new();
        write(client, None, &counts, 11_000, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"object":"key","id":"phone","label":"Anna's ü","agents":["main","beta"],"default_agent":null,"#,
                r#""sessions":"own","scopes":["chat","models","responses"],"not_before":null,"expires":"2027-06-30T00:00:00Z","#,
                r#""requests_per_minute":{"limit":30,"remaining":29,"reset_s":50},"concurrent_runs":{"limit":2,"running":1,"reading":1},"#,
                r#""tokens_per_day":{"limit":500,"used":709,"resets":"1970-01-02T00:00:00Z"},"tokens_per_month":{"limit":null,"used":709,"resets":"1970-02-01T00:00:00Z"},"#,
                r#""runs_per_day":{"limit":null,"used":2,"resets":"1970-01-02T00:00:00Z"},"#,
                r#""origins":[],"networks":[],"heartbeat":true,"keep_alive_s":30,"linger_s":null,"on_disconnect":"abort","conversations":[],"tasks":"aside","tools":"ignore","system":"allow","files":true,"reasoning":false,"progress":false,"aliases":false,"#,
                r#""usage_today":{"requests":1,"runs":1,"answers":0,"stopped":0,"provider_failures":1,"other_failures":0,"input_tokens":700,"cached_tokens":300,"output_tokens":9,"run_ms":80}}"#,
            )
        );
    }
}
