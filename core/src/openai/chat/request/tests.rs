mod turn;

use super::*;
use crate::agent::{AgentId, Agents};
use crate::openai::accept::{REASONING_HEADER, SESSION_HEADER};
use crate::openai::naming::IDEMPOTENCY_HEADER;
use crate::openai::request::AGENT_HEADER;
use crate::openai::testing::{self, ENTROPY, client, with_model};
use crate::turn::{AgentChoice, Earlier, Otherwise};

fn accepted_with(body: &str, headers: &[(&str, &str)], fields: &str) -> Result<Accepted, Failure> {
    let header = |name: &str| {
        let found = headers.iter().find(|(header, _)| *header == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let body = with_model(body);
    let request = Request {
        body: body.as_bytes(),
        header: &header,
        caller: [0; 32],
        is_repeated: false,
    };
    let aliases = Aliases::parse("gpt-4o=main").unwrap();
    accept(&request, &client("phone", fields), &aliases, &ENTROPY)
}

fn accepted(body: &str, fields: &str) -> Result<Accepted, Failure> {
    accepted_with(body, &[], fields)
}

fn with_headers(
    agent: Option<&str>,
    session: Option<&str>,
    fields: &str,
) -> Result<Accepted, Failure> {
    let headers: Vec<_> = [(AGENT_HEADER, agent), (SESSION_HEADER, session)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    accepted_with(
        r#"{"model":"gpt-9.9","messages":[{"role":"user","content":"hi"}]}"#,
        &headers,
        fields,
    )
}

fn session_key(accepted: &Accepted) -> String {
    accepted
        .turn
        .session
        .key(&AgentId::parse("main").unwrap())
        .as_str()
        .to_owned()
}

fn choice(model: &str, fields: &str) -> Result<AgentChoice, Failure> {
    let body = format!(r#"{{"model":{model:?},"messages":[{{"role":"user","content":"hi"}}]}}"#);
    accepted(&body, fields).map(|accepted| accepted.turn.agent)
}

/// Returns the words in a frame.
fn unframed(system: Option<String>) -> String {
    let system = system.unwrap();
    let (_, framed) = system.split_once(">\n").unwrap();
    framed.rsplit_once("\n<").unwrap().0.to_owned()
}

fn refused_param(body: &str, fields: &str) -> String {
    testing::refused_param(accepted(body, fields))
}

fn named(id: &str) -> AgentChoice {
    AgentChoice::Named(AgentId::parse(id).unwrap())
}

#[test]
fn optional_tools_are_ignored_or_refused_by_the_keys_policy() {
    let body = |rest: &str| format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{rest}}}"#);
    let offered = body(r#""tools":[{"type":"function"}],"tool_choice":"auto""#);
    assert_eq!(
        accepted(&offered, "agents=main").unwrap().ignored,
        ["tool_choice", "tools"]
    );
    for (rest, param) in [
        (r#""tools":[{}]"#, "tools"),
        (r#""functions":[{}],"function_call":"none""#, "functions"),
    ] {
        assert_eq!(
            refused_param(&body(rest), "agents=main tools=refuse"),
            param
        );
    }
    for none in [r#""tools":[]"#, r#""tools":null,"tool_choice":"none""#] {
        assert!(
            accepted(&body(none), "agents=main tools=refuse").is_ok(),
            "{none}"
        );
    }
}

#[test]
fn a_tool_that_must_be_called_is_refused_under_every_policy() {
    for (choice, field) in [
        (r#""required""#, "tool_choice"),
        (r#""any""#, "tool_choice"),
        (r#""""#, "tool_choice"),
        (
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[]}}"#,
            "tool_choice",
        ),
        (r#"{"type":"auto"}"#, "tool_choice"),
        (
            r#"{"type":"function","function":{"name":"f"}}"#,
            "tool_choice",
        ),
        (r#"{"type":"custom","custom":{"name":"f"}}"#, "tool_choice"),
        (
            r#"{"type":"allowed_tools","mode":"required"}"#,
            "tool_choice",
        ),
        (r#"{"name":"f"}"#, "function_call"),
    ] {
        let body =
            format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],"{field}":{choice}}}"#);
        assert_eq!(refused_param(&body, "agents=main"), field, "{choice}");
    }
    for choice in [
        r#"{"type":"allowed_tools","mode":"auto"}"#,
        r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
    ] {
        let body =
            format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],"tool_choice":{choice}}}"#);
        assert_eq!(
            accepted(&body, "agents=main").unwrap().ignored,
            ["tool_choice"]
        );
    }
}

#[test]
fn one_function_that_must_be_called_is_asked_for_by_its_parameters() {
    let body = |tools: &str, rest: &str| {
        format!(
            r#"{{"messages":[{{"role":"system","content":"be brief"}},{{"role":"user","content":"hi"}}],"tools":[{tools}],{rest}}}"#
        )
    };
    let [f, g] = ["f", "g"].map(|name| {
        format!(r#"{{"type":"function","function":{{"name":"{name}","parameters":{{"type":"object"}}}}}}"#)
    });
    let forced = accepted(
        &body(&f, r#""tool_choice":"required","stop":"x","seed":1"#),
        "agents=main",
    )
    .unwrap();
    assert!(forced.call.is_some());
    assert_eq!(forced.ignored, ["seed", "stop"]);
    let instructions = unframed(forced.turn.extra_system_prompt);
    assert!(
        instructions.starts_with("be brief\n\nAnswer with one JSON value")
            && instructions.ends_with("JSON Schema:\n{\"type\":\"object\"}"),
        "{instructions}"
    );
    let of_two = body(
        &[f.clone(), g.clone()].join(","),
        r#""tool_choice":{"type":"function","function":{"name":"g"}}"#,
    );
    let forced = accepted(&of_two, "agents=main").unwrap();
    assert_eq!(
        (forced.ignored, forced.call.is_some()),
        (vec!["tools"], true)
    );
    let offered = accepted(&body(&f, r#""tool_choice":"auto""#), "agents=main").unwrap();
    assert!(offered.call.is_none());
    for (rest, fields, param) in [
        (
            r#""tool_choice":"required","response_format":{"type":"json_object"}"#,
            "",
            "response_format",
        ),
        (r#""tool_choice":"required""#, "tools=refuse", "tool_choice"),
        (r#""tool_choice":"auto""#, "tools=refuse", "tools"),
    ] {
        assert_eq!(
            refused_param(&body(&f, rest), &format!("agents=main {fields}")),
            param
        );
    }
    assert_eq!(
        refused_param(
            &body(&[f, g].join(","), r#""tool_choice":"required""#),
            "agents=main"
        ),
        "tool_choice"
    );
}

#[test]
fn the_format_of_an_answer_follows_the_clients_instructions() {
    let accept = |format: &str| {
        let body = format!(
            r#"{{"messages":[{{"role":"system","content":"be brief"}},{{"role":"user","content":"hi"}}],"response_format":{format}}}"#
        );
        accepted(&body, "agents=main").map(|accepted| {
            (
                unframed(accepted.turn.extra_system_prompt),
                accepted.ignored,
            )
        })
    };
    assert_eq!(
        accept(r#"{"type":"text"}"#).unwrap(),
        ("be brief".to_owned(), vec![])
    );
    let (object, ignored) = accept(r#"{"type":"json_object"}"#).unwrap();
    assert!(
        object.starts_with("be brief\n\nAnswer with one JSON value")
            && object.ends_with("It is an object.")
    );
    assert_eq!(ignored, Vec::<&str>::new());
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
    let (prompt, ignored) = accept(&format!(
        r#"{{"type":"json_schema","json_schema":{{"name":"n","strict":true,"schema":{schema}}}}}"#
    ))
    .unwrap();
    assert!(
        prompt.ends_with(&format!("JSON Schema:\n{schema}")),
        "{prompt}"
    );
    assert_eq!(ignored, ["response_format.json_schema.strict"]);
    let large = format!(
        r#"{{"type":"json_schema","json_schema":{{"schema":{{"a":"{}"}}}}}}"#,
        "x".repeat(64 * 1024)
    );
    for format in [
        r#"{"type":"grammar"}"#,
        r#"{"type":"json_schema"}"#,
        r#"{"type":"json_schema","json_schema":{"schema":true}}"#,
        &large,
    ] {
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":"hi"}}],"response_format":{format}}}"#
        );
        assert_eq!(refused_param(&body, "agents=main"), "response_format");
    }
}

#[test]
fn unknown_fields_are_ignored_and_parameters_without_effect_are_named() {
    let accepted = accepted(
        r#"{"model":"openclaw","messages":[{"role":"user","content":"hi","x":1}],"store":true,"metadata":{"a":[{}]},
                "temperature":0.2,"stop":["x"],"tools":[],"seed":null,"stream":null,"n":1,"stream_options":null}"#,
        "agents=main",
    )
    .unwrap();
    assert_eq!(accepted.ignored, ["temperature"]);
    let newer = r#"{"messages":[{"role":"user","content":"hi"}],"verbosity":"low","web_search_options":{},"top_k":5,"min_p":0.1,
            "thinking":{"type":"enabled"},"chat_template_kwargs":{},"prediction":{},"repetition_penalty":1.1,"enable_thinking":true}"#;
    assert_eq!(
        super::tests::accepted(newer, "agents=main")
            .unwrap()
            .ignored,
        [
            "chat_template_kwargs",
            "enable_thinking",
            "min_p",
            "prediction",
            "repetition_penalty",
            "thinking",
            "top_k",
            "verbosity",
            "web_search_options"
        ]
    );
    assert_eq!(accepted.delivery, Delivery::Whole);
}

#[test]
fn a_text_that_was_cut_within_a_character_is_taken_and_so_is_a_byte_order_mark() {
    let body = "\u{FEFF}{\"messages\":[{\"role\":\"user\",\"content\":\"hi \\ud83d\"}]}";
    assert_eq!(
        accepted(body, "agents=main").unwrap().turn.message,
        "hi \u{FFFD}"
    );
}

#[test]
fn streaming_and_its_usage_are_asked_for_apart() {
    let body = r#"{"messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;
    let accepted = accepted(body, "agents=main").unwrap();
    assert_eq!(
        accepted.delivery,
        Delivery::Stream {
            include_usage: true
        }
    );
    assert_eq!(accepted.model, "openclaw");
}

#[test]
fn an_unsupported_field_is_refused_by_name() {
    for (field, param) in [
        (r#""n":2"#, "n"),
        (r#""n":0"#, "n"),
        (r#""n":-5"#, "n"),
        (r#""n":1.5"#, "n"),
        (r#""n":"1""#, "n"),
        (r#""logprobs":true"#, "logprobs"),
        (r#""modalities":["text","audio"]"#, "modalities"),
        (r#""audio":{"voice":"x"}"#, "modalities"),
        (r#""messages":[]"#, "messages"),
        (r#""messages":[{"content":"hi"}]"#, "messages[0].role"),
    ] {
        let messages = r#""messages":[{"role":"user","content":"hi"}],"#;
        let messages = if param.starts_with("messages") {
            ""
        } else {
            messages
        };
        let body = format!("{{{messages}{field}}}");
        match accepted(&body, "agents=main") {
            Err(Failure::InvalidRequest {
                param: Some(found), ..
            }) => assert_eq!(found, param),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn a_body_that_cannot_be_read_is_refused_with_its_place_and_without_its_values() {
    let message = |body: &str| match accepted(body, "agents=main") {
        Err(Failure::InvalidRequest { message, .. }) => message.into_owned(),
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(
        message(""),
        "The request body is not valid JSON, at line 1 column 0."
    );
    assert_eq!(
        message("{\n\"messages\": [,"),
        "The request body is not valid JSON, at line 2 column 14."
    );
    for body in [
        "[]",
        r#"{"messages":null}"#,
        r#"{"messages":"top secret"}"#,
        r#"{"messages":[],"stream":"top secret"}"#,
        r#"{"messages":[{"role":"user","content":7}]}"#,
    ] {
        let message = message(body);
        assert!(
            message
                .starts_with("The request body has a field that is missing or of the wrong type")
                && !message.contains("secret"),
            "{message}"
        );
    }
    assert_eq!(
        message(&"[".repeat(65)),
        "The request body nests deeper than 64 levels."
    );
    let too_many = "The request body has more than 100000 commas and opening brackets outside its \
                    texts.";
    for value in ["{}", r#"{"role":"user"}"#, "0"] {
        let values = vec![value; 100_000].join(",");
        for body in [
            format!(r#"{{"messages":[{values}]}}"#),
            format!(r#"{{"messages":[],"unknown":[{values}]}}"#),
        ] {
            assert_eq!(message(&body), too_many);
        }
    }
}
