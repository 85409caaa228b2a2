//! `POST /v1/chat/completions`: from the request to the turn it asks for.

use sha2::{Digest, Sha256};

use super::body::{Body, Message};
use super::completion::Form;
use super::models::{Aliases, MAX_MODEL_BYTES, agent_of};
use super::prompt::{self, Memory};
use super::task;
use crate::agent::AgentId;
use crate::error::Failure;
use crate::key::{Client, TaskPolicy};
use crate::session::{Session, SessionError};
use crate::turn::{AgentChoice, RunId, Turn};

/// Largest request body, in bytes: two images of the largest size beside the text, and small enough for an isolate's 128 MB to
/// hold it in each of its forms (bytes, text, frame).
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Headers of a request that say which agent and session it is for.
const AGENT_HEADER: &str = "x-openclaw-agent-id";
const SESSION_HEADER: &str = "x-openclaw-session-key";

/// Names a run for its client, so that asking again is not asking for another. Source: the IETF draft
/// `draft-ietf-httpapi-idempotency-key-header`; OpenAI's SDKs send it where they are told to.
const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// Source: W3C Trace Context, section 3.2.
const TRACE_HEADER: &str = "traceparent";

/// `on` or `off`: whether the answer tells what the model thinks.
const REASONING_HEADER: &str = "x-clawfront-reasoning";
/// The same, of whether it tells what the agent does meanwhile.
const PROGRESS_HEADER: &str = "x-clawfront-progress";

/// Longest `Idempotency-Key`, in bytes.
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// What a client asked for, beside its key.
pub struct Request<'a> {
    pub body: &'a [u8],
    /// The value of the header of this name, in lower case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// The same was asked before, and given the same [`Entropy`].
    pub is_repeated: bool,
}

/// Randomness for one request: from a cryptographically secure source, used once.
#[derive(Debug, Clone, Copy)]
pub struct Entropy {
    pub run: [u8; 16],
    pub session: [u8; 16],
}

/// A request that was understood.
#[derive(Debug)]
pub struct Accepted {
    pub turn: Turn,
    /// How the client wants its answer.
    pub form: Form,
    /// As the client wrote it; it is echoed.
    pub model: String,
    /// Parameters that were sent and that the agent API cannot take, in alphabetical order.
    pub ignored: Vec<&'static str>,
    /// A chat UI's own call, which was sent to a session of its own.
    pub aside: bool,
    /// The client named the run, by an `Idempotency-Key`.
    pub is_keyed: bool,
}

/// What a body asks for, whichever endpoint it was sent to.
pub(super) struct Asked<'a> {
    /// The field that holds `messages`.
    pub field: &'static str,
    pub model: Option<&'a str>,
    pub instructions: Option<&'a str>,
    pub messages: &'a [Message<'a>],
    pub user: Option<&'a str>,
    /// The session of an earlier answer that this request goes on with.
    pub previous: Option<Session>,
    /// What the agent is told of the form of its answer.
    pub format: Option<String>,
    pub form: Form,
    pub ignored: Vec<&'static str>,
}

/// Reads a request of `client`.
pub fn accept(
    request: &Request<'_>,
    client: &Client,
    aliases: &Aliases,
    entropy: &Entropy,
) -> Result<Accepted, Failure> {
    let mut body = Body::parse(request.body)?;
    body.refuse_what_cannot_be_done()?;
    body.check_tools(client.tools)?;
    let format = body.take_format()?;
    let include_usage = body.stream_options.as_ref().and_then(|options| options.include_usage);
    let asked = Asked {
        field: "messages",
        model: body.model.as_deref(),
        instructions: None,
        messages: &body.messages,
        user: body.user.as_deref(),
        previous: None,
        format: format.instruction,
        form: if body.stream.unwrap_or(false) {
            Form::Chunks {
                include_usage: include_usage.unwrap_or(false),
            }
        } else {
            Form::Whole
        },
        ignored: body.ignored(),
    };
    let (accepted, _) = accept_asked(request, asked, client, aliases, entropy)?;
    Ok(accepted)
}

/// The same, of a body that was read. Beside it the nonce of the request's session, if that has no name of the client's own.
pub(super) fn accept_asked(
    request: &Request<'_>,
    asked: Asked<'_>,
    client: &Client,
    aliases: &Aliases,
    entropy: &Entropy,
) -> Result<(Accepted, Option<[u8; 16]>), Failure> {
    let model = asked.model.unwrap_or("openclaw").trim();
    if model.len() > MAX_MODEL_BYTES {
        return Err(Failure::ModelNotFound);
    }
    let stable = session(request, asked.previous, asked.user, client)?;
    let of_header = match (request.header)(AGENT_HEADER).as_deref().map(str::trim) {
        Some(id) if !id.is_empty() => Some(AgentId::parse(id).ok_or(Failure::ModelNotFound)?),
        _ => agent_of(model, aliases)?,
    };
    let agent = agent(of_header, stable.as_ref().and_then(Session::agent), client)?;
    let aside = client.tasks == TaskPolicy::Aside && stable.is_some() && task::is_task(asked.messages);
    let key = idempotency_key(request)?;
    let entropy = match &key {
        Some(key) => derived(client, &agent, stable.as_ref(), key),
        None => *entropy,
    };
    let (session, memory, nonce) = match stable {
        Some(session) if !aside => (session, Memory::Session, None),
        _ => (
            Session::fresh(&client.id, &entropy.session),
            Memory::None,
            Some(entropy.session),
        ),
    };
    let prompt = prompt::fold(asked.field, asked.instructions, asked.messages, memory)?;
    let system: Vec<String> = prompt.system.into_iter().chain(asked.format).collect();
    let accepted = Accepted {
        turn: Turn {
            agent,
            session,
            run: RunId::from_entropy(&entropy.run),
            may_exist: request.is_repeated || key.is_some(),
            wants_thoughts: switch(request, REASONING_HEADER, client.reasoning)?,
            wants_progress: switch(request, PROGRESS_HEADER, client.progress)?,
            message: prompt.message,
            extra_system_prompt: (!system.is_empty()).then(|| system.join("\n\n")),
            traceparent: traceparent(request),
            attachments: prompt.attachments,
        },
        form: asked.form,
        model: model.to_owned(),
        ignored: asked.ignored,
        aside,
        is_keyed: key.is_some(),
    };
    Ok((accepted, nonce))
}

/// The client's trace, as W3C's Trace Context writes it: `00-<32 hex>-<16 hex>-<2 hex>`. What is written in another way is no trace.
fn traceparent(request: &Request<'_>) -> Option<String> {
    let value = (request.header)(TRACE_HEADER)?;
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |text: &str, len: usize| is_hex(text, len) && text.bytes().any(|byte| byte != b'0');
    let mut parts = value.split('-');
    let is_trace = parts.next() == Some("00")
        && parts.next().is_some_and(|trace| is_id(trace, 32))
        && parts.next().is_some_and(|parent| is_id(parent, 16))
        && parts.next().is_some_and(|flags| is_hex(flags, 2))
        && parts.next().is_none();
    is_trace.then_some(value)
}

/// A header that is `on` or `off`; without it what the key says.
fn switch(request: &Request<'_>, header: &str, of_key: bool) -> Result<bool, Failure> {
    match (request.header)(header).as_deref().map(str::trim) {
        None | Some("") => Ok(of_key),
        Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(_) => Err(Failure::invalid(header, format!("{header} is on or off."))),
    }
}

/// The session of a request: the session header's, else that of the conversation that a header of the key's list names, else that of
/// the answer it goes on with, else the user's, else none that lasts.
fn session(
    request: &Request<'_>,
    previous: Option<Session>,
    user: Option<&str>,
    client: &Client,
) -> Result<Option<Session>, Failure> {
    let refuse = |param: &str| {
        let param = param.to_owned();
        move |error: SessionError| Failure::invalid(param.clone(), format!("{param} {error}."))
    };
    // Not trimmed: two different names are two sessions.
    let named = |name: &&str| !name.trim().is_empty();
    let header = |name: &str| (request.header)(name).filter(|value| named(&value.as_str()));
    if let Some(name) = header(SESSION_HEADER) {
        let session = Session::named(&client.id, client.sessions, &name).map_err(refuse(SESSION_HEADER))?;
        return Ok(Some(session));
    }
    let conversation = client.conversations.iter().find_map(|name| Some((name, header(name)?)));
    if let Some((name, id)) = conversation {
        let session = Session::of_conversation(&client.id, name, &id).map_err(refuse(name))?;
        return Ok(Some(session));
    }
    if previous.is_some() {
        return Ok(previous);
    }
    if let Some(user) = user.filter(named) {
        let session = Session::of_user(&client.id, user).map_err(refuse("user"))?;
        return Ok(Some(session));
    }
    Ok(None)
}

/// The client's own name for the run it asks for.
fn idempotency_key(request: &Request<'_>) -> Result<Option<String>, Failure> {
    let key = (request.header)(IDEMPOTENCY_HEADER).filter(|key| !key.trim().is_empty());
    match key {
        Some(key)
            if key.len() > MAX_IDEMPOTENCY_KEY_BYTES || !key.bytes().all(|b| b.is_ascii_graphic() || b == b' ') =>
        {
            Err(Failure::invalid(
                IDEMPOTENCY_HEADER,
                format!("Idempotency-Key is at most {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters."),
            ))
        }
        key => Ok(key),
    }
}

/// The ids of a run that its client named: of this key, agent, session and name, and of no other.
fn derived(client: &Client, agent: &AgentChoice, session: Option<&Session>, key: &str) -> Entropy {
    let agent = match agent {
        AgentChoice::Named(agent) => agent.as_str(),
        AgentChoice::GatewayDefault(_) => "",
    };
    let mut hash = Sha256::new();
    for part in [client.id.as_str(), agent, session.map_or("", Session::name), key] {
        // No part has a zero in it.
        hash.update(part);
        hash.update([0]);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let (run, session) = hash.split_at(16);
    Entropy {
        run: run.try_into().unwrap_or_default(),
        session: session.try_into().unwrap_or_default(),
    }
}

/// The agent of a request: the one asked for by header or model, else that of a raw session key, else the default.
fn agent(asked: Option<AgentId>, of_session: Option<&AgentId>, client: &Client) -> Result<AgentChoice, Failure> {
    let chosen = match (asked, of_session) {
        (Some(asked), Some(of_session)) if asked != *of_session => {
            return Err(Failure::invalid(
                SESSION_HEADER,
                "The session belongs to another agent than the one asked for.",
            ));
        }
        (Some(agent), _) => Some(agent),
        (None, Some(agent)) => Some(agent.clone()),
        (None, None) => client.default_agent.clone(),
    };
    match chosen {
        Some(agent) if client.agents.allows(&agent) => Ok(AgentChoice::Named(agent)),
        Some(_) => Err(Failure::ModelNotFound),
        None => Ok(AgentChoice::GatewayDefault(client.agents.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Agents;
    use crate::key::{Clients, KeyId, NewKey, SECRET_BYTES};

    const ENTROPY: Entropy = Entropy {
        run: [1; 16],
        session: [2; 16],
    };

    fn client(fields: &str) -> Client {
        let key = NewKey::from_entropy(&KeyId::parse("phone").unwrap(), &[7; SECRET_BYTES]);
        let mut clients = Clients::default();
        let mut problems = Vec::new();
        clients.extend(&format!("phone {} {fields}", key.hash), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        clients.iter().next().unwrap().clone()
    }

    fn accepted_with(body: &str, headers: &[(&str, &str)], fields: &str) -> Result<Accepted, Failure> {
        let header = |name: &str| {
            let found = headers.iter().find(|(header, _)| *header == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let request = Request {
            body: body.as_bytes(),
            header: &header,
            is_repeated: false,
        };
        let aliases = Aliases::parse("gpt-4o=main").unwrap();
        accept(&request, &client(fields), &aliases, &ENTROPY)
    }

    fn accepted(body: &str, fields: &str) -> Result<Accepted, Failure> {
        accepted_with(body, &[], fields)
    }

    fn with_headers(agent: Option<&str>, session: Option<&str>, fields: &str) -> Result<Accepted, Failure> {
        let headers: Vec<_> = [(AGENT_HEADER, agent), (SESSION_HEADER, session)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        accepted_with(
            r#"{"model":"gpt-9.9","messages":[{"role":"user","content":"hi"}]}"#,
            &headers,
            fields,
        )
    }

    fn session_key(accepted: &Accepted) -> String {
        accepted
            .turn
            .session
            .key(&AgentId::parse("main").unwrap())
            .as_str()
            .to_owned()
    }

    fn choice(model: &str, fields: &str) -> Result<AgentChoice, Failure> {
        let body = format!(r#"{{"model":{model:?},"messages":[{{"role":"user","content":"hi"}}]}}"#);
        accepted(&body, fields).map(|accepted| accepted.turn.agent)
    }

    #[test]
    fn tools_that_may_be_left_alone_are_ignored_or_refused_as_the_key_says() {
        let body = |rest: &str| format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{rest}}}"#);
        let offered = body(r#""tools":[{"type":"function"}],"tool_choice":"auto""#);
        assert_eq!(
            accepted(&offered, "agents=main").unwrap().ignored,
            ["tool_choice", "tools"]
        );
        for (rest, param) in [
            (r#""tools":[{}]"#, "tools"),
            (r#""functions":[{}],"function_call":"none""#, "functions"),
        ] {
            assert_eq!(refused_param(&body(rest), "agents=main tools=refuse"), param);
        }
        for none in [r#""tools":[]"#, r#""tools":null,"tool_choice":"none""#] {
            assert!(accepted(&body(none), "agents=main tools=refuse").is_ok(), "{none}");
        }
    }

    #[test]
    fn a_tool_that_must_be_called_is_refused_whatever_the_key_says() {
        for (choice, field) in [
            (r#""required""#, "tool_choice"),
            (r#"{"type":"function","function":{"name":"f"}}"#, "tool_choice"),
            (r#"{"type":"allowed_tools","mode":"required"}"#, "tool_choice"),
            (r#"{"name":"f"}"#, "function_call"),
        ] {
            let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],"{field}":{choice}}}"#);
            assert_eq!(refused_param(&body, "agents=main"), field, "{choice}");
        }
        let allowed =
            r#"{"messages":[{"role":"user","content":"hi"}],"tool_choice":{"type":"allowed_tools","mode":"auto"}}"#;
        assert!(accepted(allowed, "agents=main").is_ok());
    }

    #[test]
    fn the_form_of_an_answer_is_told_to_the_agent_behind_the_clients_words() {
        let told = |format: &str| {
            let body = format!(
                r#"{{"messages":[{{"role":"system","content":"be brief"}},{{"role":"user","content":"hi"}}],"response_format":{format}}}"#
            );
            accepted(&body, "agents=main")
                .map(|accepted| (accepted.turn.extra_system_prompt.unwrap(), accepted.ignored))
        };
        assert_eq!(told(r#"{"type":"text"}"#).unwrap(), ("be brief".to_owned(), vec![]));
        let (object, ignored) = told(r#"{"type":"json_object"}"#).unwrap();
        assert!(object.starts_with("be brief\n\nAnswer with one JSON value") && object.ends_with("It is an object."));
        assert_eq!(ignored, Vec::<&str>::new());
        let schema = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
        let (prompt, ignored) = told(&format!(
            r#"{{"type":"json_schema","json_schema":{{"name":"n","strict":true,"schema":{schema}}}}}"#
        ))
        .unwrap();
        assert!(prompt.ends_with(&format!("JSON Schema:\n{schema}")), "{prompt}");
        assert_eq!(ignored, ["response_format.json_schema.strict"]);
        let large = format!(
            r#"{{"type":"json_schema","json_schema":{{"schema":{{"a":"{}"}}}}}}"#,
            "x".repeat(64 * 1024)
        );
        for format in [
            r#"{"type":"grammar"}"#,
            r#"{"type":"json_schema"}"#,
            r#"{"type":"json_schema","json_schema":{"schema":true}}"#,
            &large,
        ] {
            let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],"response_format":{format}}}"#);
            assert_eq!(refused_param(&body, "agents=main"), "response_format");
        }
    }

    #[test]
    fn a_trace_is_passed_on_where_it_is_one() {
        const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let passed = |value: &str| {
            let body = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
            accepted_with(body, &[("traceparent", value)], "agents=main")
                .unwrap()
                .turn
                .traceparent
        };
        assert_eq!(passed(TRACE).as_deref(), Some(TRACE));
        for odd in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(passed(odd), None, "{odd}");
        }
    }

    fn refused_param(body: &str, fields: &str) -> String {
        match accepted(body, fields) {
            Err(Failure::Invalid { param: Some(param), .. }) => param,
            other => panic!("{other:?}"),
        }
    }

    fn named(id: &str) -> AgentChoice {
        AgentChoice::Named(AgentId::parse(id).unwrap())
    }

    #[test]
    fn the_model_names_an_agent_of_the_key_or_its_default() {
        let fields = "agents=main,beta default=beta";
        assert_eq!(choice("openclaw/main", fields), Ok(named("main")));
        assert_eq!(choice("gpt-4o", fields), Ok(named("main")));
        assert_eq!(choice("openclaw", fields), Ok(named("beta")));
        for model in ["gpt-5", "openclaw/gamma", "gamma", &"m".repeat(300)] {
            assert_eq!(choice(model, fields), Err(Failure::ModelNotFound), "{model}");
        }
    }

    #[test]
    fn without_a_default_of_the_key_the_gateways_is_asked_for() {
        assert_eq!(
            choice("openclaw", "agents=*"),
            Ok(AgentChoice::GatewayDefault(Agents::Any))
        );
        assert_eq!(choice("openclaw", "agents=beta"), Ok(named("beta")));
    }

    #[test]
    fn the_agent_header_wins_over_the_model() {
        let agent = |header| with_headers(Some(header), None, "agents=main,beta default=main").map(|a| a.turn.agent);
        assert_eq!(agent("Beta"), Ok(named("beta")));
        assert_eq!(
            agent(" "),
            Err(Failure::ModelNotFound),
            "the model counts, and there is no gpt-9.9"
        );
        assert_eq!(agent("gamma"), Err(Failure::ModelNotFound));
        assert_eq!(agent("agent:main"), Err(Failure::ModelNotFound));
    }

    #[test]
    fn a_raw_session_key_cannot_reach_an_agent_that_the_key_cannot() {
        let raw = |agent: Option<&str>, session: &str| {
            let body = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
            let mut headers = vec![(SESSION_HEADER, session)];
            headers.extend(agent.map(|agent| (AGENT_HEADER, agent)));
            accepted_with(body, &headers, "agents=main,beta sessions=any").map(|a| a.turn.agent)
        };
        assert_eq!(raw(None, "agent:beta:x"), Ok(named("beta")));
        assert_eq!(raw(None, "agent:gamma:x"), Err(Failure::ModelNotFound));
        assert!(matches!(
            raw(Some("main"), "agent:beta:x"),
            Err(Failure::Invalid { .. })
        ));
    }

    #[test]
    fn the_session_is_the_headers_then_the_users_then_fresh() {
        let key = |session: Option<&str>, user: &str| {
            let body = format!(r#"{{"user":{user},"messages":[{{"role":"user","content":"hi"}}]}}"#);
            let headers: Vec<_> = session.map(|session| (SESSION_HEADER, session)).into_iter().collect();
            accepted_with(&body, &headers, "agents=main").map(|accepted| session_key(&accepted))
        };
        assert_eq!(
            key(Some("trip"), r#""alice""#).unwrap(),
            "agent:main:edge:phone:key:=trip"
        );
        assert_eq!(
            key(Some(" "), r#""alice""#).unwrap(),
            "agent:main:edge:phone:user:=alice"
        );
        assert_ne!(key(None, r#""alice ""#).unwrap(), key(None, r#""alice""#).unwrap());
        for user in [r#""""#, r#"" ""#, "null"] {
            assert_eq!(
                key(None, user).unwrap(),
                "agent:main:edge:phone:run:02020202020202020202020202020202"
            );
        }
        assert_eq!(
            key(Some("cron:x"), "null"),
            Err(Failure::invalid(
                SESSION_HEADER,
                "x-openclaw-session-key names a reserved namespace (subagent:, cron:, acp:)."
            ))
        );
        assert_eq!(
            key(None, r#""a\nb""#),
            Err(Failure::invalid("user", "user contains control characters."))
        );
    }

    #[test]
    fn a_conversation_of_a_chat_ui_is_a_session_where_the_key_says_so() {
        let body = r#"{"user":"alice","messages":[{"role":"user","content":"hi"}]}"#;
        let fields = "agents=main conversations=x-openwebui-chat-id,x-session-id";
        let key = |headers: &[(&str, &str)], fields| accepted_with(body, headers, fields).map(|a| session_key(&a));
        let chat = ("x-openwebui-chat-id", "7f3c");
        let other = ("x-session-id", "7f3c");
        assert_eq!(
            key(&[chat], fields).unwrap(),
            "agent:main:edge:phone:chat:x-openwebui-chat-id:=7f3c"
        );
        assert_eq!(
            key(&[other], fields).unwrap(),
            "agent:main:edge:phone:chat:x-session-id:=7f3c"
        );
        assert_eq!(
            key(&[other, chat], fields),
            key(&[chat], fields),
            "in the order of the list"
        );
        assert_eq!(
            key(&[chat, (SESSION_HEADER, "trip")], fields).unwrap(),
            "agent:main:edge:phone:key:=trip"
        );
        assert_eq!(
            key(&[("x-session-id", " ")], fields).unwrap(),
            "agent:main:edge:phone:user:=alice"
        );
        assert_eq!(
            key(&[chat], "agents=main").unwrap(),
            "agent:main:edge:phone:user:=alice"
        );
        assert_eq!(
            key(&[("x-session-id", "cron:x")], fields),
            Err(Failure::invalid(
                "x-session-id",
                "x-session-id names a reserved namespace (subagent:, cron:, acp:)."
            ))
        );
    }

    #[test]
    fn a_chat_uis_own_call_leaves_no_trace_in_the_conversation() {
        let body = r####"{"messages":[{"role":"user","content":"### Task:\nGenerate a title.\n<chat_history>…</chat_history>"}]}"####;
        let chat = [("x-openwebui-chat-id", "7f3c")];
        let accept = |fields: &str| accepted_with(body, &chat, &format!("agents=main {fields}")).unwrap();
        let aside = accept("conversations=x-openwebui-chat-id");
        assert!(aside.aside);
        assert_eq!(
            session_key(&aside),
            "agent:main:edge:phone:run:02020202020202020202020202020202"
        );
        let inline = accept("conversations=x-openwebui-chat-id tasks=inline");
        assert!(!inline.aside);
        assert_eq!(
            session_key(&inline),
            "agent:main:edge:phone:chat:x-openwebui-chat-id:=7f3c"
        );
        assert!(!accept("").aside, "a fresh session needs no other");
    }

    #[test]
    fn thoughts_are_told_to_who_wants_them() {
        let body = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
        let wants = |header: &str, fields| {
            accepted_with(body, &[(REASONING_HEADER, header)], fields).map(|a| a.turn.wants_thoughts)
        };
        for (header, fields, expected) in [
            ("", "agents=main", false),
            ("on", "agents=main", true),
            ("", "agents=main reasoning=on", true),
            ("off", "agents=main reasoning=on", false),
        ] {
            assert_eq!(wants(header, fields), Ok(expected), "{header} {fields}");
        }
        assert!(wants("yes", "agents=main").is_err());
    }

    #[test]
    fn a_run_that_its_client_names_is_the_same_whenever_it_asks() {
        let body = r#"{"user":"alice","messages":[{"role":"user","content":"hi"}]}"#;
        let fresh = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
        let run = |body, key: &str, agent: &str| {
            let accepted = accepted_with(
                body,
                &[(IDEMPOTENCY_HEADER, key), (AGENT_HEADER, agent)],
                "agents=main,beta",
            )
            .unwrap();
            assert!(accepted.is_keyed && accepted.turn.may_exist);
            (accepted.turn.run.as_str().to_owned(), session_key(&accepted))
        };
        assert_eq!(run(body, "k1", "main"), run(body, "k1", "main"));
        assert_eq!(
            run(fresh, "k1", "main"),
            run(fresh, "k1", "main"),
            "and its session is the same one"
        );
        let runs = [
            run(body, "k1", "main").0,
            run(body, "k2", "main").0,
            run(body, "k1", "beta").0,
            run(fresh, "k1", "main").0,
        ];
        for (i, a) in runs.iter().enumerate() {
            for b in runs.iter().skip(i + 1) {
                assert_ne!(a, b);
            }
        }
        assert!(!accepted(body, "agents=main").unwrap().turn.may_exist);
        for bad in ["x".repeat(256).as_str(), "caf\u{e9}"] {
            let refused = accepted_with(body, &[(IDEMPOTENCY_HEADER, bad)], "agents=main");
            assert!(matches!(refused, Err(Failure::Invalid { param: Some(param), .. }) if param == IDEMPOTENCY_HEADER));
        }
    }

    #[test]
    fn a_stable_session_is_not_told_what_it_remembers() {
        let body = r#"{"user":"alice","messages":[{"role":"user","content":"q1"},{"role":"assistant","content":"a1"},{"role":"user","content":"q2"}]}"#;
        assert_eq!(accepted(body, "agents=main").unwrap().turn.message, "q2");
    }

    #[test]
    fn unknown_fields_are_ignored_and_parameters_without_effect_are_named() {
        let accepted = accepted(
            r#"{"model":"openclaw","messages":[{"role":"user","content":"hi","x":1}],"store":true,"metadata":{"a":[{}]},
                "temperature":0.2,"stop":["x"],"tools":[],"seed":null,"stream":null,"n":1,"stream_options":null}"#,
            "agents=main",
        )
        .unwrap();
        assert_eq!(accepted.ignored, ["stop", "temperature"]);
        assert_eq!(accepted.form, Form::Whole);
    }

    #[test]
    fn streaming_and_its_usage_are_asked_for_apart() {
        let body =
            r#"{"messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;
        let accepted = accepted(body, "agents=main").unwrap();
        assert_eq!(accepted.form, Form::Chunks { include_usage: true });
        assert_eq!(accepted.model, "openclaw");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (field, param) in [
            (r#""n":2"#, "n"),
            (r#""logprobs":true"#, "logprobs"),
            (r#""modalities":["text","audio"]"#, "modalities"),
            (r#""audio":{"voice":"x"}"#, "modalities"),
            (r#""messages":[]"#, "messages"),
            (r#""messages":[{"content":"hi"}]"#, "messages[0].role"),
        ] {
            let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{field}}}"#);
            match accepted(&body, "agents=main") {
                Err(Failure::Invalid { param: Some(found), .. }) => assert_eq!(found, param),
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_is_refused_with_its_place_and_without_its_values() {
        let message = |body: &str| match accepted(body, "agents=main") {
            Err(Failure::Invalid { param: None, message }) => message.into_owned(),
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(message(""), "The request body is not valid JSON, at line 1 column 0.");
        assert_eq!(
            message("{\n\"messages\": [,"),
            "The request body is not valid JSON, at line 2 column 14."
        );
        for body in [
            "[]",
            r#"{"messages":null}"#,
            r#"{"messages":"top secret"}"#,
            r#"{"messages":[],"stream":"top secret"}"#,
            r#"{"messages":[{"role":"user","content":7}]}"#,
        ] {
            let message = message(body);
            assert!(
                message.starts_with("The request body has a field that is missing or of the wrong type")
                    && !message.contains("secret"),
                "{message}"
            );
        }
        assert_eq!(
            message(&"[".repeat(65)),
            "The request body nests deeper than 64 levels."
        );
    }
}
