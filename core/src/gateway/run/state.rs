//! The run's data, and the few steps that several of the files beside this one share.

use serde_json::value::RawValue;

use crate::agent::AgentId;
use crate::failure::{Failure, ProviderFailure};
use crate::gateway::answer::{AnswerText, Attempts, Emitted};
use crate::gateway::endpoint::Request;
use crate::gateway::frame::AgentResult;
use crate::gateway::link::{Protocol, RequestId};
use crate::gateway::memory::Recorded;
use crate::gateway::prefix::strip_prefix;
use crate::parse;
use crate::session::SessionKey;
use crate::turn::{Finish, RunEvent, RunSummary, SessionUse, Turn, Usage};

use super::outgoing::Outgoing;

/// `status` of the first response to `agent`.
pub(super) const ACCEPTED: &str = "accepted";
/// `status` of the response to a repeated `agent` (protocol 4; protocol 3 repeats the first one).
pub(super) const IN_FLIGHT: &str = "in_flight";

/// The close code if no connection was closed (RFC 6455 section 7.4.1).
pub(super) const NO_STATUS: u16 = 1005;

/// The pause between the first two questions about the same run, in milliseconds.
pub(super) const FIRST_PAUSE_MS: u64 = 25;

/// Time limit for the answer to a question, in milliseconds, beyond the time that the gateway may
/// take.
pub(super) const ANSWER_MS: u64 = 30_000;

/// One run.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts, none of which follows from another"
)]
pub(crate) struct Run {
    pub(super) turn: Turn,
    /// Known once the session's rows are; `None` for a run that an earlier request started.
    pub(super) session_use: Option<SessionUse>,
    /// The copy of the session up to the response that the turn goes on from, under the gateway's
    /// own key for it.
    pub(super) fork: Option<String>,
    /// It is unknown which turns followed that response, or they cannot be left out.
    pub(super) is_origin_unknown: bool,
    /// The run is not in the session of its own that it could have got.
    pub(super) is_not_aside: bool,
    /// Another run of ours uses the session.
    pub(super) is_session_busy: bool,
    pub(super) state: State,
    pub(super) name: RunName,
    /// The agent waits for its sub-agents, and its continuation is not known yet.
    pub(super) yielded: Option<Yielded>,
    /// Tokens of this run and of those that it continues, if their ends are known.
    pub(super) spent: Usage,
    /// The tokens of the runs before this one, if its end was read, and may be read again: then
    /// `spent` has its tokens.
    pub(super) before_end: Option<Usage>,
    /// Known once the agent is.
    pub(super) target: Option<Target>,
    /// The request that subscribed to the session's events (protocol 4).
    pub(super) subscription: Option<RequestId>,
    /// The reason why it was refused.
    pub(super) unsubscribed: Option<Failure>,
    pub(super) text: AnswerText,
    pub(super) outgoing: Outgoing,
    /// The work that may go on after the answer.
    pub(super) late: Option<Late>,
    /// A question of the agent to its user.
    pub(super) question: Option<UserQuestion>,
    /// The last text may become silence.
    pub(super) is_silent: bool,
    /// The last text, with its end that may be retracted (protocol 3).
    pub(super) held: Option<String>,
    /// The part of the model's last thought that was shown.
    pub(super) thought: String,
    /// The bytes of all thoughts that were shown.
    pub(super) thoughts_bytes: usize,
    /// `All` once the model has reached the end of its answer (protocol 4).
    pub(super) emitted: Emitted,
    /// `One` once the run ended without a failed attempt at the model (protocol 3).
    pub(super) attempts: Attempts,
    /// The class of the last failed attempt at the model.
    pub(super) provider_failure: Option<ProviderFailure>,
    /// `agent` was sent, and was not refused.
    pub(super) may_have_started: bool,
    /// The time at which `agent` was sent.
    pub(super) asked_ms: u64,
    /// The gateway's process that was asked, while the run may be asked for once more. So long the
    /// request is kept.
    pub(super) asked_of: Option<String>,
    /// [`RunEvent::Accepted`] was emitted.
    pub(super) accepted: bool,
    /// An event of the run was received.
    pub(super) has_begun: bool,
    /// An earlier request started the run.
    pub(super) is_joined: bool,
    /// Its client is not there to read its text.
    pub(super) is_unread: bool,
    /// Other exchanges share the run.
    pub(super) is_shared: bool,
    /// The request for the HTTP endpoint, until it is taken.
    pub(super) at_endpoint: Option<Box<Request>>,
    /// Its request on this connection, whose final response may still arrive.
    pub(super) own: Option<RequestId>,
    pub(super) recovery: Recovery,
}

/// The agent and the session of the run, and the protocol of its gateway.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) agent: AgentId,
    pub(super) session: SessionKey,
    pub(super) protocol: Protocol,
}

/// The states of a run, as in the drawing of the module above.
#[derive(Debug, Clone)]
pub(super) enum State {
    Idle,
    Choosing {
        list: RequestId,
        protocol: Protocol,
    },
    Looking {
        rows: RequestId,
        agent: AgentId,
        protocol: Protocol,
    },
    Branching {
        asked: RequestId,
        agent: AgentId,
        step: Step,
    },
    Starting {
        agent: RequestId,
    },
    Explaining {
        list: RequestId,
        refused: Failure,
    },
    Running {
        agent: RequestId,
    },
    Detached,
    Claiming {
        claim: RequestId,
    },
    Waiting {
        wait: RequestId,
    },
    Pausing {
        until_ms: u64,
    },
    Rereading {
        rows: RequestId,
        ending: Box<Ending>,
    },
    Yielded {
        search: Search,
    },
    /// The gateway's HTTP endpoint has the run.
    AtEndpoint,
    Ended,
}

/// A request on the way to a copy of the session.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// For the rows of an earlier attempt's copy, which may have the run.
    Seek,
    /// For the rows of the session of its own that the run may have got.
    SeekAside,
    /// For a copy up to the response.
    Fork,
    /// For a copy of that one under our key.
    Copy { of: String },
}

/// The end of a run whose answer is read.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) finish: Finish,
    /// Tokens of the runs before it.
    pub(super) earlier: Usage,
    /// Its last text.
    pub(super) last: String,
    pub(super) files: Vec<String>,
}

/// A run's id, and the beginning of its events' ids.
#[derive(Debug, Clone)]
pub(super) struct RunName {
    /// The id and a closing quote.
    quoted: String,
}

impl RunName {
    pub(super) fn of(id: &str) -> Self {
        Self {
            quoted: id.to_owned() + "\"",
        }
    }

    pub(super) fn id(&self) -> &str {
        self.quoted.strip_suffix('"').unwrap_or(&self.quoted)
    }

    /// Returns true if this is the id.
    pub(super) fn is(&self, id: &str) -> bool {
        strip_prefix(&self.quoted, id) == Some("\"")
    }

    pub(super) fn filter(&self) -> &str {
        &self.quoted
    }
}

/// A wait for a continuation.
#[derive(Debug, Clone)]
pub(super) struct Yielded {
    /// Id of the run that yielded.
    pub(super) by: String,
    /// Tokens of the runs before that one.
    pub(super) earlier: Usage,
    /// Runs of the sub-agents, if the gateway names them (protocol 4).
    pub(super) children: Vec<String>,
    /// The time when the gateway last showed that a sub-agent runs; at first the time of the yield.
    pub(super) active_ms: u64,
}

/// A search for the continuation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Search {
    Asked {
        history: RequestId,
        answer_by_ms: u64,
    },
    Pause {
        until_ms: u64,
    },
}

impl Search {
    /// Begins to wait for the answer to a request.
    pub(super) fn asked(history: RequestId, now_ms: u64) -> Self {
        Self::Asked {
            history,
            answer_by_ms: now_ms.saturating_add(ANSWER_MS),
        }
    }

    pub(super) fn due_ms(self) -> u64 {
        match self {
            Self::Asked { answer_by_ms, .. } => answer_by_ms,
            Self::Pause { until_ms } => until_ms,
        }
    }
}

/// Work that goes on after the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Late {
    /// A tool has started to make media in the background.
    pub(super) makes_media: bool,
    /// The sub-agents that the answer's runs have left behind, if it waits for them.
    pub(super) children: Vec<Child>,
    /// All of them have reported, and a run that follows the last one may begin.
    pub(super) is_settling: bool,
    /// The times at which sub-agents and media are no longer waited for.
    pub(super) until_ms: u64,
    pub(super) media_until_ms: u64,
    /// The end of the answer, once that ended.
    pub(super) finish: Option<Finish>,
    /// The run that ended it, and the tokens of the runs before that.
    pub(super) of: String,
    pub(super) earlier: Usage,
    /// Runs that show work, began while another run was read, and are still to be read.
    pub(super) seen: Vec<String>,
    /// Runs that were read, or are.
    pub(super) read: Vec<String>,
}

/// A sub-agent.
#[derive(Debug, Clone)]
pub(super) struct Child {
    pub(super) run_id: String,
    /// The id of the run in which the agent reports its result.
    pub(super) report: String,
}

/// A question of the agent to its user, without an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum UserQuestion {
    /// The rows are requested at this time.
    Due(u64),
    /// The rows were requested.
    Read(RequestId),
    /// It was shown, and the gateway asked to stop the run, which has used these tokens.
    Shown(Usage),
}

/// The state of a run on another connection than the one that started it.
#[derive(Debug, Clone, Default)]
pub(super) struct Recovery {
    /// The reason why the connection was lost.
    pub(super) lost: Option<Failure>,
    pub(super) knowledge: Knowledge,
    /// The whole answer was received, by `chat`.
    pub(super) has_whole_text: bool,
    /// The time of the last change of the knowledge.
    pub(super) since_ms: u64,
    pub(super) pause_ms: u64,
    /// The deadline for the answer to the present question.
    pub(super) answer_by_ms: u64,
    /// The session's record of the run, for a gateway that does not remember it.
    pub(super) recorded: Option<Recorded>,
}

/// The state of the run, as seen on this connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Knowledge {
    #[default]
    Nothing,
    /// The gateway does not know it, even after a wait.
    Sought,
    /// The gateway answered for it, or sent an event of it.
    Going,
    Ended,
}

impl Run {
    pub(crate) fn new(turn: Turn) -> Self {
        Self {
            name: RunName::of(turn.run.as_str()),
            yielded: None,
            spent: Usage::default(),
            before_end: None,
            turn,
            session_use: None,
            fork: None,
            is_origin_unknown: false,
            is_not_aside: false,
            is_session_busy: false,
            state: State::Idle,
            target: None,
            subscription: None,
            unsubscribed: None,
            text: AnswerText::default(),
            outgoing: Outgoing::default(),
            late: None,
            question: None,
            is_silent: false,
            held: None,
            thought: String::new(),
            thoughts_bytes: 0,
            emitted: Emitted::Part,
            attempts: Attempts::Unknown,
            provider_failure: None,
            may_have_started: false,
            asked_ms: 0,
            asked_of: None,
            accepted: false,
            has_begun: false,
            is_joined: false,
            is_unread: false,
            is_shared: false,
            at_endpoint: None,
            own: None,
            recovery: Recovery::default(),
        }
    }

    /// Returns true if the gateway is known on this connection to have the run, and its end was not
    /// read.
    pub(crate) fn is_going(&self) -> bool {
        matches!(
            self.state,
            State::Running { .. }
                | State::Claiming { .. }
                | State::Waiting { .. }
                | State::Pausing { .. }
                | State::Rereading { .. }
                | State::Yielded { .. }
                | State::AtEndpoint
        )
    }

    /// Returns true if the gateway lets us stop the run.
    pub(crate) fn can_be_aborted(&self) -> bool {
        self.is_v4()
    }

    pub(super) fn is_v4(&self) -> bool {
        self.target
            .as_ref()
            .is_some_and(|target| target.protocol == Protocol::V4)
    }

    /// Returns the id of the present run: the requested one, or its continuation.
    pub(super) fn id(&self) -> &str {
        self.name.id()
    }

    /// Returns true if the answer is taken from the event `chat`, because items no longer carry it.
    /// Protocol 3 joins items without a separator there, so their ends are unknown.
    pub(crate) fn needs_chat(&self) -> bool {
        self.text.is_interrupted() && self.is_v4() && !self.is_unread
    }

    pub(super) fn accept(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        if !self.accepted {
            self.accepted = true;
            self.free_request();
            show(RunEvent::Accepted);
        }
    }

    /// Frees the request's content, which may be megabytes: a run can take hours.
    pub(super) fn free_request(&mut self) {
        self.asked_of = None;
        self.turn.message = String::new();
        self.turn.extra_system_prompt = None;
        self.turn.attachments = Vec::new();
        self.turn.earlier = None;
    }

    /// Returns true if the run was asked for and may be asked for once more, so that the content of
    /// its request is kept.
    pub(crate) fn keeps_request(&self) -> bool {
        self.asked_of.is_some()
    }

    pub(super) fn end(
        &mut self,
        result: Result<RunSummary, Failure>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) {
        if !matches!(self.state, State::Ended) {
            self.state = State::Ended;
            show(RunEvent::Ended(result));
        }
    }

    /// Returns true if the run was requested and no connection receives its events.
    pub(crate) fn is_detached(&self) -> bool {
        matches!(self.state, State::Detached)
    }

    /// Records that the gateway has shown that the run is going.
    pub(super) fn record_going(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        if self.recovery.knowledge != Knowledge::Ended {
            self.recovery.knowledge = Knowledge::Going;
        }
        self.accept(show);
    }

    pub(super) fn failed(&self) -> Failure {
        Failure::Provider(
            self.provider_failure
                .unwrap_or(ProviderFailure::Unclassified),
        )
    }

    /// Begins the recovery of a run whose final response goes to another connection, so that it
    /// must be claimed.
    pub(super) fn look_after(&mut self, now_ms: u64) {
        self.recovery = Recovery {
            lost: Some(Failure::GatewayConnectionLost {
                close_code: NO_STATUS,
                cause: None,
            }),
            knowledge: Knowledge::Going,
            since_ms: now_ms,
            pause_ms: FIRST_PAUSE_MS,
            ..Recovery::default()
        };
    }
}

/// Reads a response about a run.
pub(super) fn read_result(payload: Option<&RawValue>) -> Result<AgentResult<'_>, Failure> {
    payload
        .and_then(|payload| parse::from_str(payload.get()).ok())
        .ok_or(Failure::GatewayProtocolError(
            "a response about the run cannot be read",
        ))
}
