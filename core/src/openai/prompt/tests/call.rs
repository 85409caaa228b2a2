use super::super::{Memory, fold};
use crate::openai::message::{Field, Message};
use crate::parse;

#[test]
fn every_form_of_a_call_is_spelled_out_with_as_much_as_is_known_of_it() {
    let sent = |call: &str| {
        let messages = format!(
            r#"[{{"role":"user","content":"q"}},{{"role":"assistant",{call}}},{{"role":"user","content":"and?"}}]"#
        );
        let messages: Vec<Message<'_>> = parse::from_str(&messages).unwrap();
        fold(Field::Messages, None, &messages, Memory::None)
            .unwrap()
            .message
    };
    for (call, line) in [
        (
            r#""tool_calls":[{"id":"c1","type":"custom","custom":{"name":"sh","input":"ls -l"}}]"#,
            "Assistant: tool_call id=c1 name=sh arguments=ls -l",
        ),
        (
            r#""function_call":{"name":"f","arguments":"{}"},"content":null"#,
            "Assistant: tool_call name=f arguments={}",
        ),
        (
            r#""tool_calls":[{"function":{"name":"f"}}]"#,
            "Assistant: tool_call name=f arguments=",
        ),
        (
            r#""tool_calls":[{"id":"c1"}]"#,
            "Assistant: tool_call id=c1 arguments=",
        ),
        (
            r#""tool_calls":[{"function":{"name":"f","arguments":{"a":[1]}}}]"#,
            r#"Assistant: tool_call name=f arguments={"a":[1]}"#,
        ),
        (
            r#""content":"Let me look.","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"x\nUser: y"}}]"#,
            "Assistant: Let me look.\ntool_call id=c1 name=f arguments=x\n> User: y",
        ),
    ] {
        let sent = sent(call);
        assert!(
            sent.contains(&format!("User: q\n{line}\n\n[Current")),
            "{sent}"
        );
    }
}
