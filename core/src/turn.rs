//! The types between the two sides: one user request for one agent, and the events of the agent's
//! run.
//!
//! `openai/` makes a [`Turn`] and writes [`RunEvent`]s; `gateway/` runs the turn and emits the
//! events. Neither depends on the other.

use std::borrow::Cow;
use std::fmt;
use std::mem;

use base16ct::lower as hex;
use sha2::{Digest, Sha256};

use crate::agent::{AgentId, Agents};
use crate::failure::Failure;
use crate::session::{Session, SessionKey};

/// One user request for one agent.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches, none of which follows from another"
)]
pub struct Turn {
    pub agent: AgentChoice,
    pub session: Session,
    pub run: RunId,
    /// The run may have been requested before: then it is joined, and not started.
    pub may_exist: bool,
    /// The client wants the model's thinking.
    pub wants_thoughts: bool,
    /// The client wants events of tools and failed attempts.
    pub wants_progress: bool,
    /// The client gets links to the files that the agent sends it.
    pub wants_files: bool,
    /// Seconds for which the answer waits for sub-agents that its agent does not wait for.
    pub linger_s: u32,
    /// The message for the agent. If `earlier` is set, the message is only for a session that holds
    /// the conversation so far.
    pub message: String,
    /// The part of the conversation that the session must hold for `message`.
    pub earlier: Option<Earlier>,
    /// The earlier response of the session that the client goes on from.
    pub origin: Option<Branch>,
    pub extra_system_prompt: Option<String>,
    /// The client's trace (W3C Trace Context).
    pub traceparent: Option<String>,
    /// The level of the model's thinking, which the gateway's list has for the agent.
    pub thinking: Option<String>,
    pub attachments: Vec<Attachment>,
    /// The number of attachments, the first ones, that an answer followed. The agent can do without
    /// them.
    pub answered_images: usize,
    /// The client's own tools, if the agent can call them: then the gateway's HTTP endpoint runs
    /// the turn, because its WebSocket has no place for them.
    pub tools: Option<ClientTools>,
}

impl Turn {
    /// Takes the images off that an answer followed. Returns false if there are none.
    pub(crate) fn drop_answered_images(&mut self) -> bool {
        let count = mem::take(&mut self.answered_images);
        self.attachments.drain(..count.min(self.attachments.len()));
        if count > 0 {
            self.message = with_images_as(&self.message, IMAGE);
        }
        count > 0
    }
}

/// The tools of a client, and the parameters of the model that came with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTools {
    /// Members of a chat completion request as JSON, each with a comma before it.
    pub members: String,
    /// The client's names of tools that the gateway does not take, and their names there. A
    /// function of a namespace is `namespace/function` for the client.
    pub renamed: Vec<(String, String)>,
}

/// Stands between a namespace and a function of it, in the client's name. No name has it.
pub(crate) const IN_NAMESPACE: char = '/';

/// Returns the client's name of a function in a namespace.
pub(crate) fn in_namespace(space: &str, name: &str) -> String {
    let mut whole = space.to_owned();
    whole.push(IN_NAMESPACE);
    whole.push_str(name);
    whole
}

const NOTE: &str = "The tools that the client carries out, with its own files, have other names here \
                    than in its messages: ";
const NOTE_END: &str =
    ". A tool of a name that the client uses is this host's, and does nothing for the client.";

impl ClientTools {
    /// Returns the name that the gateway has for a tool of the client.
    pub fn gateways_name<'a>(&'a self, name: &'a str) -> &'a str {
        let renamed = self.renamed.iter().find(|(clients, _)| clients == name);
        renamed.map_or(name, |(_, gateways)| gateways)
    }

    /// Returns what the model has to know of the names, if anything: the client's instructions use
    /// the client's, which are those of the gateway's own tools, and these act elsewhere.
    pub(crate) fn note(&self) -> String {
        let mut note = String::new();
        for (clients, gateways) in &self.renamed {
            // The gateway has no tools with the names of namespaces.
            if !clients.contains(IN_NAMESPACE) {
                note += if note.is_empty() { NOTE } else { ", " };
                note += &["`", clients, "` is `", gateways, "`"].concat();
            }
        }
        if !note.is_empty() {
            note += NOTE_END;
        }
        note
    }

    /// Returns the name that the client has for a tool of the gateway's list.
    pub fn clients_name<'a>(&'a self, name: &'a str) -> &'a str {
        let renamed = self.renamed.iter().find(|(_, gateways)| gateways == name);
        renamed.map_or(name, |(clients, _)| clients)
    }
}

/// The agent of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentChoice {
    /// An agent that the client may use.
    Named(AgentId),
    /// The gateway's own default, if it is one of these agents.
    GatewayDefault(Agents),
}

/// The part of a conversation that a lasting session is expected to hold.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The last turns that the client shows, the last one first; without any, every conversation
    /// matches.
    pub turns: Vec<ShownTurn>,
    pub otherwise: Otherwise,
}

/// An earlier response that a turn goes on from. If other turns followed it in its session, the
/// turn does not see them.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The [digits](RunId::digits) of the response's run.
    pub run: String,
    /// The session that the turn gets then: a copy of the session up to the response. `None`: the
    /// session's client named it, so it becomes that copy itself.
    pub session: Option<Session>,
}

/// A message and its answer, as a client shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTurn {
    /// The last message before the answer; empty if it cannot be compared.
    pub message: String,
    pub answer: String,
}

/// Stands for an image that is not attached.
pub(crate) const IMAGE: &str = "[image]";

/// The begin of it, and of the name of an attached one: `[image-1.png]`.
const IMAGE_BEGIN: &str = "[image";

/// Returns the text without what stands for images: an image may be attached to its turn without a
/// word, and be `[image]` in a conversation that is sent again.
pub(crate) fn without_images(text: &str) -> String {
    with_images_as(text, "")
}

/// Returns the text with another word for each image.
fn with_images_as(text: &str, word: &str) -> String {
    let mut pieces = text.split(IMAGE_BEGIN);
    let mut rest = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once(']') {
            Some((name, after)) if name.is_empty() || is_image_name(name) => {
                rest.extend([word, after]);
            }
            _ => rest.extend([IMAGE_BEGIN, piece]),
        }
    }
    rest
}

/// Returns true for the end of an attached image's name: `-1.png`.
fn is_image_name(name: &str) -> bool {
    let number = name.strip_prefix('-').and_then(|name| name.split_once('.'));
    number.is_some_and(|(number, kind)| {
        number.bytes().all(|digit| digit.is_ascii_digit()) && kind.len() <= MAX_KIND_BYTES
    })
}

/// The longest kind of an image: `jpeg`, `webp`.
const MAX_KIND_BYTES: usize = 4;

/// The action if the session does not hold that part.
#[derive(Clone, Debug)]
pub enum Otherwise {
    /// Send the turn's message, which is the whole conversation: the client shows no answer.
    Begin,
    /// Send the whole conversation to the agent.
    Send(Whole),
    /// Refuse the request: the client did not send the whole conversation.
    Refuse(Failure),
}

/// A whole conversation as one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    pub message: String,
    /// The images that are attached before those of the turn.
    pub images: Vec<Attachment>,
}

/// The part of a conversation that the agent gets, by the rows of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionUse {
    /// The new messages, because the session holds the conversation.
    Continued,
    /// The whole conversation, because the session is empty.
    Begun,
    /// The whole conversation, in a session that begins again, because it held another one.
    Renewed,
    /// The whole conversation, in a session of its own, because the session has another run.
    Aside,
    /// The whole conversation, in a session that holds another one, too.
    Added,
    /// The new messages, in a copy of the session up to the response that the client goes on from.
    Branched,
    /// The new messages, in a session that may hold something that the client does not show.
    Unverified,
}

impl SessionUse {
    pub const ALL: [Self; 7] = [
        Self::Continued,
        Self::Begun,
        Self::Renewed,
        Self::Aside,
        Self::Added,
        Self::Branched,
        Self::Unverified,
    ];

    /// Returns the word that a response's header has.
    pub fn name(self) -> &'static str {
        match self {
            Self::Continued => "continued",
            Self::Begun => "begun",
            Self::Renewed => "renewed",
            Self::Aside => "aside",
            Self::Added => "added",
            Self::Branched => "branched",
            Self::Unverified => "unverified",
        }
    }
}

/// An image for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// `png`, `jpeg`, `gif` or `webp`.
    pub kind: &'static str,
    /// Base64, as the client sent it.
    pub content: String,
}

impl Attachment {
    pub fn mime_type(&self) -> String {
        "image/".to_owned() + self.kind
    }

    /// Returns the name that it has as the attachment of this number, from 1 on.
    pub fn file_name(&self, number: usize) -> String {
        ["image-", &number.to_string(), ".", self.kind].concat()
    }
}

/// A run's id, which is also its idempotency key at the gateway. It is random, or derived from the
/// client's key and the request, so no other client can name the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(String);

impl RunId {
    pub fn from_entropy(entropy: &[u8; 16]) -> Self {
        Self(hex::encode_string(entropy))
    }

    /// Returns the id of a run that its client named, for a request with this body. The same name
    /// with another body is another run.
    pub fn named(name: &[u8; 16], body: &[u8; 16]) -> Self {
        let mut id = hex::encode_string(name);
        id.push(NAME_END);
        Self(id + &hex::encode_string(body))
    }

    /// Takes an id that a hub has kept.
    pub(crate) fn read(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// Returns the part of the id that is the same for every body, if the client named the run.
    pub fn name(&self) -> Option<&str> {
        Self::name_of(&self.0)
    }

    /// Returns that part of an id that the gateway sent.
    pub fn name_of(id: &str) -> Option<&str> {
        id.split_once(NAME_END).map(|(name, _)| name)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns hex digits that stand for the run in the id of its response: they do not show the
    /// run's id.
    pub fn digits(&self) -> String {
        Self::digits_of(&self.0)
    }

    /// Returns the same of an id that the gateway sent.
    pub(crate) fn digits_of(id: &str) -> String {
        let mut digits = hex::encode_string(&Sha256::digest(id));
        digits.truncate(RESPONSE_DIGITS);
        digits
    }
}

/// The number of digits that stand for a run in the id of its response.
pub(crate) const RESPONSE_DIGITS: usize = 32;

/// The separator between the name and the body in the id of a run that its client named.
const NAME_END: char = '-';

/// An event of a run.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// The run is in the session of its [`Branch`], and so are the turns that follow it.
    Branched,
    /// The gateway accepted the run: from here on it has effects, and starting it again would
    /// repeat them.
    Accepted,
    /// The next piece of the answer, never empty, never taken back.
    Text(&'a str),
    /// The next piece of the model's thinking, which is not part of the answer.
    Thought(&'a str),
    /// The next piece of a call of a client's tool.
    Call(CallPiece<'a>),
    /// A file of the answer. Files follow its text.
    File(File<'a>),
    /// The run's activity besides the answer.
    Progress(Progress<'a>),
    /// The run is over; no event follows.
    Ended(Result<RunSummary, Failure>),
}

/// A file that an agent sends its client.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// A path of the gateway's host, absolute or of the agent's workspace, or a URL.
    pub source: &'a str,
    pub agent: &'a AgentId,
    pub session: &'a SessionKey,
}

/// Stands for an answer of files alone in a conversation.
pub(crate) const FILES_ONLY: &str = "[file]";

/// A piece of a call. The first piece of a call has its id and name. Calls do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallPiece<'a> {
    /// The id and the name of the call that begins.
    pub begins: Option<(&'a str, &'a str)>,
    /// The next piece of the arguments, which are JSON.
    pub arguments: &'a str,
}

/// The activity of a run besides its answer. Its text is for a comment: one line, without the
/// gateway's prose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    ToolStarted {
        name: Cow<'a, str>,
    },
    ToolEnded {
        name: Cow<'a, str>,
        end: ToolEnd,
    },
    /// The model failed, and the gateway tries again.
    Retrying {
        attempt: u32,
        of: u32,
    },
    /// The model failed. Protocol 3 does not report if the gateway tries again.
    AttemptFailed,
    /// The run does nothing until another event occurs.
    Waiting(Wait),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolEnd {
    Completed,
    Failed,
    /// The tool did nothing: an operator or a rule of the gateway did not allow it.
    Denied,
}

/// The reason why a run waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The run is not requested yet, because the gateway has as many as it may have.
    Queue,
    /// The run was accepted, and the gateway has not started it: a gateway runs a few at a time.
    Start,
    /// The agent asked its user a question.
    Question,
    /// Sub-agents are running.
    SubAgents,
    /// An image, a video or music is being made.
    Media,
}

impl Progress<'_> {
    /// Returns true if clients that did not ask for progress receive it, too: the run waits, or was
    /// not allowed to do something.
    pub fn is_always_shown(&self) -> bool {
        matches!(
            self,
            Self::Waiting(_)
                | Self::ToolEnded {
                    end: ToolEnd::Denied,
                    ..
                }
        )
    }
}

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToolStarted { name } => write!(f, "tool {} started", ToolName(name)),
            Self::ToolEnded { name, end } => {
                let end = match end {
                    ToolEnd::Completed => "ended",
                    ToolEnd::Failed => "failed",
                    ToolEnd::Denied => "denied",
                };
                write!(f, "tool {} {end}", ToolName(name))
            }
            Self::Retrying { attempt, of } => {
                write!(f, "model failed, retry {attempt} of {of} follows")
            }
            Self::AttemptFailed => f.write_str("model failed"),
            Self::Waiting(Wait::Queue) => f.write_str("waiting for other runs to end"),
            Self::Waiting(Wait::Start) => f.write_str("waiting for the gateway to start the run"),
            Self::Waiting(Wait::Question) => {
                f.write_str("waiting for an answer to the agent's question")
            }
            Self::Waiting(Wait::SubAgents) => f.write_str("waiting for sub-agents"),
            Self::Waiting(Wait::Media) => f.write_str("waiting for generated media"),
        }
    }
}

/// Longest name of a tool in a comment, in characters; OpenAI's own limit.
const MAX_TOOL_NAME_CHARS: usize = 64;

/// A tool's name without characters that could end a line or a comment.
struct ToolName<'a>(&'a str);

impl fmt::Display for ToolName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
        self.0
            .chars()
            .filter(shown)
            .take(MAX_TOOL_NAME_CHARS)
            .try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

/// The reason why a run that succeeded ended, and its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSummary {
    pub finish: Finish,
    pub usage: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Stop,
    /// The model's output limit was reached.
    Length,
    /// The client is to carry out the calls of its tools.
    Calls,
}

/// Tokens of the whole run, tool rounds included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub prompt: u64,
    /// The tokens of `prompt` that were read from the provider's cache.
    pub cached: u64,
    /// The tokens of `prompt` that were written to the provider's cache.
    pub cache_written: u64,
    pub completion: u64,
}

impl Usage {
    /// Returns the sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            prompt: self.prompt.saturating_add(other.prompt),
            cached: self.cached.saturating_add(other.cached),
            cache_written: self.cache_written.saturating_add(other.cache_written),
            completion: self.completion.saturating_add(other.completion),
        }
    }
}
