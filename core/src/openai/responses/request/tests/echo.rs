use std::collections::BTreeMap;

use super::super::super::echo::{
    MAX_IDENTIFIER_BYTES, MAX_METADATA_PAIRS, MAX_METADATA_VALUE_CHARS,
};
use super::*;
use crate::openai::format::MAX_FORMAT_BYTES;

#[test]
fn a_response_repeats_the_form_that_was_asked_for() {
    let format = |text: &str| {
        accepted(&format!(r#"{{"model":"main","input":"hi","text":{text}}}"#))
            .unwrap()
            .echo
            .text_format
    };
    let schema = "{\"format\": {\"type\": \"json_schema\",\r\n \"name\": \"a b\\\" \\\\\", \
                  \"schema\": {} }}";
    assert_eq!(
        format(schema).as_deref(),
        Some(r#"{"type":"json_schema","name":"a b\" \\","schema":{}}"#)
    );
    assert_eq!(format(r#"{"verbosity":"low"}"#), None);
    let large = format!(
        r#"{{"type":"text","rest":"{}"}}"#,
        "x".repeat(MAX_FORMAT_BYTES)
    );
    let body = format!(r#"{{"model":"main","input":"hi","text":{{"format":{large}}}}}"#);
    assert_eq!(refused_param(accepted(&body)), "text.format");
}

#[test]
fn a_response_repeats_metadata_and_identifiers() {
    let body = r#"{"model":"main","input":"hi","metadata":{ "b":"", "a" : "b\n" },"safety_identifier":"s","prompt_cache_key":"c"}"#;
    let echo = accepted(body).unwrap().echo;
    assert_eq!(echo.metadata, br#"{"a":"b\n","b":""}"#);
    assert_eq!(
        (
            echo.safety_identifier.as_deref(),
            echo.prompt_cache_key.as_deref()
        ),
        (Some("s"), Some("c"))
    );
    let none = accepted(r#"{"model":"main","input":"hi","metadata":null}"#)
        .unwrap()
        .echo;
    assert!(
        none.metadata.is_empty() && none.safety_identifier.is_none() && none.text_format.is_none()
    );
    let pairs = (0..=MAX_METADATA_PAIRS).map(|n| (n.to_string(), "x".to_owned()));
    let many = serde_json::to_string(&pairs.collect::<BTreeMap<_, _>>()).unwrap();
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_METADATA_VALUE_CHARS + 1));
    for metadata in [many.as_str(), &long, r#"{"a":1}"#, "[]", r#""a""#] {
        let body = format!(r#"{{"model":"main","input":"hi","metadata":{metadata}}}"#);
        assert_eq!(refused_param(accepted(&body)), "metadata", "{metadata}");
    }
    for field in ["safety_identifier", "prompt_cache_key"] {
        let value = "x".repeat(MAX_IDENTIFIER_BYTES + 1);
        let body = format!(r#"{{"model":"main","input":"hi","{field}":"{value}"}}"#);
        assert_eq!(refused_param(accepted(&body)), field);
    }
}
