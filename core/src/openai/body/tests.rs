use super::*;

fn refused(body: &str) -> (Option<String>, String) {
    let json = Json::read(body.as_bytes()).unwrap();
    match Body::parse(&json) {
        Err(Failure::InvalidRequest { param, message }) => (param, message.into_owned()),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_field_of_the_wrong_type_is_named() {
    for (body, param) in [
        (r#"{"messages":"hi"}"#, "messages"),
        (r#"{"messages":null}"#, "messages"),
        (r#"{"messages":{}}"#, "messages"),
        (r#"{"messages":{"role":"user"}}"#, "messages"),
        (r#"{"messages":["hi"]}"#, "messages[0]"),
        (r#"{"messages":[{}, 7]}"#, "messages[1]"),
        (r#"{"messages":[{"role":7}]}"#, "messages[0].role"),
        (r#"{"messages":[{"role":null}]}"#, "messages[0].role"),
        (
            r#"{"messages":[{"role":"user","content":7}]}"#,
            "messages[0].content",
        ),
        (
            r#"{"messages":[{"role":"user","content":{"type":"text"}}]}"#,
            "messages[0].content",
        ),
        (
            r#"{"messages":[{"content":["hi"]}]}"#,
            "messages[0].content[0]",
        ),
        (
            r#"{"messages":[{"content":[{"type":"text","text":"x"},{"type":"text","text":[]}]}]}"#,
            "messages[0].content[1].text",
        ),
        (
            r#"{"messages":[{"content":[{"type":7}]}]}"#,
            "messages[0].content[0].type",
        ),
        (
            r#"{"messages":[{"content":[{"type":"image_url","image_url":7}]}]}"#,
            "messages[0].content[0].image_url",
        ),
        (
            r#"{"messages":[{"content":[{"type":"image_url","image_url":{}}]}]}"#,
            "messages[0].content[0].image_url",
        ),
        (
            r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":7}}]}]}"#,
            "messages[0].content[0].image_url.url",
        ),
        (
            r#"{"messages":[{"tool_calls":{}}]}"#,
            "messages[0].tool_calls",
        ),
        (
            r#"{"messages":[{"tool_calls":[{"id":1}]}]}"#,
            "messages[0].tool_calls[0].id",
        ),
        (
            r#"{"messages":[{"tool_calls":[{"function":{"name":[]}}]}]}"#,
            "messages[0].tool_calls[0].function.name",
        ),
        (r#"{"messages":[{"name":true}]}"#, "messages[0].name"),
        (r#"{"model":4}"#, "model"),
        (r#"{"user":42}"#, "user"),
        (r#"{"user":4.2e1 }"#, "user"),
        (r#"{"x":[{"a":"}"}],"user":{"a":1}}"#, "user"),
        (r#"{"stream":"yes"}"#, "stream"),
        (r#"{"stream":1}"#, "stream"),
        (r#"{"stream_options":true}"#, "stream_options"),
        (
            r#"{"stream_options":{"include_usage":"x"}}"#,
            "stream_options.include_usage",
        ),
        (r#"{"logprobs":1}"#, "logprobs"),
        (r#"{"modalities":"text"}"#, "modalities"),
        (r#"{"modalities":["text",1]}"#, "modalities[1]"),
        (r#"{"background":"no"}"#, "background"),
        (r#"{"input":7}"#, "input"),
        (
            r#"{"input":[{"type":"message","role":"user","content":false}]}"#,
            "input[0].content",
        ),
        (r#"{"instructions":[]}"#, "instructions"),
        (r#"{"previous_response_id":{}}"#, "previous_response_id"),
        ("{\n  \"a\\\"b\": \"\\\\\",\n  \"user\": 42\n}", "user"),
    ] {
        let (found, message) = refused(body);
        assert_eq!(found.as_deref(), Some(param), "{body}");
        assert!(
            message.contains("missing or of the wrong type"),
            "{message}"
        );
    }
    assert_eq!(refused("[]").0, None);
    assert_eq!(refused(r#""hi""#).0, None);
    assert_eq!(refused(r#"{"messages":[}"#).0, None);
}

#[test]
fn a_field_that_is_there_twice_is_named() {
    for (body, param) in [
        (r#"{"user":"a","user":"a"}"#, "user"),
        (
            r#"{"messages":[],"messages":[{"role":"user","content":"x"}]}"#,
            "messages",
        ),
        (r#"{"user":null,"x":1,"user":"a"}"#, "user"),
        (r#"{"temperature":0,"temperature":1}"#, "temperature"),
        (r#"{"tools":[],"tools":[{}]}"#, "tools"),
        (r#"{"us\u0065r":"a","user":"b"}"#, "user"),
        (
            r#"{"messages":[{"role":"user","role":"system"}]}"#,
            "messages[0].role",
        ),
        (
            r#"{"messages":[{"content":[{"text":"a","text":"b"}]}]}"#,
            "messages[0].content[0].text",
        ),
    ] {
        let (found, message) = refused(body);
        assert_eq!(found.as_deref(), Some(param), "{body}");
        assert!(message.contains("has a field twice"), "{message}");
    }
    let twice = r#"{"x_unknown":1,"x_unknown":2,"functions":[],"tools":[]}"#;
    let json = Json::read(twice.as_bytes()).unwrap();
    assert!(
        Body::parse(&json).is_ok(),
        "what is not read is not looked at"
    );
}

#[test]
fn the_fields_without_effect_are_those_of_the_document() {
    let document = include_str!("../../../../docs/compatibility.md");
    let (_, section) = document.split_once("\n### No effect\n").unwrap();
    let list = section.lines().find(|line| line.starts_with('`')).unwrap();
    let documented: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let noticed: Vec<&str> = NOTICED
        .into_iter()
        .filter(|name| !STORED.contains(name))
        .collect();
    assert_eq!(documented, noticed);
}
