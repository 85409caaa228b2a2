//! A run on the gateway's own HTTP endpoint, `POST /v1/chat/completions`: the gateway runs a turn
//! with a client's tools only there.
//!
//! ```text
//!             request                 200                      [DONE] after the finish reason
//!   (begin) ───────────▶ Asked ───────────────▶ Answering ────────────────────────────────▶ ended
//!                          │ another status        │ an error, or the end of the body
//!                          └───────▶ failed        └───────▶ failed
//! ```
//!
//! The request is built, and is always for a stream: the gateway answers 200 once it has read the
//! request, and then begins the run. The answer is read and written again. The gateway stops the
//! run if the request is closed, so nothing has to be stopped over the WebSocket. It does not
//! recognise a request that is sent again.
//!
//! Source: OpenClaw 2026.9.6, `openai-http`, read and measured.

mod events;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::access::key::KeyId;
use crate::agent::AgentId;
use crate::failure::diagnosis::{Diagnosis, UpgradeResponse};
use crate::failure::{Failure, ProviderFailure, RETRY_AFTER_S, Refusal};
use crate::gateway::answer::MAX_ANSWER_BYTES;
use crate::gateway::upgrade::{Headers, refused};
use crate::parse::{self, object};
use crate::secret::Secret;
use crate::session::{Session, SessionKey};
use crate::turn::{CallPiece, ClientTools, Finish, RunEvent, RunSummary, Turn, Usage};

use events::Events;

/// The endpoint's path.
pub const PATH: &str = "/v1/chat/completions";

/// The rights that a request of a trusted proxy is limited to. Without this header, and with the
/// gateway's own token, a request has all rights of the gateway's owner.
const SCOPES: (&str, &str) = ("x-openclaw-scopes", "operator.read,operator.write");

/// Most bytes of a request. Source: OpenClaw 2026.9.6, read.
const MAX_REQUEST_BYTES: usize = 20_971_520;

/// The message of a refusal begins so if it is about a field of the request, in words of the
/// endpoint's own.
const ABOUT_FIELD: [&str; 3] = ["`", "Invalid tools/tool_choice: ", "Invalid image_url "];

/// Longest message of a refusal that a client gets, in bytes.
const MAX_MESSAGE_BYTES: usize = 300;

/// The address that the request is said to come from: the endpoint takes no request of a trusted
/// proxy without one, and none from the gateway's own host. The client's address is nobody's
/// business there. Source: RFC 5737, an address for documentation.
const FORWARDED_FOR: &str = "192.0.2.1";

/// The identity under which the endpoint is asked.
#[derive(Debug)]
pub enum Identity {
    /// A user for each key, as a proxy that the gateway trusts names it in this header.
    TrustedProxy { user_header: String },
    /// The gateway's own token: all requests are its owner's.
    SharedToken(Secret),
}

/// A request for a run.
#[derive(Debug, Clone)]
pub struct Request {
    agent: AgentId,
    session: SessionKey,
    pub body: Vec<u8>,
}

/// The response to it, reduced to the parts that are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Response<'a> {
    /// The beginning of the body.
    pub refusal: UpgradeResponse<'a>,
    /// The header `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
}

impl Response<'_> {
    /// Returns true if the gateway cannot have begun the run. The other statuses are those of a
    /// proxy that has passed the request on, and has no response.
    pub(crate) fn starts_nothing(&self) -> bool {
        !matches!(self.refusal.status, 200..=299 | 502 | 504 | 520 | 524)
    }
}

/// An event of a request.
#[derive(Debug)]
pub enum Event<'a> {
    /// The response is a stream.
    Answered,
    /// It is another response.
    Refused(Response<'a>),
    /// The next bytes of the stream.
    Bytes(&'a [u8]),
    /// The stream is over.
    Ended,
    /// There is no response.
    Failed(Failure),
}

/// The state of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endpoint {
    tools: ClientTools,
    events: Events,
    is_answering: bool,
    /// The bytes of the answer: its text and its calls.
    bytes: usize,
    /// The number of calls that have begun.
    calls: u32,
    finish: Option<Finish>,
    usage: Usage,
}

impl Request {
    /// Writes the request for a turn.
    #[inline(never)]
    pub(crate) fn of(turn: &Turn, agent: &AgentId, session: &SessionKey) -> Result<Self, Failure> {
        let mut body = br#"{"model":"openclaw","stream":true,"stream_options":{"include_usage":true},"messages":["#.to_vec();
        let note = turn.tools.as_ref().map(ClientTools::note);
        let system = turn.extra_system_prompt.as_deref().unwrap_or_default();
        let system = [system, "\n\n", &note.unwrap_or_default()].concat();
        let system = system.trim();
        if !system.is_empty() {
            body.extend_from_slice(br#"{"role":"system","content":"#);
            write_json(&mut body, system);
            body.extend_from_slice(b"},");
        }
        body.extend_from_slice(br#"{"role":"user","content":"#);
        if turn.attachments.is_empty() {
            write_json(&mut body, &turn.message);
        } else {
            body.extend_from_slice(br#"[{"type":"text","text":"#);
            write_json(&mut body, &turn.message);
            body.push(b'}');
            for attachment in &turn.attachments {
                body.extend_from_slice(br#",{"type":"image_url","image_url":{"url":"#);
                write_json(
                    &mut body,
                    &[
                        "data:",
                        &attachment.mime_type(),
                        ";base64,",
                        &attachment.content,
                    ]
                    .concat(),
                );
                body.extend_from_slice(b"}}");
            }
            body.push(b']');
        }
        body.extend_from_slice(b"}]");
        if let Some(tools) = &turn.tools {
            body.extend_from_slice(tools.members.as_bytes());
        }
        body.push(b'}');
        if body.len() > MAX_REQUEST_BYTES {
            return Err(Failure::RequestTooLarge {
                limit_bytes: MAX_REQUEST_BYTES,
            });
        }
        Ok(Self {
            agent: agent.clone(),
            session: session.clone(),
            body,
        })
    }

    /// Returns a request that starts no run: it has no message, and the endpoint says so only to a
    /// sender that it lets in.
    pub fn without_message(agent: &AgentId, key: &KeyId) -> Self {
        Self {
            agent: agent.clone(),
            session: Session::fresh(key, &[0; 16]).key(agent),
            body: br#"{"model":"openclaw","stream":true,"messages":[]}"#.to_vec(),
        }
    }

    /// Returns the headers, names and values in turn: `own` are those of every request to the
    /// gateway. `key` is the id of the client's key. Without an `identity` they name nobody.
    #[inline(never)]
    pub fn headers(&self, own: &Headers, identity: Option<&Identity>, key: &str) -> Vec<String> {
        let mut headers: Vec<String> = Vec::new();
        let mut push = |name: &str, value: &str| headers.extend([name.into(), value.into()]);
        for (name, value) in own {
            push(name, value.expose());
        }
        match identity {
            Some(Identity::TrustedProxy { user_header }) => {
                push(user_header, &["key-", key].concat());
                push("x-forwarded-for", FORWARDED_FOR);
                push("x-forwarded-proto", "https");
            }
            Some(Identity::SharedToken(token)) => {
                push("authorization", &["Bearer ", token.expose()].concat());
            }
            None => {}
        }
        // The last ones win.
        for (name, value) in [
            SCOPES,
            ("x-openclaw-agent-id", self.agent.as_str()),
            ("x-openclaw-session-key", self.session.as_str()),
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
        ] {
            push(name, value);
        }
        headers
    }
}

/// The members of every object that the endpoint sends.
#[derive(Default)]
struct Object<'a> {
    // Members of an event, and of its choices.
    choices: Option<&'a RawValue>,
    usage: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    delta: Option<&'a RawValue>,
    finish_reason: Option<Cow<'a, str>>,
    // Members of a delta, and of its calls.
    content: Option<Cow<'a, str>>,
    tool_calls: Option<&'a RawValue>,
    index: Option<u64>,
    id: Option<Cow<'a, str>>,
    function: Option<&'a RawValue>,
    name: Option<Cow<'a, str>>,
    arguments: Option<Cow<'a, str>>,
    // Members of the usage.
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<&'a RawValue>,
    cached_tokens: Option<u64>,
    // Members of an error.
    kind: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
}

object!(
    Object<'_>,
    [],
    [
        choices,
        usage,
        error,
        delta,
        finish_reason,
        content,
        tool_calls,
        index,
        id,
        function,
        name,
        arguments,
        prompt_tokens,
        completion_tokens,
        prompt_tokens_details,
        cached_tokens,
        kind: "type",
        message,
    ]
);

impl<'a> Object<'a> {
    fn read(json: &'a str) -> Result<Self, Failure> {
        parse::from_str(json)
            .map_err(|_| Failure::GatewayProtocolError("an event of its endpoint cannot be read"))
    }

    /// Reads a member; an object without members if there is none.
    fn member(value: Option<&'a RawValue>) -> Result<Self, Failure> {
        value.map_or_else(|| Ok(Self::default()), |value| Self::read(value.get()))
    }

    /// Reads a list of objects, which are read one by one: each is far larger than its text.
    fn list(value: Option<&'a RawValue>) -> Result<Vec<&'a RawValue>, Failure> {
        value.map_or(Ok(Vec::new()), |value| {
            parse::from_str(value.get()).map_err(|_| {
                Failure::GatewayProtocolError("a list in an event of its endpoint cannot be read")
            })
        })
    }
}

/// Appends a text as JSON.
fn write_json(out: &mut Vec<u8>, text: &str) {
    // Into memory, of a type whose serialisation cannot fail.
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok());
}

impl Endpoint {
    pub(crate) fn new(tools: ClientTools) -> Self {
        Self {
            tools,
            ..Self::default()
        }
    }

    /// Returns true once the gateway has accepted the run.
    pub(crate) fn is_answering(&self) -> bool {
        self.is_answering
    }

    /// Returns the tokens of the run that the gateway has sent.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes the head of a response that is a stream.
    pub(crate) fn answer(&mut self, show: &mut dyn FnMut(RunEvent<'_>)) {
        if !std::mem::replace(&mut self.is_answering, true) {
            show(RunEvent::Accepted);
        }
    }

    /// Takes the next bytes of the body.
    pub(crate) fn receive(&mut self, bytes: &[u8], show: &mut dyn FnMut(RunEvent<'_>)) {
        let mut events = std::mem::take(&mut self.events);
        let result = events.receive(bytes, &mut |data| self.take(data, show));
        self.events = events;
        match result {
            Ok(None) => {}
            Ok(Some(summary)) => show(RunEvent::Ended(Ok(summary))),
            Err(failure) => show(RunEvent::Ended(Err(failure))),
        }
    }

    /// Takes the data of one event. Returns the end of the run, with the last one.
    #[inline(never)]
    fn take(
        &mut self,
        data: &str,
        show: &mut dyn FnMut(RunEvent<'_>),
    ) -> Result<Option<RunSummary>, Failure> {
        if data == "[DONE]" {
            let is_true = |finish: &Finish| (*finish == Finish::Calls) == (self.calls > 0);
            let finish = self.finish.filter(is_true);
            let finish = finish.ok_or(Failure::GatewayProtocolError(
                "its endpoint ended an answer without its reason",
            ))?;
            return Ok(Some(RunSummary {
                finish,
                usage: self.usage,
            }));
        }
        let event = Object::read(data)?;
        if event.error.is_some() {
            return Err(Object::member(event.error)?.failure());
        }
        if event.usage.is_some() {
            let tokens = Object::member(event.usage)?;
            let details = Object::member(tokens.prompt_tokens_details)?;
            self.usage = Usage {
                prompt: tokens.prompt_tokens.unwrap_or_default(),
                cached: details.cached_tokens.unwrap_or_default(),
                completion: tokens.completion_tokens.unwrap_or_default(),
                cache_written: 0,
            };
        }
        for choice in Object::list(event.choices)? {
            let choice = Object::read(choice.get())?;
            self.show_delta(&Object::member(choice.delta)?, show)?;
            self.finish = match choice.finish_reason.as_deref() {
                None => self.finish,
                Some("stop") => Some(Finish::Stop),
                Some("length") => Some(Finish::Length),
                Some("tool_calls") => Some(Finish::Calls),
                Some(_) => {
                    return Err(Failure::GatewayProtocolError(
                        "its endpoint ended an answer for an unknown reason",
                    ));
                }
            };
        }
        Ok(None)
    }

    #[inline(never)]
    fn show_delta(
        &mut self,
        delta: &Object<'_>,
        show: &mut dyn FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        if let Some(text) = delta.content.as_deref().filter(|text| !text.is_empty()) {
            self.count(text)?;
            show(RunEvent::Text(text));
        }
        for call in Object::list(delta.tool_calls)? {
            let call = Object::read(call.get())?;
            let function = Object::member(call.function)?;
            let begun = u64::from(self.calls);
            let begins = match (&function.name, &call.id) {
                (Some(name), Some(id)) if call.index == Some(begun) => {
                    self.calls = self.calls.saturating_add(1);
                    self.count(id)?;
                    self.count(name)?;
                    Some((&**id, self.tools.clients_name(name)))
                }
                _ if begun > 0 && call.index == begun.checked_sub(1) => None,
                _ => {
                    return Err(Failure::GatewayProtocolError(
                        "its endpoint sent a part of a call that has not begun",
                    ));
                }
            };
            let arguments = function.arguments.as_deref().unwrap_or_default();
            self.bytes = self.bytes.saturating_add(arguments.len());
            if self.bytes <= MAX_ANSWER_BYTES {
                show(RunEvent::Call(CallPiece { begins, arguments }));
            }
        }
        self.count("")
    }

    fn count(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > MAX_ANSWER_BYTES {
            return Err(Failure::AnswerTooLarge {
                limit_bytes: MAX_ANSWER_BYTES,
            });
        }
        Ok(())
    }
}

impl Object<'_> {
    /// Returns the failure of a run.
    #[inline(never)]
    fn failure(&self) -> Failure {
        let message = self.message.as_deref().unwrap_or_default();
        let kind = match (self.kind.as_deref().unwrap_or_default(), message) {
            (_, "invalid tool configuration") => {
                return Failure::invalid(
                    "tools",
                    "The gateway has a tool of its own with the name of one of these, or two \
                     have the same name in lower case.",
                );
            }
            (_, "agent run aborted") => return Failure::RunAborted,
            (_, message) if message.starts_with("tool_choice") => {
                return Failure::AnswerInvalid {
                    problem: "it has no call".into(),
                };
            }
            ("rate_limit_error", _) => ProviderFailure::RateLimit,
            ("authentication_error" | "permission_error" | "insufficient_quota", _) => {
                ProviderFailure::Account
            }
            ("api_error", "upstream provider overloaded") => ProviderFailure::Overloaded,
            ("api_error", "upstream provider timeout") => ProviderFailure::Timeout,
            ("api_error", "upstream provider error") => ProviderFailure::ServerError,
            ("invalid_request_error", _) => ProviderFailure::Format,
            _ => ProviderFailure::Unclassified,
        };
        Failure::Provider(kind)
    }
}

/// Returns the failure that a response other than a stream means.
#[inline(never)]
pub fn refusal(response: &Response<'_>) -> Failure {
    let refusal = &response.refusal;
    match refusal.status {
        400 => {
            let body = std::str::from_utf8(refusal.body).unwrap_or_default();
            let error = Object::read(body).and_then(|refused| Object::member(refused.error));
            let message = error
                .ok()
                .and_then(|error| error.message)
                .filter(|message| {
                    message.len() <= MAX_MESSAGE_BYTES
                        && ABOUT_FIELD.iter().any(|words| message.starts_with(words))
                });
            Failure::InvalidRequest {
                param: None,
                message: message.map_or(
                    Cow::Borrowed("The gateway's endpoint for clients' tools refused the request."),
                    |message| Cow::Owned(message.into_owned()),
                ),
            }
        }
        401 | 403 if Diagnosis::of_response(refusal) != Diagnosis::ProxyAttribution => {
            Failure::GatewayRefused(Refusal::ours("ENDPOINT_IDENTITY"))
        }
        404 | 405 => Failure::GatewayRefused(Refusal::ours("ENDPOINT_OFF")),
        413 => Failure::RequestTooLarge {
            limit_bytes: MAX_REQUEST_BYTES,
        },
        _ => match refused(refusal) {
            Failure::GatewayUnavailable {
                diagnosis, detail, ..
            } => Failure::GatewayUnavailable {
                retry_after_s: response.retry_after_s.unwrap_or(RETRY_AFTER_S),
                diagnosis,
                detail,
            },
            other => other,
        },
    }
}

#[cfg(test)]
mod tests;
