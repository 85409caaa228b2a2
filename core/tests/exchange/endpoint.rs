//! Turns with a client's tools, which the gateway's HTTP endpoint runs.

use clawfront_core::access::key::KeyId;
use clawfront_core::access::usage::Counter;
use clawfront_core::exchange::Exchange;
use clawfront_core::failure::Failure;
use clawfront_core::failure::diagnosis::UpgradeResponse;
use clawfront_core::gateway::endpoint::{Event, Response};
use clawfront_core::hub::{Hub, Input};
use clawfront_core::openai::{Delivery, Entropy};
use clawfront_core::repeat::Fingerprint;

use serde_json::json;

use crate::kept::key_of;
use crate::replay::exchange_with;
use crate::scenario::{CHALLENGE, HELLO};
use crate::shared::{IDLE_MS, STREAM, Shared, UNREACHABLE};

const BODY: &str = r#"{"model":"openclaw","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#;

fn exchange(number: u8, delivery: Delivery, fields: &str) -> Exchange {
    let fields = format!("agents=main default=main tools=run {fields}");
    let mut exchange = exchange_with([number; 16], BODY, &[], delivery, &fields);
    exchange.set_key(KeyId::parse("phone").unwrap());
    exchange
}

/// Begins a request; returns the client's place.
fn begin(shared: &mut Shared, number: u8, delivery: Delivery, fields: &str) -> usize {
    let run = format!("{number:02x}").repeat(16);
    shared.add(exchange(number, delivery, fields), run)
}

fn give(shared: &mut Shared, client: usize, event: Event<'_>) {
    let id = shared.clients[client].id;
    shared.give(Input::Endpoint(id, event));
}

fn bytes(shared: &mut Shared, client: usize, chunks: &[&str]) {
    for data in chunks {
        let event = format!("data: {data}\n\n");
        give(shared, client, Event::Bytes(event.as_bytes()));
    }
}

fn refused(status: u16) -> Event<'static> {
    Event::Refused(Response {
        refusal: UpgradeResponse {
            status,
            ..UpgradeResponse::default()
        },
        retry_after_s: None,
    })
}

const TEXT: &str = r#"{"choices":[{"delta":{"content":"one"}}]}"#;
const CALL: &str = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}}]}"#;
const ARGUMENTS: &str =
    r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#;
const CALLS: &str = r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#;
const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
const DONE: &str = "[DONE]";

#[test]
fn a_turn_with_tools_is_asked_for_once_when_the_connection_is_ready() {
    let mut shared = Shared::new(IDLE_MS);
    let client = begin(&mut shared, 1, STREAM, "");
    assert_eq!((shared.connects, shared.asked.len()), (1, 0));
    shared.shake_hands();
    assert_eq!(shared.methods(), ["connect"]);
    assert_eq!(shared.asked.len(), 1);
    give(&mut shared, client, Event::Answered);
    bytes(&mut shared, client, &[TEXT, CALL, ARGUMENTS]);
    bytes(&mut shared, client, &[CALLS, DONE]);
    let (status, body, has_ended) = shared.outcome(client);
    assert!(status == 200 && has_ended, "{body}");
    assert!(body.contains(r#""delta":{"content":"one"}"#), "{body}");
    assert!(
        body.contains(r#""delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}"#),
        "{body}"
    );
    assert!(
        body.contains(r#""delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#),
        "{body}"
    );
    assert!(body.contains(r#""finish_reason":"tool_calls""#), "{body}");
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    assert_eq!(shared.asked.len(), 1);
}

#[test]
fn a_gateway_that_does_not_limit_the_rights_is_not_asked() {
    let mut shared = Shared::new(IDLE_MS);
    let client = begin(&mut shared, 1, STREAM, "");
    shared.frame(CHALLENGE);
    shared.frame(&HELLO.replace(r#""protocol":4"#, r#""protocol":3"#));
    let (status, body, has_ended) = shared.outcome(client);
    assert!(has_ended && body.contains(r#""param":"tools""#), "{body}");
    assert_eq!((status, shared.asked.len()), (400, 0));
}

#[test]
fn the_gateways_default_agent_is_asked_for_first() {
    let mut shared = Shared::connected();
    let body = BODY.to_owned();
    let exchange = exchange_with([1; 16], &body, &[], STREAM, "agents=* tools=run");
    let client = shared.add(exchange, "01".repeat(16));
    assert_eq!(shared.asked.len(), 0);
    let list = json!({ "defaultId": "main", "agents": [{ "id": "main" }] });
    shared.respond("agents.list", &list);
    assert_eq!(shared.asked.len(), 1);
    bytes(&mut shared, client, &[TEXT, STOP, DONE]);
    assert!(shared.clients[client].has_ended);
}

#[test]
fn a_whole_answer_has_text_and_calls() {
    let mut shared = Shared::connected();
    let client = begin(&mut shared, 1, Delivery::Whole, "");
    give(&mut shared, client, Event::Answered);
    bytes(&mut shared, client, &[TEXT, CALL, ARGUMENTS, CALLS, DONE]);
    let (status, body, _) = shared.outcome(client);
    assert_eq!(status, 200);
    assert!(
        body.contains(r#""content":"one","refusal":null,"annotations":[],"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls""#),
        "{body}"
    );
}

#[test]
fn what_happens_to_the_connection_does_not_concern_it() {
    let mut shared = Shared::connected();
    let other = shared.begin(9);
    let client = begin(&mut shared, 1, STREAM, "");
    give(&mut shared, client, Event::Answered);
    bytes(&mut shared, client, &[TEXT]);
    let before = shared.outcome(client).1.to_owned();
    shared.give(Input::Closed { code: 1012 });
    shared.give(Input::Failed(UNREACHABLE));
    shared.pass_ms(100);
    assert_eq!(shared.outcome(client), (200, before.as_str(), false));
    assert!(!shared.clients[other].has_ended);
    bytes(&mut shared, client, &[STOP, DONE]);
    assert!(shared.outcome(client).1.ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_stream_that_just_ends_is_no_success() {
    for chunks in [&[][..], &[TEXT], &[CALL, ARGUMENTS], &[TEXT, CALLS]] {
        let mut shared = Shared::connected();
        let client = begin(&mut shared, 1, STREAM, "");
        give(&mut shared, client, Event::Answered);
        bytes(&mut shared, client, chunks);
        give(&mut shared, client, Event::Ended);
        let (_, body, has_ended) = shared.outcome(client);
        assert!(
            has_ended && body.contains("gateway_connection_lost"),
            "{body}"
        );
        assert!(!body.contains(r#""finish_reason":"stop""#), "{body}");
    }
}

#[test]
fn a_refusal_has_its_status_and_starts_nothing() {
    for (status, expected, code) in [
        (400, 400, "invalid_request"),
        (401, 502, "gateway_refused"),
        (404, 502, "gateway_refused"),
        (503, 503, "gateway_unavailable"),
    ] {
        let mut shared = Shared::connected();
        let client = begin(&mut shared, 1, STREAM, "");
        give(&mut shared, client, refused(status));
        let (status, body, has_ended) = shared.outcome(client);
        assert!(has_ended && body.contains(code), "{body}");
        assert_eq!(status, expected);
    }
}

#[test]
fn a_status_of_a_proxy_that_may_have_passed_the_request_on_is_final() {
    for status in [200, 502, 504, 520, 524] {
        let mut shared = Shared::connected();
        let client = begin(&mut shared, 1, STREAM, "");
        give(&mut shared, client, refused(status));
        let (expected, body, has_ended) = shared.outcome(client);
        let code = "gateway_connection_lost";
        assert!(has_ended && body.contains(code), "{status} {body}");
        assert_eq!(expected, 400, "{status} {body}");
    }
}

#[test]
fn a_session_whose_name_a_header_cannot_carry_is_refused() {
    let mut shared = Shared::connected();
    let named = [("x-openclaw-session-key", "agent:main:caf\u{e9}")];
    let fields = "agents=main default=main tools=run sessions=any";
    let client = shared.add(
        exchange_with([1; 16], BODY, &named, STREAM, fields),
        "01".repeat(16),
    );
    shared.respond("sessions.get", &json!({ "messages": [] }));
    let (status, body, has_ended) = shared.outcome(client);
    assert!(has_ended && body.contains("ASCII"), "{body}");
    assert_eq!((status, shared.asked.len()), (400, 0));
}

#[test]
fn a_run_that_is_going_does_not_hold_its_tools() {
    let mut shared = Shared::connected();
    let body = BODY.replace(
        r#""name":"f""#,
        r#""name":"read","description":"Of the client.""#,
    );
    let fields = "agents=main default=main tools=run";
    let exchange = exchange_with([1; 16], &body, &[], STREAM, fields);
    assert!(format!("{exchange:?}").contains("Of the client."));
    let client = shared.add(exchange, "01".repeat(16));
    give(&mut shared, client, Event::Answered);
    let going = shared.hub.exchange(shared.clients[client].id).unwrap();
    let going = format!("{going:?}");
    assert!(!going.contains("Of the client."), "{going}");
    assert!(going.contains("client_read"), "{going}");
}

#[test]
fn a_request_without_a_response_is_not_said_to_have_started_nothing() {
    let mut shared = Shared::connected();
    let client = begin(&mut shared, 1, STREAM, "");
    give(&mut shared, client, Event::Failed(UNREACHABLE));
    let (status, body, _) = shared.outcome(client);
    assert!(
        status < 500 && body.contains("gateway_unreachable"),
        "{status} {body}"
    );
}

#[test]
fn a_gateway_that_does_not_answer_is_given_up() {
    let mut shared = Shared::connected();
    let client = begin(&mut shared, 1, STREAM, "");
    shared.pass_ms(29_999);
    assert!(!shared.clients[client].has_ended);
    shared.pass_ms(1);
    let (_, body, has_ended) = shared.outcome(client);
    assert!(
        has_ended && body.contains("gateway_acceptance_timeout"),
        "{body}"
    );
}

#[test]
fn an_answer_that_is_silent_for_long_is_awaited_with_heartbeats() {
    let mut shared = Shared::connected();
    let client = begin(&mut shared, 1, STREAM, "");
    give(&mut shared, client, Event::Answered);
    shared.pass_ms(3_600_000);
    let (_, body, has_ended) = shared.outcome(client);
    assert!(!has_ended && body.matches(": ping").count() > 200);
    bytes(&mut shared, client, &[TEXT, STOP, DONE]);
    assert!(shared.clients[client].has_ended);
}

#[test]
fn a_client_that_leaves_ends_the_exchange_without_a_frame() {
    let mut shared = Shared::connected();
    let client = begin(&mut shared, 1, STREAM, "");
    give(&mut shared, client, Event::Answered);
    let id = shared.clients[client].id;
    shared.give(Input::HungUp(id));
    assert!(shared.clients[client].has_ended);
    assert_eq!(shared.methods(), [""; 0]);
}

#[test]
fn a_turn_with_tools_waits_in_the_queue_like_any_other() {
    let mut shared = Shared::new(IDLE_MS);
    shared.hub = Hub::new(IDLE_MS).with_max_runs(Some(1));
    shared.ask_agents();
    shared.shake_hands();
    let first = begin(&mut shared, 1, STREAM, "");
    let second = begin(&mut shared, 2, STREAM, "");
    assert_eq!(shared.asked.len(), 1);
    give(&mut shared, first, Event::Answered);
    bytes(&mut shared, first, &[TEXT, STOP, DONE]);
    assert_eq!(shared.asked.len(), 2);
    assert_eq!(shared.asked[1].0, shared.clients[second].id);
}

#[test]
fn an_error_in_the_stream_ends_it() {
    let mut shared = Shared::connected();
    let client = begin(&mut shared, 1, STREAM, "");
    give(&mut shared, client, Event::Answered);
    let error = r#"{"error":{"message":"upstream provider overloaded","type":"api_error"}}"#;
    bytes(&mut shared, client, &[TEXT, error, DONE]);
    let (_, body, has_ended) = shared.outcome(client);
    assert!(has_ended && body.contains("provider_overloaded"), "{body}");
    // A later event changes nothing.
    give(&mut shared, client, Event::Failed(Failure::InternalError));
}

#[test]
fn calls_in_the_history_have_the_names_that_the_gateway_has() {
    let mut shared = Shared::connected();
    let body = r#"{"model":"openclaw","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"95","type":"function","function":{"name":"Read","arguments":"{}"}}]},{"role":"tool","tool_call_id":"95","content":"sunny"}],"tools":[{"type":"function","function":{"name":"Read"}}]}"#;
    let fields = "agents=main default=main tools=run";
    let exchange = exchange_with([1; 16], body, &[], STREAM, fields);
    shared.add(exchange, "01".repeat(16));
    let body = std::str::from_utf8(&shared.asked[0].1.body).unwrap();
    assert!(
        body.contains("tool_call id=95 name=client_Read arguments={}"),
        "{body}"
    );
    assert!(
        body.ends_with(r#""tools":[{"type":"function","function":{"name":"client_Read","parameters":{"type":"object","properties":{}}}}]}"#),
        "{body}"
    );
}

const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;

/// Begins a request whose run counts for its key; returns the client's place.
fn begin_counted(shared: &mut Shared, fields: &str) -> usize {
    let key = key_of(1);
    let entropy = Entropy {
        run: [1; 16],
        session: [1; 16],
    };
    let fingerprint = Fingerprint::of(&[], std::iter::empty(), b"1");
    let now_ms = shared.now_ms;
    let receiver = shared
        .memory
        .remember(&key, fingerprint, 0, entropy, now_ms);
    let mut exchange = exchange(1, STREAM, fields);
    exchange.set_key(key.clone());
    shared.open(exchange, &key, receiver, "01".repeat(16), now_ms)
}

#[test]
fn each_run_counts_once_however_it_ends() {
    let end = |shared: &mut Shared, client, chunks: &[&str]| bytes(shared, client, chunks);
    for fields in ["", "on_disconnect=finish"] {
        let goes_on = !fields.is_empty();
        for (what, answers, stopped, failures) in [
            ("answer", 1, 0, 0),
            ("error", 0, 0, 1),
            ("cut", 0, 0, 1),
            ("left", u64::from(goes_on), u64::from(!goes_on), 0),
            ("expired", u64::from(goes_on), u64::from(!goes_on), 0),
            ("stopped", 0, 1, 0),
            ("slow", 0, 1, 0),
        ] {
            let mut shared = Shared::connected();
            let client = begin_counted(&mut shared, fields);
            let id = shared.clients[client].id;
            give(&mut shared, client, Event::Answered);
            end(&mut shared, client, &[TEXT]);
            let run = shared.clients[client].run.clone();
            let error = r#"{"error":{"message":"internal error","type":"api_error"}}"#;
            match what {
                "answer" => end(&mut shared, client, &[STOP, USAGE, DONE]),
                "error" => end(&mut shared, client, &[error]),
                "cut" => give(&mut shared, client, Event::Ended),
                "left" => shared.give(Input::HungUp(id)),
                "expired" => {
                    let now_ms = shared.now_ms;
                    shared.hub.expire(id, Some(now_ms));
                    shared.give(Input::Tick);
                }
                "stopped" => shared.give(Input::Stopped(&run)),
                _ => shared.give(Input::Overrun(id)),
            }
            let is_held = shared.hub.exchange(id).is_some();
            let is_followed = goes_on && matches!(what, "left" | "expired");
            assert_eq!(is_held, is_followed, "{what} {fields}");
            if is_held {
                end(&mut shared, client, &[TEXT, STOP, USAGE, DONE]);
            }
            assert!(shared.hub.exchange(id).is_none(), "{what} {fields}");
            let day = shared.usage_of(1);
            let counted = [Counter::Runs, Counter::Answers, Counter::Stopped].map(|of| day.get(of));
            assert_eq!(counted, [1, answers, stopped], "{what} {fields}");
            let failed = [Counter::ProviderFailures, Counter::OtherFailures].map(|of| day.get(of));
            assert_eq!(failed.iter().sum::<u64>(), failures, "{what} {fields}");
            let tokens = if answers > 0 { 7 } else { 0 };
            assert_eq!(day.get(Counter::InputTokens), tokens, "{what} {fields}");
            assert_eq!(
                (shared.asked.len(), shared.methods().len()),
                (1, 0),
                "{what}"
            );
        }
    }
}
