use serde_json::{Value, json};

use super::super::{Memory, Prompt, fold};
use crate::failure::Failure;
use crate::openai::message::{Field, Message};
use crate::openai::testing::refused_param;
use crate::parse;

const PNG: &str = "data:image/png;base64,iVBORw0KGgo=";

fn image() -> Value {
    json!({ "type": "image_url", "image_url": { "url": PNG } })
}

fn folded(field: Field, messages: &Value, memory: Memory) -> Result<Prompt, Failure> {
    let messages = messages.to_string();
    let messages: Vec<Message<'_>> = parse::from_str(&messages).unwrap();
    fold(field, None, &messages, memory)
}

fn sent(field: Field, messages: &Value, memory: Memory) -> (String, usize) {
    let prompt = folded(field, messages, memory).unwrap();
    (prompt.message, prompt.attachments.len())
}

fn refused(field: Field, messages: &Value) -> String {
    refused_param(folded(field, messages, Memory::None))
}

#[test]
fn an_image_that_no_answer_followed_goes_along_with_the_turn() {
    let call =
        json!({ "role": "assistant", "tool_calls": [{ "id": "c", "function": { "name": "f" } }] });
    let result = json!({ "role": "tool", "tool_call_id": "c", "content": "sunny" });
    for (messages, memory) in [
        (
            json!([{ "role": "user", "content": [image()] }, { "role": "user", "content": "what is it?" }]),
            Memory::None,
        ),
        (
            json!([{ "role": "user", "content": [image()] }, { "role": "user", "content": "what is it?" }]),
            Memory::Session,
        ),
        (
            json!([{ "role": "user", "content": [image()] }, call, result]),
            Memory::None,
        ),
        (
            json!([{ "role": "user", "content": [image()] }, call, result]),
            Memory::Session,
        ),
        (
            json!([{ "role": "user", "content": [image()] }, call, result, { "role": "user", "content": "and?" }]),
            Memory::None,
        ),
    ] {
        let prompt = folded(Field::Messages, &messages, memory).unwrap();
        assert_eq!(prompt.attachments.len(), 1, "{}", prompt.message);
        let whole = prompt
            .shown
            .map_or(prompt.message, |shown| shown.whole.message);
        assert!(whole.contains("User: [image-1.png]\n"), "{whole}");
    }
}

#[test]
fn an_image_that_was_answered_is_attached_where_the_whole_conversation_is_sent() {
    let seen = json!({ "role": "user", "content": [image(), { "type": "text", "text": "see" }] });
    let cat = json!({ "role": "assistant", "content": "a cat" });
    let now =
        json!({ "role": "user", "content": [image(), { "type": "text", "text": "and this?" }] });
    let messages = json!([seen, cat, now]);
    let whole = "User: [image-1.png]\nsee\nAssistant: a cat\n";

    let prompt = folded(Field::Messages, &messages, Memory::None).unwrap();
    assert!(prompt.message.contains(whole), "{}", prompt.message);
    assert_eq!(prompt.attachments.len(), 2);

    let prompt = folded(Field::Messages, &messages, Memory::Session).unwrap();
    assert_eq!(
        (&*prompt.message, prompt.attachments.len()),
        ("and this?", 1)
    );
    let shown = prompt.shown.unwrap();
    assert!(
        shown.whole.message.contains(whole),
        "{}",
        shown.whole.message
    );
    assert_eq!(shown.whole.images.len(), 1);

    // Of too many, the latest messages keep theirs, and one that cannot be attached ends nothing.
    let many = json!({ "role": "user", "content": vec![image(); 7] });
    let broken = json!({ "role": "user", "content": [{ "type": "image_url", "image_url": "https://x/y.png" }, { "type": "text", "text": "z" }] });
    let messages = json!([many, cat, seen, cat, broken, cat, now]);
    let shown = folded(Field::Messages, &messages, Memory::Session)
        .unwrap()
        .shown
        .unwrap();
    let text = shown.whole.message;
    assert_eq!(shown.whole.images.len(), 1, "{text}");
    assert_eq!(text.matches("[image]").count(), 8, "{text}");
    assert!(
        text.contains("[image-1.png]\nsee\n") && text.contains("[image]\nz\n"),
        "{text}"
    );
}

/// A chat UI shows a turn that failed as an empty answer.
#[test]
fn an_image_whose_answer_is_blank_is_attached_in_a_new_session_as_well() {
    let seen = json!({ "role": "user", "content": [image(), { "type": "text", "text": "see" }] });
    let blank = json!({ "role": "assistant", "content": "" });
    let now = json!({ "role": "user", "content": "what is it?" });
    for memory in [Memory::None, Memory::Session] {
        let prompt = folded(Field::Messages, &json!([seen, blank, now]), memory).unwrap();
        assert_eq!((prompt.attachments.len(), prompt.answered_images), (1, 1));
        assert!(prompt.message.contains("User: [image-1.png]\nsee\n"));
        assert_eq!(prompt.shown, None);
    }
    // Nothing is left to answer: the image of an earlier message is not the last one's.
    let cat = json!({ "role": "assistant", "content": "a cat" });
    for last in [json!(" "), json!([])] {
        let last = json!({ "role": "user", "content": last });
        for memory in [Memory::None, Memory::Session] {
            folded(Field::Messages, &json!([seen, cat, last]), memory).unwrap_err();
        }
        let messages = json!([seen, cat, now, last]);
        let prompt = folded(Field::Messages, &messages, Memory::None).unwrap();
        assert!(
            prompt.message.ends_with("\nUser: what is it?"),
            "{}",
            prompt.message
        );
    }
}

/// Of an image that is an address, there is nothing to attach.
#[test]
fn an_image_that_cannot_be_attached_takes_no_place() {
    let seen = json!({ "role": "user", "content": [image(), { "type": "text", "text": "see" }] });
    let cat = json!({ "role": "assistant", "content": "a cat" });
    let address =
        json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } });
    let many = json!({ "role": "user", "content": vec![address; 9] });
    let now = json!({ "role": "user", "content": "and?" });
    let messages = json!([seen, cat, many, cat, now]);
    let prompt = folded(Field::Messages, &messages, Memory::None).unwrap();
    assert_eq!((prompt.attachments.len(), prompt.answered_images), (1, 1));
    assert_eq!(prompt.message.matches("[image]").count(), 9);
    // The session has them all.
    let messages = json!([many, cat, now]);
    let shown = folded(Field::Messages, &messages, Memory::Session).unwrap();
    assert!(shown.shown.unwrap().whole.images.is_empty());
}

#[test]
fn an_image_of_another_role_leaves_a_placeholder() {
    let messages = json!([
        { "role": "user", "content": [{ "type": "text", "text": "see" }, { "type": "image_url", "image_url": "https://x/y.png" }] },
        { "role": "assistant", "content": [{ "type": "output_image" }, { "type": "text", "text": "a cat" }] },
        { "role": "user", "content": "sure?" },
    ]);
    let (message, attached) = sent(Field::Messages, &messages, Memory::None);
    assert!(
        message.contains("User: see\n[image]\nAssistant: [image]\na cat\n"),
        "{message}"
    );
    assert_eq!(attached, 0);
    let system =
        json!([{ "role": "system", "content": [image()] }, { "role": "user", "content": "hi" }]);
    let system = folded(Field::Messages, &system, Memory::None)
        .unwrap()
        .system;
    assert_eq!(system.as_deref(), Some("[image]"));
}

#[test]
fn of_more_images_than_a_turn_takes_the_latest_messages_keep_theirs() {
    let images = |count: usize| json!({ "role": "user", "content": vec![image(); count] });
    let (message, attached) = sent(
        Field::Messages,
        &json!([images(5), images(4), images(4)]),
        Memory::None,
    );
    assert_eq!(attached, 8);
    assert_eq!(message.matches("[image]").count(), 5, "{message}");
    assert_eq!(
        refused(Field::Messages, &json!([images(1), images(9)])),
        "messages[1].content[8].image_url"
    );
}

#[test]
fn a_tools_result_with_an_image_is_attached_where_the_api_has_it() {
    let result = |kind: Option<&str>| {
        json!([{ "role": "user", "content": "look" }, { "role": "tool", "tool_call_id": "c", "type": kind, "content": [
            { "type": "input_text", "text": "here" }, { "type": "input_image", "image_url": PNG },
            { "type": "computer_screenshot", "image_url": PNG }] }])
    };
    let (message, attached) = sent(
        Field::Input,
        &result(Some("function_call_output")),
        Memory::Session,
    );
    assert!(
        message.ends_with("Tool:c: here\n[image-1.png]\n[image-2.png]"),
        "{message}"
    );
    assert_eq!(attached, 2);
    assert_eq!(
        refused(Field::Messages, &result(None)),
        "messages[1].content[1].type"
    );
    let mut earlier = result(None);
    earlier.as_array_mut().unwrap().extend([
        json!({ "role": "assistant", "content": "ok" }),
        json!({ "role": "user", "content": "and?" }),
    ]);
    let (message, _) = sent(Field::Messages, &earlier, Memory::None);
    assert!(
        message.contains("Tool:c: here\n[image]\n[image]\n"),
        "{message}"
    );
}

#[test]
fn parts_of_earlier_messages_do_not_end_a_conversation() {
    for (kind, shown) in [
        ("file", "[file]"),
        ("input_file", "[file]"),
        ("input_audio", "[audio]"),
        ("video_url", "[video]"),
        ("toString", "[content of another kind]"),
    ] {
        let part = json!([{ "type": kind, "file": {}, "input_audio": {} }, { "type": "text", "text": "x" }]);
        for role in ["user", "tool", "assistant"] {
            let earlier = json!([{ "role": "user", "content": "q" }, { "role": role, "content": part },
                { "role": "assistant", "content": "a" }, { "role": "user", "content": "and?" }]);
            let (message, _) = sent(Field::Messages, &earlier, Memory::None);
            assert!(message.contains(&format!(": {shown}\nx\n")), "{message}");
        }
        for role in ["user", "tool", "system"] {
            let now =
                json!([{ "role": role, "content": part }, { "role": "user", "content": "x" }]);
            // Only a file without its bytes is refused for them.
            let field = match (kind, role) {
                ("file" | "input_file", "user" | "tool") => "file.file_data",
                _ => "type",
            };
            let param = format!("messages[0].content[0].{field}");
            assert_eq!(refused(Field::Messages, &now), param, "{kind} {role}");
        }
    }
    for kind in [
        "thinking",
        "redacted_thinking",
        "reasoning",
        "reasoning_text",
    ] {
        let thought = json!([{ "role": "user", "content": "q" }, { "role": "user", "content": "x" },
            { "role": "assistant", "content": [{ "type": kind, "thinking": "hm", "text": "hm" }, { "type": "text", "text": "a" }] },
            { "role": "user", "content": "and?" }]);
        let (message, _) = sent(Field::Messages, &thought, Memory::None);
        assert!(
            message.contains("Assistant: a\n") && !message.contains("hm"),
            "{message}"
        );
    }
    assert_eq!(
        refused(
            Field::Messages,
            &json!([{ "role": "user", "content": [{ "text": "hi" }] }])
        ),
        "messages[0].content[0].type"
    );
}
