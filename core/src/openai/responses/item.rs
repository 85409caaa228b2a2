//! The items of `input`, made into messages.

use super::id::{Origin, THOUGHT_PREFIX};
use crate::access::key::KeyId;
use crate::failure::Failure;
use crate::openai::accept::REFERENCE;
use crate::openai::message::{Content, FunctionCall, Message, OneOrMany, ToolCall};
use crate::turn::in_namespace;

/// An item that the request names by its id.
pub(crate) struct Reference {
    /// The position in `input`.
    pub(crate) index: usize,
    pub(crate) origin: Origin,
}

/// Returns the messages of `input`, and the last item that it refers to.
pub(crate) fn messages<'a>(
    input: Option<OneOrMany<'a, Message<'a>>>,
    key_id: &KeyId,
) -> Result<(Vec<Message<'a>>, Option<Reference>), Failure> {
    let mut items = match input {
        None => return Ok((Vec::new(), None)),
        Some(OneOrMany::One(text)) => {
            let message = Message {
                role: "user".into(),
                content: Content::Text(text),
                ..Message::default()
            };
            return Ok((vec![message], None));
        }
        Some(OneOrMany::Many(items)) => items,
    };
    let mut earlier: Option<Reference> = None;
    for (index, item) in items.iter_mut().enumerate() {
        if item.kind.as_deref() != Some("item_reference") {
            make_message(index, item)?;
            continue;
        }
        let reference = refer(index, item, key_id)?;
        if earlier.is_some_and(|earlier| earlier.origin != reference.origin) {
            return Err(unknown_item(index));
        }
        earlier = Some(reference);
    }
    Ok((items, earlier))
}

/// Makes an item the message that it stands for. Calls of tools and their results become the same
/// messages as in a chat completion. The model's earlier thoughts become no message.
///
/// Calls are recognised by the ending of their type. OpenAI adds a type with each of its tools
/// (`web_search_call`, `local_shell_call`, `apply_patch_call`), and clients send these calls back
/// in every later turn.
fn make_message(index: usize, item: &mut Message<'_>) -> Result<(), Failure> {
    let output = item.output.take().map(Content::of_output).transpose();
    let output = output.map_err(|_| {
        Failure::invalid(
            format!("input[{index}].output"),
            "An output is a text, or content parts.",
        )
    })?;
    let output = output.unwrap_or_default();
    let kind = item.kind.as_deref().unwrap_or("message");
    if let Some(tool) = kind.strip_suffix("_call") {
        let tool = tool.to_owned();
        make_call(item, tool, output);
        return Ok(());
    }
    if kind.ends_with("_call_output") || kind == "tool_search_output" {
        item.role = "tool".into();
        item.content = output;
        item.tool_call_id = item.call_id.take().or(item.id.take());
        return Ok(());
    }
    match kind {
        "message" => {}
        // They contain nothing that another model can use.
        "reasoning" | "mcp_list_tools" | "mcp_approval_request" | "ghost_snapshot" => {
            item.role = "assistant".into();
            item.content = Content::None;
        }
        // Only OpenAI can read it.
        "compaction" | "compaction_summary" | "context_compaction" => {
            item.role = "assistant".into();
            item.content =
                Content::Text("[an earlier part of the conversation, which was compacted]".into());
        }
        _ => {
            return Err(Failure::invalid(
                format!("input[{index}].type"),
                "An item is a message, a tool call, its output, or reasoning.",
            ));
        }
    }
    Ok(())
}

fn make_call<'a>(item: &mut Message<'a>, tool: String, output: Content<'a>) {
    let name = item.name.take().unwrap_or_else(|| tool.into());
    let name = match item.namespace.take() {
        Some(space) => in_namespace(&space, &name).into(),
        None => name,
    };
    let arguments = [
        item.arguments,
        item.input,
        item.action,
        item.operation,
        item.code,
    ];
    item.role = "assistant".into();
    item.content = Content::None;
    item.tool_calls = Some(vec![ToolCall {
        id: item.call_id.take().or(item.id.take()),
        function: Some(FunctionCall {
            name: Some(name),
            arguments: arguments.into_iter().flatten().next(),
            input: None,
        }),
        custom: None,
        output,
    }]);
}

/// Reads a reference to an item of ours. The session must hold this item.
fn refer(index: usize, item: &mut Message<'_>, key_id: &KeyId) -> Result<Reference, Failure> {
    let id = item.id.as_deref().unwrap_or_default();
    let origin = Origin::of_item(key_id, id).ok_or_else(|| unknown_item(index))?;
    item.role = "assistant".into();
    // A thought is never sent to an agent.
    item.content = if id.starts_with(THOUGHT_PREFIX) {
        Content::None
    } else {
        Content::Text(REFERENCE.into())
    };
    Ok(Reference { index, origin })
}

pub(crate) fn unknown_item(index: usize) -> Failure {
    Failure::invalid(
        format!("input[{index}].id"),
        "Items are not stored here, and the session of this request does not hold this item. Fix: \
         set `store: false`, so that the client sends its items whole.",
    )
}
