//! Responses in the background: their runs need no client, and their events are stored before they
//! are sent.

use clawfront_core::exchange::{Exchange, Progress};
use clawfront_core::hub::Hub;
use clawfront_core::kept::{Facts, Kept};
use clawfront_core::openai::responses::Stored;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::branch::{accept, exchange_of};
use crate::replay::{Alone, Input, START_MS, Shown};
use crate::scenario::{ACCEPTED, Scenario};
use crate::shared::{IDLE_MS, Shared, accepted, ended};

/// The key's fields of most tests: a run of it is stopped if its client leaves.
const FIELDS: &str = "agents=main";

const RUN: &str = "01010101010101010101010101010101";

/// Time for which events are gathered.
const GATHER_MS: u64 = 250;

/// Bytes of gathered events that are stored at once, and bytes from which on a block is full.
const BLOCK_BYTES: usize = 32 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Whole,
    Stream,
}

use Kind::{Stream, Whole};

pub(crate) const KINDS: [Kind; 2] = [Whole, Stream];

fn request(kind: Kind) -> Value {
    json!({ "model": "openclaw", "input": "q", "background": true, "stream": kind == Stream })
}

/// Returns the exchange of a request for a response in the background.
pub(crate) fn exchange(number: u8, kind: Kind, fields: &str) -> Exchange {
    exchange_of(accept(number, &request(kind), &[], false), fields)
}

/// A request for a response in the background, whose connection is open.
fn begun(kind: Kind) -> Scenario {
    Scenario::of(Alone::new(exchange(1, kind, FIELDS)))
}

/// A response in the background that has just begun. A stream has sent its first events.
fn in_background(kind: Kind) -> Scenario {
    let mut run = begun(kind).accepted();
    assert!(run.exchange.is_in_background());
    run.shown.body.clear();
    run
}

/// Returns the response's object at this status.
fn object(status: &str, error: &str, output: &str, usage: &str) -> String {
    let id = accept(1, &request(Whole), &[], false).ids().response;
    let created = START_MS / 1000;
    let completed = if status == "completed" {
        created.to_string()
    } else {
        "null".to_owned()
    };
    let incomplete = if status == "incomplete" {
        r#"{"reason":"max_output_tokens"}"#
    } else {
        "null"
    };
    format!(
        r#"{{"id":"{id}","object":"response","created_at":{created},"completed_at":{completed},"status":"{status}","error":{error},"incomplete_details":{incomplete},"model":"openclaw","previous_response_id":null,"output":[{output}],"usage":{usage},"metadata":{{}},"safety_identifier":null,"prompt_cache_key":null,"background":true,"frequency_penalty":0,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"parallel_tool_calls":true,"presence_penalty":0,"reasoning":{{"effort":null,"summary":null}},"service_tier":"default","store":true,"temperature":1,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1,"truncation":"disabled"}}"#
    )
}

fn in_progress() -> String {
    object("in_progress", "null", "", "null")
}

/// Returns the object of a response that ended with this text.
fn answered(status: &str, text: &str) -> String {
    let items = accept(1, &request(Whole), &[], false).ids().items;
    let output = format!(
        r#"{{"id":"msg_{items}_0","type":"message","role":"assistant","status":"{status}","content":[{{"type":"output_text","text":"{text}","annotations":[],"logprobs":[]}}]}}"#
    );
    let usage = r#"{"input_tokens":0,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":0,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":0}"#;
    object(status, "null", &output, usage)
}

/// Returns the first events of a stream.
fn first_events() -> String {
    let object = in_progress();
    let event = |number, name| {
        format!(
            "event: response.{name}\ndata: {{\"type\":\"response.{name}\",\
             \"sequence_number\":{number},\"response\":{object}}}\n\n"
        )
    };
    event(0, "created") + &event(1, "in_progress")
}

/// Returns the object with which the response has ended, and checks that it is the last event.
fn end(shown: &Shown) -> Value {
    let object = shown.record.ended().unwrap();
    let events = shown.record.events();
    assert!(
        events.is_empty() || events.ends_with(&format!("\"response\":{object}}}\n\n")),
        "{events}"
    );
    serde_json::from_str(object).unwrap()
}

/// Returns the bytes without comments.
pub(crate) fn events_of(body: &str) -> String {
    let lines = body.split_inclusive('\n');
    lines.filter(|line| !line.starts_with(':')).collect()
}

/// Checks events as a client does that reads all of them. Returns the answer's deltas.
pub(crate) fn read(events: &str) -> String {
    let mut deltas = String::new();
    let mut ends = 0;
    for (number, event) in events.split_terminator("\n\n").enumerate() {
        assert_eq!(ends, 0, "{events}");
        let (name, data) = event.split_once("\ndata: ").unwrap();
        let name = name.strip_prefix("event: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(
            (&data["type"], &data["sequence_number"]),
            (&json!(name), &json!(number))
        );
        assert_eq!(name == "response.created", number == 0, "{events}");
        deltas.push_str(data["delta"].as_str().unwrap_or_default());
        let names = [
            "response.completed",
            "response.incomplete",
            "response.failed",
        ];
        ends += usize::from(names.contains(&name));
    }
    deltas
}

/// Counts the requests that stop the run.
fn aborts(run: &Scenario) -> usize {
    let methods = run.shown.methods();
    methods.iter().filter(|name| *name == "chat.abort").count()
}

impl Scenario {
    /// The run emits the next piece of its text, which is then `text`.
    fn say(&mut self, text: &str, delta: &str) {
        self.frame(&said(text, delta));
    }

    /// Answers the request with this id.
    fn reply(&mut self, id: &Value, payload: &Value) {
        let frame = json!({ "type": "res", "id": id, "ok": true, "payload": payload });
        self.frame(&frame.to_string());
    }

    /// The run ends.
    fn finish(&mut self, payload: &Value) {
        self.reply(&json!("3"), payload);
    }

    /// Returns the new part of the body.
    fn sent(&mut self) -> String {
        std::mem::take(&mut self.shown.body)
    }

    /// Checks that all bytes were sent after they were stored: a client that reads the record from
    /// its beginning gets the same ones.
    fn assert_stored(&self) {
        assert_eq!(self.shown.record.events(), events_of(&self.shown.body));
    }
}

fn said(text: &str, delta: &str) -> String {
    json!({ "type": "event", "event": "agent", "payload": {
        "runId": RUN, "stream": "assistant", "data": { "text": text, "delta": delta } } })
    .to_string()
}

#[test]
fn nothing_is_answered_before_the_run_is_accepted() {
    for kind in KINDS {
        let mut run = begun(kind).requested();
        run.at_ms(9_999).tick();
        assert!(run.shown.head.is_none() && run.shown.record.progress.is_empty());
        assert!(!run.exchange.is_in_background());
        // Its client's hang-up counts, as for every response.
        run.give(Input::HungUp);
        assert_eq!((aborts(&run), run.shown.ended), (1, true));
        assert_eq!(run.shown.record.progress, []);
    }
}

#[test]
fn a_client_that_leaves_before_the_acceptance_leaves_by_its_keys_policy() {
    for (fields, is_stopped) in [(FIELDS, 1), ("agents=main on_disconnect=finish", 0)] {
        for kind in KINDS {
            let alone = Alone::new(exchange(1, kind, fields));
            let mut run = Scenario::of(alone).requested();
            run.give(Input::HungUp);
            assert_eq!((aborts(&run), run.shown.ended), (is_stopped, true));
            assert_eq!(run.exchange.goes_on(), is_stopped == 0);
        }
    }
}

#[test]
fn a_refusal_is_an_error_of_http_and_nothing_is_stored() {
    for kind in KINDS {
        let mut run = begun(kind).requested();
        run.frame(r#"{"type":"res","id":"3","ok":false,"error":{"code":"UNAVAILABLE"}}"#);
        assert_eq!((run.shown.status(), run.shown.ended), (503, true));
        assert!(
            run.shown.body.starts_with(r#"{"error":{"#),
            "{}",
            run.shown.body
        );
        assert_eq!(run.shown.record, crate::replay::Record::default());
    }
}

#[test]
fn a_whole_response_is_answered_while_it_is_in_progress() {
    let run = begun(Whole).accepted();
    let shown = &run.shown;
    assert_eq!(
        (shown.status(), shown.answered, shown.ended),
        (200, true, false)
    );
    assert_eq!(shown.header("content-type"), Some("application/json"));
    assert_eq!(shown.body, in_progress());
    assert_eq!(shown.record.progress, [Progress::Begun(in_progress())]);
    assert_eq!(shown.record.writes, 0);
    // Nobody waits for bytes.
    assert_eq!(run.wake_at_ms(), Some(75_000));
}

#[test]
fn a_stream_begins_once_it_is_stored() {
    let run = begun(Stream).accepted();
    let shown = &run.shown;
    assert_eq!(
        (shown.status(), shown.answered, shown.ended),
        (200, false, false)
    );
    // The edge does not end it as failed if its body breaks off.
    assert_eq!(shown.header("x-clawfront-response-id"), None);
    assert_eq!(shown.body, first_events());
    assert_eq!(shown.record.progress, [Progress::Begun(in_progress())]);
    assert_eq!(shown.record.events(), first_events());
}

#[test]
fn a_response_ends_as_its_run_does() {
    let incomplete = json!({ "status": "ok", "result": { "payloads": [{ "text": "hi" }],
        "meta": { "stopReason": "length" } } });
    for kind in KINDS {
        for (payload, status) in [
            (ended("hi"), "completed"),
            (incomplete.clone(), "incomplete"),
        ] {
            let mut run = begun(kind).accepted();
            run.say("hi", "hi");
            run.finish(&payload);
            let object = answered(status, "hi");
            assert_eq!(run.shown.record.ended(), Some(object.as_str()));
            assert!(run.shown.ended);
            if kind == Stream {
                run.assert_stored();
                assert_eq!(read(&run.shown.body), "hi");
                let last = format!("\"response\":{object}}}\n\n");
                assert!(run.shown.body.ends_with(&last), "{}", run.shown.body);
            } else {
                assert_eq!(run.shown.body, in_progress());
            }
        }
        let mut run = begun(kind).accepted();
        run.finish(&json!({ "status": "error", "result": { "payloads": [], "meta": {} } }));
        let object = end(&run.shown);
        assert_eq!(object["status"], "failed");
        assert_eq!(object["error"]["code"], "run_failed");
        assert!(run.shown.ended);
    }
}

/// The gateway sends a run's first event before its response, or only the result.
#[test]
fn a_text_that_comes_with_the_acceptance_follows_the_first_events() {
    for kind in KINDS {
        let mut run = begun(kind).requested();
        run.say("hi", "hi");
        assert_eq!(run.shown.record.progress, [Progress::Begun(in_progress())]);
        run.finish(&ended("hi"));
        let mut at_once = begun(kind).requested();
        at_once.finish(&ended("hi"));
        for run in [run, at_once] {
            assert_eq!(
                run.shown.record.ended(),
                Some(answered("completed", "hi").as_str())
            );
            if kind == Stream {
                run.assert_stored();
                assert!(
                    run.shown.body.starts_with(&first_events()),
                    "{}",
                    run.shown.body
                );
                assert_eq!(read(&run.shown.body), "hi");
            }
        }
    }
}

#[test]
fn an_answer_that_comes_with_the_acceptance_is_the_whole_response() {
    let mut run = begun(Whole).requested();
    run.finish(&ended("hi"));
    assert_eq!(run.shown.body, answered("completed", "hi"));
    assert_eq!(
        run.shown.record.progress,
        [Progress::Ended(answered("completed", "hi"))]
    );
    // A failure has its status.
    let mut run = begun(Whole).requested();
    run.finish(&json!({ "status": "error", "result": { "payloads": [], "meta": {} } }));
    assert_eq!(
        (run.shown.status(), run.shown.record.progress.len()),
        (400, 0)
    );
}

#[test]
fn a_client_that_leaves_stops_nothing() {
    for kind in KINDS {
        for leaves in [Input::HungUp, Input::Overrun] {
            let mut run = in_background(kind);
            let is_overrun = matches!(leaves, Input::Overrun);
            run.give(leaves);
            run.give(Input::HungUp);
            assert_eq!((aborts(&run), run.shown.ended), (0, false), "{is_overrun}");
            // Neither does the loss of the connection, with or without a client.
            run.give(Input::Closed { code: 1006 });
            run.give(Input::HungUp);
            assert!(!run.shown.ended);
            run.next_attempt();
            let mut run = run.requested();
            let claim = run.last_request()["id"].clone();
            run.reply(&claim, &ended("hi"));
            assert_eq!(aborts(&run), 0);
            assert_eq!(
                end(&run.shown)["output"][0]["content"][0]["text"],
                "hi",
                "{is_overrun}"
            );
            if kind == Stream {
                assert_eq!(read(&run.shown.record.events()), "hi");
            }
        }
    }
}

/// The next hub may not find the response. Then the run is one without a client, as any other.
#[test]
fn the_row_of_a_run_has_the_policy_of_its_key() {
    for kind in KINDS {
        for (fields, finishes) in [(FIELDS, false), ("agents=main on_disconnect=finish", true)] {
            let alone = Alone::new(exchange(1, kind, fields));
            let run = Scenario::of(alone).requested();
            assert_eq!(facts(&run).has(Facts::FINISHES), finishes);
            let run = run.with(ACCEPTED);
            assert_eq!(facts(&run).has(Facts::FINISHES), finishes);
        }
    }
}

#[test]
fn a_cancelled_response_has_its_run_stopped() {
    for kind in KINDS {
        for is_gone in [false, true] {
            let mut run = in_background(kind);
            run.say("h", "h");
            if is_gone {
                run.give(Input::HungUp);
            }
            run.give(Input::Cancelled);
            assert_eq!((aborts(&run), run.shown.ended), (1, true));
            let object = end(&run.shown);
            assert_eq!(
                (&object["status"], &object["error"]),
                (&json!("cancelled"), &Value::Null)
            );
            assert_eq!(object["output"][0]["content"][0]["text"], "h");
            assert_eq!(object["output"][0]["status"], "incomplete");
            assert!(!run.exchange.goes_on());
            // Again it changes nothing.
            run.give(Input::Cancelled);
            run.give(Input::Stopped);
            run.give(Input::HungUp);
            assert_eq!(aborts(&run), 1);
            if kind == Stream {
                read(&run.shown.record.events());
            }
        }
    }
}

#[test]
fn a_response_is_cancelled_once_its_run_is_found() {
    for kind in KINDS {
        let mut run = in_background(kind);
        run.give(Input::Closed { code: 1006 });
        run.give(Input::Cancelled);
        run.give(Input::Cancelled);
        assert_eq!((run.shown.connects, run.shown.ended), (1, false));
        let run = run.requested();
        assert_eq!((aborts(&run), run.shown.ended), (1, true));
        assert_eq!(end(&run.shown)["status"], "cancelled");
    }
}

#[test]
fn a_response_whose_run_is_not_found_is_not_said_to_be_cancelled() {
    for kind in KINDS {
        let mut run = in_background(kind);
        run.give(Input::Closed { code: 1006 });
        run.give(Input::Cancelled);
        run.at_ms(59_999).tick();
        assert!(!run.shown.ended);
        run.at_ms(60_000).tick();
        assert_eq!((aborts(&run), run.shown.ended), (0, true));
        let object = end(&run.shown);
        assert_eq!(object["status"], "failed");
        assert_eq!(object["error"]["code"], "gateway_connection_lost");
    }
}

/// Protocol 3 stops no run. The response ends, and its run counts when it has ended.
#[test]
fn a_response_of_protocol_3_is_cancelled_and_its_run_goes_on() {
    for kind in KINDS {
        for is_lost in [false, true] {
            let mut run = begun(kind).requested_of(3);
            run.reply(&json!("2"), &accepted());
            if is_lost {
                run.give(Input::Closed { code: 1006 });
            }
            run.give(Input::Cancelled);
            assert_eq!((aborts(&run), run.shown.ended), (0, true));
            assert_eq!(end(&run.shown)["status"], "cancelled");
            assert!(run.exchange.goes_on());
        }
    }
}

#[test]
fn a_run_that_another_response_shares_is_not_stopped_by_a_cancellation() {
    for kind in KINDS {
        let mut exchange = exchange(1, kind, FIELDS);
        exchange.share(true);
        let mut run = Scenario::of(Alone::new(exchange)).accepted();
        run.give(Input::Cancelled);
        assert_eq!((aborts(&run), run.shown.ended), (0, true));
        assert_eq!(end(&run.shown)["status"], "cancelled");
        assert!(!run.exchange.goes_on());
    }
}

#[test]
fn a_run_that_an_administrator_stops_is_a_failed_response() {
    for kind in KINDS {
        let mut run = in_background(kind);
        run.give(Input::HungUp);
        run.give(Input::Stopped);
        assert_eq!((aborts(&run), run.shown.ended), (1, true));
        let object = end(&run.shown);
        assert_eq!(object["status"], "failed");
        assert_eq!(object["error"]["code"], "run_aborted");
    }
}

/// An administrator stops the run for all who share it, also if one of them cancels its response
/// while there is no connection.
#[test]
fn a_cancellation_does_not_take_back_an_administrators_stop() {
    let mut run = in_background(Whole);
    run.give(Input::Closed { code: 1006 });
    run.give(Input::Stopped);
    run.give(Input::Cancelled);
    let run = run.requested();
    assert_eq!((aborts(&run), run.shown.ended), (1, true));
    assert_eq!(end(&run.shown)["error"]["code"], "run_aborted");
}

#[test]
fn a_key_that_expires_ends_its_responses_and_stops_their_runs() {
    for kind in KINDS {
        for fields in [FIELDS, "agents=main on_disconnect=finish"] {
            for is_gone in [false, true] {
                let alone = Alone::new(exchange(1, kind, fields));
                let mut run = Scenario::of(alone).expiring(5_000).accepted();
                if is_gone {
                    run.give(Input::HungUp);
                }
                run.at_ms(4_999).tick();
                assert!(!run.shown.ended);
                run.at_ms(5_000).tick();
                assert_eq!((aborts(&run), run.shown.ended), (1, true), "{fields}");
                let object = end(&run.shown);
                assert_eq!(object["status"], "failed");
                assert_eq!(object["error"]["code"], "api_key_expired");
            }
        }
    }
}

#[test]
fn a_key_that_expires_without_a_connection_has_its_run_stopped_on_the_next_one() {
    for kind in KINDS {
        for is_found in [true, false] {
            let mut run = begun(kind).expiring(5_000).accepted();
            run.give(Input::HungUp);
            run.at_ms(4_990).give(Input::Closed { code: 1006 });
            run.at_ms(5_000).tick();
            assert!(!run.shown.ended);
            if is_found {
                run = run.requested();
            } else {
                run.at_ms(15_000).tick();
            }
            assert_eq!(aborts(&run), usize::from(is_found));
            assert_eq!(end(&run.shown)["error"]["code"], "api_key_expired");
        }
    }
}

#[test]
fn events_are_gathered_for_a_moment_and_sent_once_they_are_stored() {
    let mut run = in_background(Stream);
    let before = run.shown.record.clone();
    run.at_ms(1_000).say("a", "a");
    run.at_ms(1_100).say("ab", "b");
    assert_eq!(run.wake_at_ms(), Some(1_000 + GATHER_MS));
    run.at_ms(1_000 + GATHER_MS - 1).say("abc", "c");
    // Neither stored nor sent.
    assert_eq!((run.sent().as_str(), &run.shown.record), ("", &before));
    run.at_ms(1_000 + GATHER_MS).tick();
    let sent = run.sent();
    assert_eq!(run.shown.record.events(), before.events() + &sent);
    assert_eq!(read(&run.shown.record.events()), "abc");
    assert_eq!(run.shown.record.writes, before.writes + 1);
    // The next moment begins with the next event.
    run.at_ms(9_000).say("abcd", "d");
    assert_eq!(run.sent(), "");
    assert_eq!(run.wake_at_ms(), Some(9_000 + GATHER_MS));
    // An end does not wait.
    run.finish(&ended("abcd"));
    let last = run.sent();
    assert_eq!(run.shown.record.events(), before.events() + &sent + &last);
    assert_eq!(run.wake_at_ms(), None);
}

#[test]
fn many_events_do_not_wait_and_begin_another_block() {
    let mut run = in_background(Stream);
    let mut text = String::new();
    let mut sent = first_events();
    let mut pieces = 0;
    while run.shown.record.writes < 4 {
        assert_eq!(run.sent(), "");
        let piece = "x".repeat(1_000);
        text += &piece;
        run.say(&text, &piece);
        pieces += 1;
        if run.shown.record.writes > 1 && !run.shown.body.is_empty() {
            let bytes = run.sent();
            assert!((BLOCK_BYTES..BLOCK_BYTES + 2_000).contains(&bytes.len()));
            sent += &bytes;
        }
    }
    assert_eq!(run.shown.record.events(), sent);
    assert!(pieces > 60);
    // The first one has grown over its bound, and the others follow it.
    let lengths: Vec<usize> = run.shown.record.blocks.values().map(String::len).collect();
    assert_eq!(
        run.shown.record.blocks.keys().collect::<Vec<_>>(),
        [&0, &1, &2]
    );
    assert!(
        lengths.iter().all(|length| *length >= BLOCK_BYTES),
        "{lengths:?}"
    );
    // The next one begins small, and grows.
    for (count, at_ms) in [(1, 1_000), (2, 2_000)] {
        text += "y";
        run.at_ms(at_ms).say(&text, "y");
        run.at_ms(at_ms + GATHER_MS).tick();
        let blocks = &run.shown.record.blocks;
        assert_eq!(blocks.len(), 4);
        assert_eq!(blocks[&3].matches("output_text.delta\ndata").count(), count);
    }
}

#[test]
fn comments_are_sent_and_not_stored() {
    let mut run = in_background(Stream);
    let before = run.shown.record.clone();
    // A comment that its run waits to be started, and the heartbeat after it.
    run.at_ms(5_000).tick();
    run.at_ms(5_000 + GATHER_MS).tick();
    let waits = run.sent();
    assert!(waits.starts_with(": ") && waits.ends_with('\n'), "{waits}");
    run.at_ms(20_000).tick();
    run.at_ms(20_100).say("a", "a");
    run.at_ms(20_000 + GATHER_MS).tick();
    let sent = run.sent();
    assert!(sent.starts_with(": ping\nevent: "), "{sent}");
    let stored = run.shown.record.events();
    assert_eq!(stored, before.events() + &events_of(&sent));
    assert!(!stored.contains("\n:") && !stored.contains(": ping"));
    assert_eq!(read(&stored), "a");
    assert_eq!(run.shown.record.writes, before.writes + 1);
}

/// A client in the hub's queue gets a comment, so that its response has a head before it is in the
/// background.
#[test]
fn a_stream_whose_head_was_sent_in_the_queue_has_all_of_its_events() {
    let mut shared = Shared::new(IDLE_MS);
    shared.hub = Hub::new(IDLE_MS).with_max_runs(Some(1));
    let other = shared.begin(9);
    shared.shake_hands();
    let waiting = shared.add(exchange(1, Stream, FIELDS), RUN.to_owned());
    shared.pass_ms(6_000);
    let (status, body, _) = shared.outcome(waiting);
    assert_eq!((status, events_of(body).as_str()), (200, ""));
    assert!(body.starts_with(": "));
    assert_eq!(shared.clients[waiting].record.progress, []);
    shared.respond("agent", &ended("done"));
    assert!(shared.outcome(other).2);
    let agent = shared.take("agent")["id"].clone();
    for payload in [accepted(), ended("hi")] {
        let response = json!({ "type": "res", "id": agent, "ok": true, "payload": payload });
        shared.frame(&response.to_string());
    }
    let client = &shared.clients[waiting];
    assert_eq!(events_of(&client.body), client.record.events());
    assert_eq!(read(&client.record.events()), "hi");
    assert_eq!(client.record.progress.len(), 2);
}

/// The events of a long stream cost more than they are worth: the client gets them all the same.
#[test]
fn too_many_events_are_not_kept() {
    let mut run = begun(Stream).accepted();
    let text = "x".repeat(5 * 1024 * 1024);
    run.say(&text, &text);
    assert_eq!(run.shown.record.cuts, 0);
    run.at_ms(1_000);
    run.finish(&ended(&text));
    assert_eq!(
        (run.shown.record.cuts, run.shown.record.events()),
        (1, String::new())
    );
    assert!(run.shown.record.ended().is_some());
    assert_eq!(read(&events_of(&run.shown.body)), text);
}

/// A run's text in pieces, with pauses, and the places at which the hub takes the output.
fn steps() -> impl Strategy<Value = Vec<(usize, u64, bool)>> {
    let pause = prop_oneof![Just(0u64), Just(100), Just(GATHER_MS), Just(6_000)];
    let length = prop_oneof![3 => 0..4usize, 1 => Just(40_000)];
    prop::collection::vec((length, pause, any::<bool>()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The hub takes an output when it has time. What is sent and stored does not depend on that.
    #[test]
    fn outputs_that_are_taken_late_are_the_same(steps in steps(), is_stream in any::<bool>()) {
        let kind = if is_stream { Stream } else { Whole };
        let play = |is_late: bool| {
            let mut run = begun(kind).requested();
            let mut now_ms = START_MS;
            let mut text = String::new();
            let give = |run: &mut Scenario, input: Input<'_>, now_ms, takes: bool| {
                run.at_ms(now_ms - START_MS);
                if takes {
                    run.give(input);
                } else {
                    run.exchange.give(input, now_ms);
                }
            };
            give(&mut run, Input::Frame(ACCEPTED), now_ms, !is_late);
            for (length, pause, takes) in &steps {
                let takes = *takes || !is_late;
                let until_ms = now_ms + pause;
                let is_due = |at_ms: &u64| *at_ms <= until_ms;
                while let Some(at_ms) = run.exchange.wake_at_ms().filter(is_due) {
                    now_ms = now_ms.max(at_ms);
                    give(&mut run, Input::Tick, now_ms, takes);
                }
                now_ms = until_ms;
                if *length > 0 {
                    let delta = "y".repeat(*length);
                    text += &delta;
                    give(&mut run, Input::Frame(&said(&text, &delta)), now_ms, takes);
                }
            }
            let end = json!({ "type": "res", "id": "3", "ok": true, "payload": ended(&text) });
            give(&mut run, Input::Frame(&end.to_string()), now_ms, true);
            (run.shown, text)
        };
        let (early, text) = play(false);
        let (late, _) = play(true);
        prop_assert_eq!(&late.body, &early.body);
        prop_assert_eq!(&late.record.blocks, &early.record.blocks);
        prop_assert_eq!(late.record.ended(), early.record.ended());
        prop_assert!(early.record.progress[0] == Progress::Begun(in_progress()));
        prop_assert_eq!((late.answered, late.ended), (early.answered, true));
        if is_stream {
            prop_assert_eq!(&events_of(&late.body), &late.record.events());
            let text = if text.is_empty() { "No response from OpenClaw.".to_owned() } else { text };
            prop_assert_eq!(&read(&late.record.events()), &text);
        } else {
            prop_assert_eq!(&late.body, &in_progress());
        }
    }
}

/// The next hub: it has the run's row, and the response's row, object and blocks.
fn adopted(before: &Scenario) -> Scenario {
    let kept = Kept {
        run: RUN,
        key: "phone",
        ..before.exchange.kept().unwrap()
    };
    let now_ms = START_MS + 1_000;
    let (mut exchange, _) = Exchange::adopt(&kept, now_ms).unwrap();
    let (_, row) = before.exchange.stored(0).unwrap();
    let record = before.shown.record.clone();
    let Some(Progress::Begun(object)) = record.progress.first() else {
        panic!("it was not in the background");
    };
    let events = record.events();
    let writer = Stored::read(&row).unwrap().writer(object, &events).unwrap();
    let blocks = u32::try_from(record.blocks.len()).unwrap();
    exchange.continue_response(writer, blocks, events.len());
    let mut run = Scenario::of(Alone::new(exchange));
    run.shown.head.clone_from(&before.shown.head);
    run.shown.record = record;
    run.at_ms(1_000);
    run
}

fn facts(before: &Scenario) -> Facts {
    before.exchange.kept().unwrap().facts
}

#[test]
fn an_adopted_run_continues_the_record() {
    for kind in KINDS {
        let mut before = begun(kind).accepted();
        before.say("he", "he");
        before.at_ms(GATHER_MS).tick();
        // Neither stored nor sent.
        before.say("hel", "l");
        let blocks = before.shown.record.blocks.clone();
        let mut run = adopted(&before).requested();
        assert!(run.exchange.is_in_background());
        let claim = run.last_request()["id"].clone();
        run.reply(&claim, &ended("hello"));
        assert!(run.shown.ended);
        let ended = answered("completed", "hello");
        let completed = START_MS / 1000;
        let ended = ended.replace(
            &format!("\"completed_at\":{completed}"),
            &format!("\"completed_at\":{}", completed + 1),
        );
        assert_eq!(run.shown.record.ended(), Some(ended.as_str()));
        if kind == Stream {
            assert_eq!(run.shown.record.blocks[&0], blocks[&0]);
            assert_eq!(run.shown.record.blocks.len(), 2);
            assert_eq!(read(&run.shown.record.events()), "hello");
        } else {
            assert_eq!((run.shown.record.writes, run.shown.body.as_str()), (0, ""));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was gathered or stored when the hub was lost, and however often it is lost.
    #[test]
    fn a_response_outlives_its_hubs(
        steps in prop::collection::vec(
            (prop_oneof![3 => 1..9usize, 1 => Just(40_000)], prop::sample::select(&[0, 100, 300])),
            0..4,
        ),
        hubs in 1..3usize,
        is_stream in any::<bool>(),
    ) {
        let kind = if is_stream { Stream } else { Whole };
        let mut run = begun(kind).accepted();
        let (mut after_ms, mut text) = (0, "w".to_owned());
        run.say(&text, "w");
        for (length, pause) in steps {
            after_ms += pause;
            run.at_ms(after_ms).tick();
            let delta = "y".repeat(length);
            text += &delta;
            run.say(&text, &delta);
        }
        for _ in 0..hubs {
            let blocks = run.shown.record.blocks.clone();
            let was_sent = run.sent();
            prop_assert!(run.shown.record.events().ends_with(&events_of(&was_sent)) || !is_stream);
            run = adopted(&run).requested();
            prop_assert_eq!(&run.shown.record.blocks, &blocks);
        }
        let blocks = run.shown.record.blocks.clone();
        let claim = run.last_request()["id"].clone();
        run.reply(&claim, &ended(&text));
        prop_assert!(run.shown.ended);
        prop_assert_eq!(&end(&run.shown)["output"][0]["content"][0]["text"], &text);
        prop_assert_eq!(&end(&run.shown)["status"], "completed");
        if is_stream {
            prop_assert_eq!(&read(&run.shown.record.events()), &text);
            let events: String = blocks.values().map(String::as_str).collect();
            prop_assert_eq!(run.shown.record.events(), events + &run.shown.body);
        }
    }
}

#[test]
fn an_adopted_run_of_a_response_in_the_background_is_not_stopped() {
    for kind in KINDS {
        let before = begun(kind).accepted();
        let mut run = adopted(&before).requested();
        run.at_ms(40_000).tick();
        assert_eq!((aborts(&run), run.shown.ended), (0, false));
    }
}

#[test]
fn an_adopted_response_is_cancelled_and_stopped_and_expires() {
    for kind in KINDS {
        for (input, status, code) in [
            (Some(Input::Cancelled), "cancelled", Value::Null),
            (Some(Input::Stopped), "failed", json!("run_aborted")),
            (None, "failed", json!("api_key_expired")),
        ] {
            let before = begun(kind).accepted();
            let mut run = adopted(&before);
            if let Some(input) = input {
                let mut run = run.requested();
                run.give(input);
                assert_end(&run, status, &code);
            } else {
                let mut exchange = (*run.exchange).clone();
                exchange.expire_at(Some(START_MS + 5_000));
                run.exchange = Alone::new(exchange);
                let mut run = run.requested();
                run.at_ms(5_000).tick();
                run.tick();
                assert_end(&run, status, &code);
            }
        }
    }
}

fn assert_end(run: &Scenario, status: &str, code: &Value) {
    assert_eq!((aborts(run), run.shown.ended), (1, true), "{status} {code}");
    let object = end(&run.shown);
    assert_eq!(object["status"], status);
    assert_eq!(&object["error"]["code"], code);
}

#[test]
fn the_events_of_an_adopted_stream_that_was_too_long_are_not_kept() {
    let mut before = begun(Stream).accepted();
    before.shown.record.blocks.clear();
    let mut run = adopted(&before).requested();
    let claim = run.last_request()["id"].clone();
    run.reply(&claim, &ended("hello"));
    assert_eq!(run.shown.record.events(), "");
    let object: Value = serde_json::from_str(run.shown.record.ended().unwrap()).unwrap();
    assert_eq!(object["output"][0]["content"][0]["text"], "hello");
}
