//! The usage of keys: the counts of one UTC day, by agent, the tokens of its month, the last use,
//! and the row that keeps them when the hub is reset.
//!
//! A run counts once, at its end, however many requests share it. Until then it is going: it counts
//! against a budget of runs, and its tokens are not known.

use core::net::IpAddr;

use ipnet::IpNet;

use crate::access::date::{DAY_S, Date};
use crate::access::grant::Grant;
use crate::access::key::KeyId;
use crate::access::policy::words;
use crate::access::window::with;
use crate::failure::{Allowance, Failure, SpentQuota};

/// Most agents of a key and day that have a part of their own, so that a row stays small.
const MAX_AGENTS: usize = 100;

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// Time in which the uses of a key without a run become one write, in milliseconds.
const USE_MS: u64 = 600_000;

/// Bits of an address that name a network of many, as in anonymised logs.
const V4_NETWORK_BITS: u8 = 24;
const V6_NETWORK_BITS: u8 = 48;

/// Longest name of a client that is kept, in bytes.
const MAX_CLIENT_BYTES: usize = 40;

/// Something that is counted by key and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Requests for a run that the key's limits let through.
    Requests,
    /// Runs that have ended: the sum of the next four.
    Runs,
    Answers,
    /// Runs that were stopped: by their client, another client, or a limit of time.
    Stopped,
    ProviderFailures,
    OtherFailures,
    /// Prompt tokens, cached ones included.
    InputTokens,
    CachedTokens,
    OutputTokens,
    /// Milliseconds from the request for the run to its end.
    RunMs,
}

words!(Counter {
    Requests = "requests",
    Runs = "runs",
    Answers = "answers",
    Stopped = "stopped",
    ProviderFailures = "provider_failures",
    OtherFailures = "other_failures",
    InputTokens = "input_tokens",
    CachedTokens = "cached_tokens",
    OutputTokens = "output_tokens",
    RunMs = "run_ms"
});

/// Counts in the order of [`Counter::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u64; Counter::ALL.len()]);

/// The counts of one key and day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Days since the Unix epoch.
    pub number: u64,
    /// Tokens of the same month before this day.
    earlier_tokens: u64,
    counts: Tally,
}

/// The content of a row: the counts of one key and day, and the part of each agent in them. A
/// request that was refused, or that has not ended, is in no agent's part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub day: Day,
    pub last_use: Option<LastUse>,
    pub agents: Vec<(String, Tally)>,
}

/// The last use of a key. It names nothing that belongs to one person alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// Seconds since the Unix epoch.
    pub time_s: u64,
    /// The network of the client's address; empty if it is not known.
    pub network: String,
    /// The client's name for itself, the first product of its `user-agent`; empty if it has none.
    pub client: String,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// One of the counters that add up to [`Counter::Runs`].
    pub outcome: Counter,
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
}

impl RunEnd {
    /// Returns an end without known tokens.
    pub fn of(outcome: Counter) -> Self {
        Self {
            outcome,
            input_tokens: 0,
            cached_tokens: 0,
            output_tokens: 0,
        }
    }
}

/// A limit for a day or a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub unit: Unit,
    pub limit: Option<u32>,
    pub used: u64,
    /// The moment at which nothing is used again.
    pub resets: Date,
}

/// The unit of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    DayTokens,
    MonthTokens,
    DayRuns,
}

words!(Unit {
    DayTokens = "tokens of this day",
    MonthTokens = "tokens of this month",
    DayRuns = "runs of this day"
});

/// The usage of all keys that the hub has seen. Source: the rows, and the hub's own requests.
#[derive(Debug, Default)]
pub struct Usage {
    keys: Vec<(KeyId, Ledger)>,
    going: Vec<Going>,
}

/// A run that has not ended.
#[derive(Debug)]
struct Going {
    run: String,
    key: KeyId,
    since_ms: u64,
    /// The requests that share it.
    requests: u32,
    /// One of them started it. If none did, it was counted before.
    is_new: bool,
}

impl Tally {
    /// One request: the first counter.
    const REQUEST: Self = Self([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

    /// Reads numbers with blanks between them. One that is missing is 0.
    fn read<'a>(numbers: &mut impl Iterator<Item = &'a str>) -> Self {
        Self(std::array::from_fn(|_| number(numbers.next())))
    }

    fn write(&self, row: &mut String) {
        for count in self.0 {
            row.push(' ');
            row.push_str(&count.to_string());
        }
    }

    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    fn add(&mut self, counter: Counter, number: u64) {
        if let Some(count) = self.0.get_mut(counter as usize) {
            *count = count.saturating_add(number);
        }
    }

    /// Adds all counts of another.
    pub fn add_all(&mut self, other: &Self) {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(other);
        }
    }

    /// Subtracts all counts of another, down to 0.
    fn take_all(&mut self, other: &Self) {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_sub(other);
        }
    }
}

impl LastUse {
    /// Returns the use at this time, from this address, with this `user-agent`.
    pub fn of(time_ms: u64, address: Option<IpAddr>, user_agent: &str) -> Self {
        let network = address.and_then(|address| {
            let address = address.to_canonical();
            let bits = if address.is_ipv4() {
                V4_NETWORK_BITS
            } else {
                V6_NETWORK_BITS
            };
            Some(IpNet::new(address, bits).ok()?.trunc().to_string())
        });
        // Any text may come, and is shown on terminals and pages.
        let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+/".contains(byte);
        let name = user_agent.bytes().take_while(is_of_name);
        let name: String = name.take(MAX_CLIENT_BYTES).map(char::from).collect();
        Self {
            time_s: time_ms / SECOND_MS,
            network: network.unwrap_or_default(),
            client: name,
        }
    }

    fn read<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let time_s = words.next()?.parse().ok()?;
        let mut word = || words.next().unwrap_or_default().to_owned();
        Some(Self {
            time_s,
            network: word(),
            client: word(),
        })
    }

    /// Returns the network and the client.
    pub fn words(&self) -> [&str; 2] {
        [&self.network, &self.client]
    }

    fn write(&self, row: &mut String) {
        for word in [&self.time_s.to_string(), &self.network, &self.client] {
            row.push(' ');
            row.push_str(word);
        }
    }
}

/// Returns the number of the day of a time.
pub fn day_of(time_ms: u64) -> u64 {
    time_ms / SECOND_MS / DAY_S
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Ledger {
    /// Reads a row. A counter that is missing in it is 0.
    pub fn read(row: &str) -> Self {
        let mut parts = row.split(';');
        let mut numbers = parts.next().unwrap_or_default().split(' ');
        let day = Day {
            number: number(numbers.next()),
            earlier_tokens: number(numbers.next()),
            counts: Tally::read(&mut numbers),
        };
        let last_use = LastUse::read(&mut numbers);
        let agents = parts.filter_map(|part| {
            let mut words = part.split(' ');
            Some((words.next()?.to_owned(), Tally::read(&mut words)))
        });
        Self {
            day,
            last_use,
            agents: agents.collect(),
        }
    }

    /// Writes the row: the number of the day, the tokens before it, its counts, the last use, and
    /// each agent's counts.
    fn row(&self) -> String {
        let mut row = self.day.number.to_string();
        row.push(' ');
        row.push_str(&self.day.earlier_tokens.to_string());
        self.day.counts.write(&mut row);
        if let Some(last_use) = &self.last_use {
            last_use.write(&mut row);
        }
        for (agent, counts) in &self.agents {
            // The blank ends the last number for a reader that knows no agents.
            row.push_str(" ;");
            row.push_str(agent);
            counts.write(&mut row);
        }
        row
    }

    /// Adds to the part of an agent, if the agent is known.
    fn add(&mut self, agent: &str, tally: &Tally) {
        let is_known = self.agents.iter().any(|(known, _)| known == agent);
        if agent.is_empty() || (!is_known && self.agents.len() >= MAX_AGENTS) {
            return;
        }
        with(&mut self.agents, agent.to_owned(), |sum| sum.add_all(tally));
    }

    /// Adds a part without a name, if there are counts that are no agent's.
    pub fn divide(&mut self) {
        let mut rest = self.day.counts;
        for (_, counts) in &self.agents {
            rest.take_all(counts);
        }
        if rest != Tally::default() {
            self.agents.push((String::new(), rest));
        }
    }
}

impl Day {
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts.get(counter)
    }

    fn tokens(&self) -> u64 {
        self.get(Counter::InputTokens)
            .saturating_add(self.get(Counter::OutputTokens))
    }

    fn month_tokens(&self) -> u64 {
        self.earlier_tokens.saturating_add(self.tokens())
    }

    fn date(&self) -> Date {
        Date::from_unix_s(self.number.saturating_mul(DAY_S))
    }

    /// Begins another day if this one is over.
    #[must_use]
    fn at(self, now_ms: u64) -> Self {
        let today = Self {
            number: day_of(now_ms),
            ..Self::default()
        };
        if today.number <= self.number {
            return self;
        }
        let is_same_month = self.date().month() == today.date().month();
        Self {
            earlier_tokens: if is_same_month {
                self.month_tokens()
            } else {
                0
            },
            ..today
        }
    }
}

impl Usage {
    /// Returns true if the key's row was read.
    pub fn knows(&self, key: &KeyId) -> bool {
        self.keys.iter().any(|(known, _)| known == key)
    }

    /// Takes the latest row of a key, if it has any.
    pub fn load(&mut self, key: KeyId, row: Option<&str>) {
        let read = row.map(Ledger::read).unwrap_or_default();
        with(&mut self.keys, key, |ledger| *ledger = read);
    }

    /// Returns the row of a key, to be kept.
    pub fn row(&self, key: &KeyId) -> Option<String> {
        let (_, ledger) = self.keys.iter().find(|(known, _)| known == key)?;
        (ledger.day.number > 0).then(|| ledger.row())
    }

    /// Returns the keys that were used today.
    pub fn keys_of(&self, now_ms: u64) -> Vec<KeyId> {
        let used = self.keys.iter();
        used.filter(|(_, ledger)| ledger.day.number == day_of(now_ms))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Returns the key's counts of today.
    pub fn today(&self, key: &KeyId, now_ms: u64) -> Day {
        let known = self.keys.iter().find(|(known, _)| known == key);
        let day = known.map(|(_, ledger)| ledger.day);
        day.unwrap_or_default().at(now_ms)
    }

    /// Returns the key's last use.
    pub fn last_use(&self, key: &KeyId) -> Option<&LastUse> {
        let (_, ledger) = self.keys.iter().find(|(known, _)| known == key)?;
        ledger.last_use.as_ref()
    }

    /// Records a use of the key, and returns true if its row is to be kept for that alone.
    pub fn note_use(&mut self, key: &KeyId, last_use: LastUse) -> bool {
        let now_ms = last_use.time_s.saturating_mul(SECOND_MS);
        let window = |time_s: u64| time_s.saturating_mul(SECOND_MS) / USE_MS;
        let mut is_due = true;
        self.ledger(key, now_ms, |ledger| {
            if let Some(before) = &ledger.last_use {
                is_due = window(before.time_s) != window(last_use.time_s);
            }
            ledger.last_use = Some(last_use);
        });
        is_due
    }

    /// Returns the budgets of a key, which has `reading` requests that may become runs.
    pub fn budgets(&self, client: &Grant, reading: u32, now_ms: u64) -> [Budget; 3] {
        let day = self.today(&client.id, now_ms);
        let going = self.going.iter().filter(|going| going.key == client.id);
        let going = u64::try_from(going.count()).unwrap_or(u64::MAX);
        let runs = day.get(Counter::Runs).saturating_add(going);
        let tomorrow = Date::from_unix_s(day.number.saturating_add(1).saturating_mul(DAY_S));
        let limits = &client.limits;
        let budget = |unit, limit, used, resets| Budget {
            unit,
            limit,
            used,
            resets,
        };
        [
            budget(
                Unit::DayTokens,
                limits.tokens_per_day,
                day.tokens(),
                tomorrow,
            ),
            budget(
                Unit::MonthTokens,
                limits.tokens_per_month,
                day.month_tokens(),
                day.date().month().1,
            ),
            budget(
                Unit::DayRuns,
                limits.runs_per_day,
                runs.saturating_add(reading.into()),
                tomorrow,
            ),
        ]
    }

    /// Refuses a request of a key that has used up a budget. A run that is going is not stopped,
    /// because its tokens are spent, and its answer is lost otherwise.
    pub fn check(&self, client: &Grant, reading: u32, now_ms: u64) -> Result<(), Failure> {
        for budget in self.budgets(client, reading, now_ms) {
            if let Some(limit) = budget.limit
                && budget.used >= u64::from(limit)
            {
                return Err(Failure::InsufficientQuota(SpentQuota {
                    unit: budget.unit.name(),
                    limit,
                    used: budget.used,
                    resets_s: budget.resets.unix_ms() / SECOND_MS,
                }));
            }
        }
        Ok(())
    }

    /// Returns the rest of the tokens, of the budget that has fewer left.
    pub fn tokens(&self, client: &Grant, now_ms: u64) -> Option<Allowance> {
        let [day, month, _] = self.budgets(client, 0, now_ms);
        let rest = |budget: Budget| {
            let limit = budget.limit?;
            let used = u32::try_from(budget.used).unwrap_or(u32::MAX);
            let reset_ms = budget.resets.unix_ms().saturating_sub(now_ms);
            Some(Allowance {
                limit,
                remaining: limit.saturating_sub(used),
                reset_s: u32::try_from(reset_ms.div_ceil(SECOND_MS)).unwrap_or(u32::MAX),
            })
        };
        [rest(day), rest(month)]
            .into_iter()
            .flatten()
            .min_by_key(|allowance| allowance.remaining)
    }

    /// Counts a request for a run.
    pub fn request(&mut self, key: &KeyId, now_ms: u64) {
        let add = |ledger: &mut Ledger| ledger.day.counts.add_all(&Tally::REQUEST);
        self.ledger(key, now_ms, add);
    }

    /// Counts a request that is about to start this run, or to join it.
    pub fn begin(&mut self, key: &KeyId, run: &str, now_ms: u64) {
        match self.of(run) {
            Some(going) => going.requests = going.requests.saturating_add(1),
            None => self.going.push(Going {
                run: run.to_owned(),
                key: key.clone(),
                since_ms: now_ms,
                requests: 1,
                is_new: false,
            }),
        }
    }

    /// Records that a request has started this run, and did not join it.
    pub fn start(&mut self, run: &str) {
        if let Some(going) = self.of(run) {
            going.is_new = true;
        }
    }

    /// Counts the end of a run of this agent, once.
    pub fn end(&mut self, run: &str, agent: &str, end: &RunEnd, now_ms: u64) {
        let Some(index) = self.going.iter().position(|going| going.run == run) else {
            return;
        };
        let going = self.going.swap_remove(index);
        if !going.is_new {
            return;
        }
        let mut tally = Tally::default();
        for (counter, number) in [
            (Counter::Runs, 1),
            (end.outcome, 1),
            (Counter::InputTokens, end.input_tokens),
            (Counter::CachedTokens, end.cached_tokens),
            (Counter::OutputTokens, end.output_tokens),
            (Counter::RunMs, now_ms.saturating_sub(going.since_ms)),
        ] {
            tally.add(counter, number);
        }
        self.ledger(&going.key, now_ms, |ledger| {
            ledger.day.counts.add_all(&tally);
            ledger.add(agent, &tally);
        });
    }

    /// Counts for its agent a request that the key's day has counted at this time.
    pub fn request_of(&mut self, key: &KeyId, agent: &str, since_ms: u64, now_ms: u64) {
        if day_of(since_ms) == day_of(now_ms) {
            self.ledger(key, now_ms, |ledger| {
                let agents = ledger.agents.iter();
                let counted: u64 = agents.map(|(_, tally)| tally.get(Counter::Requests)).sum();
                // The day before has counted it, if midnight came between.
                if counted < ledger.day.get(Counter::Requests) {
                    ledger.add(agent, &Tally::REQUEST);
                }
            });
        }
    }

    /// Returns true if a request has this run, and its end was not counted.
    pub fn is_going(&self, run: &str) -> bool {
        self.going.iter().any(|going| going.run == run)
    }

    /// Returns the number of requests that have this run; 0 if its end was counted.
    pub fn requests(&self, run: &str) -> u32 {
        let going = self.going.iter().find(|going| going.run == run);
        going.map_or(0, |going| going.requests)
    }

    /// Forgets one request of a run, and the run with the last one.
    pub fn leave(&mut self, run: &str) {
        if let Some(going) = self.of(run) {
            going.requests = going.requests.saturating_sub(1);
        }
        self.going.retain(|going| going.requests > 0);
    }

    fn of(&mut self, run: &str) -> Option<&mut Going> {
        self.going.iter_mut().find(|going| going.run == run)
    }

    /// Uses a key's counts of today.
    fn ledger(&mut self, key: &KeyId, now_ms: u64, use_ledger: impl FnOnce(&mut Ledger)) {
        with(&mut self.keys, key.clone(), |ledger| {
            let today = ledger.day.at(now_ms);
            if today.number != ledger.day.number {
                ledger.agents.clear();
            }
            ledger.day = today;
            use_ledger(ledger);
        });
    }
}

#[cfg(test)]
mod tests;
