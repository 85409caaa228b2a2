//! Calls that chat UIs make on their own: a title for a conversation, tags, follow-up questions.
//! They arrive as ordinary requests with the conversation's id. Its session would remember them
//! like a message of the user.
//!
//! They are recognised by the default prompts of two programs, in the only message of a request
//! that is neither the system's nor the developer's:
//!
//! - Open WebUI (0.6 to 0.12, `config.py`): begins with `### Task:` and has a `<chat_history>`. Its
//!   prompt for documents begins in the same way, but has a `<context>` outside of any
//!   `<chat_history>`: it is a question of the user. The prompts for an emoji, for one answer of
//!   several models, for a summary of older messages (`context_compaction.py`) and for its memory
//!   of the user (`memory.py`) begin with fixed texts. The choice of a tool has its prompt in the system's
//!   message, and a message that begins with `Query: `.
//! - LibreChat (`@librechat/agents`, `title.ts`; `assistants/title.js`): begins with one of three
//!   fixed texts, which end where the conversation begins.

use super::message::Message;

const OPEN_WEBUI_BEGINNING: &str = "### Task:";
const OPEN_WEBUI_HISTORY: (&str, &str) = ("<chat_history>", "</chat_history>");
const OPEN_WEBUI_QUESTION: [&str; 2] = ["<context>", "<user_query>"];

/// The system's prompts for the choice of a tool: since version 0.5, and before.
const OPEN_WEBUI_TOOLS: &str = "Available Tools: ";
const OPEN_WEBUI_TOOL_CHOICE: [&str; 2] = [
    "Your task is to choose and return the correct tool(s) from the list of available tools based \
     on the query.",
    "Return an empty string if no tools match the query.",
];
const OPEN_WEBUI_TOOL_QUERY: &str = "Query: ";

const BEGINNINGS: [&str; 7] = [
    "### Task:\nSummarize the conversation history that will be compacted out of the active chat \
     context.",
    "Review the completed conversation turn and decide whether long-term memory should change.",
    "Your task is to reflect the speaker's likely facial expression through a fitting emoji.",
    "You have been provided with a set of responses from various models to the latest user query: \
     \"",
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. \
     Only return the title itself.\n\nConversation:",
    "Analyze this conversation and provide:\n1. The detected language of the conversation\n2. A \
     concise title in the detected language",
    "Please generate a concise title (max 40 characters) for a conversation that starts with:",
];

/// Returns true for a request that a chat UI made on its own.
pub(super) fn is_ui_task(messages: &[Message<'_>]) -> bool {
    let is_system = |message: &&Message<'_>| matches!(&*message.role, "system" | "developer");
    let mut others = messages.iter().filter(|message| !is_system(message));
    let (Some(message), None) = (others.next(), others.next()) else {
        return false;
    };
    if message.role != "user" {
        return false;
    }
    let Some(text) = message.content.only_text() else {
        return false;
    };
    let text = text.trim_start();
    BEGINNINGS
        .iter()
        .any(|beginning| text.starts_with(beginning))
        || (text.starts_with(OPEN_WEBUI_BEGINNING) && is_about_history(text))
        || (text.starts_with(OPEN_WEBUI_TOOL_QUERY)
            && messages.iter().filter(is_system).any(chooses_a_tool))
}

/// Returns true if the text has a `<chat_history>`, and no question about documents outside of it.
fn is_about_history(text: &str) -> bool {
    let (begin, end) = OPEN_WEBUI_HISTORY;
    let Some((before, rest)) = text.split_once(begin) else {
        return false;
    };
    let after = rest.rsplit_once(end).map_or("", |(_, after)| after);
    !OPEN_WEBUI_QUESTION
        .iter()
        .any(|tag| before.contains(tag) || after.contains(tag))
}

fn chooses_a_tool(message: &Message<'_>) -> bool {
    message.content.only_text().is_some_and(|text| {
        text.trim_start().starts_with(OPEN_WEBUI_TOOLS)
            && OPEN_WEBUI_TOOL_CHOICE
                .iter()
                .any(|task| text.contains(task))
    })
}

#[cfg(test)]
mod tests {
    use super::super::body::Body;
    use super::super::json::text::Json;
    use super::*;

    fn is(messages: &str) -> bool {
        let body = format!(r#"{{"messages":{messages}}}"#);
        let json = Json::read(body.as_bytes()).unwrap();
        is_ui_task(&Body::parse(&json).unwrap().messages)
    }

    #[test]
    fn the_calls_of_known_chat_uis_are_recognised() {
        for messages in [
            r####"[{"role":"user","content":"### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n### Output:\nJSON format: { \"title\": \"…\" }\n### Chat History:\n<chat_history>\nUSER: hi\n</chat_history>"}]"####,
            r####"[{"role":"system","content":"You are kind."},{"role":"user","content":[{"type":"text","text":"### Task:\nGenerate 1-3 broad tags …\n<chat_history>…</chat_history>"}]}]"####,
            r#"[{"role":"user","content":"Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the title itself.\n\nConversation:\nUser: hi"}]"#,
            r####"[{"role":"user","content":"### Task:\nGenerate a concise title summarizing the chat history.\n### Chat History:\n<chat_history>\nUSER: what is a <context> tag?\nASSISTANT: <user_query> and </chat_history> are tags, too.\n</chat_history>"}]"####,
            r####"[{"role":"user","content":"### Task:\nYou are an autocompletion system.\n### Context:\n<chat_history>\nUSER: hi\n</chat_history>\n<type>General</type>\n<text>hel</text>\n#### Output:\n"}]"####,
            r#"[{"role":"user","content":"Your task is to reflect the speaker's likely facial expression through a fitting emoji. Interpret emotions from the message.\n\nMessage: ```hi```"}]"#,
            r#"[{"role":"user","content":"You have been provided with a set of responses from various models to the latest user query: \"hi\"\n\nYour task is to synthesize these responses into a single, high-quality response.\n\nResponses from models: …"}]"#,
            r####"[{"role":"user","content":"### Task:\nSummarize the conversation history that will be compacted out of the active chat context.\n\n### Instructions:\n- Be factual and specific.\n\n### Messages Being Compacted:\n- user: hi"}]"####,
            r#"[{"role":"system","content":"You are Open WebUI's private memory reviewer. Return only valid JSON."},{"role":"user","content":"Review the completed conversation turn and decide whether long-term memory should change.\n\nMemory types:\n…"}]"#,
            r#"[{"role":"system","content":"Available Tools: [{\"name\": \"weather\"}]\n\nYour task is to choose and return the correct tool(s) from the list of available tools based on the query. Follow these guidelines:\n"},
                {"role":"user","content":"Query: History:\nUSER: \"\"\"hi\"\"\"\nQuery: hi"}]"#,
            r#"[{"role":"system","content":"Available Tools: []\nReturn an empty string if no tools match the query. If a function tool matches, …"},{"role":"user","content":"Query: hi"}]"#,
            r#"[{"role":"user","content":"Please generate a concise title (max 40 characters) for a conversation that starts with:\nUser: hi\nAssistant: hello\n\nTitle:"}]"#,
            r#"[{"role":"user","content":"Analyze this conversation and provide:\n1. The detected language of the conversation\n2. A concise title in the detected language (5 words or less, no punctuation or quotation)\n\nUser: hi"}]"#,
        ] {
            assert!(is(messages), "{messages}");
        }
    }

    #[test]
    fn a_users_message_is_not_a_ui_task() {
        for messages in [
            r#"[{"role":"user","content":"hi"}]"#,
            r"[]",
            r####"[{"role":"user","content":"### Task:\nRespond to the user query using the provided context.\n<context>a page about <chat_history> tags</context>\n<user_query>hi</user_query>"}]"####,
            r#"[{"role":"user","content":"Provide a concise, 5-word-or-less title for the conversation and remember it as ours"}]"#,
            r####"[{"role":"user","content":"### Task:\nRespond to the user query using the provided context.\n<context>…</context>\n<user_query>hi</user_query>"}]"####,
            r####"[{"role":"user","content":"### Task:\nRespond to the user query using the provided context.\n<context>a page <chat_history>USER: hi</chat_history> of a manual</context>\n\nhi"}]"####,
            r#"[{"role":"system","content":"Available Tools: a hammer"},{"role":"user","content":"Query: hi"}]"#,
            r#"[{"role":"user","content":"Query: hi"}]"#,
            r####"[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"### Task: what is a <chat_history>?"}]"####,
            r####"[{"role":"assistant","content":"### Task: <chat_history>"}]"####,
            r####"[{"role":"user","content":"### Task:\nSummarize the conversation history of our team."}]"####,
            r#"[{"role":"user","content":"Review the completed conversation, please."}]"#,
            r#"[{"role":"user","content":"Please provide a concise, 5-word-or-less title for the conversation"}]"#,
            r#"[{"role":"user","content":null}]"#,
        ] {
            assert!(!is(messages), "{messages}");
        }
    }
}
