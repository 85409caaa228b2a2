//! The usage of all keys, by key, agent and UTC day: `GET /admin/v1/usage`, and
//! `GET /v1/organization/usage/completions` as OpenAI has it. Source of the latter: OpenAI's API
//! reference, "Usage", and the types of its SDK for Node.js 7.57.0.

use percent_encoding::percent_decode_str;

use crate::access::date::{DAY_S, Date};
use crate::access::usage::{Counter, Ledger, Tally, day_of};
use crate::agent::AgentId;
use crate::failure::Failure;

use super::{LIST, LIST_END};

/// The only project: all keys are in it.
pub(super) const PROJECT: &str = "default";

/// Days whose usage is kept, with today.
const KEPT_DAYS: u64 = 93;

/// Days of a report without a start.
const DEFAULT_DAYS: u64 = 31;

/// Buckets of one page if the request gives no number.
const DEFAULT_BUCKETS: u64 = 7;

/// Most buckets of one page.
const MAX_BUCKETS: u64 = 31;

/// The members by which OpenAI divides results. Our keys have no users, batches and tiers.
const GROUPS: [&str; 7] = [
    "project_id",
    "api_key_id",
    "model",
    "user_id",
    "batch",
    "service_tier",
    "api_source",
];

/// Digits of a date at the beginning of a moment.
const DATE_DIGITS: usize = 10;

/// A request for a report.
#[derive(Debug)]
pub struct Report {
    is_openai: bool,
    /// The first day, in days since the Unix epoch.
    from: u64,
    /// The day after the last one.
    until: u64,
    /// The first day of the page that is asked for.
    page: u64,
    /// Most days of a page of OpenAI's.
    buckets: u64,
    /// Only of these, if there are any.
    keys: Vec<String>,
    agents: Vec<String>,
    /// The members that the results of a bucket are divided by.
    groups: Vec<String>,
    /// The request wants what no key of ours can have used.
    is_empty: bool,
}

impl Report {
    /// Reads the query of a request for our report, or for OpenAI's.
    #[inline(never)]
    pub fn of(query: &str, is_openai: bool, now_ms: u64) -> Result<Self, Failure> {
        let until = day_of(now_ms).saturating_add(1);
        let oldest = until.saturating_sub(KEPT_DAYS);
        let mut report = Self {
            is_openai,
            from: until.saturating_sub(DEFAULT_DAYS),
            until,
            page: oldest,
            buckets: DEFAULT_BUCKETS,
            keys: Vec::new(),
            agents: Vec::new(),
            groups: Vec::new(),
            is_empty: false,
        };
        // A sign that is decoded too early is in no value that there is.
        let query = percent_decode_str(query).decode_utf8_lossy();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = name.strip_suffix("[]").unwrap_or(name);
            if report.take(name, value).is_none() {
                return Err(Failure::invalid(
                    name,
                    "There is no such parameter or value: times are in seconds, buckets are `1d`.",
                ));
            }
        }
        // Parameters come in any order.
        report.from = report.from.max(report.page).max(oldest);
        Ok(report)
    }

    /// Takes one parameter, if there is such a one with such a value.
    fn take(&mut self, name: &str, value: &str) -> Option<()> {
        let number = value.parse::<u64>().ok();
        match name {
            "start_time" => self.from = number? / DAY_S,
            "end_time" => self.until = number?.div_ceil(DAY_S).min(self.until),
            "api_key_ids" => self.keys.push(value.to_owned()),
            // A model's name ends with the id of its agent.
            "models" => {
                let agent = value.rsplit(['/', ':']).next().and_then(AgentId::parse)?;
                self.agents.push(agent.to_string());
            }
            _ if !self.is_openai => return None,
            "limit" => self.buckets = number.filter(|days| (1..=MAX_BUCKETS).contains(days))?,
            "page" => self.page = number?,
            "project_ids" => self.is_empty |= value != PROJECT,
            "user_ids" => self.is_empty = true,
            "batch" => self.is_empty |= value == "true",
            "bucket_width" if value == "1d" => {}
            "group_by" if GROUPS.contains(&value) => self.groups.push(value.to_owned()),
            _ => return None,
        }
        Some(())
    }

    /// Returns the days whose rows the report needs: the first, and the one after the last.
    pub fn days(&self) -> (u64, u64) {
        let most = if self.is_openai {
            self.buckets
        } else {
            u64::MAX
        };
        (self.from, self.until.min(self.from.saturating_add(most)))
    }

    /// Writes the report from the rows of its days, one in each line: the key's id, a tab, the row.
    #[inline(never)]
    pub fn write(&self, rows: &str) -> String {
        let mut ledgers = Vec::new();
        for (key, row) in rows.lines().filter_map(|line| line.split_once('\t')) {
            if !self.is_empty && is_among(key, &self.keys) {
                let mut ledger = Ledger::read(row);
                ledger.divide();
                ledger
                    .agents
                    .retain(|(agent, _)| is_among(agent, &self.agents));
                ledgers.push((key, ledger));
            }
        }
        if self.is_openai {
            self.buckets(&ledgers)
        } else {
            Self::list(&ledgers)
        }
    }

    fn list(ledgers: &[(&str, Ledger)]) -> String {
        let mut out = String::from(LIST);
        for (key, ledger) in ledgers {
            let day_s = ledger.day.number.saturating_mul(DAY_S);
            let mut date = Date::from_unix_s(day_s).to_string();
            date.truncate(DATE_DIGITS);
            for (agent, tally) in &ledger.agents {
                begin("usage", &mut out);
                text("date", &date, &mut out);
                text("key", key, &mut out);
                text("agent", agent, &mut out);
                for counter in Counter::ALL {
                    count(counter.name(), tally.get(*counter), &mut out);
                }
                out.push('}');
            }
        }
        out + LIST_END
    }

    fn buckets(&self, ledgers: &[(&str, Ledger)]) -> String {
        let mut out = String::from(r#"{"object":"page","data":["#);
        let (from, until) = self.days();
        for day in from..until {
            let start_s = day.saturating_mul(DAY_S);
            begin("bucket", &mut out);
            count("start_time", start_s, &mut out);
            count("end_time", start_s.saturating_add(DAY_S), &mut out);
            out.push_str(r#","results":["#);
            let mut sums: Vec<(&str, &str, Tally)> = Vec::new();
            for (key, ledger) in of_day(ledgers, day) {
                let key = self.in_group("api_key_id", key);
                for (agent, tally) in &ledger.agents {
                    let agent = self.in_group("model", agent);
                    match sums.iter_mut().find(|sum| (sum.0, sum.1) == (key, agent)) {
                        Some((_, _, sum)) => sum.add_all(tally),
                        None => sums.push((key, agent, *tally)),
                    }
                }
            }
            for (key, agent, sum) in sums {
                self.result(key, agent, &sum, &mut out);
            }
            out.push_str("]}");
        }
        if until < self.until {
            out.push_str(r#"],"has_more":true"#);
            text("next_page", &until.to_string(), &mut out);
        } else {
            out.push_str(r#"],"has_more":false,"next_page":null"#);
        }
        out.push('}');
        out
    }

    /// Returns the value of a member, or an empty one if the results are not divided by it.
    fn in_group<'a>(&self, member: &str, value: &'a str) -> &'a str {
        if self.groups.iter().any(|group| group == member) {
            value
        } else {
            ""
        }
    }

    fn result(&self, key: &str, agent: &str, sum: &Tally, out: &mut String) {
        begin("organization.usage.completions.result", out);
        for (name, counter) in [
            ("input_tokens", Counter::InputTokens),
            ("input_cached_tokens", Counter::CachedTokens),
            ("output_tokens", Counter::OutputTokens),
            ("num_model_requests", Counter::Runs),
        ] {
            count(name, sum.get(counter), out);
        }
        text("project_id", self.in_group("project_id", PROJECT), out);
        text("api_key_id", key, out);
        text("model", agent, out);
        out.push_str(
            r#","user_id":null,"batch":null,"service_tier":null,"input_audio_tokens":0,"output_audio_tokens":0}"#,
        );
    }
}

fn is_among(id: &str, wanted: &[String]) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == id)
}

fn of_day<'a>(
    ledgers: &'a [(&'a str, Ledger)],
    day: u64,
) -> impl Iterator<Item = &'a (&'a str, Ledger)> {
    ledgers
        .iter()
        .filter(move |(_, ledger)| ledger.day.number == day)
}

/// Begins an object, behind a comma if there is one before it.
fn begin(object: &str, out: &mut String) {
    if out.ends_with('}') {
        out.push(',');
    }
    out.push_str(r#"{"object":""#);
    out.push_str(object);
    out.push('"');
}

fn member(name: &str, value: &str, out: &mut String) {
    for part in [",\"", name, "\":", value] {
        out.push_str(part);
    }
}

fn count(name: &str, number: u64, out: &mut String) {
    member(name, &number.to_string(), out);
}

/// Writes an id, which needs no escapes; an empty one is `null`.
fn text(name: &str, value: &str, out: &mut String) {
    if value.is_empty() {
        member(name, "null", out);
    } else {
        member(name, &["\"", value, "\""].concat(), out);
    }
}

#[cfg(test)]
mod tests;
