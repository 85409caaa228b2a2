mod echo;
mod session;

use super::*;
use crate::openai::testing::{ENTROPY, client, refused_param, with_model};
use crate::turn::AgentChoice;

const UNIQUE: &str = "000102030405060708090a0b0c0d0e0f";

fn accepted_of(
    client: &Grant,
    body: &str,
    session: Option<&str>,
) -> Result<AcceptedResponse, Failure> {
    let header = |name: &str| {
        session
            .filter(|_| name == "x-openclaw-session-key")
            .map(str::to_owned)
    };
    let body = with_model(body);
    let request = Request {
        body: body.as_bytes(),
        header: &header,
        caller: [0; 32],
        is_repeated: false,
    };
    accept(&request, client, &Aliases::default(), &ENTROPY)
}

fn accepted(body: &str) -> Result<AcceptedResponse, Failure> {
    accepted_of(&client("phone", "agents=main"), body, None)
}

fn session(accepted: &AcceptedResponse) -> String {
    let AgentChoice::Named(agent) = &accepted.accepted.turn.agent else {
        panic!("{accepted:?}");
    };
    accepted
        .accepted
        .turn
        .session
        .key(agent)
        .as_str()
        .to_owned()
}

/// Returns the words in the frame of the system prompt.
fn framed(turn: &crate::turn::Turn) -> Option<&str> {
    let (_, framed) = turn.extra_system_prompt.as_deref()?.split_once(">\n")?;
    Some(framed.rsplit_once("\n<")?.0)
}

#[test]
fn a_key_may_have_no_instructions_taken() {
    let phone = client("phone", "agents=main system=refuse");
    for (body, param) in [
        (
            r#"{"input":"hi","instructions":"be brief"}"#,
            "instructions",
        ),
        (
            r#"{"input":[{"role":"developer","content":"x"},{"role":"user","content":"hi"}]}"#,
            "input[0].role",
        ),
    ] {
        assert_eq!(refused_param(accepted_of(&phone, body, None)), param);
    }
    assert!(accepted_of(&phone, r#"{"input":"hi","instructions":""}"#, None).is_ok());
}

#[test]
fn a_text_is_a_user_message_and_instructions_are_the_systems() {
    let response = accepted(r#"{"input":"hi","instructions":" be brief ","stream":true}"#).unwrap();
    let turn = &response.accepted.turn;
    assert_eq!(
        (turn.message.as_str(), framed(turn)),
        ("hi", Some("be brief"))
    );
    assert!(response.accepted.delivery != Delivery::Whole && response.previous.is_none());
}

#[test]
fn items_are_sent_as_the_messages_that_they_stand_for() {
    let body = r#"{"instructions":"be brief","input":[
            {"role":"developer","content":"no jokes"},
            {"type":"message","role":"user","content":[{"type":"input_text","text":"weather?"}]},
            {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},
            {"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Let me look.","annotations":[]}]},
            {"type":"function_call","call_id":"call_1","name":"get_weather","arguments":"{}"},
            {"type":"custom_tool_call","call_id":"call_2","name":"sh","input":"ls"},
            {"type":"custom_tool_call_output","call_id":"call_2","output":"a b"},
            {"type":"function_call_output","call_id":"call_1","output":[{"type":"input_text","text":"sunny"}]}]}"#;
    let turn = accepted(body).unwrap().accepted.turn;
    assert_eq!(
        turn.message,
        "[Chat messages since your last reply - for context]\nUser: weather?\nAssistant: Let \
         me look.\nAssistant: tool_call id=call_1 name=get_weather arguments={}\nAssistant: \
         tool_call id=call_2 name=sh arguments=ls\nTool:call_2: a b\n\n[Current message - \
         respond to this]\nTool:call_1: sunny"
    );
    assert_eq!(framed(&turn), Some("be brief\n\nno jokes"));
}

#[test]
fn items_of_openais_own_tools_are_calls_and_fail_no_turn() {
    let sent = |item: &str| {
        let body = format!(
            r#"{{"input":[{{"role":"user","content":"q"}},{item},{{"role":"assistant","content":"a"}},{{"role":"user","content":"and?"}}]}}"#
        );
        accepted(&body).map(|response| response.accepted.turn.message)
    };
    for (item, lines) in [
        (
            r#"{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"x"}}"#,
            r#"Assistant: tool_call id=ws_1 name=web_search arguments={"type":"search","query":"x"}"#,
        ),
        (
            r#"{"type":"local_shell_call","call_id":"c","action":{"type":"exec","command":["ls"]}},{"type":"local_shell_call_output","id":"c","output":"a b"}"#,
            "Assistant: tool_call id=c name=local_shell \
             arguments={\"type\":\"exec\",\"command\":[\"ls\"]}\nTool:c: a b",
        ),
        (
            r#"{"type":"shell_call_output","call_id":"c","output":[{"stdout":"out","stderr":"err","outcome":{"type":"exit","exit_code":0}}]}"#,
            "Tool:c: out\nerr",
        ),
        (
            r#"{"type":"mcp_call","id":"mcp_1","server_label":"s","name":"roll","arguments":"{}","output":"4"}"#,
            "Assistant: tool_call id=mcp_1 name=roll arguments={} output=4",
        ),
        (
            r#"{"type":"apply_patch_call","call_id":"c","operation":{"type":"delete_file"}},{"type":"apply_patch_call_output","call_id":"c","output":"done"}"#,
            "Assistant: tool_call id=c name=apply_patch \
             arguments={\"type\":\"delete_file\"}\nTool:c: done",
        ),
        (
            r#"{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot","image_url":"https://x/y.png"}}"#,
            "Tool:c: [image]",
        ),
        (
            r#"{"type":"code_interpreter_call","id":"ci_1","code":"print(1)","outputs":null}"#,
            "Assistant: tool_call id=ci_1 name=code_interpreter arguments=print(1)",
        ),
        (
            r#"{"type":"tool_search_call","call_id":"c","arguments":{"q":1}},{"type":"tool_search_output","call_id":"c","tools":[{}]}"#,
            "Assistant: tool_call id=c name=tool_search arguments={\"q\":1}\nTool:c: ",
        ),
        (
            r#"{"type":"function_call","id":"fc_1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"fc_1","output":"x"}"#,
            "Assistant: tool_call id=fc_1 name=f arguments={}\nTool:fc_1: x",
        ),
        (
            r#"{"type":"compaction","encrypted_content":"x"}"#,
            "Assistant: [an earlier part of the conversation, which was compacted]",
        ),
    ] {
        let message = sent(item).unwrap();
        assert!(
            message.contains(&format!("User: q\n{lines}\nAssistant: a\n")),
            "{message}"
        );
    }
    for item in [
        r#"{"type":"mcp_list_tools","id":"x","tools":[]}"#,
        r#"{"type":"ghost_snapshot","ghost_commit":{}}"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[]}"#,
    ] {
        assert!(
            sent(item).unwrap().contains("User: q\nAssistant: a\n"),
            "{item}"
        );
    }
    let call = r#"{"input":[{"role":"user","content":"q"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]}"#;
    assert_eq!(refused_param(accepted(call)), "input");
    for (item, param) in [
        (
            r#"{"type":"function_call","call_id":"a\nb","name":"f"}"#,
            "input[1].call_id",
        ),
        (
            r#"{"type":"function_call","call_id":"a","name":"f\nb"}"#,
            "input[1].name",
        ),
        (
            r#"{"type":"function_call_output","call_id":"a\nb","output":"x"}"#,
            "input[1].call_id",
        ),
        (
            r#"{"type":"function_call_output","call_id":"a","output":7}"#,
            "input[1].output",
        ),
    ] {
        assert_eq!(
            refused_param(accepted(&format!(
                r#"{{"input":[{{"role":"user","content":"q"}},{item},{{"role":"user","content":"x"}}]}}"#
            ))),
            param
        );
    }
}

#[test]
fn images_are_attached() {
    let body = |url: &str| {
        format!(
            r#"{{"input":[{{"role":"user","content":[{{"type":"input_text","text":"see"}},{{"type":"input_image","detail":"auto","image_url":{url}}}]}}]}}"#
        )
    };
    let turn = accepted(&body(r#""data:image/png;base64,iVBORw0KGgo=""#))
        .unwrap()
        .accepted
        .turn;
    assert_eq!(turn.attachments[0].mime_type(), "image/png");
    for url in [r#""https://x/y.png""#, "null"] {
        assert_eq!(
            refused_param(accepted(&body(url))),
            "input[0].content[1].image_url"
        );
    }
}

#[test]
fn a_response_is_kept_if_its_request_asks_for_it() {
    let words = ["absent", "null", "false", "true"];
    let [sent, stored] = [Keeping::Sent, Keeping::Stored].map(Some);
    let kept = Some(Keeping::Background);
    // Each row has a value of `background`, each column one of `store`.
    let expected = [
        [sent, sent, sent, stored],
        [sent, sent, sent, stored],
        [sent, sent, sent, stored],
        [kept, kept, None, kept],
    ];
    for (background, row) in words.iter().zip(expected) {
        for (store, expected) in words.iter().zip(row) {
            let field = |name: &str, value: &str| match value {
                "absent" => String::new(),
                value => format!(r#","{name}":{value}"#),
            };
            let fields = field("background", background) + &field("store", store);
            let response = accepted(&format!(r#"{{"input":"hi"{fields}}}"#));
            let Some(expected) = expected else {
                assert_eq!(refused_param(response), "background");
                continue;
            };
            let response = response.unwrap();
            assert_eq!(response.keeping, expected, "{background} {store}");
            assert_eq!(response.input.is_empty(), expected == Keeping::Sent);
            assert_eq!(response.accepted.ignored, [""; 0]);
        }
    }
    for field in ["background", "store"] {
        let body = format!(r#"{{"input":"hi","{field}":"yes"}}"#);
        assert!(accepted(&body).is_err(), "{field}");
    }
}

#[test]
fn the_input_of_a_response_that_is_kept_is_stored_under_its_run() {
    let response = accepted(r#"{"input":"hi","store":true}"#).unwrap();
    let run = response.accepted.turn.run.digits();
    assert_eq!(
        response.input,
        format!(
            "{{\"id\":\"msg_{run}_0\",\"type\":\"message\",\"status\":\"completed\",\
             \"role\":\"user\",\"content\":[{{\"type\":\"input_text\",\"text\":\"hi\"}}]}}\n"
        )
    );
}

#[test]
fn a_large_input_is_refused_only_if_it_would_be_kept() {
    // The bound is for the whole body, which begins and ends with these.
    let around = r#"{"model":"openclaw","input":"","store":false}"#.len();
    for (bytes, keeps) in [
        (input::MAX_INPUT_BYTES, true),
        (input::MAX_INPUT_BYTES + 1, false),
    ] {
        let text = "a".repeat(bytes - around);
        // A space stands for the fifth letter of `false`.
        let body =
            |store: &str| format!(r#"{{"model":"openclaw","input":"{text}","store":{store}}}"#);
        for store in [" true", " null", "false"] {
            assert_eq!(body(store).len(), bytes);
            let response = accepted(&body(store));
            if store == " true" && !keeps {
                assert_eq!(refused_param(response), "input");
            } else {
                assert!(response.is_ok(), "{store}");
            }
        }
    }
}

#[test]
fn an_unsupported_field_is_refused_by_name_and_one_without_effect_is_listed() {
    for (field, param) in [
        (r#""conversation":"conv_1""#, "conversation"),
        (r#""prompt":{"id":"pmpt_1"}"#, "prompt"),
        (r#""text":"json""#, "text"),
        (
            r#""text":{"format":{"type":"text"},"verbosity":"low","mode":7}"#,
            "text",
        ),
        (r#""input":null"#, "input"),
        (r#""input":[]"#, "input"),
        (
            r#""input":[{"type":"item_reference","id":"msg_1"}]"#,
            "input[0].id",
        ),
        (r#""input":[{"content":"hi"}]"#, "input[0].role"),
        (
            r#""input":[{"role":"user","content":[{"type":"input_file","file_id":"x"}]}]"#,
            "input[0].content[0].file_data",
        ),
    ] {
        let input = if param.starts_with("input") {
            ""
        } else {
            r#""input":"hi","#
        };
        assert_eq!(
            refused_param(accepted(&format!("{{{input}{field}}}"))),
            param,
            "{field}"
        );
    }
    // Codex always sends these.
    let response = accepted(
        r#"{"model":"openclaw","input":"hi","tools":[{"type":"function","name":"shell"}],"tool_choice":"auto","parallel_tool_calls":false,
                "reasoning":{"effort":"medium","summary":"auto"},"store":false,"stream":true,"include":["reasoning.encrypted_content"],
                "prompt_cache_key":"7f3c","text":{"verbosity":"low"},"background":false,"conversation":null,"service_tier":"auto"}"#,
    )
    .unwrap();
    assert_eq!(
        response.accepted.ignored,
        [
            "include",
            "parallel_tool_calls",
            "reasoning",
            "text.verbosity",
            "tool_choice",
            "tools"
        ]
    );
}
