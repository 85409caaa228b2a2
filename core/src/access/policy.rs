//! The words of an entry for the rights of a key.

/// The sessions that a key may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SessionPolicy {
    /// `agent:<agent>:edge:<key id>:…` only.
    #[default]
    Own,
    /// Any session of an agent that the key may use, by its raw key.
    Any,
}

/// The endpoints that a key may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `POST /v1/chat/completions` and `POST /v1/audio/speech`
    Chat,
    /// `GET /v1/models`
    Models,
    /// `POST /v1/responses`
    Responses,
    /// The gateway's state, with its details, at `GET /readyz`.
    Status,
    /// `/admin/v1`: the keys of the hub. A key with this scope has no other.
    Admin,
}

impl Scope {
    /// The default: all scopes that a client needs. The gateway's state is for its operator.
    pub const DEFAULT: [Self; 3] = [Self::Chat, Self::Models, Self::Responses];
}

/// The limits of a key; `None` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests for a run in one minute.
    pub requests_per_minute: Option<u32>,
    /// Runs that are active at the same time.
    pub concurrent_runs: Option<u32>,
    /// Tokens in one UTC day, in one UTC month, and runs in one UTC day.
    pub tokens_per_day: Option<u32>,
    pub tokens_per_month: Option<u32>,
    pub runs_per_day: Option<u32>,
}

/// The session of the title, tag and follow-up requests that chat UIs send on their own
/// (`openai/ui_task`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TaskPolicy {
    /// A separate session, so that these requests leave no trace in the conversation.
    #[default]
    Aside,
    /// The session that any other request would use.
    Inline,
}

/// The handling of a request whose client offers its own tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ToolPolicy {
    /// The tools are ignored, and listed as ignored: many clients always send them.
    #[default]
    Ignore,
    /// The request is refused.
    Refuse,
    /// The agent can call them, over the gateway's HTTP endpoint.
    Run,
}

/// The place of a client's system text: its messages of the system and developer, `instructions`,
/// and the form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SystemPolicy {
    /// In the agent's system prompt, in a frame that names the client as its author.
    #[default]
    Allow,
    /// In the same frame, before the user's message.
    User,
    /// No place: the request is refused.
    Refuse,
}

/// The behaviour of a key's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPolicy {
    /// True if comments keep a silent stream alive.
    pub heartbeat: bool,
    pub on_disconnect: OnDisconnect,
    /// Time for which a whole response can still have its real status, in seconds from the run's
    /// acceptance. After it the head is sent, to keep the request alive.
    pub keep_alive_s: u32,
    /// Seconds for which an answer waits for sub-agents that its agent does not wait for.
    pub linger_s: Option<u32>,
}

/// Seconds. Proxies wait at least 60 s for a head.
pub(crate) const DEFAULT_KEEP_ALIVE_S: u32 = 30;

impl Default for StreamPolicy {
    fn default() -> Self {
        Self {
            heartbeat: true,
            on_disconnect: OnDisconnect::Abort,
            keep_alive_s: DEFAULT_KEEP_ALIVE_S,
            linger_s: None,
        }
    }
}

/// The handling of a run whose client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The run is stopped, if the gateway allows it.
    Abort,
    /// The run continues to its end; its answer is in the session.
    Finish,
}

/// A value that is one of a few words.
pub(super) trait Word: Copy + 'static {
    fn all() -> &'static [Self];
    fn name(self) -> &'static str;
}

/// Gives a type its words.
macro_rules! words {
    ($type:ident { $($variant:ident = $name:literal),+ }) => {
        impl $type {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl $crate::access::policy::Word for $type {
            fn all() -> &'static [Self] {
                Self::ALL
            }

            fn name(self) -> &'static str {
                self.name()
            }
        }
    };
}

pub(super) use words;

words!(SessionPolicy { Own = "own", Any = "any" });
words!(Scope { Chat = "chat", Models = "models", Responses = "responses", Status = "status", Admin = "admin" });
words!(OnDisconnect { Abort = "abort", Finish = "finish" });
words!(TaskPolicy { Aside = "aside", Inline = "inline" });
words!(ToolPolicy { Ignore = "ignore", Refuse = "refuse", Run = "run" });
words!(SystemPolicy { Allow = "allow", User = "user", Refuse = "refuse" });
