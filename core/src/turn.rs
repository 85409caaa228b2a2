//! Where the two sides meet: one user request for one agent, and what the agent's run says back.
//!
//! `openai/` makes a [`Turn`] and shows [`RunEvent`]s; `gateway/` runs the one and tells the others. Neither names the other.

use std::borrow::Cow;
use std::fmt;

use base16ct::lower as hex;

use crate::agent::{AgentId, Agents};
use crate::error::Failure;
use crate::session::Session;

/// One user request for one agent.
#[derive(Clone, Debug)]
pub struct Turn {
    pub agent: AgentChoice,
    pub session: Session,
    pub run: RunId,
    /// Somebody may have asked for this run before: then it is joined, and not started.
    pub may_exist: bool,
    /// The client wants to hear what the model thinks.
    pub wants_thoughts: bool,
    /// The client wants to hear of tools and failed attempts.
    pub wants_progress: bool,
    /// What the agent is told.
    pub message: String,
    pub extra_system_prompt: Option<String>,
    /// The client's trace (W3C Trace Context).
    pub traceparent: Option<String>,
    pub attachments: Vec<Attachment>,
}

/// Which agent a turn is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentChoice {
    /// An agent the client may reach.
    Named(AgentId),
    /// The gateway's own default, if it is one of these.
    GatewayDefault(Agents),
}

/// An image for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// `image/…`
    pub mime_type: String,
    pub file_name: String,
    /// Base64, as the client sent it.
    pub content: String,
}

/// A run's id, which is also its idempotency key at the gateway: random, or derived from the client's key and what it sent, so no other
/// client can name the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(String);

impl RunId {
    pub fn from_entropy(entropy: &[u8; 16]) -> Self {
        Self(hex::encode_string(entropy))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a run says.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// The gateway took the run: from here on it has effects, and starting it again would repeat them.
    Accepted,
    /// The next piece of the answer, never empty, never taken back.
    Text(&'a str),
    /// The next piece of what the model thinks, which is no part of the answer.
    Thought(&'a str),
    /// What it does meanwhile.
    Progress(Progress<'a>),
    /// The run is over; nothing follows.
    Ended(Result<Answer, Failure>),
}

/// What a run does besides talking. Its words are for a comment: one line, without the gateway's prose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    ToolStarted {
        name: Cow<'a, str>,
    },
    ToolEnded {
        name: Cow<'a, str>,
        failed: bool,
    },
    /// The model failed, and is asked again.
    Retrying {
        attempt: u32,
        of: u32,
    },
    /// The model failed; whether it is asked again the gateway does not say (protocol 3).
    AttemptFailed,
}

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToolStarted { name } => write!(f, "tool {} started", ToolName(name)),
            Self::ToolEnded { name, failed: false } => write!(f, "tool {} ended", ToolName(name)),
            Self::ToolEnded { name, failed: true } => write!(f, "tool {} failed", ToolName(name)),
            Self::Retrying { attempt, of } => write!(f, "model failed, retry {attempt} of {of} follows"),
            Self::AttemptFailed => f.write_str("model failed"),
        }
    }
}

/// The longest name of a tool that is shown, in characters; OpenAI's own limit.
const MAX_TOOL_NAME_CHARS: usize = 64;

/// A tool's name without what could end a line or a comment.
struct ToolName<'a>(&'a str);

impl fmt::Display for ToolName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
        self.0
            .chars()
            .filter(shown)
            .take(MAX_TOOL_NAME_CHARS)
            .try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

/// How a run that succeeded ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub finish: Finish,
    pub usage: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Stop,
    /// The model's output limit was reached.
    Length,
}

/// Tokens of the whole run, tool rounds included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub prompt: u64,
    /// Of `prompt`, those read from the provider's cache.
    pub cached: u64,
    /// Of `prompt`, those written to it.
    pub cache_written: u64,
    pub completion: u64,
}
