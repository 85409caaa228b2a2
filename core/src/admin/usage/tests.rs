//! Tests of reports about usage.

use serde_json::{Value, json};

use super::*;

/// 2026-11-28, 12:00 UTC.
const NOW_MS: u64 = 1_795_867_200_000;
const TODAY: u64 = 20_785;
const TODAY_S: u64 = 1_795_824_000;

/// Rows as the store returns them: requests, runs, answers, stopped, two kinds of failures, tokens
/// in, cached, out, milliseconds.
const ROWS: &str = "phone\t20784 0 3 2 2 0 0 0 300 200 30 9000;main 2 2 2 0 0 0 300 200 30 9000\n\
                    phone\t20785 330 1 1 0 1 0 0 10 0 1 500;main 1 1 0 1 0 0 10 0 1 500\n\
                    boss\t20785 0 4 4 3 0 1 0 90 9 8 70;notes 1 1 1 0 0 0 40 4 3 20;\
                    main 3 3 2 0 1 0 50 5 5 50\n\
                    old\t20785 0 2 1 1 0 0 0 7 0 7 7";

fn report(query: &str) -> Result<Value, Failure> {
    Report::of(query, false, NOW_MS)
        .map(|report| serde_json::from_str(&report.write(ROWS)).unwrap())
}

fn page(query: &str) -> Result<Value, Failure> {
    let report = Report::of(query, true, NOW_MS)?;
    Ok(serde_json::from_str(&report.write(ROWS)).unwrap())
}

fn parameter(result: Result<Value, Failure>) -> String {
    match result {
        Err(Failure::InvalidRequest { param, .. }) => param.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_report_has_every_count_once() {
    let report = report("").unwrap();
    let entries = report["data"].as_array().unwrap();
    let heads: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["date"], &entry["key"], &entry["agent"]))
        .map(|(date, key, agent)| [date, key, agent].map(|text| text.as_str().unwrap_or("-")))
        .collect();
    assert_eq!(
        heads,
        [
            ["2026-11-27", "phone", "main"],
            ["2026-11-27", "phone", "-"],
            ["2026-11-28", "phone", "main"],
            ["2026-11-28", "boss", "notes"],
            ["2026-11-28", "boss", "main"],
            ["2026-11-28", "old", "-"],
        ]
    );
    // A request that came to no agent has nothing else.
    let rest = &entries[1];
    assert_eq!((&rest["requests"], &rest["runs"]), (&json!(1), &json!(0)));
    for (counter, sum) in [
        ("requests", 10),
        ("runs", 8),
        ("input_tokens", 407),
        ("run_ms", 9577),
    ] {
        let counted = entries.iter().map(|entry| entry[counter].as_u64().unwrap());
        assert_eq!(counted.sum::<u64>(), sum, "{counter}");
    }
}

#[test]
fn the_report_is_for_the_keys_agents_and_days_that_are_asked_for() {
    for (query, expected) in [
        ("api_key_ids=phone", 3),
        ("api_key_ids[]=phone&api_key_ids%5B%5D=old", 4),
        ("models=openclaw/main", 3),
        ("models=openclaw%2Fnotes", 1),
        ("api_key_ids=nobody", 0),
    ] {
        let report = report(query).unwrap();
        assert_eq!(
            report["data"].as_array().unwrap().len(),
            expected,
            "{query}"
        );
    }
    let days = |query: &str| Report::of(query, false, NOW_MS).unwrap().days();
    assert_eq!(days(""), (TODAY - 30, TODAY + 1));
    assert_eq!(days(&format!("start_time={TODAY_S}")), (TODAY, TODAY + 1));
    // A day counts whole if any of it is asked for.
    let hour = TODAY_S - 3600;
    assert_eq!(days(&format!("start_time={hour}")), (TODAY - 1, TODAY + 1));
    assert_eq!(
        days(&format!("start_time={hour}&end_time={hour}")),
        (TODAY - 1, TODAY)
    );
    for (query, name) in [
        ("start_time=today", "start_time"),
        ("start_time=-1", "start_time"),
        ("format=csv", "format"),
        ("models=a b", "models"),
        ("days=3", "days"),
        ("group_by=model", "group_by"),
    ] {
        assert_eq!(parameter(report(query)), name, "{query}");
    }
}

#[test]
fn buckets_have_the_form_of_openai() {
    let start = TODAY_S - 86_400;
    let seen = page(&format!(
        "start_time={start}&end_time={TODAY_S}&bucket_width=1d"
    ))
    .unwrap();
    assert_eq!(
        seen,
        json!({
            "object": "page",
            "data": [{
                "object": "bucket",
                "start_time": start,
                "end_time": TODAY_S,
                "results": [{
                    "object": "organization.usage.completions.result",
                    "input_tokens": 300, "input_cached_tokens": 200, "output_tokens": 30,
                    "num_model_requests": 2, "input_audio_tokens": 0, "output_audio_tokens": 0,
                    "project_id": null, "api_key_id": null, "model": null, "user_id": null,
                    "batch": null, "service_tier": null,
                }],
            }],
            "has_more": false,
            "next_page": null,
        })
    );
    let groups = |query: &str| {
        let seen = page(&format!("start_time={TODAY_S}&{query}")).unwrap();
        let results = seen["data"][0]["results"].as_array().unwrap().clone();
        let group = |result: &Value| {
            let names = ["project_id", "api_key_id", "model"];
            let names = names.map(|name| result[name].as_str().unwrap_or("-").to_owned());
            (
                names.join(" "),
                result["num_model_requests"].as_u64().unwrap(),
            )
        };
        results.iter().map(group).collect::<Vec<_>>()
    };
    let named = |all: &[(&str, u64)]| -> Vec<_> {
        all.iter()
            .map(|(name, runs)| ((*name).to_owned(), *runs))
            .collect()
    };
    assert_eq!(
        groups("group_by[]=api_key_id&group_by[]=project_id"),
        named(&[
            ("default phone -", 1),
            ("default boss -", 4),
            ("default old -", 1)
        ])
    );
    assert_eq!(
        groups("group_by=model&project_ids=default"),
        named(&[("- - main", 4), ("- - notes", 1), ("- - -", 1)])
    );
    for nothing in ["project_ids=other", "user_ids=user-1", "batch=true"] {
        assert_eq!(groups(nothing), named(&[]), "{nothing}");
    }
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let start = TODAY_S - 9 * 86_400;
    let mut days = Vec::new();
    let mut next = String::new();
    loop {
        let seen = page(&format!("start_time={start}&limit=4{next}")).unwrap();
        let buckets = seen["data"].as_array().unwrap();
        days.extend(
            buckets
                .iter()
                .map(|day| day["start_time"].as_u64().unwrap() / DAY_S),
        );
        let Some(page) = seen["next_page"].as_str() else {
            break;
        };
        assert_eq!((buckets.len(), &seen["has_more"]), (4, &json!(true)));
        next = format!("&page={page}");
    }
    assert_eq!(days, (TODAY - 9..=TODAY).collect::<Vec<_>>());
    // As many as OpenAI gives without a number.
    let seen = page(&format!("start_time={start}")).unwrap();
    assert_eq!(seen["data"].as_array().unwrap().len(), 7);
    for (query, name) in [
        ("start_time=1&limit=0", "limit"),
        ("start_time=1&limit=32", "limit"),
        ("start_time=1&bucket_width=1h", "bucket_width"),
        ("start_time=1&group_by=colour", "group_by"),
        ("start_time=1795824000&page=first", "page"),
        ("start_time=1&format=csv", "format"),
    ] {
        assert_eq!(parameter(page(query)), name, "{query}");
    }
    // The order of parameters means nothing.
    let again = page(&format!("page=20780&limit=4&start_time={start}")).unwrap();
    assert_eq!(again["data"][0]["start_time"], json!(20_780 * DAY_S));
    // Nothing is older than what is kept, and nothing is asked for before it.
    let oldest = TODAY - 92;
    assert_eq!(
        page("start_time=0").unwrap()["data"][0]["start_time"],
        json!(oldest * DAY_S)
    );
    assert_eq!(
        Report::of("start_time=0", false, NOW_MS).unwrap().days(),
        (oldest, TODAY + 1)
    );
}
