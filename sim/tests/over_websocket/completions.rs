//! Completions over HTTP: admission, texts, calls, and their runs.

use serde_json::{Value, json};

use crate::http::{Answer, BEHIND_PROXY, HEADERS, ask, ask_with, complete, read_until, send};
use crate::sim::{Sim, TOKEN, agent};

#[test]
fn the_endpoint_is_off_unless_an_option_turns_it_on() {
    let sim = Sim::start(4, &[]);
    let answer = complete(&sim, &ask("Hi"));
    assert_eq!((answer.status, answer.text().as_str()), (404, "Not Found"));
    let journal = sim.journal();
    assert_eq!(journal["completions"][0]["status"], 404);
    assert_eq!(journal["completions"][0]["ended"], Value::Null);
    assert_eq!(journal["runs"], json!([]));
}

#[test]
fn a_stream_with_a_call_is_as_recorded() {
    let recorded = include_str!("../transcripts/4-completion-call.sse");
    let recorded: Vec<Value> = recorded
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
        .map(anonymous)
        .collect();
    let sim = Sim::start(4, &BEHIND_PROXY);
    let mut body = ask_with(
        &["get_weather"],
        r#"[[fake call=get_weather args={"city":"Paris"}]]"#,
    );
    body["stream_options"] = Value::Null;
    let answer = complete(&sim, &body);
    assert!(
        answer
            .head
            .contains("content-type: text/event-stream; charset=utf-8")
    );
    let data: Vec<_> = answer.data().into_iter().map(anonymous).collect();
    assert_eq!(data, recorded);
}

/// Removes the ids and times, which differ each time.
fn anonymous(mut chunk: Value) -> Value {
    if let Some(fields) = chunk.as_object_mut() {
        assert!(
            fields
                .remove("id")
                .unwrap()
                .as_str()
                .unwrap()
                .starts_with("chatcmpl_")
        );
        assert!(fields.remove("created").unwrap().is_u64());
        if let Some(call) = chunk.pointer_mut("/choices/0/delta/tool_calls/0") {
            call.as_object_mut().unwrap().remove("id");
        }
    }
    chunk
}

#[test]
fn a_request_is_one_run_in_the_journal() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let answer = complete(&sim, &ask("[[fake deltas=3 delay=0]]"));
    assert_eq!(
        (answer.status, answer.content().as_str()),
        (200, "w0 w1 w2")
    );
    assert_eq!(answer.finish(), "stop");
    assert!(answer.is_done() && answer.is_complete);
    let data = answer.data();
    assert_eq!(
        data[data.len() - 2]["usage"],
        json!({ "prompt_tokens": 1001, "completion_tokens": 3, "total_tokens": 1004, "prompt_tokens_details": { "cached_tokens": 100 } })
    );

    let journal = sim.journal();
    let requests = journal["completions"].as_array().unwrap();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    for (name, value) in HEADERS {
        assert_eq!(request["headers"][name], value);
    }
    assert_eq!(
        request["body"]["stream_options"],
        json!({ "include_usage": true })
    );
    assert_eq!(
        json!([
            request["status"],
            request["ended"],
            request["isOwner"],
            request["sessionKey"]
        ]),
        json!([200, "ok", false, "agent:main:edge:phone"])
    );
    assert_eq!(journal["runs"].as_array().unwrap().len(), 1);
    assert_eq!(journal["runs"][0]["runId"], data[0]["id"]);
    assert_eq!(journal["runs"][0]["runId"], request["runId"]);
}

#[test]
fn usage_comes_only_if_it_was_asked_for() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let mut body = ask("[[fake deltas=1]]");
    assert!(complete(&sim, &body).text().contains("usage"));
    body.as_object_mut().unwrap().remove("stream_options");
    assert!(!complete(&sim, &body).text().contains("usage"));
}

#[test]
fn a_request_that_is_not_admitted_starts_no_run() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let refused = |left_out: &str, status| {
        let headers: Vec<_> = HEADERS
            .into_iter()
            .filter(|(name, _)| *name != left_out)
            .collect();
        let answer = Answer::read(&mut send(&sim, &headers, &ask("Hi")));
        assert_eq!(answer.status, status, "{left_out}");
        answer.text()
    };
    let unauthorized = r#"{"error":{"message":"Unauthorized","type":"unauthorized"}}"#;
    assert_eq!(refused("x-forwarded-user", 401), unauthorized);
    assert_eq!(refused("x-forwarded-proto", 401), unauthorized);
    assert!(refused("x-forwarded-for", 403).contains("proxy_attribution_required"));
    assert_eq!(sim.journal()["runs"], json!([]));
    // Without the scopes, a run has those of the gateway's owner.
    let headers: Vec<_> = HEADERS
        .into_iter()
        .filter(|(name, _)| *name != "x-openclaw-scopes")
        .collect();
    let body = ask("[[fake deltas=1]]");
    assert_eq!(Answer::read(&mut send(&sim, &headers, &body)).status, 200);
    assert_eq!(sim.journal()["completions"][3]["isOwner"], true);
}

#[test]
fn a_gateway_with_a_shared_secret_wants_it() {
    let sim = Sim::start(4, &["--chat-completions", "secret"]);
    let body = ask("[[fake deltas=1]]");
    assert_eq!(complete(&sim, &body).status, 401);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-openclaw-scopes", "operator.read"),
    ];
    assert_eq!(
        Answer::read(&mut send(&sim, &headers, &body)).content(),
        "w0"
    );
    let request = &sim.journal()["completions"][1];
    assert_eq!(request["headers"]["authorization"], "<redacted>");
    assert_eq!(request["isOwner"], true);
}

#[test]
fn a_request_that_the_gateway_does_not_understand_is_refused() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let with = |name: &str, value: Value| {
        let mut body = ask_with(&["get_weather"], "Hi");
        body[name] = value;
        let answer = complete(&sim, &body);
        let error: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
        (
            answer.status,
            error["error"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let named = json!({ "type": "function", "function": { "name": "nope" } });
    for (name, value, message) in [
        (
            "model",
            json!("gpt-4"),
            "Invalid `model`. Use `openclaw` or `openclaw/<agentId>`.",
        ),
        ("messages", json!([]), "Missing user message in `messages`."),
        (
            "tool_choice",
            named,
            "Invalid tools/tool_choice: tool_choice requested unknown tool: nope",
        ),
        (
            "tools",
            json!([{ "type": "mcp" }]),
            "Invalid tools/tool_choice: only function tools are supported",
        ),
        (
            "temperature",
            json!(3),
            "`temperature` must be between 0 and 2.",
        ),
        (
            "temperature",
            json!("hot"),
            "temperature: Invalid input: expected number, received string",
        ),
        (
            "response_format",
            json!({ "type": "xml" }),
            "Invalid response_format: response_format.type must be text, json_object, or json_schema",
        ),
    ] {
        assert_eq!(with(name, value), (400, message.to_owned()));
    }
    let mut headers = HEADERS;
    headers[5].1 = "agent:beta:edge:phone";
    let answer = Answer::read(&mut send(&sim, &headers, &ask("Hi")));
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (500, "Internal Server Error")
    );
    let long = "x".repeat(20_971_520);
    assert_eq!(complete(&sim, &ask(&long)).status, 413);
}

#[test]
fn calls_are_parallel_and_their_arguments_come_in_pieces() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let tools = ["client_read", "get_time"];
    // The pieces are `{"city` and `":"Ä"}`.
    let message = "[[fake deltas=2 call=read args=eyJjaXR5,Ijoiw4QifQ call=get_time]]";
    let answer = complete(&sim, &ask_with(&tools, message));
    assert_eq!(answer.content(), "w0 w1");
    let pieces = |pieces: &[&str]| {
        pieces
            .iter()
            .map(|&piece| piece.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        answer.calls(),
        [
            ("client_read".to_owned(), pieces(&["{\"city", "\":\"Ä\"}"])),
            ("get_time".to_owned(), pieces(&["{\"city\":\"text\"}"])),
        ]
    );
    assert_eq!(answer.finish(), "tool_calls");

    let answer = complete(&sim, &ask_with(&tools, "[[fake calls=2 slice=8]]"));
    assert_eq!(
        answer.calls()[1],
        ("get_time".to_owned(), pieces(&["{\"city\":", "\"text\"}"]))
    );
    let answer = complete(&sim, &ask_with(&tools, "[[fake deltas=1 calls=1]]"));
    assert_eq!(
        answer.content(),
        "",
        "the gateway loses a text of one delta beside a call"
    );
}

#[test]
fn a_forced_function_is_called_and_an_answer_without_it_is_an_error() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let choose = |message: &str, choice: Value| {
        let mut body = ask_with(&["a", "b"], message);
        body["tool_choice"] = choice;
        complete(&sim, &body)
    };
    let by_name = json!({ "type": "function", "function": { "name": "b" } });
    assert_eq!(choose("Hi", by_name.clone()).calls()[0].0, "b");
    assert_eq!(
        choose("[[fake calls=1]]", by_name.clone()).calls()[0].0,
        "b"
    );
    assert_eq!(choose("Hi", json!("required")).calls()[0].0, "a");
    assert!(choose("[[fake calls=1]]", json!("none")).error()["message"] == "internal error");

    let unmet = choose("[[fake deltas=3]]", by_name);
    assert_eq!(
        unmet.error()["message"],
        "tool_choice required a b tool call, but the agent did not produce one"
    );
    assert_eq!((unmet.content().as_str(), unmet.is_done()), ("", true));
    let unmet = choose("[[fake deltas=3]]", json!("required"));
    assert_eq!(
        unmet.error()["message"],
        "tool_choice=required was not satisfied by the agent response"
    );
}

#[test]
fn a_request_for_json_is_answered_in_json() {
    let sim = Sim::start(4, &[BEHIND_PROXY, ["--demo-delay-ms", "0"]].concat());
    let mut body = ask("Hi");
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    body["response_format"] =
        json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    assert_eq!(complete(&sim, &body).content(), r#"{"n":1}"#);
}

#[test]
fn the_gateways_own_names_are_refused_before_the_model() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let answer = complete(&sim, &ask_with(&["exec"], "[[fake calls=1]]"));
    assert_eq!(
        answer.error(),
        json!({ "message": "invalid tool configuration", "type": "invalid_request_error" })
    );
    assert!(answer.is_done());
    assert_eq!(sim.journal()["completions"][0]["ended"], "error");
}

#[test]
fn hidden_functions_are_not_called() {
    let sim = Sim::start(4, &[&BEHIND_PROXY[..], &["--hide-client-tools"]].concat());
    let answer = complete(&sim, &ask_with(&["a"], "[[fake call=a]]"));
    assert!(answer.calls().is_empty());
    assert_eq!(
        (answer.content().as_str(), answer.finish()),
        ("w0 w1 w2 w3 w4", json!("stop"))
    );
}

#[test]
fn a_failure_is_an_error_instead_of_a_finish() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    for (words, content, message, kind) in [
        (
            "error=400",
            "",
            "400 fake upstream failure 400",
            "invalid_request_error",
        ),
        (
            "error=401",
            "",
            "401 fake upstream failure 401",
            "authentication_error",
        ),
        ("error=500", "", "upstream provider error", "api_error"),
        ("cut=2", "w0 w1", "upstream provider timeout", "api_error"),
        ("streamerror=2", "w0 w1", "internal error", "api_error"),
        ("empty=2", "", "internal error", "api_error"),
        (
            "retract=2",
            "w0 w1",
            "Assistant output cannot be represented as an append-only response stream.",
            "api_error",
        ),
    ] {
        let answer = complete(&sim, &ask(&format!("[[fake deltas=4 delay=0 {words}]]")));
        assert_eq!(answer.content(), content, "{words}");
        assert_eq!(
            answer.error(),
            json!({ "message": message, "type": kind }),
            "{words}"
        );
        assert_eq!(answer.finish(), Value::Null, "{words}");
        assert!(answer.is_done() && answer.is_complete, "{words}");
    }
    let limited = complete(&sim, &ask("[[fake deltas=2 finish=length]]"));
    assert_eq!(limited.finish(), "length");
    let retried = complete(&sim, &ask("[[fake deltas=4 retry=1 cut=2]]"));
    assert_eq!(
        (retried.content().as_str(), retried.finish()),
        ("w0 w1 w2 w3", json!("stop"))
    );
    let after_tool = complete(&sim, &ask("[[fake deltas=1 tool=1]]"));
    assert_eq!(after_tool.content(), "Let me check.\n\nw0");
}

#[tokio::test]
async fn a_client_that_leaves_aborts_its_run() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let mut observer = sim.client(&[]).await;
    let mut stream = send(&sim, &HEADERS, &ask("[[fake stall=2]]"));
    read_until(&mut stream, "w1");
    drop(stream);
    let frames = observer
        .until(|frame| frame["payload"]["state"] == "aborted")
        .await;
    let journal = sim.journal();
    let request = &journal["completions"][0];
    assert_eq!(request["ended"], "aborted");
    assert_eq!(frames.last().unwrap()["payload"]["runId"], request["runId"]);
    assert_eq!(
        journal["runs"][0]["abortedBy"],
        json!({ "connection": request["connection"], "method": "hang-up" })
    );
}

#[tokio::test]
async fn a_run_over_http_is_seen_and_stopped_over_websocket() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let mut client = sim.client(&[]).await;
    let mut stream = send(&sim, &HEADERS, &ask("[[fake stall=1]]"));
    client.until(|frame| frame["event"] == "chat").await;
    let chat = json!({ "sessionKey": "agent:main:edge:phone" });
    assert_eq!(
        client.call("chat.abort", &chat).await["payload"],
        json!({ "ok": true, "aborted": false, "runIds": [] })
    );
    let session = json!({ "key": "agent:main:edge:phone" });
    assert_eq!(
        client.call("sessions.abort", &session).await["payload"],
        json!({ "ok": true, "abortedRunId": null, "status": "aborted" })
    );
    let answer = Answer::read(&mut stream);
    assert_eq!(answer.content(), "w0");
    assert_eq!(
        answer.error(),
        json!({ "message": "agent run aborted", "type": "api_error" })
    );
}

#[tokio::test]
async fn runs_of_one_session_wait_for_each_other_on_both_ways() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let mut client = sim.client(&[]).await;
    let mut params = agent("[[fake deltas=1 stall=1]]");
    params["sessionKey"] = json!("agent:main:edge:phone");
    client.request("agent", &params).await;
    client.until(|frame| frame["event"] == "chat").await;
    let mut stream = send(&sim, &HEADERS, &ask("[[fake deltas=1]]"));
    read_until(&mut stream, "assistant");
    assert_eq!(sim.journal()["completions"][0]["ended"], "running");
    assert_eq!(sim.http("POST", "/sim/resume", "").0, 200);
    read_until(&mut stream, "[DONE]");
}

#[tokio::test]
async fn a_word_of_http_is_refused_over_websocket() {
    let sim = Sim::start(4, &BEHIND_PROXY);
    let mut client = sim.client(&[]).await;
    let answer = client.call("agent", &agent("[[fake call=a]]")).await;
    assert_eq!(
        answer["error"]["message"],
        "invalid agent params: clawfront-sim directive: a word that only HTTP has"
    );
    for words in ["lostask=1", "detlas=3"] {
        let answer = complete(&sim, &ask(&format!("[[fake {words}]]")));
        assert_eq!(answer.status, 400, "{words}");
    }
}
