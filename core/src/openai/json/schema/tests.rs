use super::*;

/// Returns the place and the problem; empty: the value fits.
fn mismatch(schema: &str, value: &str) -> String {
    let [schema, value] =
        [schema, value].map(|json| RawValue::from_string(json.to_owned()).unwrap());
    match check(&schema, &value) {
        Ok(()) => String::new(),
        Err(Mismatch { place, problem }) => format!("{place}: {problem}"),
    }
}

#[test]
fn members_are_required_of_their_types_and_no_others() {
    let schema = r##"{"type":"object","required":["name","tags"],"additionalProperties":false,"properties":{
            "name":{"type":"string"},"age":{"type":["integer","null"]},"tags":{"type":"array","items":{"$ref":"#/$defs/a~1tag"}},
            "kind":{"enum":["a",1,{"x":[1]}]},"one":{"const":1}},
            "$defs":{"a/tag":{"type":"object","properties":{"id":{"type":"number"}},"required":["id"]}}}"##;
    for (value, expected) in [
        (r#"{"name":"x","tags":[]}"#, ""),
        (
            r#"{"name":"x","tags":[{"id":1.5}],"age":2.0,"kind":{ "x" : [ 1.0 ] },"one":1.0}"#,
            "",
        ),
        (r#"{"name":"x","tags":[],"age":null,"kind":"\u0061"}"#, ""),
        ("[]", ": is not of the type object"),
        (r#"{"tags":[]}"#, "name: is missing"),
        (r#"{"name":7,"tags":[]}"#, "name: is not of the type string"),
        (
            r#"{"name":"x","tags":{}}"#,
            "tags: is not of the type array",
        ),
        (
            r#"{"name":"x","tags":[{"id":1},{}]}"#,
            "tags[1].id: is missing",
        ),
        (
            r#"{"name":"x","tags":[],"age":1.5}"#,
            "age: is not of the type integer or null",
        ),
        (
            r#"{"name":"x","tags":[],"kind":"c"}"#,
            "kind: is not one of the values that are allowed",
        ),
        (
            r#"{"name":"x","tags":[],"kind":{"x":[1,2]}}"#,
            "kind: is not one of the values that are allowed",
        ),
        (
            r#"{"name":"x","tags":[],"one":2}"#,
            "one: is not one of the values that are allowed",
        ),
        (
            r#"{"name":"x","tags":[],"my PIN":4711}"#,
            "(a member of another name): must not be there",
        ),
    ] {
        assert_eq!(mismatch(schema, value), expected, "{value}");
    }
}

#[test]
fn numbers_are_compared_by_their_value() {
    for (number, is_whole) in [
        ("0", true),
        ("-0.0", true),
        ("1.0", true),
        ("1e2", true),
        ("10e-1", true),
        ("1.5E+1", true),
        ("0.5", false),
        ("-3e-1", false),
        ("1e99999999999999999999", false),
    ] {
        assert_eq!(
            mismatch(r#"{"type":"integer"}"#, number).is_empty(),
            is_whole,
            "{number}"
        );
    }
    for (one, other, is_same) in [
        ("100", "1e2", true),
        ("-1.50", "-15e-1", true),
        ("1", "-1", false),
        ("0.1", "0.10001", false),
        ("-0", "0", true),
    ] {
        assert_eq!(
            mismatch(&format!(r#"{{"const":{one}}}"#), other).is_empty(),
            is_same,
            "{one} {other}"
        );
    }
}

#[test]
fn a_name_that_cannot_be_read_hides_no_member() {
    let schema = r#"{"type":"object","properties":{"age":{"type":"integer"}},"required":["age"]}"#;
    assert_eq!(
        mismatch(schema, r#"{"\ud83d":1,"age":"x"}"#),
        ": has a member whose name cannot be read"
    );
}

#[test]
fn alternatives_and_parts_are_checked() {
    let schema = r#"{"anyOf":[{"type":"string"},{"type":"object","properties":{"a":{"type":"boolean"}},"required":["a"]}]}"#;
    for (value, expected) in [
        (r#""x""#, ""),
        (r#"{"a":true}"#, ""),
        (r#"{"a":1}"#, ": fits none of the alternatives"),
        ("7", ": fits none of the alternatives"),
    ] {
        assert_eq!(mismatch(schema, value), expected, "{value}");
    }
    assert_eq!(
        mismatch(
            r#"{"allOf":[true,{"type":"array"},{"items":{"type":"null"}}]}"#,
            "[null]"
        ),
        ""
    );
    assert_eq!(
        mismatch(r#"{"allOf":[{"items":false}]}"#, "[1]"),
        "[0]: must not be there"
    );
    let pair = r#"{"prefixItems":[{"type":"string"}],"items":{"type":"number"}}"#;
    assert_eq!(mismatch(pair, r#"["a",1]"#), "");
    assert_eq!(
        mismatch(pair, r#"["a","b"]"#),
        "[1]: is not of the type number"
    );
    assert_eq!(
        mismatch(
            r#"{"additionalProperties":{"type":"string"}}"#,
            r#"{"a":"b"}"#
        ),
        ""
    );
}

#[test]
fn an_invalid_schema_checks_nothing_and_an_endless_one_ends() {
    for schema in [
        "true",
        "{}",
        "7",
        r#"{"type":7}"#,
        r#"{"$ref":"http://x"}"#,
        r##"{"$ref":"#/a"}"##,
        // An anchor is not the root.
        r##"{"type":"object","properties":{"a":{"$ref":"#node"}}}"##,
        r#"{"required":{}}"#,
    ] {
        assert_eq!(mismatch(schema, r#"{"a":1}"#), "", "{schema}");
    }
    let deep = ": cannot be checked: the schema is too deep";
    assert_eq!(mismatch(r##"{"$ref":"#"}"##, "1"), deep);
    let wide = r##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##;
    assert_eq!(mismatch(wide, "1"), deep);
    let [schema, value] = [r#"{"enum":[{},{},{},{}]}"#, r#"{"a":1}"#]
        .map(|json| RawValue::from_string(json.to_owned()).unwrap());
    for (bytes, problem) in [
        (1 << 10, "is not one of the values that are allowed"),
        (500, TOO_LARGE),
        (10, TOO_LARGE),
    ] {
        assert_eq!(
            check_within(bytes, &schema, &value).unwrap_err().problem,
            problem
        );
    }
    let tree = r##"{"type":"object","properties":{"next":{"$ref":"#"}}}"##;
    assert_eq!(
        mismatch(tree, r#"{"next":{"next":{"next":1}}}"#),
        "next.next.next: is not of the type object"
    );
}

/// Returns the bytes that a check counts.
fn counted(schema: &str, value: &str) -> usize {
    let [schema, value] =
        [schema, value].map(|json| RawValue::from_string(json.to_owned()).unwrap());
    let mut checker = Checker::new(MAX_READ_BYTES, &schema);
    assert_eq!(checker.check(&schema, &value, 0), Ok(()));
    MAX_READ_BYTES.saturating_sub(checker.bytes_left)
}

#[test]
fn a_reference_that_is_used_again_does_not_read_the_root_again() {
    let members = (0..1000)
        .map(|n| format!(r#","{n}":0"#))
        .collect::<Vec<_>>()
        .concat();
    let schema = |references: usize| {
        let all = vec![r##"{"$ref":"#/x"}"##; references].join(",");
        format!(r#"{{"x":true,"allOf":[{all}]{members}}}"#)
    };
    let root = schema(1).len() + 1000 * ENTRY_BYTES;
    assert!(counted(&schema(1), "{}") > 2 * root, "each member counts");
    assert!(counted(&schema(101), "{}") < counted(&schema(1), "{}") + root);
}

#[test]
fn different_references_into_a_large_root_are_ended() {
    let members = (0..3500)
        .map(|n| format!(r#","{n}":true"#))
        .collect::<Vec<_>>()
        .concat();
    let all: Vec<String> = (0..900)
        .map(|n| format!(r##"{{"$ref":"#/{n}"}}"##))
        .collect();
    let schema = format!(r#"{{"allOf":[{}]{members}}}"#, all.join(","));
    assert!(schema.len() < 64 * 1024, "{}", schema.len());
    assert_eq!(mismatch(&schema, "{}"), format!(": {TOO_LARGE}"));
}

#[test]
fn a_large_value_is_not_compared_with_each_allowed_one() {
    let members: Vec<String> = (0..10_000).map(|n| format!(r#""{n}":0"#)).collect();
    let value = format!("{{{}}}", members.join(","));
    let schema = format!(r#"{{"enum":[{}]}}"#, vec!["{}"; 10_000].join(","));
    assert_eq!(mismatch(&schema, &value), format!(": {TOO_LARGE}"));
}

#[test]
fn an_answer_of_two_megabytes_is_checked() {
    let item =
        r#"{"name":"Ada","tags":["a","b"],"note":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#;
    let schema = r##"{"type":"object","properties":{"text":{"type":"string"},"people":{"type":"array","items":{"$ref":"#/$defs/person"}}},
        "$defs":{"person":{"type":"object","properties":{"name":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}},"note":{"type":"string"}},
        "required":["name","tags","note"],"additionalProperties":false}}}"##;
    let people = vec![item; 2000].join(",");
    let text = "x".repeat(2 * 1024 * 1024);
    let value = format!(r#"{{"text":"{text}","people":[{people}]}}"#);
    assert_eq!(mismatch(schema, &value), "");
}
