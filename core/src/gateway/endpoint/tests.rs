use super::*;
use crate::gateway::upgrade::parse_headers;
use crate::session::Session;
use crate::turn::{AgentChoice, Attachment, RunId};

fn turn() -> Turn {
    Turn {
        agent: AgentChoice::Named(agent()),
        session: Session::fresh(
            &crate::access::key::KeyId::parse("phone").unwrap(),
            &[7; 16],
        ),
        run: RunId::from_entropy(&[1; 16]),
        may_exist: false,
        wants_thoughts: false,
        wants_progress: false,
        wants_files: false,
        linger_s: 0,
        message: "Hi \"there\"".to_owned(),
        earlier: None,
        origin: None,
        extra_system_prompt: None,
        traceparent: None,
        thinking: None,
        attachments: Vec::new(),
        answered_images: 0,
        tools: Some(ClientTools {
            members: r#","tools":[]"#.to_owned(),
            renamed: vec![("read".to_owned(), "client_read".to_owned())],
        }),
    }
}

fn agent() -> AgentId {
    AgentId::parse("main").unwrap()
}

fn request(turn: &Turn) -> Request {
    let agent = agent();
    Request::of(turn, &agent, &turn.session.key(&agent)).unwrap()
}

/// The events of a run, as texts.
fn events(stream: &str) -> Vec<String> {
    let mut endpoint = Endpoint::new(turn().tools.unwrap());
    let mut all = Vec::new();
    let mut show = |event: RunEvent<'_>| all.push(format!("{event:?}"));
    endpoint.answer(&mut show);
    endpoint.receive(stream.as_bytes(), &mut show);
    all
}

fn chunk(choice: &str) -> String {
    format!("data: {{\"id\":\"chatcmpl_1\",\"choices\":[{{\"index\":0,{choice}}}]}}\n\n")
}

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn the_request_is_a_chat_completion_of_one_message() {
    let turn = || Turn {
        tools: Some(ClientTools {
            renamed: Vec::new(),
            ..turn().tools.unwrap()
        }),
        ..turn()
    };
    assert_eq!(
        String::from_utf8(request(&turn()).body).unwrap(),
        r#"{"model":"openclaw","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi \"there\""}],"tools":[]}"#
    );
    let with_all = Turn {
        extra_system_prompt: Some("Be brief.".to_owned()),
        attachments: vec![Attachment {
            kind: "png",
            content: "AAAA".to_owned(),
        }],
        ..turn()
    };
    assert_eq!(
        String::from_utf8(request(&with_all).body).unwrap(),
        r#"{"model":"openclaw","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Hi \"there\""},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],"tools":[]}"#
    );
}

/// The client's instructions say `read`, and the gateway has a tool of that name, which reads its
/// own files.
#[test]
fn the_model_gets_the_names_that_the_clients_tools_have_here() {
    for (instructions, before) in [(None, ""), (Some("Be brief."), "Be brief.\n\n")] {
        let turn = Turn {
            extra_system_prompt: instructions.map(str::to_owned),
            ..turn()
        };
        let body: serde_json::Value = serde_json::from_slice(&request(&turn).body).unwrap();
        let [system, _] = body["messages"].as_array().unwrap().as_slice() else {
            panic!("{body}");
        };
        let note = system["content"].as_str().unwrap().strip_prefix(before);
        let note = note.unwrap();
        assert!(
            note.starts_with("The tools that the client carries out"),
            "{note}"
        );
        assert!(note.contains("`read` is `client_read`. "), "{note}");
        assert_eq!(system["role"], "system");
    }
}

#[test]
fn a_request_that_the_gateway_would_not_read_is_refused() {
    let large = Turn {
        message: "x".repeat(MAX_REQUEST_BYTES),
        ..turn()
    };
    let refused = Request::of(&large, &agent(), &large.session.key(&agent()));
    assert!(matches!(refused, Err(Failure::RequestTooLarge { .. })));
}

#[test]
fn no_request_leaves_without_its_scopes_whatever_the_operator_sets() {
    let own = parse_headers("X-OpenClaw-Scopes: operator.admin\nx-tunnel: 1").unwrap();
    for identity in [
        Identity::TrustedProxy {
            user_header: "x-forwarded-user".to_owned(),
        },
        Identity::TrustedProxy {
            user_header: "x-openclaw-scopes".to_owned(),
        },
        Identity::SharedToken(Secret::new("t0ken".to_owned())),
    ] {
        let headers = request(&turn()).headers(&own, Some(&identity), "phone");
        let (pairs, rest) = headers.as_chunks::<2>();
        assert!(rest.is_empty());
        let value = |name: &str| {
            let mut named = pairs.iter().filter(|[other, _]| other == name);
            named.next_back().map(|[_, value]| value.as_str())
        };
        assert_eq!(
            value("x-openclaw-scopes"),
            Some("operator.read,operator.write")
        );
        assert_eq!(value("x-tunnel"), Some("1"));
        assert_eq!(value("x-openclaw-agent-id"), Some("main"));
        let session = value("x-openclaw-session-key").unwrap();
        assert!(session.starts_with("agent:main:"), "{session}");
        match &identity {
            Identity::TrustedProxy { user_header } if user_header == "x-forwarded-user" => {
                assert_eq!(value("x-forwarded-user"), Some("key-phone"));
                assert_eq!(value("x-forwarded-for"), Some("192.0.2.1"));
                assert_eq!(value("authorization"), None);
            }
            Identity::TrustedProxy { .. } => {}
            Identity::SharedToken(_) => {
                assert_eq!(value("authorization"), Some("Bearer t0ken"));
                assert_eq!(value("x-forwarded-user"), None);
            }
        }
    }
}

#[test]
fn a_request_without_a_message_has_the_rights_and_names_of_any_other() {
    let doctor = crate::access::key::KeyId::parse("doctor").unwrap();
    let request = Request::without_message(&agent(), &doctor);
    assert_eq!(
        String::from_utf8(request.body.clone()).unwrap(),
        r#"{"model":"openclaw","stream":true,"messages":[]}"#
    );
    let own = parse_headers("x-tunnel: 1").unwrap();
    assert_eq!(
        request.headers(&own, None, "doctor"),
        [
            "x-tunnel",
            "1",
            "x-openclaw-scopes",
            "operator.read,operator.write",
            "x-openclaw-agent-id",
            "main",
            "x-openclaw-session-key",
            "agent:main:edge:doctor:run:00000000000000000000000000000000",
            "content-type",
            "application/json",
            "accept",
            "text/event-stream",
        ]
    );
}

#[test]
fn text_is_shown_and_the_end_has_reason_and_tokens() {
    let stream = [
        &chunk(r#""delta":{"role":"assistant"},"finish_reason":null"#),
        &chunk(r#""delta":{"content":"Hi "},"finish_reason":null"#),
        &chunk(r#""delta":{"content":"there"},"finish_reason":null"#),
        &chunk(r#""delta":{},"finish_reason":"length""#),
        USAGE,
        DONE,
    ]
    .map(|event| (*event).to_owned())
    .concat();
    assert_eq!(
        events(&stream),
        [
            "Accepted",
            "Text(\"Hi \")",
            "Text(\"there\")",
            "Ended(Ok(RunSummary { finish: Length, usage: Usage { prompt: 7, cached: 3, cache_written: 0, completion: 2 } }))",
        ]
    );
}

#[test]
fn calls_begin_in_order_and_have_the_clients_names() {
    let call = |call: &str| chunk(&format!(r#""delta":{{"tool_calls":[{call}]}}"#));
    let stream = [
        call(
            r#"{"index":0,"id":"c1","type":"function","function":{"name":"client_read","arguments":""}}"#,
        ),
        call(r#"{"index":0,"function":{"arguments":"{\"a\":"}}"#),
        call(r#"{"index":0,"function":{"arguments":"1}"}}"#),
        call(
            r#"{"index":1,"id":"c2","type":"function","function":{"name":"other","arguments":"{}"}}"#,
        ),
        chunk(r#""delta":{},"finish_reason":"tool_calls""#),
        DONE.to_owned(),
    ]
    .concat();
    assert_eq!(
        events(&stream),
        [
            "Accepted",
            "Call(CallPiece { begins: Some((\"c1\", \"read\")), arguments: \"\" })",
            "Call(CallPiece { begins: None, arguments: \"{\\\"a\\\":\" })",
            "Call(CallPiece { begins: None, arguments: \"1}\" })",
            "Call(CallPiece { begins: Some((\"c2\", \"other\")), arguments: \"{}\" })",
            "Ended(Ok(RunSummary { finish: Calls, usage: Usage { prompt: 0, cached: 0, cache_written: 0, completion: 0 } }))",
        ]
    );
}

/// The code of the failure that a stream ends in.
fn failure(stream: &str) -> Failure {
    let mut endpoint = Endpoint::new(ClientTools::default());
    let mut ended = None;
    endpoint.receive(stream.as_bytes(), &mut |event| {
        if let RunEvent::Ended(Err(failure)) = event {
            ended = Some(failure);
        }
    });
    ended.unwrap_or_else(|| panic!("no failure: {stream}"))
}

#[test]
fn a_stream_that_is_not_as_it_must_be_is_a_failure() {
    for stream in [
        "data: not json\n\n".to_owned(),
        DONE.to_owned(),
        chunk(r#""delta":{},"finish_reason":"content_filter""#),
        chunk(r#""delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#),
        chunk(r#""delta":{"tool_calls":[{"index":1,"id":"c","function":{"name":"f"}}]}"#),
        "data: {\"choices\":7}\n\n".to_owned(),
    ] {
        assert_eq!(
            failure(&stream).code(),
            "gateway_protocol_error",
            "{stream}"
        );
    }
    let begun = r#""delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f"}}]}"#;
    let reason = |reason: &str| chunk(&format!(r#""delta":{{}},"finish_reason":"{reason}""#));
    for stream in [
        [&reason("tool_calls"), DONE].concat(),
        [&chunk(begun), &reason("stop"), DONE].concat(),
        [&chunk(begun), &reason("length"), DONE].concat(),
    ] {
        assert_eq!(
            failure(&stream).code(),
            "gateway_protocol_error",
            "{stream}"
        );
    }
    let large = "x".repeat(MAX_ANSWER_BYTES + 1);
    for delta in [
        format!(
            r#""delta":{{"tool_calls":[{{"index":0,"id":"{large}","function":{{"name":"f"}}}}]}}"#
        ),
        format!(
            r#""delta":{{"tool_calls":[{{"index":0,"id":"c","function":{{"name":"{large}"}}}}]}}"#
        ),
        format!(r#""delta":{{"content":"{large}"}}"#),
        format!(
            r#""delta":{{"tool_calls":[{{"index":0,"id":"c","function":{{"name":"f","arguments":"{large}"}}}}]}}"#
        ),
    ] {
        assert_eq!(failure(&chunk(&delta)).code(), "answer_too_large");
    }
}

#[test]
fn an_error_in_the_stream_is_the_run_s_failure() {
    for (kind, message, code) in [
        ("api_error", "agent run aborted", "run_aborted"),
        (
            "api_error",
            "tool_choice=required was not satisfied by the agent response",
            "answer_invalid",
        ),
        ("rate_limit_error", "429", "provider_throttled"),
        ("authentication_error", "no", "provider_account_error"),
        ("permission_error", "no", "provider_account_error"),
        ("insufficient_quota", "no", "provider_account_error"),
        (
            "api_error",
            "upstream provider overloaded",
            "provider_overloaded",
        ),
        ("api_error", "upstream provider timeout", "provider_timeout"),
        ("api_error", "upstream provider error", "provider_error"),
        ("api_error", "internal error", "run_failed"),
        (
            "invalid_request_error",
            "s3cret",
            "provider_rejected_request",
        ),
        (
            "invalid_request_error",
            "invalid tool configuration",
            "invalid_request",
        ),
        ("", "", "run_failed"),
    ] {
        let event =
            format!("data: {{\"error\":{{\"message\":\"{message}\",\"type\":\"{kind}\"}}}}\n\n");
        assert_eq!(failure(&event).code(), code, "{kind} {message}");
    }
}

fn refused_with(status: u16, body: &str) -> Failure {
    refusal(&Response {
        refusal: UpgradeResponse {
            status,
            body: body.as_bytes(),
            ..UpgradeResponse::default()
        },
        retry_after_s: Some(9),
    })
}

#[test]
fn a_refusal_names_its_cause() {
    for (status, code, cause) in [
        (401, "gateway_refused", Some("http_endpoint_identity")),
        (403, "gateway_refused", Some("http_endpoint_identity")),
        (404, "gateway_refused", Some("http_endpoint_off")),
        (405, "gateway_refused", Some("http_endpoint_off")),
        (400, "invalid_request", None),
        (413, "request_too_large", None),
        (429, "gateway_unavailable", Some("origin_down")),
        (503, "gateway_unavailable", Some("origin_down")),
        (302, "gateway_refused", Some("redirected")),
        (500, "gateway_refused", Some("not_a_gateway")),
    ] {
        let failure = refused_with(status, "");
        assert_eq!(failure.code(), code, "{status}");
        let diagnosis = failure.diagnosis();
        assert_eq!(diagnosis.map(Diagnosis::code), cause, "{status}");
    }
    assert!(matches!(
        refused_with(503, ""),
        Failure::GatewayUnavailable {
            retry_after_s: 9,
            ..
        }
    ));
}

#[test]
fn a_proxy_that_the_gateway_does_not_trust_is_named() {
    let body = r#"{"error":{"message":"Proxy client attribution is required.","type":"proxy_attribution_required"}}"#;
    assert_eq!(
        refused_with(403, body).diagnosis(),
        Some(Diagnosis::ProxyAttribution)
    );
}

#[test]
fn a_refusal_about_a_field_is_passed_on_and_no_other_prose() {
    let body = |message: &str| format!(r#"{{"error":{{"message":"{message}","type":"x"}}}}"#);
    let message = |failure: Failure| match failure {
        Failure::InvalidRequest { message, .. } => message.into_owned(),
        other => panic!("{other:?}"),
    };
    let about = "`temperature` must be between 0 and 2.";
    assert_eq!(message(refused_with(400, &body(about))), about);
    let fallback = message(refused_with(400, ""));
    for text in ["Unknown agent s3cret", &["`", &"x".repeat(300)].concat()] {
        assert_eq!(message(refused_with(400, &body(text))), fallback);
    }
}

/// The streams of OpenClaw 2026.9.6, recorded, and the end of each.
const RECORDED: [(&str, &str); 9] = [
    (
        include_str!("../../../tests/recordings/2026.9.6-text.sse"),
        "stop",
    ),
    (
        include_str!("../../../tests/recordings/2026.9.6-length.sse"),
        "length",
    ),
    (
        include_str!("../../../tests/recordings/2026.9.6-call.sse"),
        "calls",
    ),
    (
        include_str!("../../../tests/recordings/2026.9.6-long-call.sse"),
        "calls",
    ),
    (
        include_str!("../../../tests/recordings/2026.9.6-two-calls.sse"),
        "calls",
    ),
    (
        include_str!("../../../tests/recordings/2026.9.6-text-and-call.sse"),
        "calls",
    ),
    (
        include_str!("../../../tests/recordings/2026.9.6-failed.sse"),
        "failed",
    ),
    (
        include_str!("../../../tests/recordings/2026.9.6-unmet-choice.sse"),
        "failed",
    ),
    (
        include_str!("../../../tests/recordings/2026.9.6-name-conflict.sse"),
        "failed",
    ),
];

/// Returns the end of a run, if it has one, and everything that was shown.
fn replay(pieces: &[&[u8]]) -> (Option<&'static str>, String) {
    let mut endpoint = Endpoint::new(ClientTools::default());
    let (mut end, mut shown) = (None, String::new());
    for piece in pieces {
        endpoint.receive(piece, &mut |event| match event {
            RunEvent::Text(text) => shown.push_str(text),
            RunEvent::Call(CallPiece { begins, arguments }) => {
                shown.push_str(begins.map_or("", |(_, name)| name));
                shown.push_str(arguments);
            }
            RunEvent::Ended(result) => {
                end.get_or_insert(match result.map(|summary| summary.finish) {
                    Ok(Finish::Stop) => "stop",
                    Ok(Finish::Length) => "length",
                    Ok(Finish::Calls) => "calls",
                    Err(_) => "failed",
                });
            }
            _ => {}
        });
    }
    (end, shown)
}

#[test]
fn recorded_streams_have_their_ends() {
    for (stream, expected) in RECORDED {
        let (end, shown) = replay(&[stream.as_bytes()]);
        assert_eq!(end, Some(expected), "{stream}");
        assert!(expected == "failed" || !shown.is_empty(), "{stream}");
        // However the bytes arrive.
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(replay(&bytes), (end, shown));
    }
}

#[test]
fn a_recorded_stream_that_breaks_off_anywhere_is_no_success() {
    for (stream, _) in RECORDED {
        let last = stream.trim_end().rfind('\n').unwrap();
        for cut in 0..=last {
            let (part, _) = stream.as_bytes().split_at(cut);
            let (end, _) = replay(&[part]);
            assert!(matches!(end, None | Some("failed")), "{cut} of {stream}");
        }
    }
}
