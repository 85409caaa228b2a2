//! `POST /v1/responses`: from the request to the turn it asks for.
//!
//! The items of `input` become messages, and from there on all is as in a chat completion. Nothing is stored: an id of a response says
//! which session it came from, so a request that names it (`previous_response_id`) goes on there. The id holds a session's name within
//! its key's own namespace, so the id of another key's response leads nowhere; a few digits of a hash tell it from one of this key's.

use base16ct::lower as hex;
use sha2::{Digest, Sha256};

use super::body::{Body, Content, FunctionCall, Message, OneOrMany, ToolCall};
use super::chat::{Accepted, Asked, Entropy, Request, accept_asked};
use super::completion::Form;
use super::models::Aliases;
use crate::error::Failure;
use crate::key::{Client, KeyId};
use crate::session::Session;

/// What the id of a response begins with.
const ID_PREFIX: &str = "resp_";

/// Hex digits of a session's nonce.
const NONCE_DIGITS: usize = 32;

/// Hex digits that tell a key's own ids from others: one in four billion passes by chance, and would find an empty session.
const CHECK_DIGITS: usize = 8;

/// Hex digits that no other response has.
const UNIQUE_DIGITS: usize = 32;

/// A request that was understood, and what its response is told.
#[derive(Debug)]
pub struct AcceptedResponse {
    pub accepted: Accepted,
    pub is_stream: bool,
    /// `previous_response_id`, echoed.
    pub previous: Option<String>,
    /// What the response's id holds of its session; nothing where the client names the session itself.
    chain: String,
}

impl AcceptedResponse {
    /// The id of the response; `unique` is of no other one.
    pub fn id(&self, unique: &str) -> String {
        [ID_PREFIX, &self.chain, unique].concat()
    }
}

/// Reads a request of `client`.
pub fn accept(
    request: &Request<'_>,
    client: &Client,
    aliases: &Aliases,
    entropy: &Entropy,
) -> Result<AcceptedResponse, Failure> {
    let mut body = Body::parse(request.body)?;
    refuse_what_cannot_be_done(&body)?;
    body.check_tools(client.tools)?;
    let format = body.take_format()?;
    let previous_id = body.previous_response_id.as_deref().filter(|id| !id.is_empty());
    let previous = previous_id.map(|id| session_of(&client.id, id)).transpose()?;
    let is_stream = body.stream.unwrap_or(false);
    let ignored = body.ignored();
    let messages = match body.input {
        None => Vec::new(),
        Some(OneOrMany::One(text)) => vec![Message {
            role: "user".into(),
            content: Content::Text(text),
            ..Message::default()
        }],
        Some(OneOrMany::Many(mut items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                restate(index, item)?;
            }
            items
        }
    };
    let is_elsewhere = matches!(previous, Some(None));
    let asked = Asked {
        field: "input",
        model: body.model.as_deref(),
        instructions: body.instructions.as_deref(),
        messages: &messages,
        user: body.user.as_deref(),
        previous: previous.flatten().map(|nonce| Session::fresh(&client.id, &nonce)),
        format: format.instruction,
        form: if is_stream {
            Form::Chunks { include_usage: true }
        } else {
            Form::Whole
        },
        ignored,
    };
    let previous_nonce = previous.flatten();
    let continued = asked.previous.clone();
    let (accepted, fresh) = accept_asked(request, asked, client, aliases, entropy)?;
    if is_elsewhere && fresh.is_some() && !accepted.aside {
        return Err(Failure::invalid(
            "previous_response_id",
            "That response's session was named by a header or by `user`; send it again to go on there.",
        ));
    }
    // A session that a header names wins over that of the previous response.
    let nonce = previous_nonce
        .filter(|_| continued.as_ref() == Some(&accepted.turn.session))
        .or(fresh.filter(|_| !accepted.aside));
    Ok(AcceptedResponse {
        accepted,
        is_stream,
        previous: previous_id.map(str::to_owned),
        chain: nonce.map_or_else(String::new, |nonce| chain(&client.id, &nonce)),
    })
}

/// Refuses what cannot be done here, rather than to do half of it.
fn refuse_what_cannot_be_done(body: &Body<'_>) -> Result<(), Failure> {
    if body.background == Some(true) {
        return Err(Failure::invalid(
            "background",
            "Responses are not stored here, so none can be made in the background; use `stream`.",
        ));
    }
    match body.stored() {
        Some(field) => Err(Failure::invalid(
            field,
            "Neither conversations nor prompts are stored here. Go on with `previous_response_id` or `user`; send `instructions` and `input`.",
        )),
        None => Ok(()),
    }
}

/// Makes an item the message that it stands for: calls of tools and what they returned are told as in a chat completion, the model's
/// earlier thoughts are not.
fn restate(index: usize, item: &mut Message<'_>) -> Result<(), Failure> {
    match item.kind.as_deref().unwrap_or("message") {
        "message" => {}
        "function_call" | "custom_tool_call" => {
            item.role = "assistant".into();
            item.tool_calls = Some(vec![ToolCall {
                id: item.call_id.take(),
                function: Some(FunctionCall {
                    name: item.name.take(),
                    arguments: item.arguments.take().or(item.input.take()),
                }),
            }]);
        }
        "function_call_output" | "custom_tool_call_output" => {
            item.role = "tool".into();
            item.content = std::mem::take(&mut item.output);
            item.tool_call_id = item.call_id.take();
        }
        "reasoning" => {
            item.role = "assistant".into();
            item.content = Content::None;
        }
        _ => {
            return Err(Failure::invalid(
                format!("input[{index}].type"),
                "An item is one of message, function_call, function_call_output, custom_tool_call, custom_tool_call_output and reasoning.",
            ));
        }
    }
    Ok(())
}

/// What an id holds of its session.
fn chain(kid: &KeyId, nonce: &[u8; 16]) -> String {
    let mut chain = hex::encode_string(nonce);
    chain.push_str(&check_digits(kid, nonce));
    chain
}

fn check_digits(kid: &KeyId, nonce: &[u8; 16]) -> String {
    let mut hash = Sha256::new();
    hash.update(kid.as_str());
    // No key's id has a zero in it.
    hash.update([0]);
    hash.update(nonce);
    let mut digits = hex::encode_string(&hash.finalize());
    digits.truncate(CHECK_DIGITS);
    digits
}

/// The nonce of the session that the response with this id came from; none where its client named the session.
fn session_of(kid: &KeyId, id: &str) -> Result<Option<[u8; 16]>, Failure> {
    let unknown = || Failure::invalid("previous_response_id", "No response of this key has this id.");
    let digits = id.strip_prefix(ID_PREFIX).ok_or_else(unknown)?;
    let Some((chain, _)) = digits
        .len()
        .checked_sub(UNIQUE_DIGITS)
        .and_then(|at| digits.split_at_checked(at))
    else {
        return Err(unknown());
    };
    if chain.is_empty() {
        return Ok(None);
    }
    let (nonce, check) = chain.split_at_checked(NONCE_DIGITS).ok_or_else(unknown)?;
    let mut bytes = [0; 16];
    hex::decode(nonce, &mut bytes).map_err(|_| unknown())?;
    if check == check_digits(kid, &bytes) {
        Ok(Some(bytes))
    } else {
        Err(unknown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Clients, NewKey, SECRET_BYTES};
    use crate::turn::AgentChoice;

    const ENTROPY: Entropy = Entropy {
        run: [1; 16],
        session: [2; 16],
    };
    const UNIQUE: &str = "000102030405060708090a0b0c0d0e0f";

    fn client(id: &str, fields: &str) -> Client {
        let key = NewKey::from_entropy(&KeyId::parse(id).unwrap(), &[7; SECRET_BYTES]);
        let mut clients = Clients::default();
        let mut problems = Vec::new();
        clients.extend(&format!("{id} {} {fields}", key.hash), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        clients.iter().next().unwrap().clone()
    }

    fn accepted_of(client: &Client, body: &str, session: Option<&str>) -> Result<AcceptedResponse, Failure> {
        let header = |name: &str| session.filter(|_| name == "x-openclaw-session-key").map(str::to_owned);
        let request = Request {
            body: body.as_bytes(),
            header: &header,
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
        accepted.accepted.turn.session.key(agent).as_str().to_owned()
    }

    fn refused(result: Result<AcceptedResponse, Failure>) -> String {
        match result {
            Err(Failure::Invalid { param: Some(param), .. }) => param,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_is_what_the_user_says_and_instructions_are_the_systems() {
        let response = accepted(r#"{"input":"hi","instructions":" be brief ","stream":true}"#).unwrap();
        let turn = &response.accepted.turn;
        assert_eq!(
            (turn.message.as_str(), turn.extra_system_prompt.as_deref()),
            ("hi", Some("be brief"))
        );
        assert!(response.is_stream && response.previous.is_none());
    }

    #[test]
    fn items_are_told_as_the_messages_that_they_stand_for() {
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
            "[Chat messages since your last reply - for context]\nUser: weather?\nAssistant: Let me look.\n\
             Assistant: tool_call id=call_1 name=get_weather arguments={}\nAssistant: tool_call id=call_2 name=sh arguments=ls\n\
             Tool:call_2: a b\n\n[Current message - respond to this]\nTool:call_1: sunny"
        );
        assert_eq!(turn.extra_system_prompt.as_deref(), Some("be brief\n\nno jokes"));
    }

    #[test]
    fn images_are_attached() {
        let body = |url: &str| {
            format!(
                r#"{{"input":[{{"role":"user","content":[{{"type":"input_text","text":"see"}},{{"type":"input_image","detail":"auto","image_url":{url}}}]}}]}}"#
            )
        };
        let turn = accepted(&body(r#""data:image/png;base64,AAAA""#))
            .unwrap()
            .accepted
            .turn;
        assert_eq!(turn.attachments[0].mime_type, "image/png");
        for url in [r#""https://x/y.png""#, "null"] {
            assert_eq!(refused(accepted(&body(url))), "input[0].content[1].image_url");
        }
    }

    #[test]
    fn a_response_that_names_another_goes_on_in_its_session() {
        let phone = client("phone", "agents=main");
        let first = accepted_of(&phone, r#"{"input":"hi"}"#, None).unwrap();
        let id = first.id(UNIQUE);
        assert_eq!(id.len(), 77, "{id}");
        let fresh = "agent:main:edge:phone:run:02020202020202020202020202020202";
        assert_eq!(session(&first), fresh);
        let body = format!(r#"{{"previous_response_id":"{id}","input":"and?","user":"alice"}}"#);
        let second = accepted_of(&phone, &body, None).unwrap();
        assert_eq!(session(&second), fresh);
        assert_eq!(
            (second.previous.as_deref(), second.id(UNIQUE)),
            (Some(id.as_str()), id.clone())
        );
        let elsewhere = accepted_of(&phone, &body, Some("trip")).unwrap();
        assert_eq!(
            session(&elsewhere),
            "agent:main:edge:phone:key:=trip",
            "a header names the session"
        );
        assert_eq!(elsewhere.id(UNIQUE), format!("resp_{UNIQUE}"));
    }

    #[test]
    fn the_id_of_another_keys_response_leads_nowhere() {
        let id = accepted(r#"{"input":"hi"}"#).unwrap().id(UNIQUE);
        let other = client("guest", "agents=main");
        let mut cut = id.clone();
        cut.pop();
        let of_nobody = format!("resp_{}{UNIQUE}", "0".repeat(40));
        for id in [
            id.as_str(),
            &cut,
            &of_nobody,
            "resp_",
            "chatcmpl-1",
            "resp_\u{fc}",
            &id.to_uppercase(),
        ] {
            let body = serde_json::json!({ "input": "hi", "previous_response_id": id }).to_string();
            assert_eq!(
                refused(accepted_of(&other, &body, None)),
                "previous_response_id",
                "{id}"
            );
        }
    }

    #[test]
    fn a_session_that_the_client_named_is_named_again() {
        let phone = client("phone", "agents=main");
        let id = accepted_of(&phone, r#"{"input":"hi","user":"alice"}"#, None)
            .unwrap()
            .id(UNIQUE);
        assert_eq!(id, format!("resp_{UNIQUE}"));
        let next = |user: &str| {
            accepted_of(
                &phone,
                &format!(r#"{{"previous_response_id":"{id}","input":"and?","user":{user}}}"#),
                None,
            )
        };
        assert_eq!(
            session(&next(r#""alice""#).unwrap()),
            "agent:main:edge:phone:user:=alice"
        );
        assert_eq!(refused(next("null")), "previous_response_id");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name_and_what_has_no_effect_is_named() {
        for (field, param) in [
            (r#""background":true"#, "background"),
            (r#""conversation":"conv_1""#, "conversation"),
            (r#""prompt":{"id":"pmpt_1"}"#, "prompt"),
            (r#""input":null"#, "input"),
            (r#""input":[]"#, "input"),
            (r#""input":[{"type":"item_reference","id":"msg_1"}]"#, "input[0].type"),
            (r#""input":[{"content":"hi"}]"#, "input[0].role"),
            (
                r#""input":[{"role":"user","content":[{"type":"input_file","file_id":"x"}]}]"#,
                "input[0].content[0].type",
            ),
        ] {
            assert_eq!(
                refused(accepted(&format!(r#"{{"input":"hi",{field}}}"#))),
                param,
                "{field}"
            );
        }
        // What Codex sends, always.
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
}
