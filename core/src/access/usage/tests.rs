//! Tests of days, months, budgets, and of runs that count once.

use super::*;
use crate::access::admit::Grants;

const HASH: &str = "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
const ANSWER: RunEnd = RunEnd {
    outcome: Counter::Answers,
    input_tokens: 100,
    cached_tokens: 40,
    output_tokens: 20,
};

fn client(fields: &str) -> Grant {
    let mut clients = Grants::default();
    let mut problems = Vec::new();
    clients.extend(&format!("phone {HASH} agents=* {fields}"), &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    clients.iter().next().unwrap().clone()
}

fn at(text: &str) -> u64 {
    Date::parse(text).unwrap().unix_ms()
}

/// Counts one run that a request started and received to its end.
fn run(usage: &mut Usage, client: &Grant, run: &str, now_ms: u64) {
    usage.begin(&client.id, run, now_ms);
    usage.start(run);
    usage.end(run, "main", &ANSWER, now_ms.saturating_add(5));
    usage.leave(run);
}

fn counts(day: &Day) -> Vec<(&'static str, u64)> {
    let all = Counter::ALL.iter();
    all.map(|counter| (counter.name(), day.get(*counter)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[test]
fn a_run_counts_once_however_many_requests_share_it() {
    let (mut usage, client, now_ms) = (Usage::default(), client(""), at("2026-11-27"));
    usage.begin(&client.id, "r", now_ms);
    usage.begin(&client.id, "r", now_ms);
    usage.start("r");
    usage.end("r", "main", &ANSWER, now_ms.saturating_add(7));
    usage.end("r", "main", &ANSWER, now_ms.saturating_add(9));
    usage.leave("r");
    usage.leave("r");
    let expected = vec![
        ("runs", 1),
        ("answers", 1),
        ("input_tokens", 100),
        ("cached_tokens", 40),
        ("output_tokens", 20),
        ("run_ms", 7),
    ];
    assert_eq!(counts(&usage.today(&client.id, now_ms)), expected);
    // Somebody asks for its answer again: the run was joined, and not started.
    usage.begin(&client.id, "r", now_ms);
    usage.end("r", "main", &ANSWER, now_ms.saturating_add(20));
    usage.leave("r");
    assert_eq!(counts(&usage.today(&client.id, now_ms)), expected);
}

#[test]
fn a_run_whose_first_client_left_counts_for_the_request_that_shares_it() {
    let (mut usage, client, now_ms) = (Usage::default(), client(""), at("2026-11-27"));
    usage.begin(&client.id, "r", now_ms);
    usage.begin(&client.id, "r", now_ms);
    usage.start("r");
    usage.leave("r");
    usage.end("r", "main", &ANSWER, now_ms);
    usage.leave("r");
    assert_eq!(usage.today(&client.id, now_ms).get(Counter::Answers), 1);
}

#[test]
fn a_request_that_started_no_run_counts_as_a_request_only() {
    let (mut usage, client, now_ms) = (Usage::default(), client("runs_day=1"), at("2026-11-27"));
    usage.request(&client.id, now_ms);
    usage.begin(&client.id, "r", now_ms);
    assert!(usage.check(&client, 0, now_ms).is_err());
    usage.leave("r");
    assert_eq!(usage.check(&client, 0, now_ms), Ok(()));
    let counts = counts(&usage.today(&client.id, now_ms));
    assert_eq!(counts, [("requests", 1)]);
}

#[test]
fn a_budget_is_refused_once_it_is_used_up_and_until_it_resets() {
    let (mut usage, client) = (
        Usage::default(),
        client("tokens_day=200 tokens_month=300 runs_day=5"),
    );
    let evening = at("2026-11-29T23:59:58Z");
    run(&mut usage, &client, "1", evening);
    assert_eq!(usage.check(&client, 0, evening), Ok(()));
    run(&mut usage, &client, "2", evening);
    let spent = |unit, limit, used, resets: &str| {
        Err(Failure::InsufficientQuota(SpentQuota {
            unit,
            limit,
            used,
            resets_s: at(resets) / 1000,
        }))
    };
    assert_eq!(
        usage.check(&client, 0, evening),
        spent("tokens of this day", 200, 240, "2026-11-30")
    );
    let next = at("2026-11-30");
    assert_eq!(usage.check(&client, 0, next), Ok(()));
    run(&mut usage, &client, "3", next);
    assert_eq!(
        usage.check(&client, 0, next),
        spent("tokens of this month", 300, 360, "2026-12-01")
    );
    let month = at("2026-12-01");
    assert_eq!(usage.check(&client, 4, month), Ok(()));
    assert_eq!(
        usage.check(&client, 5, month),
        spent("runs of this day", 5, 5, "2026-12-02")
    );
}

#[test]
fn the_tighter_budget_of_tokens_is_shown() {
    let mut usage = Usage::default();
    let now_ms = at("2026-11-30T23:59:00Z");
    assert_eq!(usage.tokens(&client(""), now_ms), None);
    let both = client("tokens_day=1000 tokens_month=1100");
    run(&mut usage, &both, "1", at("2026-11-29"));
    run(&mut usage, &both, "2", now_ms);
    let allowance = |limit, remaining, reset_s| {
        Some(Allowance {
            limit,
            remaining,
            reset_s,
        })
    };
    assert_eq!(usage.tokens(&both, now_ms), allowance(1100, 860, 60));
    let next = at("2026-12-01");
    assert_eq!(usage.tokens(&both, next), allowance(1000, 1000, 86_400));
}

#[test]
fn a_row_keeps_the_counts_of_the_day_and_the_tokens_of_the_month() {
    let (mut usage, client, now_ms) = (Usage::default(), client(""), at("2026-11-27"));
    usage.request(&client.id, now_ms);
    run(&mut usage, &client, "1", now_ms);
    let next = at("2026-11-28");
    run(&mut usage, &client, "2", next);
    let row = usage.row(&client.id).unwrap();
    assert_eq!(
        row,
        "20785 120 0 1 1 0 0 0 100 40 20 5 ;main 0 1 1 0 0 0 100 40 20 5"
    );
    // A version without agents reads the last counter of the key as well.
    assert_eq!(row.split(' ').nth(11), Some("5"));
    let mut later = Usage::default();
    assert!(!later.knows(&client.id));
    later.load(client.id.clone(), Some(&row));
    assert!(later.knows(&client.id));
    assert_eq!(later.today(&client.id, next), usage.today(&client.id, next));
    // The hub was gone for a day.
    let [day, month, runs] = later.budgets(&client, 0, at("2026-11-30"));
    assert_eq!([day.used, month.used, runs.used], [0, 240, 0]);
    let [_, month, _] = later.budgets(&client, 0, at("2026-12-01"));
    assert_eq!(month.used, 0);
    // An older version had fewer counters.
    later.load(client.id.clone(), Some("20785 0 3"));
    let counts = counts(&later.today(&client.id, next));
    assert_eq!(counts, [("requests", 3)]);
    later.load(client.id.clone(), Some(""));
    assert_eq!(later.row(&client.id), None);
}

#[test]
fn a_row_stays_small_however_many_agents_a_client_names() {
    let (mut usage, client, now_ms) = (Usage::default(), client(""), at("2026-11-27"));
    for number in 0..MAX_AGENTS * 3 {
        let run = format!("r{number}");
        usage.request(&client.id, now_ms);
        usage.begin(&client.id, &run, now_ms);
        usage.start(&run);
        usage.end(&run, &format!("agent{number}"), &ANSWER, now_ms);
        usage.request_of(&client.id, &format!("agent{number}"), now_ms, now_ms);
    }
    let row = usage.row(&client.id).unwrap();
    assert!(row.len() < 5_000, "{}", row.len());
    // Nothing is lost: what has no part of its own is in the rest.
    let mut ledger = Ledger::read(&row);
    ledger.divide();
    assert_eq!(ledger.agents.len(), MAX_AGENTS + 1);
    let sum = |counter| {
        ledger
            .agents
            .iter()
            .map(|(_, tally)| tally.get(counter))
            .sum::<u64>()
    };
    for counter in [Counter::Requests, Counter::Runs, Counter::OutputTokens] {
        assert_eq!(sum(counter), ledger.day.get(counter));
    }
}

#[test]
fn a_request_that_the_day_before_has_counted_is_no_more_than_counted() {
    let (mut usage, client) = (Usage::default(), client(""));
    let (evening, morning) = (at("2026-11-27T23:59:59Z"), at("2026-11-28"));
    usage.request(&client.id, evening);
    // Its body was read after midnight.
    usage.request_of(&client.id, "main", morning, morning);
    let ledger = Ledger::read(&usage.row(&client.id).unwrap());
    assert_eq!(ledger.agents, []);
    usage.request(&client.id, morning);
    usage.request_of(&client.id, "main", morning, morning);
    let ledger = Ledger::read(&usage.row(&client.id).unwrap());
    assert_eq!(ledger.agents.len(), 1);
}

#[test]
fn the_last_use_of_a_key_is_in_its_row_and_names_no_person() {
    let (mut usage, client) = (Usage::default(), client(""));
    let now_ms = at("2026-11-27T08:00:00Z");
    let of =
        |time_ms, address: &str, user_agent| LastUse::of(time_ms, address.parse().ok(), user_agent);
    let first = of(now_ms, "203.0.113.77", "OpenAI/Python 1.99.9 (Alice's Mac)");
    assert!(usage.note_use(&client.id, first));
    // A use that is not much later is not worth a write.
    let second = of(
        now_ms.saturating_add(599_999),
        "2001:db8:1:2::3",
        "curl/8.5.0",
    );
    assert!(!usage.note_use(&client.id, second));
    let row = usage.row(&client.id).unwrap();
    assert_eq!(
        row,
        "20784 0 0 0 0 0 0 0 0 0 0 0 1795766999 2001:db8:1::/48 curl/8.5.0"
    );
    let third = of(now_ms.saturating_add(600_000), "::ffff:203.0.113.77", "");
    assert!(usage.note_use(&client.id, third.clone()));
    assert_eq!(third.network, "203.0.113.0/24");

    run(&mut usage, &client, "r", now_ms.saturating_add(600_000));
    let mut next = Usage::default();
    next.load(client.id.clone(), usage.row(&client.id).as_deref());
    assert_eq!(next.last_use(&client.id), Some(&third));
    assert_eq!(next.row(&client.id), usage.row(&client.id));
    // The next day begins with it, and without yesterday's counts.
    let tomorrow = of(at("2026-11-28"), "", "\u{1b}[2Jevil");
    assert!(next.note_use(&client.id, tomorrow));
    assert_eq!(
        next.row(&client.id).unwrap(),
        "20785 120 0 0 0 0 0 0 0 0 0 0 1795824000  "
    );
}

#[test]
fn a_row_of_an_earlier_version_has_no_last_use() {
    for row in [
        "20784 0 1 1 1 0 0 0 100 40 20 5",
        "20784 0 1 1 1 0 0 0 100 40 20 5 ;main 1 1",
    ] {
        let ledger = Ledger::read(row);
        assert_eq!(ledger.last_use, None);
        assert_eq!(ledger.row().split(" ;").next(), row.split(" ;").next());
    }
    let mut usage = Usage::default();
    let client = client("");
    usage.load(
        client.id.clone(),
        Some("20784 0 1 1 1 0 0 0 100 40 20 5 ;main 1 1 1"),
    );
    let last_use = LastUse::of(at("2026-11-27"), None, "a;b");
    assert_eq!(last_use.client, "a");
    usage.note_use(&client.id, last_use.clone());
    let row = usage.row(&client.id).unwrap();
    let ledger = Ledger::read(&row);
    assert_eq!((ledger.last_use, ledger.agents.len()), (Some(last_use), 1));
    assert_eq!(ledger.day.get(Counter::RunMs), 5);
}
