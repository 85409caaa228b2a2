use super::*;
use crate::openai::testing::refused_param;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn offer(
    tools: (&'static str, &str),
    choice: Option<(&'static str, &str)>,
    parameters: &[(&'static str, &str)],
) -> Result<Option<(ClientTools, usize)>, Failure> {
    let list = raw(tools.1);
    let choice = choice.map(|(field, choice)| (field, raw(choice)));
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, raw(value)))
        .collect();
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    Offer {
        tools: (tools.0, &list),
        choice: choice.as_ref().map(|(field, choice)| (*field, &**choice)),
        parameters: &parameters,
    }
    .read()
}

fn members(tools: &str, choice: &str) -> String {
    let (offered, dropped) = offer(("tools", tools), Some(("tool_choice", choice)), &[])
        .unwrap()
        .unwrap();
    assert_eq!(dropped, 0);
    let json = format!("{{{}}}", offered.members.trim_start_matches(','));
    assert!(
        serde_json::from_str::<serde_json::Value>(&json).is_ok(),
        "{json}"
    );
    offered.members
}

const CHAT: &str = r#"[{"type":"function","function":{"name":"f","description":"Adds.","parameters":{"type":"object"},"strict":true}}]"#;
const RESPONSE: &str = r#"[{"type":"function","name":"f","description":"Adds.","parameters":{"type":"object"},"strict":true}]"#;

#[test]
fn tools_of_both_forms_become_those_of_a_chat_completion() {
    let expected = format!(r#","tools":{CHAT},"tool_choice":"auto""#);
    assert_eq!(members(CHAT, r#""auto""#), expected);
    assert_eq!(members(RESPONSE, r#""auto""#), expected);
}

#[test]
fn a_function_of_the_old_field_is_the_tool_itself() {
    let (offered, _) = offer(
        ("functions", r#"[{"name":"f","parameters":null}]"#),
        Some(("function_call", r#"{"name":"f"}"#)),
        &[],
    )
    .unwrap()
    .unwrap();
    assert_eq!(
        offered.members,
        r#","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],"tool_choice":{"type":"function","function":{"name":"f"}}"#
    );
}

#[test]
fn a_choice_of_either_form_is_kept() {
    for (choice, expected) in [
        (r#""none""#, r#""none""#),
        (r#""required""#, r#""required""#),
        (
            r#"{"type":"function","function":{"name":"f"}}"#,
            r#"{"type":"function","function":{"name":"f"}}"#,
        ),
        (
            r#"{"type":"function","name":"f"}"#,
            r#"{"type":"function","function":{"name":"f"}}"#,
        ),
    ] {
        assert!(
            members(CHAT, choice).ends_with(&format!(r#","tool_choice":{expected}"#)),
            "{choice}"
        );
    }
}

#[test]
fn a_list_of_allowed_tools_leaves_no_others() {
    let two = r#"[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]"#;
    let expected = r#","tools":[{"type":"function","function":{"name":"g","parameters":{"type":"object","properties":{}}}}],"tool_choice":"required""#;
    for choice in [
        r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"g","parameters":{"type":"object","properties":{}}}}]}}"#,
        r#"{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]}"#,
    ] {
        assert_eq!(members(two, choice), expected, "{choice}");
    }
}

#[test]
fn a_choice_that_cannot_be_made_is_refused() {
    for choice in [
        r#""any""#,
        "7",
        r#"{"type":"function","function":{"name":"g"}}"#,
        r#"{"type":"web_search"}"#,
        r#"{"type":"allowed_tools","allowed_tools":{"mode":"some","tools":[]}}"#,
        r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto"}}"#,
    ] {
        let result = offer(("tools", CHAT), Some(("tool_choice", choice)), &[]);
        assert_eq!(refused_param(result), "tool_choice", "{choice}");
    }
}

#[test]
fn names_of_the_gateways_own_tools_are_replaced_and_put_back() {
    let tools = r#"[{"type":"function","function":{"name":"Read"}},{"type":"function","function":{"name":"client_Read"}},{"type":"function","function":{"name":"client_Read_"}},{"type":"function","function":{"name":"reader"}}]"#;
    let choice = r#"{"type":"function","function":{"name":"Read"}}"#;
    let (offered, _) = offer(("tools", tools), Some(("tool_choice", choice)), &[])
        .unwrap()
        .unwrap();
    assert_eq!(
        offered.renamed,
        [("Read".to_owned(), "client_Read__".to_owned())]
    );
    assert!(
        offered
            .members
            .ends_with(r#""tool_choice":{"type":"function","function":{"name":"client_Read__"}}"#)
    );
    assert!(!offered.members.contains(r#""name":"Read""#));
    for name in ["Read", "client_Read", "client_Read_", "reader"] {
        assert_eq!(offered.clients_name(offered.gateways_name(name)), name);
    }
}

#[test]
fn a_name_that_replaces_another_is_new_in_any_case() {
    let tools = r#"[{"type":"function","function":{"name":"read"}},{"type":"function","function":{"name":"Client_Read"}}]"#;
    let (offered, _) = offer(("tools", tools), None, &[]).unwrap().unwrap();
    assert_eq!(
        offered.renamed,
        [("read".to_owned(), "client_read_".to_owned())]
    );
}

/// Codex sends the tools of an MCP server so.
#[test]
fn functions_of_a_namespace_have_its_name_before_theirs() {
    let tools = r#"[
        {"type":"namespace","name":"mcp__demo","description":"d","tools":[
            {"type":"function","name":"add","description":"Adds.","parameters":{"type":"object"}},
            {"type":"custom","name":"raw"}]},
        {"type":"namespace","name":"mcp","tools":[{"type":"function","name":"demo__add"}]},
        {"type":"function","name":"mcp__demo__read"},
        {"type":"namespace","name":"none","tools":[]},
        {"type":"namespace","name":"a b","tools":[{"type":"function","name":"c"}]},
        {"type":"namespace","tools":[{"type":"function","name":"c"}]}]"#;
    let (offered, dropped) = offer(("tools", tools), None, &[]).unwrap().unwrap();
    assert_eq!(dropped, 3, "{offered:?}");
    let name = |clients: &str, gateways: &str| (clients.to_owned(), gateways.to_owned());
    assert_eq!(
        offered.renamed,
        [
            name("mcp__demo/add", "mcp__demo__add"),
            name("mcp/demo__add", "mcp__demo__add_")
        ]
    );
    assert_eq!(offered.note(), "", "the gateway has none of these");
    assert!(
        offered.members.starts_with(
            r#","tools":[{"type":"function","function":{"name":"mcp__demo__add","description":"Adds.","parameters":{"type":"object"}}}"#
        ),
        "{}",
        offered.members
    );
    let unnamed = r#"[{"type":"namespace","name":"n","tools":[{"type":"function"}]}]"#;
    assert_eq!(refused_param(offer(("tools", unnamed), None, &[])), "tools");
    let function = r#"{"type":"function","name":"f"}"#;
    let many = [function; 129].join(",");
    let many = format!(r#"[{{"type":"namespace","name":"n","tools":[{many}]}}]"#);
    assert_eq!(refused_param(offer(("tools", &many), None, &[])), "tools");
}

#[test]
fn tools_that_are_not_functions_are_left_out_and_counted() {
    let mixed =
        r#"[{"type":"web_search"},{"type":"function","name":"f"},{"type":"custom","name":"c"}]"#;
    let (offered, dropped) = offer(("tools", mixed), None, &[]).unwrap().unwrap();
    assert_eq!(dropped, 2);
    assert_eq!(
        offered.members,
        r#","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]"#
    );
    let none = offer(("tools", r#"[{"type":"web_search"}]"#), None, &[]);
    assert_eq!(none, Ok(None));
}

#[test]
fn parameters_are_numbers_and_have_the_names_of_chat_completions() {
    let parameters = [
        ("max_output_tokens", "100"),
        ("temperature", "0.25"),
        ("presence_penalty", "-1"),
    ];
    let (offered, _) = offer(("tools", CHAT), None, &parameters).unwrap().unwrap();
    assert!(
        offered
            .members
            .ends_with(r#","max_completion_tokens":100,"temperature":0.25,"presence_penalty":-1"#),
        "{}",
        offered.members
    );
    for value in [r#""1""#, "true", "[1]", "{}"] {
        let result = offer(("tools", CHAT), None, &[("top_p", value)]);
        assert_eq!(refused_param(result), "top_p", "{value}");
    }
}

#[test]
fn tools_without_a_good_name_or_schema_are_refused() {
    let function = |inner: &str| format!(r#"[{{"type":"function","function":{inner}}}]"#);
    let long = "n".repeat(65);
    let many = format!(
        "[{}]",
        vec![r#"{"type":"function","name":"f"}"#; 129].join(",")
    );
    for tools in [
        function(r#"{"name":""}"#),
        function(r#"{"name":"a b"}"#),
        function(r#"{"name":"a\"b"}"#),
        function(&format!(r#"{{"name":"{long}"}}"#)),
        function("{}"),
        function(r#"{"name":"f","parameters":[]}"#),
        "[7]".to_owned(),
        "{}".to_owned(),
        many,
    ] {
        assert_eq!(
            refused_param(offer(("tools", &tools), None, &[])),
            "tools",
            "{tools}"
        );
    }
}
