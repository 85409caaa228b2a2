use super::*;
use crate::failure::Failure;
use crate::openai::error::ErrorResponse;
use crate::turn::Usage;

const SUMMARY: RunSummary = RunSummary {
    finish: Finish::Stop,
    usage: Usage {
        prompt: 1001,
        cached: 100,
        cache_written: 7,
        completion: 2,
    },
};

const NOW_S: u64 = 1_795_374_180;
const IN_PROGRESS: &str = r#"{"id":"resp_1","object":"response","created_at":1795374174,"completed_at":null,"status":"in_progress","error":null,"incomplete_details":null,"model":"main","previous_response_id":"resp_0","output":[],"usage":null,"#;
const REST: &str = r#""metadata":{"a":"b\n"},"safety_identifier":"s","prompt_cache_key":null,"background":false,"frequency_penalty":0,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"parallel_tool_calls":true,"presence_penalty":0,"reasoning":{"effort":null,"summary":null},"service_tier":"default","store":false,"temperature":1,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1,"truncation":"disabled"}"#;
const USAGE: &str = r#""usage":{"input_tokens":1001,"input_tokens_details":{"cached_tokens":100,"cache_write_tokens":7},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":1003},"#;

const STREAM: Delivery = Delivery::Stream {
    include_usage: true,
};

fn ids(response: &str) -> Ids {
    Ids {
        response: response.into(),
        items: "1".into(),
    }
}

fn writer(delivery: Delivery) -> ResponsesWriter {
    let echo = Echo {
        metadata: br#"{"a":"b\n"}"#.to_vec(),
        safety_identifier: Some("s".into()),
        prompt_cache_key: None,
        text_format: None,
    };
    let fields = ResponseFields {
        ids: ids("resp_1"),
        unnamed_ids: ids("resp_x1"),
        branch_ids: None,
        previous: Some("resp_0".into()),
        model: "main".into(),
        created_s: 1_795_374_174,
        echo,
        keeping: Keeping::Sent,
    };
    ResponsesWriter::new(delivery, fields)
}

fn written(delivery: Delivery, write: impl FnOnce(&mut ResponsesWriter, &mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut writer(delivery), &mut out);
    String::from_utf8(out).unwrap()
}

fn begun() -> String {
    format!(
        "event: response.created\ndata: \
         {{\"type\":\"response.created\",\"sequence_number\":0,\"response\":\
         {IN_PROGRESS}{REST}}}\n\nevent: response.in_progress\ndata: \
         {{\"type\":\"response.in_progress\",\"sequence_number\":1,\"response\":\
         {IN_PROGRESS}{REST}}}\n\n"
    )
}

#[test]
fn the_form_that_was_asked_for_is_repeated() {
    let mut asked = writer(Delivery::Whole);
    asked.fields.echo.text_format = Some(r#"{"type":"json_object"}"#.to_owned());
    let mut out = Vec::new();
    asked.finish(&SUMMARY, NOW_S, &mut out);
    let expected = REST.replace(r#"{"type":"text"}"#, r#"{"type":"json_object"}"#);
    assert!(String::from_utf8(out).unwrap().ends_with(&expected));
}

#[test]
fn events_are_written_as_openai_writes_them() {
    let stream = written(STREAM, |writer, out| {
        writer.begin(out);
        writer.text("w0 \"ü\"\n", out);
        writer.beat(out);
        writer.text("w1", out);
        writer.finish(&SUMMARY, NOW_S, out);
    });
    let events = concat!(
        "event: response.output_item.added\n",
        r#"data: {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"msg_1_0","type":"message","role":"assistant","status":"in_progress","content":[]}}"#,
        "\n\nevent: response.content_part.added\n",
        r#"data: {"type":"response.content_part.added","sequence_number":3,"item_id":"msg_1_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}"#,
        "\n\nevent: response.output_text.delta\n",
        r#"data: {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1_0","output_index":0,"content_index":0,"delta":"w0 \"ü\"\n","logprobs":[]}"#,
        "\n\n",
    );
    let beat = format!(
        "event: response.in_progress\ndata: \
         {{\"type\":\"response.in_progress\",\"sequence_number\":5,\"response\":\
         {IN_PROGRESS}{REST}}}\n\n"
    );
    let after = concat!(
        "event: response.output_text.delta\n",
        r#"data: {"type":"response.output_text.delta","sequence_number":6,"item_id":"msg_1_0","output_index":0,"content_index":0,"delta":"w1","logprobs":[]}"#,
        "\n\nevent: response.output_text.done\n",
        r#"data: {"type":"response.output_text.done","sequence_number":7,"item_id":"msg_1_0","output_index":0,"content_index":0,"text":"w0 \"ü\"\nw1","logprobs":[]}"#,
        "\n\nevent: response.content_part.done\n",
        r#"data: {"type":"response.content_part.done","sequence_number":8,"item_id":"msg_1_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"w0 \"ü\"\nw1","annotations":[],"logprobs":[]}}"#,
        "\n\nevent: response.output_item.done\n",
        r#"data: {"type":"response.output_item.done","sequence_number":9,"output_index":0,"item":{"id":"msg_1_0","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"w0 \"ü\"\nw1","annotations":[],"logprobs":[]}]}}"#,
        "\n\nevent: response.completed\n",
        r#"data: {"type":"response.completed","sequence_number":10,"response":{"id":"resp_1","object":"response","created_at":1795374174,"completed_at":1795374180,"status":"completed","error":null,"incomplete_details":null,"model":"main","previous_response_id":"resp_0","output":[{"id":"msg_1_0","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"w0 \"ü\"\nw1","annotations":[],"logprobs":[]}]}],"#,
    );
    assert_eq!(
        stream,
        format!("{}{events}{beat}{after}{USAGE}{REST}}}\n\n", begun())
    );
}

#[test]
fn a_whole_response_is_one_object() {
    let whole = written(Delivery::Whole, |writer, out| {
        writer.begin(out);
        writer.thought("hm", out);
        writer.text("w0", out);
        writer.text(" w1", out);
        assert!(out.is_empty());
        writer.finish(
            &RunSummary {
                finish: Finish::Length,
                ..SUMMARY
            },
            NOW_S,
            out,
        );
    });
    let before = concat!(
        r#"{"id":"resp_1","object":"response","created_at":1795374174,"completed_at":null,"status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},"model":"main","previous_response_id":"resp_0","#,
        r#""output":[{"id":"rs_1_0","type":"reasoning","summary":[],"status":"completed","content":[{"type":"reasoning_text","text":"hm"}]},"#,
        r#"{"id":"msg_1_1","type":"message","role":"assistant","status":"incomplete","content":[{"type":"output_text","text":"w0 w1","annotations":[],"logprobs":[]}]}],"#,
    );
    assert_eq!(whole, format!("{before}{USAGE}{REST}"));
}

#[test]
fn thoughts_are_items_of_their_own() {
    let stream = written(STREAM, |writer, out| {
        writer.thought("hm", out);
        writer.text("yes", out);
    });
    assert_eq!(
        stream,
        concat!(
            "event: response.output_item.added\n",
            r#"data: {"type":"response.output_item.added","sequence_number":0,"output_index":0,"item":{"id":"rs_1_0","type":"reasoning","summary":[],"status":"in_progress","content":[]}}"#,
            "\n\nevent: response.content_part.added\n",
            r#"data: {"type":"response.content_part.added","sequence_number":1,"item_id":"rs_1_0","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":""}}"#,
            "\n\nevent: response.reasoning_text.delta\n",
            r#"data: {"type":"response.reasoning_text.delta","sequence_number":2,"item_id":"rs_1_0","output_index":0,"content_index":0,"delta":"hm"}"#,
            "\n\nevent: response.reasoning_text.done\n",
            r#"data: {"type":"response.reasoning_text.done","sequence_number":3,"item_id":"rs_1_0","output_index":0,"content_index":0,"text":"hm"}"#,
            "\n\nevent: response.content_part.done\n",
            r#"data: {"type":"response.content_part.done","sequence_number":4,"item_id":"rs_1_0","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":"hm"}}"#,
            "\n\nevent: response.output_item.done\n",
            r#"data: {"type":"response.output_item.done","sequence_number":5,"output_index":0,"item":{"id":"rs_1_0","type":"reasoning","summary":[],"status":"completed","content":[{"type":"reasoning_text","text":"hm"}]}}"#,
            "\n\nevent: response.output_item.added\n",
            r#"data: {"type":"response.output_item.added","sequence_number":6,"output_index":1,"item":{"id":"msg_1_1","type":"message","role":"assistant","status":"in_progress","content":[]}}"#,
            "\n\nevent: response.content_part.added\n",
            r#"data: {"type":"response.content_part.added","sequence_number":7,"item_id":"msg_1_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}"#,
            "\n\nevent: response.output_text.delta\n",
            r#"data: {"type":"response.output_text.delta","sequence_number":8,"item_id":"msg_1_1","output_index":1,"content_index":0,"delta":"yes","logprobs":[]}"#,
            "\n\n",
        )
    );
}

#[test]
fn a_broken_response_ends_with_an_error_and_as_failed() {
    let error = ErrorResponse::of(&Failure::RunAborted).body.in_body();
    let stream = written(STREAM, |writer, out| writer.fail(&error, out));
    let failed = r#"{"id":"resp_1","object":"response","created_at":1795374174,"completed_at":null,"status":"failed","error":{"code":"run_aborted","message":"The agent's run was stopped before it finished. (invalid_request_error: run_aborted)"},"incomplete_details":null,"model":"main","previous_response_id":"resp_0","#;
    let events = concat!(
        "event: error\n",
        r#"data: {"type":"error","sequence_number":0,"code":"run_aborted","message":"The agent's run was stopped before it finished. (invalid_request_error: run_aborted)","param":null,"error":{"message":"The agent's run was stopped before it finished. (invalid_request_error: run_aborted)","type":"invalid_request_error","param":null,"code":"run_aborted"}}"#,
        "\n\nevent: response.failed\ndata: ",
        r#"{"type":"response.failed","sequence_number":1,"response":"#,
    );
    let final_to_codex = failed.replace(
        r#""error":{"code":"run_aborted""#,
        r#""error":{"code":"invalid_prompt""#,
    );
    assert_eq!(
        stream,
        format!("{events}{final_to_codex}\"output\":[],\"usage\":null,{REST}}}\n\n")
    );
    let whole = written(Delivery::Whole, |writer, out| {
        writer.text("w0", out);
        writer.fail(&error, out);
    });
    let output = r#""output":[{"id":"msg_1_0","type":"message","role":"assistant","status":"incomplete","content":[{"type":"output_text","text":"w0","annotations":[],"logprobs":[]}]}],"usage":null,"#;
    assert_eq!(whole, format!("{failed}{output}{REST}"));
}

#[test]
fn an_answer_without_a_word_is_a_message_all_the_same() {
    let whole = written(Delivery::Whole, |writer, out| {
        writer.finish(&SUMMARY, NOW_S, out);
    });
    assert!(
        whole.contains(r#""output":[{"id":"msg_1_0","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"","annotations":[],"logprobs":[]}]}]"#),
        "{whole}"
    );
}

#[test]
fn thoughts_end_before_the_message_of_an_answer_without_a_word() {
    let stream = written(STREAM, |writer, out| {
        writer.thought("hm", out);
        writer.finish(&SUMMARY, NOW_S, out);
    });
    let names: Vec<&str> = stream
        .lines()
        .filter_map(|line| line.strip_prefix("event: response."))
        .collect();
    let expected = [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names, expected);
}

/// A streamed response that may branch off, begun before that is known.
fn undecided() -> (ResponsesWriter, Vec<u8>) {
    let mut writer = writer(Delivery::Stream {
        include_usage: true,
    });
    writer.fields.branch_ids = Some(ids("resp_2"));
    let mut out = Vec::new();
    writer.begin(&mut out);
    writer.beat(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), ": ping\n");
    (writer, Vec::new())
}

#[test]
fn a_stream_names_its_response_once_its_session_is_known() {
    let (mut stays, mut out) = undecided();
    stays.settle_id(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), begun());

    let (mut branches, mut out) = undecided();
    branches.branch();
    branches.settle_id(&mut out);
    let renamed = begun().replace("resp_1", "resp_2");
    assert_eq!(String::from_utf8(out).unwrap(), renamed);

    // The id of a response that must not name its session stays as it is.
    let (mut withheld, mut out) = undecided();
    withheld.withhold_session();
    withheld.branch();
    withheld.settle_id(&mut out);
    let unnamed = begun().replace("resp_1", "resp_x1");
    assert_eq!(String::from_utf8(out).unwrap(), unnamed);
}

#[test]
fn a_stream_that_fails_before_its_session_is_known_has_its_first_events() {
    let (mut writer, mut out) = undecided();
    let reply = crate::openai::error::ErrorResponse::on(
        &crate::failure::Failure::InternalError,
        crate::http::route::Api::Responses,
        crate::openai::error::Phase::BeforeRun,
    );
    writer.fail(&reply.body.in_body(), &mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with(&begun()), "{out}");
    assert!(out.contains("response.failed"), "{out}");
}

/// Clients that read the event must not send the request again. The object is for a later reader.
#[test]
fn the_object_of_a_stream_that_is_stored_has_the_code_of_its_failure() {
    for (keeping, code) in [
        (Keeping::Stored, "invalid_prompt"),
        (Keeping::Background, "provider_overloaded"),
    ] {
        let failure = Failure::Provider(crate::failure::ProviderFailure::Overloaded);
        let error = ErrorResponse::of(&failure).body;
        let mut writer = writer(STREAM);
        writer.fields.keeping = keeping;
        let mut out = Vec::new();
        writer.begin(&mut out);
        writer.fail(&error, &mut out);
        let events = String::from_utf8(out).unwrap();
        let (_, event) = events.split_once("event: response.failed\n").unwrap();
        assert!(
            event.contains(&format!(r#""error":{{"code":"{code}","#)),
            "{event}"
        );
        let object = writer.take_ended().unwrap();
        let expected = r#""error":{"code":"provider_overloaded","#;
        assert!(object.contains(expected), "{object}");
    }
}
