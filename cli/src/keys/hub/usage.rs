//! `clawfront usage`: prints what all keys of a Worker have used.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use clawfront_core::access::date::{DAY_S, Date};
use clawfront_core::access::usage::Counter;
use serde_json::Value;

use super::super::view::table;
use super::api::Hub;
use super::{Form, Options, view};
use crate::outcome::{Output, Problem, USAGE};
use crate::system::now_ms;

/// Days that are printed without `--since`.
const DEFAULT_DAYS: u64 = 31;

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// The columns of the table, behind the groups.
const HEADS: [&str; 6] = [
    "REQUESTS",
    "RUNS",
    "FAILED",
    "TOKENS IN",
    "CACHED",
    "TOKENS OUT",
];

/// The days and the form of what is printed.
#[derive(Args)]
pub(crate) struct Usage {
    /// First day, in UTC: YYYY-MM-DD; default: 30 days ago
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
    /// Last day; default: today
    #[arg(long, value_name = "DATE")]
    until: Option<String>,
    /// Add up by these, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "key")]
    by: Vec<By>,
    /// Print every count of each day, key and agent as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Day,
    Key,
    Agent,
}

impl By {
    fn member(self) -> &'static str {
        match self {
            Self::Day => "date",
            Self::Key => "key",
            Self::Agent => "agent",
        }
    }
}

pub(crate) fn run(usage: &Usage) -> Result<Output, Problem> {
    let today = now_ms()? / SECOND_MS / DAY_S;
    let day = |text: &Option<String>, option: &str, default: u64| {
        text.as_deref().map_or(Ok(default), |text| {
            let date = Date::parse(text).map(|date| date.unix_ms() / SECOND_MS / DAY_S);
            date.ok_or_else(|| {
                let message = format!("--{option} is not a day. Fix: write it as 2027-01-31");
                Problem::with(USAGE, message)
            })
        })
    };
    let first = day(
        &usage.since,
        "since",
        today.saturating_sub(DEFAULT_DAYS - 1),
    )?;
    let last = day(&usage.until, "until", today)?;
    if first > last {
        let message = "--since is later than --until. Fix: exchange them";
        return Err(Problem::with(USAGE, message));
    }
    let (start_s, end_s) = (
        first.saturating_mul(DAY_S),
        last.saturating_add(1).saturating_mul(DAY_S),
    );
    let form = Form::of_options(&usage.options);
    let hub = Hub::open(form.worker)?;
    let answer = hub
        .get(&format!("/usage?start_time={start_s}&end_time={end_s}"))
        .map_err(|refused| refused.of_hub(&hub))?;
    let entries = view::data(&answer);
    if usage.csv {
        return Ok(Output::of(csv(entries)));
    }
    let groups = [By::Day, By::Key, By::Agent].into_iter();
    let by: Vec<By> = groups.filter(|by| usage.by.contains(by)).collect();
    Ok(form.output(&answer, text(entries, &by)))
}

/// Returns the sums of the entries, the one with most tokens first, and the sum of all.
fn text(entries: &[Value], by: &[By]) -> String {
    let mut sums: BTreeMap<Vec<String>, [u64; 6]> = BTreeMap::new();
    let mut all = [0_u64; 6];
    for entry in entries {
        let group = by.iter().map(|by| cell(entry, by.member())).collect();
        let sum = sums.entry(group).or_default();
        for ((sum, all), count) in sum.iter_mut().zip(&mut all).zip(counts(entry)) {
            *sum = sum.saturating_add(count);
            *all = all.saturating_add(count);
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    if !by.contains(&By::Day) {
        sums.sort_by_key(|(_, [_, _, _, input, _, output])| {
            std::cmp::Reverse(input.saturating_add(*output))
        });
    }
    let heads = by.iter().map(|by| by.member().to_uppercase());
    let mut rows = vec![row(heads, HEADS.map(str::to_owned))];
    for (group, sum) in sums {
        rows.push(row(group.into_iter(), sum.map(|count| count.to_string())));
    }
    let total = std::iter::once("all".to_owned()).chain(std::iter::repeat_n(
        String::new(),
        by.len().saturating_sub(1),
    ));
    rows.push(row(total, all.map(|count| count.to_string())));
    table(&rows)
}

/// Returns the cells of a row: as many groups as a table can have, and the counts.
fn row(groups: impl Iterator<Item = String>, counts: [String; 6]) -> [String; 9] {
    let mut cells = groups.chain(counts);
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}

fn counts(entry: &Value) -> [u64; 6] {
    let count = |counter: Counter| {
        let count = entry.get(counter.name()).and_then(Value::as_u64);
        count.unwrap_or_default()
    };
    [
        count(Counter::Requests),
        count(Counter::Runs),
        count(Counter::ProviderFailures).saturating_add(count(Counter::OtherFailures)),
        count(Counter::InputTokens),
        count(Counter::CachedTokens),
        count(Counter::OutputTokens),
    ]
}

fn csv(entries: &[Value]) -> String {
    let names: Vec<&str> = ["date", "key", "agent"]
        .into_iter()
        .chain(Counter::ALL.iter().map(|counter| counter.name()))
        .collect();
    let mut text = names.join(",");
    for entry in entries {
        text.push('\n');
        let cells = names.iter().map(|name| match entry.get(name) {
            Some(Value::Number(number)) => number.to_string(),
            _ => cell(entry, name),
        });
        // No id has a comma or a quote, so one that has is not of the hub.
        let cells = cells.map(|cell| cell.replace([',', '"'], "?"));
        text.push_str(&cells.collect::<Vec<_>>().join(","));
    }
    text + "\n"
}

fn cell(entry: &Value, member: &str) -> String {
    let text = entry.get(member).and_then(Value::as_str);
    view::escaped(text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries() -> Vec<Value> {
        let entry = |date: &str, key: &str, agent: Option<&str>, runs: u64, tokens: u64| {
            json!({
                "object": "usage", "date": date, "key": key, "agent": agent, "requests": runs.saturating_add(1),
                "runs": runs, "answers": runs, "stopped": 0, "provider_failures": 1,
                "other_failures": 2, "input_tokens": tokens, "cached_tokens": 3,
                "output_tokens": 4, "run_ms": 5,
            })
        };
        vec![
            entry("2026-11-27", "phone", Some("main"), 2, 100),
            entry("2026-11-28", "phone", Some("main"), 3, 200),
            entry("2026-11-28", "boss", Some("notes"), 1, 900),
            entry("2026-11-28", "boss", None, 0, 0),
        ]
    }

    #[test]
    fn usage_is_added_up_by_what_is_asked_for() {
        assert_eq!(
            text(&entries(), &[By::Key]),
            "KEY    REQUESTS  RUNS  FAILED  TOKENS IN  CACHED  TOKENS OUT\n\
             boss   3         1     6       900        6       8\n\
             phone  7         5     6       300        6       8\n\
             all    10        6     12      1200       12      16\n"
        );
        let by_day = text(&entries(), &[By::Day, By::Agent]);
        let groups: Vec<_> = by_day
            .lines()
            .map(|line| {
                line.split_whitespace()
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(
            groups,
            [
                "DATE AGENT",
                "2026-11-27 main",
                "2026-11-28 1",
                "2026-11-28 main",
                "2026-11-28 notes",
                "all 10"
            ]
        );
        assert_eq!(text(&[], &[By::Key]).lines().count(), 2);
    }

    #[test]
    fn a_table_for_other_programs_has_every_count() {
        let csv = csv(&entries());
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(
            lines[..2],
            [
                "date,key,agent,requests,runs,answers,stopped,provider_failures,other_failures,\
                 input_tokens,cached_tokens,output_tokens,run_ms",
                "2026-11-27,phone,main,3,2,2,0,1,2,100,3,4,5",
            ]
        );
        assert_eq!(lines[4], "2026-11-28,boss,,1,0,0,0,1,2,0,3,4,5");
        let hostile = json!({ "key": "a,b\"c\u{1b}[2J" });
        assert!(!super::csv(&[hostile]).contains(['\u{1b}', '"']));
    }
}
