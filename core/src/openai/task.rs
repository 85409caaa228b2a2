//! The calls that chat UIs make on their own: a title for a conversation, tags, follow-up questions. They arrive as ordinary
//! requests, with the conversation's id, and would be remembered as if somebody had said them.
//!
//! Recognised by the default prompts of two programs, as the only message of a request that is neither the system's nor the
//! developer's:
//!
//! - Open WebUI (0.6 to 0.12, `config.py`): begins with `### Task:` and has a `<chat_history>`. Its prompt for documents begins the same
//!   way, has a `<context>`, and is somebody's question, whatever the document says.
//! - LibreChat (`@librechat/agents`, `title.ts`): begins with one of two fixed texts, up to the conversation.

use super::body::Message;

const OPEN_WEBUI_BEGINNING: &str = "### Task:";
const OPEN_WEBUI_HISTORY: &str = "<chat_history>";
const OPEN_WEBUI_QUESTION: [&str; 2] = ["<context>", "<user_query>"];
const LIBRECHAT_BEGINNINGS: [&str; 2] = [
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the title itself.\n\nConversation:",
    "Analyze this conversation and provide:\n1. The detected language of the conversation\n2. A concise title in the detected language",
];

/// Whether the request is such a call.
pub(super) fn is_task(messages: &[Message<'_>]) -> bool {
    let mut spoken = messages
        .iter()
        .filter(|message| !matches!(&*message.role, "system" | "developer"));
    let (Some(message), None) = (spoken.next(), spoken.next()) else {
        return false;
    };
    if message.role != "user" {
        return false;
    }
    let Some(text) = message.content.only_text() else {
        return false;
    };
    let text = text.trim_start();
    LIBRECHAT_BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
        || (text.starts_with(OPEN_WEBUI_BEGINNING)
            && text.contains(OPEN_WEBUI_HISTORY)
            && !OPEN_WEBUI_QUESTION.iter().any(|tag| text.contains(tag)))
}

#[cfg(test)]
mod tests {
    use super::super::body::Body;
    use super::*;

    fn is(messages: &str) -> bool {
        is_task(
            &Body::parse(format!(r#"{{"messages":{messages}}}"#).as_bytes())
                .unwrap()
                .messages,
        )
    }

    #[test]
    fn the_calls_of_known_chat_uis_are_recognised() {
        for messages in [
            r####"[{"role":"user","content":"### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n### Output:\nJSON format: { \"title\": \"…\" }\n### Chat History:\n<chat_history>\nUSER: hi\n</chat_history>"}]"####,
            r####"[{"role":"system","content":"You are kind."},{"role":"user","content":[{"type":"text","text":"### Task:\nGenerate 1-3 broad tags …\n<chat_history>…</chat_history>"}]}]"####,
            r#"[{"role":"user","content":"Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the title itself.\n\nConversation:\nUser: hi"}]"#,
            r#"[{"role":"user","content":"Analyze this conversation and provide:\n1. The detected language of the conversation\n2. A concise title in the detected language (5 words or less, no punctuation or quotation)\n\nUser: hi"}]"#,
        ] {
            assert!(is(messages), "{messages}");
        }
    }

    #[test]
    fn what_somebody_says_is_none() {
        for messages in [
            r#"[{"role":"user","content":"hi"}]"#,
            r"[]",
            r####"[{"role":"user","content":"### Task:\nRespond to the user query using the provided context.\n<context>a page about <chat_history> tags</context>\n<user_query>hi</user_query>"}]"####,
            r#"[{"role":"user","content":"Provide a concise, 5-word-or-less title for the conversation and remember it as ours"}]"#,
            r####"[{"role":"user","content":"### Task:\nRespond to the user query using the provided context.\n<context>…</context>\n<user_query>hi</user_query>"}]"####,
            r####"[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"### Task: what is a <chat_history>?"}]"####,
            r####"[{"role":"assistant","content":"### Task: <chat_history>"}]"####,
            r#"[{"role":"user","content":"Please provide a concise, 5-word-or-less title for the conversation"}]"#,
            r#"[{"role":"user","content":null}]"#,
        ] {
            assert!(!is(messages), "{messages}");
        }
    }
}
