//! Completions over HTTP: the faults of the response and of its stream.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Answer, BEHIND_PROXY, HEADERS, ask, ask_with, complete, read_until, send};
use crate::sim::Sim;

fn answer(sim: &Sim, words: &str) -> Answer {
    complete(sim, &ask(&format!("[[fake delay=0 {words}]]")))
}

/// Waits for the end of a request's run.
fn ended(sim: &Sim, nth: usize) -> Value {
    loop {
        let ended = sim.journal()["completions"][nth]["ended"].clone();
        if ended != "running" {
            return ended;
        }
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_status_of_the_script_is_a_response_without_a_run() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    for (status, words) in [
        (200, "this is not the gateway"),
        (302, ""),
        (401, "unauthorized"),
        (403, "missing_scope"),
        (404, "not found"),
        (429, "rate_limited"),
        (500, "internal server error"),
        (502, "<h1>"),
        (503, "gateway_unavailable"),
    ] {
        let answer = answer(&sim, &format!("http={status}"));
        assert_eq!(answer.status, status);
        assert!(answer.text().to_lowercase().contains(words), "{status}");
    }
    assert!(answer(&sim, "http=503").head.contains("retry-after: 1"));
    assert!(
        answer(&sim, "http=429 retryafter=2")
            .head
            .contains("retry-after: 2")
    );
    assert_eq!(answer(&sim, "draining=1").status, 503);
    let journal = sim.journal();
    assert_eq!(journal["runs"], json!([]));
    assert_eq!(journal["completions"][2]["status"], 401);
}

#[test]
fn a_cut_connection_has_no_end_and_aborts_the_run() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let cut = answer(&sim, "deltas=4 drop=2 stall=2");
    assert_eq!(cut.content(), "w0 w1");
    assert!(!cut.is_complete && !cut.is_done());
    let before_finish = answer(&sim, "deltas=2 drop=2");
    assert_eq!(
        (before_finish.content().as_str(), before_finish.is_complete),
        ("w0 w1", false)
    );
    assert_eq!(before_finish.finish(), Value::Null);
    let closed = answer(&sim, "deltas=4 close=1000 after=2 stall=2");
    assert!(closed.is_complete && !closed.is_done());
    let body = ask_with(&["a"], "[[fake calls=2 dropcall=3]]");
    let within_calls = complete(&sim, &body);
    assert_eq!(within_calls.calls().len(), 2);
    assert_eq!(
        (within_calls.finish(), within_calls.is_complete),
        (Value::Null, false)
    );
    for nth in [0, 2] {
        assert_eq!(ended(&sim, nth), "aborted");
    }
}

#[test]
fn a_stream_can_lack_each_part_of_its_end() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let no_finish = answer(&sim, "deltas=1 nofinish=1");
    assert_eq!(
        (no_finish.finish(), no_finish.is_done()),
        (Value::Null, true)
    );
    let no_usage = answer(&sim, "deltas=1 nousage=1");
    assert!(!no_usage.text().contains("usage") && no_usage.is_done());
    let no_done = answer(&sim, "deltas=1 nodone=1");
    assert_eq!(
        (no_done.finish(), no_done.is_done()),
        (json!("stop"), false)
    );
    assert!(no_done.is_complete);

    let body = ask("[[fake deltas=1 nofinal=1]]");
    let mut stream = send(&sim, &HEADERS, &body);
    read_until(&mut stream, "w0");
    assert_eq!(ended(&sim, 3), "ok");
    sim.http("POST", "/sim/crash", "");
    assert!(!Answer::read_rest(&mut stream));
}

#[test]
fn lines_have_the_form_of_the_script() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let garbage = answer(&sim, "deltas=2 garbage=1");
    assert_eq!(garbage.data()[2], "this is not { JSON");
    assert!(garbage.is_done());
    let crlf = answer(&sim, "deltas=1 crlf=1 comment=2").text();
    assert!(crlf.starts_with(": clawfront-sim\r\n: clawfront-sim\r\ndata: {"));
    assert!(crlf.ends_with("data: [DONE]\r\n\r\n"));
    assert_eq!(crlf.matches('\n').count(), crlf.matches("\r\n").count());
    let huge = answer(&sim, "deltas=1 hugeline=300").content();
    assert_eq!(huge.len(), 2 + 300 * 1024);
    let surplus = answer(&sim, "deltas=1 unknown=1");
    assert_eq!(surplus.data()[1]["simSurplus"], json!({ "known": false }));
}

#[test]
fn an_event_comes_in_many_writes() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    // "Grüße, 🦀🦀 Welt" as base64url of its UTF-8.
    let answer = answer(&sim, "text=R3LDvMOfZSwg8J-mgPCfpoAgV2VsdA split=1");
    assert!(answer.writes.iter().all(|write| write.len() == 1));
    assert_eq!(answer.content(), "Grüße, 🦀🦀 Welt");
}

#[test]
fn a_crash_and_a_cut_of_all_connections_end_streams() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    for path in ["/sim/crash", "/sim/drop", "/sim/reset"] {
        let mut stream = send(&sim, &HEADERS, &ask("[[fake stall=1]]"));
        read_until(&mut stream, "w0");
        assert_eq!(sim.http("POST", path, r#"{"code":null}"#).0, 200);
        assert!(!Answer::read_rest(&mut stream), "{path}");
    }
}
