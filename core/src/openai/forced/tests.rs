use super::*;
use crate::openai::testing::refused_param;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn forced(tools: &str, choice: &str) -> Result<Option<(String, usize)>, Failure> {
    let call = ForcedCall::read(&raw(tools), &raw(choice))?;
    Ok(call.map(|(call, others)| (call.instruction(), others)))
}

fn call() -> ForcedCall {
    let tools = r#"[{"type":"function","function":{"name":"User","parameters":{"type":"object","properties":{"age":{"type":"integer"}},"required":["age"]}}}]"#;
    ForcedCall::read(&raw(tools), &raw(r#""required""#))
        .unwrap()
        .unwrap()
        .0
}

#[test]
fn one_function_that_must_be_called_is_found_in_both_forms() {
    let chat = r#"[{"type":"function","function":{"name":"f","description":"Adds.","parameters":{"type":"object"},"strict":true}}]"#;
    let response =
        r#"[{"type":"function","name":"f","description":"Adds.","parameters":{"type":"object"}}]"#;
    let expected = format!(
        "{ONLY_JSON} It is an object: the arguments for the client's function f: Adds.\nThe \
         client calls the function with them. It is valid against this JSON \
         Schema:\n{{\"type\":\"object\"}}"
    );
    for (tools, choice) in [
        (chat, r#""required""#),
        (chat, r#"{"type":"function","function":{"name":"f"}}"#),
        (response, r#""required""#),
        (response, r#"{"type":"function","name":"f"}"#),
    ] {
        assert_eq!(
            forced(tools, choice),
            Ok(Some((expected.clone(), 0))),
            "{choice}"
        );
    }
    let two = r#"[{"type":"web_search"},{"type":"function","function":{"name":"g","parameters":null}},{"type":"function","function":{"name":"f"}}]"#;
    let (instruction, others) = forced(two, r#"{"type":"function","function":{"name":"g"}}"#)
        .unwrap()
        .unwrap();
    assert!(
        instruction.ends_with(NO_PARAMETERS) && others == 2,
        "{instruction}"
    );
}

#[test]
fn a_choice_among_several_and_a_function_that_is_not_there_force_none() {
    let two = r#"[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]"#;
    for (tools, choice) in [
        (two, r#""required""#),
        (two, r#"{"type":"function","function":{"name":"h"}}"#),
        (two, r#"{"type":"custom","custom":{"name":"f"}}"#),
        (two, "7"),
        ("{}", r#""required""#),
        (
            r#"[{"type":"custom","custom":{"name":"f"}}]"#,
            r#""required""#,
        ),
    ] {
        assert_eq!(forced(tools, choice), Ok(None), "{tools} {choice}");
    }
}

#[test]
fn a_function_without_a_good_name_or_schema_is_refused() {
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_FORMAT_BYTES));
    for (name, parameters) in [
        ("", "{}"),
        ("a b", "{}"),
        (&"n".repeat(65), "{}"),
        ("f", "true"),
        ("f", &large),
    ] {
        let tools = format!(
            r#"[{{"type":"function","function":{{"name":"{name}","parameters":{parameters}}}}}]"#
        );
        let refused = forced(&tools, r#""required""#);
        assert_eq!(refused_param(refused), "tools", "{name}");
    }
}

#[test]
fn the_arguments_are_the_object_that_the_answer_ends_in() {
    for answer in [
        r#"{"age":7}"#,
        " {\"age\":7}\n\n",
        "```json\n{\"age\":7}\n```",
        "```\n{\"age\":7}```\n",
        "Let me look.\n\n{\"age\":7}",
        "{ not this }\n{\"age\":7}",
    ] {
        let mut call = call();
        for piece in answer.split_inclusive('e') {
            call.push(piece);
        }
        assert_eq!(call.settle(), Ok(()), "{answer}");
        assert_eq!(call.arguments(), r#"{"age":7}"#, "{answer}");
    }
    let mut pretty = call();
    pretty.push("{\n  \"age\": 7,\n  \"more\": {\n    \"age\": 8\n  }\n}");
    assert_eq!(pretty.settle(), Ok(()));
    assert!(pretty.arguments().starts_with("{\n  \"age\": 7"));
}

#[test]
fn an_answer_that_does_not_fit_is_an_error_that_repeats_nothing_of_it() {
    for (answer, problem) in [
        ("", "it does not end in one whole JSON object"),
        ("I am 4711.", "it does not end in one whole JSON object"),
        (
            r#"{"age":7} Hope it helps!"#,
            "it does not end in one whole JSON object",
        ),
        (
            r#"It is {"age":7}"#,
            "it does not end in one whole JSON object",
        ),
        (r#"{"age":7"#, "it does not end in one whole JSON object"),
        // Cut off where an object within it ends.
        (
            "{\"users\":[\n  {\"age\":7}",
            "it does not end in one whole JSON object",
        ),
        (r#"[{"age":7}]"#, "it does not end in one whole JSON object"),
        (r#"{"age":"4711"}"#, "age is not of the type integer"),
        (r#"{"name":"4711"}"#, "age is missing"),
    ] {
        let mut call = call();
        call.push(answer);
        let Err(Failure::AnswerInvalid { problem: found }) = call.settle() else {
            panic!("{answer}");
        };
        assert_eq!(&*found, problem, "{answer}");
    }
}
