//! Folds messages into a prompt: a text, an extra system prompt, and images.
//!
//! The text is byte for byte the one that the gateway's own endpoint makes. Source: OpenClaw
//! 2026.9.6 `openai-http.ts` (`buildAgentPrompt`) and `history.ts` (`buildHistoryContext`). Four
//! things differ. An image that was answered is named and attached. A conversation without a user
//! or tool message is refused. A conversation that ends with the assistant's answer is refused,
//! because the gateway would run the message before that answer a second time. An unknown role is
//! refused instead of dropped.

mod call;
mod content;
pub(super) mod marker;
pub(super) mod system;

use self::call::calls;
use self::content::{Contents, is_replaced};
use super::blank::{is_blank, trim};
use super::message::{Field, Message};
use crate::failure::Failure;
use crate::file::without_links;
use crate::turn::{Attachment, FILES_ONLY, ShownTurn, Whole};

const IMAGES_ONLY: &str = "User sent image(s) with no text.";

/// The input of an agent's turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub message: String,
    /// The text of the system and developer messages.
    pub system: Option<String>,
    pub attachments: Vec<Attachment>,
    /// The number of attachments, the first ones, that an answer followed.
    pub answered_images: usize,
    /// The conversation before `message`, if the session lasts and there was an answer.
    pub shown: Option<Shown>,
}

/// A conversation with at least one answer, as its client shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The last turns before the messages that are answered now, the last one first.
    pub turns: Vec<ShownTurn>,
    pub whole: Whole,
}

/// The knowledge of the session that the prompt goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// A new session: the whole conversation is sent.
    None,
    /// A session that lasts. It remembers the messages up to the agent's last answer, so they are
    /// not sent again.
    Session,
}

/// A line of the conversation.
struct Entry {
    /// Position in `messages`.
    index: usize,
    role: Role,
    /// The sender, such as `User`, `User (Ada)`, `Assistant` or `Tool:<id>`.
    sender: String,
    /// The user has a separate name.
    is_named: bool,
    body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Assistant,
    Tool,
}

/// Folds the messages into a prompt. `instructions` stand in front of every system message.
pub(crate) fn fold(
    field: Field,
    instructions: Option<&str>,
    messages: &[Message<'_>],
    memory: Memory,
) -> Result<Prompt, Failure> {
    let last_turn = active_turn(messages).map_or(0, |(index, _)| index);
    let mut contents = Contents::new(field, messages, last_turn, memory == Memory::None);
    let mut system = Vec::new();
    system.extend(
        instructions
            .map(trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
    );
    let mut entries = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let mut text = contents.read(index, message)?;
        let Some(role) = role(field, index, message)? else {
            system.extend(system_text(field, index, message, text)?);
            continue;
        };
        let is_image_turn = index == last_turn && contents.has_unanswered();
        if text.is_empty() && role == Role::User && is_image_turn {
            IMAGES_ONLY.clone_into(&mut text);
        }
        if role == Role::Assistant {
            // The gateway's session does not have them.
            if let Some(rest) = without_links(&text) {
                text = if rest.is_empty() {
                    FILES_ONLY.to_owned()
                } else {
                    rest
                };
            }
            for call in calls(field, index, message, &mut contents)? {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&call);
            }
        }
        entries.extend(entry(field, index, role, message, text)?);
    }
    check_turn(field, messages, &entries)?;
    let message = conversation(&entries, memory);
    if is_reset(&message) {
        return Err(Failure::CommandNotAllowed);
    }
    let shown = match memory {
        Memory::None => None,
        Memory::Session => shown(&entries),
    };
    let has_remembered = contents.has_remembered();
    let (attachments, answered_images) = contents.into_attachments();
    let shown = match shown {
        // Nothing was answered with a text, so the message is the whole conversation.
        None if memory == Memory::Session && has_remembered => {
            return fold(field, instructions, messages, Memory::None);
        }
        None => None,
        Some(turns) => {
            let (message, images) = if has_remembered {
                let mut whole = fold(field, instructions, messages, Memory::None)?;
                // The others are of the turn.
                let earlier = whole.attachments.len().saturating_sub(attachments.len());
                whole.attachments.truncate(earlier);
                (whole.message, whole.attachments)
            } else {
                (conversation(&entries, Memory::None), Vec::new())
            };
            let whole = Whole { message, images };
            Some(Shown { turns, whole })
        }
    };
    Ok(Prompt {
        message,
        system: (!system.is_empty()).then(|| system.join("\n\n")),
        attachments,
        answered_images,
        shown,
    })
}

/// Returns the role of a message; `None` for one of the system or the developer.
fn role(field: Field, index: usize, message: &Message<'_>) -> Result<Option<Role>, Failure> {
    // An invalid name is refused before an invalid role.
    name(field, index, message)?;
    match &*message.role {
        "system" | "developer" => Ok(None),
        "user" => Ok(Some(Role::User)),
        "assistant" => Ok(Some(Role::Assistant)),
        "tool" | "function" => Ok(Some(Role::Tool)),
        _ => Err(Failure::invalid(
            format!("{field}[{index}].role"),
            "A role is one of system, developer, user, assistant, tool and function.",
        )),
    }
}

/// Returns the text of a system message with its name, if there is any.
fn system_text(
    field: Field,
    index: usize,
    message: &Message<'_>,
    text: String,
) -> Result<Option<String>, Failure> {
    let name = name(field, index, message)?;
    Ok(match (text.is_empty(), name.is_empty()) {
        (true, _) => None,
        (false, true) => Some(text),
        (false, false) => Some([name, ": ", &text].concat()),
    })
}

fn name<'m>(field: Field, index: usize, message: &'m Message<'_>) -> Result<&'m str, Failure> {
    marker::one_line(message.name.as_deref(), || format!("{field}[{index}].name"))
}

/// Returns the last turns of a conversation, the last one first, if it has an answer.
fn shown(entries: &[Entry]) -> Option<Vec<ShownTurn>> {
    let mut turns: Vec<ShownTurn> = Vec::new();
    let mut is_after_message = true;
    for entry in entries.iter().rev() {
        let is_answer = entry.role == Role::Assistant;
        match turns.last_mut() {
            _ if is_answer && is_after_message => {
                if turns.len() == MAX_SHOWN_TURNS {
                    break;
                }
                turns.push(ShownTurn {
                    message: String::new(),
                    answer: sent(&entry.body).to_owned(),
                });
            }
            // A placeholder replaces a file that the agent got.
            Some(turn) if !is_answer && !is_after_message && !is_replaced(&entry.body) => {
                turn.message.clone_from(&entry.body);
            }
            _ => {}
        }
        is_after_message = !is_answer;
    }
    (!turns.is_empty()).then_some(turns)
}

/// The most turns that are compared with a session.
const MAX_SHOWN_TURNS: usize = 8;

/// Returns the text that the agent sent as this answer. A forced call was made from its arguments
/// (`forced`).
fn sent(answer: &str) -> &str {
    let call = answer
        .strip_prefix("tool_call ")
        .filter(|call| !call.contains("\ntool_call "));
    call.and_then(|call| call.split_once(" arguments="))
        .map_or(answer, |(_, arguments)| arguments)
}

/// Refuses a conversation in which nothing is left to answer, because the run would repeat the last
/// answer's work.
///
/// A blank answer at the very end does not count: some chat UIs send the message that they are
/// about to fill.
fn check_turn(field: Field, messages: &[Message<'_>], entries: &[Entry]) -> Result<(), Failure> {
    let Some(current) = entries.iter().rfind(|entry| entry.role != Role::Assistant) else {
        return Err(Failure::invalid(
            field.name(),
            format!("Missing user message in `{field}`."),
        ));
    };
    let last_turn = active_turn(messages).map_or(0, |(index, _)| index);
    let is_answered = entries
        .last()
        .is_some_and(|last| last.index > current.index)
        || messages
            .iter()
            .take(last_turn)
            .skip(current.index)
            .any(|message| message.role == "assistant");
    if is_answered {
        return Err(Failure::invalid(
            field.name(),
            "There is nothing to answer: no message with a text follows the assistant's last one.",
        ));
    }
    Ok(())
}

/// Returns true if the gateway would run the message as its command `/new` or `/reset`, which
/// discards a session's memory.
///
/// Source: OpenClaw 2026.3.13 runs it for every client that may write, although its own method for
/// it requires operator.admin; 2026.9.6 refuses.
fn is_reset(message: &str) -> bool {
    let command = trim(message).split(is_blank).next().unwrap_or_default();
    command.eq_ignore_ascii_case("/new") || command.eq_ignore_ascii_case("/reset")
}

/// Returns the message that is answered: the last one of a user or a tool.
fn active_turn<'m, 'a>(messages: &'m [Message<'a>]) -> Option<(usize, &'m Message<'a>)> {
    messages
        .iter()
        .enumerate()
        .rev()
        .find(|(_, message)| matches!(&*message.role, "user" | "tool" | "function"))
}

/// Makes the line of a message; `None` for a blank message.
fn entry(
    field: Field,
    index: usize,
    role: Role,
    message: &Message<'_>,
    body: String,
) -> Result<Option<Entry>, Failure> {
    let name = name(field, index, message)?;
    let tool_call_id = marker::one_line(message.tool_call_id.as_deref(), || {
        let id = if message.is_output() {
            "call_id"
        } else {
            "tool_call_id"
        };
        format!("{field}[{index}].{id}")
    })?;
    let is_tool_result = role == Role::Tool && !(tool_call_id.is_empty() && name.is_empty());
    if body.is_empty() && !is_tool_result {
        return Ok(None);
    }
    let sender = match role {
        Role::Assistant => named(marker::ASSISTANT, name),
        Role::User => named(marker::USER, name),
        Role::Tool if !tool_call_id.is_empty() => [marker::TOOL, ":", tool_call_id].concat(),
        Role::Tool if !name.is_empty() => [marker::TOOL, ":", name].concat(),
        Role::Tool => marker::TOOL.to_owned(),
    };
    Ok(Some(Entry {
        index,
        role,
        is_named: role == Role::User && sender != marker::USER,
        sender,
        body,
    }))
}

/// Returns the sender of a role, with its name unless both are the same word.
fn named(role: &str, name: &str) -> String {
    if name.is_empty() || name.eq_ignore_ascii_case(role) {
        return role.to_owned();
    }
    [role, " (", name, ")"].concat()
}

fn line(entry: &Entry) -> String {
    [&entry.sender, ": ", &marker::quoted(&entry.body)].concat()
}

/// Returns the message to the agent; none without a line of the user or a tool.
fn conversation(entries: &[Entry], memory: Memory) -> String {
    let position = entries
        .iter()
        .rposition(|entry| entry.role != Role::Assistant);
    let (before, from) = entries.split_at(position.unwrap_or(entries.len()));
    let Some(current) = from.first() else {
        return String::new();
    };
    let history = match memory {
        Memory::None => before,
        Memory::Session => {
            let seen = before
                .iter()
                .rposition(|entry| entry.role == Role::Assistant)
                .map_or(0, |answer| answer.saturating_add(1));
            before.get(seen..).unwrap_or_default()
        }
    };
    if history.is_empty() && current.role == Role::User && !current.is_named {
        return marker::quoted_alone(&current.body).into_owned();
    }
    let mut message = String::new();
    if !history.is_empty() {
        message += marker::HISTORY;
        for entry in history {
            message.push('\n');
            message += &line(entry);
        }
        message += "\n\n";
        message += marker::CURRENT;
        message.push('\n');
    }
    message + &line(current)
}

#[cfg(test)]
mod tests;
