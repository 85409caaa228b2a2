//! From messages to what an agent is told: a text, an extra system prompt, and the images of the last turn.
//!
//! Folded byte for byte as the gateway's own endpoint folds it. Source: OpenClaw 2026.9.6 `openai-http.ts` (`buildAgentPrompt`)
//! and `history.ts` (`buildHistoryContext`). Two things differ: a conversation without a user or tool message is refused, and a
//! role that nobody knows is refused rather than dropped.

use super::body::{Content, Message, Part, ToolCall};
use super::image;
use crate::error::Failure;
use crate::turn::Attachment;

const HISTORY_MARKER: &str = "[Chat messages since your last reply - for context]";
const CURRENT_MARKER: &str = "[Current message - respond to this]";
const IMAGES_ONLY: &str = "User sent image(s) with no text.";

/// What an agent is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    pub message: String,
    /// The system's and the developer's words.
    pub system: Option<String>,
    pub attachments: Vec<Attachment>,
}

/// Whether the session the prompt goes to already holds what was said in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// A new session: the whole conversation is told.
    None,
    /// A session that lives on: what came up to the agent's last answer is remembered there, and is not told again.
    Session,
}

/// One line of the conversation.
struct Entry {
    /// Position in `messages`.
    index: usize,
    speaker: Speaker,
    /// `User`, `Assistant`, `Tool:<id>` …
    sender: String,
    body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    User,
    Assistant,
    Tool,
}

/// The field that holds the messages, for errors: `messages`, or `input`.
type Field = &'static str;

/// `instructions` come before all that the system says.
pub(super) fn fold(
    field: Field,
    instructions: Option<&str>,
    messages: &[Message<'_>],
    memory: Memory,
) -> Result<Prompt, Failure> {
    let active = active_turn(messages);
    let attachments = match active {
        Some((index, message)) if message.role == "user" => images(field, index, message)?,
        _ => Vec::new(),
    };
    let mut system = Vec::new();
    system.extend(
        instructions
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
    );
    let mut entries = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let text = text(field, index, &message.content)?;
        let speaker = match &*message.role {
            "system" | "developer" => {
                if !text.is_empty() {
                    system.push(text);
                }
                continue;
            }
            "user" => Speaker::User,
            "assistant" => Speaker::Assistant,
            "tool" | "function" => Speaker::Tool,
            _ => {
                return Err(Failure::invalid(
                    format!("{field}[{index}].role"),
                    "A role is one of system, developer, user, assistant, tool and function.",
                ));
            }
        };
        let is_image_turn = active.is_some_and(|(active, _)| active == index) && !attachments.is_empty();
        entries.extend(entry(index, speaker, message, text, is_image_turn));
    }
    let message = conversation(field, &entries, memory)?;
    if is_reset(&message) {
        return Err(Failure::Forbidden);
    }
    Ok(Prompt {
        message,
        system: (!system.is_empty()).then(|| system.join("\n\n")),
        attachments,
    })
}

/// Whether the gateway would take the message for its command `/new` or `/reset`, which throws a session's memory away.
///
/// Source: OpenClaw 2026.3.13 runs it for whoever may write, though its own method for it wants operator.admin; 2026.9.6 refuses.
fn is_reset(message: &str) -> bool {
    let command = message.split_whitespace().next().unwrap_or_default();
    command.eq_ignore_ascii_case("/new") || command.eq_ignore_ascii_case("/reset")
}

/// The message that is answered: the last one of a user or a tool.
fn active_turn<'m, 'a>(messages: &'m [Message<'a>]) -> Option<(usize, &'m Message<'a>)> {
    messages
        .iter()
        .enumerate()
        .rev()
        .find(|(_, message)| matches!(&*message.role, "user" | "tool" | "function"))
}

fn entry(index: usize, speaker: Speaker, message: &Message<'_>, text: String, is_image_turn: bool) -> Option<Entry> {
    let name = message.name.as_deref().map_or("", str::trim);
    let tool_call_id = message.tool_call_id.as_deref().map_or("", str::trim);
    let mut body = text;
    if body.is_empty() && speaker == Speaker::User && is_image_turn {
        IMAGES_ONLY.clone_into(&mut body);
    }
    if speaker == Speaker::Assistant {
        for call in message.tool_calls.iter().flatten().filter_map(tool_call) {
            if !body.is_empty() {
                body.push('\n');
            }
            body.push_str(&call);
        }
    }
    let is_tool_result = speaker == Speaker::Tool && !(tool_call_id.is_empty() && name.is_empty());
    if body.is_empty() && !is_tool_result {
        return None;
    }
    let sender = match speaker {
        Speaker::Assistant => "Assistant".to_owned(),
        Speaker::User => "User".to_owned(),
        Speaker::Tool if !tool_call_id.is_empty() => format!("Tool:{tool_call_id}"),
        Speaker::Tool if !name.is_empty() => format!("Tool:{name}"),
        Speaker::Tool => "Tool".to_owned(),
    };
    Some(Entry {
        index,
        speaker,
        sender,
        body,
    })
}

fn tool_call(call: &ToolCall<'_>) -> Option<String> {
    let function = call.function.as_ref()?;
    let id = call.id.as_deref().map_or("", str::trim);
    let name = function.name.as_deref().map_or("", str::trim);
    if id.is_empty() || name.is_empty() {
        return None;
    }
    let arguments = function.arguments.as_deref().unwrap_or_default();
    Some(format!("tool_call id={id} name={name} arguments={arguments}"))
}

fn conversation(field: Field, entries: &[Entry], memory: Memory) -> Result<String, Failure> {
    let no_turn = || Failure::invalid(field, format!("Missing user message in `{field}`."));
    let position = entries
        .iter()
        .rposition(|entry| entry.speaker != Speaker::Assistant)
        .ok_or_else(no_turn)?;
    let (before, from) = entries.split_at(position);
    let current = from.first().ok_or_else(no_turn)?;
    let history = match memory {
        Memory::None => before,
        Memory::Session => {
            // A client whose last word is the agent's has nothing new to say.
            if entries.last().is_some_and(|last| last.index > current.index) {
                return Err(Failure::invalid(
                    field,
                    "The last message is the assistant's: the session already holds it, and there is nothing to answer.",
                ));
            }
            let seen = before
                .iter()
                .rposition(|entry| entry.speaker == Speaker::Assistant)
                .map_or(0, |answer| answer.saturating_add(1));
            before.get(seen..).unwrap_or_default()
        }
    };
    if history.is_empty() && current.speaker == Speaker::User {
        return Ok(current.body.clone());
    }
    let line = |entry: &Entry| format!("{}: {}", entry.sender, entry.body);
    if history.is_empty() {
        return Ok(line(current));
    }
    let history: Vec<String> = history.iter().map(line).collect();
    Ok(format!(
        "{HISTORY_MARKER}\n{}\n\n{CURRENT_MARKER}\n{}",
        history.join("\n"),
        line(current)
    ))
}

/// The text of a message, trimmed; its parts are joined by line breaks.
fn text(field: Field, index: usize, content: &Content<'_>) -> Result<String, Failure> {
    let parts = match content {
        Content::None => return Ok(String::new()),
        Content::Text(text) => return Ok(text.trim().to_owned()),
        Content::Parts(parts) => parts,
    };
    let mut texts = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        match part_text(part) {
            Some(text) if !text.is_empty() => texts.push(text),
            Some(_) => {}
            None if is_image(part) => {}
            None => {
                return Err(Failure::invalid(
                    format!("{field}[{index}].content[{number}].type"),
                    "A content part is a text (text, input_text, output_text, refusal) or an image (image_url, input_image).",
                ));
            }
        }
    }
    Ok(texts.join("\n").trim().to_owned())
}

fn part_text<'p>(part: &'p Part<'_>) -> Option<&'p str> {
    match &*part.kind {
        "text" | "input_text" | "output_text" => Some(part.text.as_deref().unwrap_or_default()),
        "refusal" => Some(part.refusal.as_deref().unwrap_or_default()),
        _ => None,
    }
}

fn is_image(part: &Part<'_>) -> bool {
    matches!(&*part.kind, "image_url" | "input_image")
}

fn images(field: Field, index: usize, message: &Message<'_>) -> Result<Vec<Attachment>, Failure> {
    let Content::Parts(parts) = &message.content else {
        return Ok(Vec::new());
    };
    let mut attachments = Vec::new();
    for (number, part) in parts.iter().enumerate().filter(|(_, part)| is_image(part)) {
        let param = format!("{field}[{index}].content[{number}].image_url");
        let count = attachments.len().saturating_add(1);
        if count > image::MAX_IMAGES {
            return Err(image::too_many(&param));
        }
        let url = part.image_url.as_ref().map_or("", |image| image.url());
        attachments.push(image::attachment(url, count, &param)?);
    }
    Ok(attachments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(messages: &str, memory: Memory) -> Result<Prompt, Failure> {
        let messages: Vec<Message<'_>> = serde_json::from_str(messages).unwrap();
        fold("messages", None, &messages, memory)
    }

    fn message(messages: &str, memory: Memory) -> String {
        folded(messages, memory).unwrap().message
    }

    const HISTORY: &str = r#"[
        {"role":"system","content":"be brief "},
        {"role":"developer","content":[{"type":"text","text":"no jokes"}]},
        {"role":"user","content":"q1"},
        {"role":"assistant","content":"a1"},
        {"role":"user","content":" q2 "}]"#;

    #[test]
    fn a_single_user_message_is_told_verbatim() {
        assert_eq!(message(r#"[{"role":"user","content":"hello"}]"#, Memory::None), "hello");
    }

    #[test]
    fn a_new_session_is_told_the_whole_conversation() {
        let prompt = folded(HISTORY, Memory::None).unwrap();
        assert_eq!(
            prompt.message,
            "[Chat messages since your last reply - for context]\nUser: q1\nAssistant: a1\n\n[Current message - respond to this]\nUser: q2"
        );
        assert_eq!(prompt.system.as_deref(), Some("be brief\n\nno jokes"));
    }

    #[test]
    fn a_session_that_remembers_is_told_what_is_new_in_it() {
        assert_eq!(message(HISTORY, Memory::Session), "q2");
        assert_eq!(
            message(
                r#"[{"role":"user","content":"q1"},{"role":"assistant","content":"a1"},
                    {"role":"user","content":"q2"},{"role":"user","content":"q3"}]"#,
                Memory::Session
            ),
            "[Chat messages since your last reply - for context]\nUser: q2\n\n[Current message - respond to this]\nUser: q3"
        );
        assert_eq!(
            folded(HISTORY, Memory::Session).unwrap().system.as_deref(),
            Some("be brief\n\nno jokes"),
            "the system prompt is not part of what a session remembers"
        );
    }

    #[test]
    fn tools_speak_under_their_names_and_calls_are_spelled_out() {
        let messages = r#"[
            {"role":"user","content":"weather?"},
            {"role":"assistant","content":null,"tool_calls":[
                {"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"X\"}"}},
                {"id":"","function":{"name":"dropped","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"call_1","content":"sunny"}]"#;
        assert_eq!(
            message(messages, Memory::None),
            "[Chat messages since your last reply - for context]\nUser: weather?\nAssistant: tool_call id=call_1 name=get_weather \
             arguments={\"city\":\"X\"}\n\n[Current message - respond to this]\nTool:call_1: sunny"
        );
        assert_eq!(message(messages, Memory::Session), "Tool:call_1: sunny");
        assert_eq!(
            message(r#"[{"role":"function","name":"f","content":null}]"#, Memory::None),
            "Tool:f: "
        );
    }

    #[test]
    fn parts_are_joined_by_line_breaks_and_images_of_the_last_turn_are_attached() {
        let prompt = folded(
            r#"[{"role":"user","content":[{"type":"image_url","image_url":"data:image/png;base64,AAAA"},{"type":"text","text":"old"}]},
                {"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/gif;base64,AAAA"}},
                                          {"type":"input_text","text":"b"}]}]"#,
            Memory::None,
        )
        .unwrap();
        assert!(
            prompt
                .message
                .ends_with("User: old\n\n[Current message - respond to this]\nUser: a\nb")
        );
        assert_eq!(prompt.attachments.len(), 1);
        assert_eq!(prompt.attachments[0].mime_type, "image/gif");
        let prompt = folded(
            r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/gif;base64,AAAA"}}]}]"#,
            Memory::None,
        )
        .unwrap();
        assert_eq!(prompt.message, "User sent image(s) with no text.");
    }

    #[test]
    fn what_cannot_be_told_is_refused_with_its_place() {
        let image = r#"{"type":"image_url","image_url":"data:image/png;base64,AAAA"}"#;
        let nine_images = format!(r#"[{{"role":"user","content":[{}]}}]"#, [image; 9].join(","));
        for (messages, memory, param) in [
            ("[]", Memory::None, "messages"),
            (r#"[{"role":"system","content":"x"}]"#, Memory::None, "messages"),
            (r#"[{"role":"assistant","content":"x"}]"#, Memory::None, "messages"),
            (r#"[{"role":"user","content":" "}]"#, Memory::None, "messages"),
            (
                r#"[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]"#,
                Memory::Session,
                "messages",
            ),
            (r#"[{"role":"boss","content":"x"}]"#, Memory::None, "messages[0].role"),
            (
                r#"[{"role":"user","content":[{"type":"input_audio"}]}]"#,
                Memory::None,
                "messages[0].content[0].type",
            ),
            (
                r#"[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]"#,
                Memory::None,
                "messages[0].content[1].image_url",
            ),
            (nine_images.as_str(), Memory::None, "messages[0].content[8].image_url"),
        ] {
            match folded(messages, memory) {
                Err(Failure::Invalid { param: Some(found), .. }) => assert_eq!(found, param),
                other => panic!("{messages}: {other:?}"),
            }
        }
    }

    #[test]
    fn commands_that_throw_a_session_away_are_not_for_clients() {
        for command in ["/new", "/reset", " /RESET now", "/New\nx"] {
            let messages = serde_json::json!([{ "role": "user", "content": command }]).to_string();
            assert_eq!(folded(&messages, Memory::Session), Err(Failure::Forbidden), "{command}");
        }
        assert_eq!(
            message(r#"[{"role":"user","content":"/newest"}]"#, Memory::None),
            "/newest"
        );
    }

    #[test]
    fn a_trailing_answer_is_dropped_in_a_new_session_as_the_gateway_drops_it() {
        assert_eq!(
            message(
                r#"[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]"#,
                Memory::None
            ),
            "q"
        );
    }
}
