use super::*;
use crate::failure::Failure;
use crate::openai::error::ErrorResponse;

const SUMMARY: RunSummary = RunSummary {
    finish: Finish::Stop,
    usage: Usage {
        prompt: 1001,
        cached: 100,
        cache_written: 0,
        completion: 2,
    },
};

fn writer(delivery: Delivery) -> ChatWriter {
    ChatWriter::new(
        delivery,
        "chatcmpl-1".into(),
        "openclaw/\"x\"".into(),
        1_795_374_174,
    )
}

#[test]
fn chunks_are_written_as_openai_writes_them() {
    let mut writer = writer(Delivery::Stream {
        include_usage: true,
    });
    let mut out = Vec::new();
    writer.begin(&mut out);
    writer.text("w0 \"ü\"\n", &mut out);
    writer.finish(&SUMMARY, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
            "\n\n",
            r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"delta":{"content":"w0 \"ü\"\n"},"finish_reason":null}],"usage":null}"#,
            "\n\n",
            r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
            "\n\n",
            r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[],"usage":{"prompt_tokens":1001,"completion_tokens":2,"total_tokens":1003,"prompt_tokens_details":{"cached_tokens":100}}}"#,
            "\n\ndata: [DONE]\n\n",
        )
    );
}

#[test]
fn a_whole_completion_is_one_object() {
    let mut writer = writer(Delivery::Whole);
    let mut out = Vec::new();
    writer.begin(&mut out);
    writer.text("w0", &mut out);
    writer.text(" w1", &mut out);
    assert!(out.is_empty());
    writer.finish(
        &RunSummary {
            finish: Finish::Length,
            ..SUMMARY
        },
        &mut out,
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"id":"chatcmpl-1","object":"chat.completion","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"message":{"role":"assistant","content":"w0 w1","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":1001,"completion_tokens":2,"total_tokens":1003,"prompt_tokens_details":{"cached_tokens":100}}}"#
    );
}

#[test]
fn a_call_is_written_when_it_is_whole() {
    let call = || {
        let raw = |json: &str| serde_json::value::RawValue::from_string(json.to_owned()).unwrap();
        let tools = raw(r#"[{"type":"function","function":{"name":"f"}}]"#);
        ForcedCall::read(&tools, &raw(r#""required""#))
            .unwrap()
            .map(|(call, _)| call)
    };
    let written = |delivery: Delivery| {
        let mut writer = writer(delivery).calling(call());
        let mut out = Vec::new();
        writer.begin(&mut out);
        writer.text("{\"a\":", &mut out);
        writer.text("\"\\n\"}", &mut out);
        writer.call().unwrap().settle().unwrap();
        writer.finish(&SUMMARY, &mut out);
        String::from_utf8(out).unwrap()
    };
    let tool_call = r#"{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":\"\\n\"}"}}"#;
    let head = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"delta":"#;
    assert_eq!(
        written(Delivery::Stream {
            include_usage: false
        }),
        [
            head,
            r#"{"role":"assistant","content":null},"finish_reason":null}]}"#,
            "\n\n",
            head,
            r#"{"tool_calls":["#,
            tool_call,
            r#"]},"finish_reason":null}]}"#,
            "\n\n",
            head,
            r#"{},"finish_reason":"tool_calls"}]}"#,
            "\n\ndata: [DONE]\n\n",
        ]
        .concat()
    );
    let message = format!(
        r#""message":{{"role":"assistant","content":null,"refusal":null,"annotations":[],"tool_calls":[{}]}},"logprobs":null,"finish_reason":"tool_calls""#,
        tool_call.replace(r#""index":0,"#, "")
    );
    let whole = written(Delivery::Whole);
    assert!(whole.contains(&message), "{whole}");
}

#[test]
fn an_answer_ends_before_its_stop_sequence_and_counts_all_of_its_run() {
    for (texts, expected) in [(["w0 w", "1 w2"], "w0 "), (["w0 w", "2"], "w0 w2")] {
        for delivery in [
            Delivery::Stream {
                include_usage: true,
            },
            Delivery::Whole,
        ] {
            let stop = Stop::read(&serde_json::value::to_raw_value("w1").unwrap()).unwrap();
            let mut writer = writer(delivery).ending_before(stop);
            let mut out = Vec::new();
            for text in texts {
                writer.text(text, &mut out);
            }
            let length = RunSummary {
                finish: Finish::Length,
                ..SUMMARY
            };
            writer.finish(&length, &mut out);
            let out = String::from_utf8(out).unwrap();
            let shown: String = out
                .split(r#""content":""#)
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .collect();
            assert_eq!(shown, expected, "{out}");
            let end = if expected == "w0 " { "stop" } else { "length" };
            assert!(
                out.contains(&format!(r#""finish_reason":"{end}""#)),
                "{out}"
            );
            assert!(out.contains(r#""completion_tokens":2"#), "{out}");
        }
    }
}

#[test]
fn thoughts_are_apart_from_the_answer() {
    let mut writer = writer(Delivery::Stream {
        include_usage: false,
    });
    let mut out = Vec::new();
    writer.thought("hm", &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}]}"#,
            "\n\n"
        )
    );
    let mut writer = self::writer(Delivery::Whole);
    let mut out = Vec::new();
    writer.thought("h", &mut out);
    writer.thought("m", &mut out);
    writer.text("yes", &mut out);
    writer.finish(&SUMMARY, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains(r#""message":{"role":"assistant","content":"yes","reasoning_content":"hm","refusal":null,"annotations":[]}"#),
        "{text}"
    );
}

#[test]
fn a_broken_answer_ends_with_an_error_event_and_done() {
    let mut out = Vec::new();
    writer(Delivery::Stream {
        include_usage: true,
    })
    .fail(
        &ErrorResponse::of(&Failure::RunAborted).body.in_body(),
        &mut out,
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"data: {"error":{"message":"The agent's run was stopped before it finished. (invalid_request_error: run_aborted)","type":"invalid_request_error","param":null,"code":"run_aborted"}}"#,
            "\n\ndata: [DONE]\n\n",
        )
    );
}

#[test]
fn text_that_was_held_back_comes_before_a_call() {
    let stop = Stop::read(&serde_json::value::to_raw_value("END").unwrap()).unwrap();
    let mut writer = writer(Delivery::Stream {
        include_usage: false,
    })
    .ending_before(stop);
    let mut out = Vec::new();
    writer.text("one E", &mut out);
    let piece = CallPiece {
        begins: Some(("c1", "f")),
        arguments: "{}",
    };
    writer.call_piece(piece, &mut out);
    writer.finish(&SUMMARY, &mut out);
    let out = String::from_utf8(out).unwrap();
    let place = |text: &str| out.find(text).unwrap_or_else(|| panic!("{text}: {out}"));
    assert!(place(r#""content":"E""#) < place("tool_calls"), "{out}");
    assert_eq!(out.matches(r#""content":"E""#).count(), 1, "{out}");
}
