//! One run of an agent, from the ready link to the final response.
//!
//! ```text
//!         ready, agent named                            accepted
//!   Idle ───────────────────────────────▶ Starting ──────────────────▶ Running ───▶ Ended
//!     │                                    ▲    │                         final response
//!     │ ready, gateway's default agent     │    │ INVALID_REQUEST
//!     └───────────▶ Choosing ──────────────┘    └────▶ Explaining ───▶ Ended
//!                   (agents.list)                      (agents.list)
//!
//! If the turn expects its session to hold a conversation, the state Looking (`memory`) is between
//! the agent's name and Starting. If the turn goes on from an earlier response of the session, the
//! state Branching (`branch`) may follow.
//!
//!                    connection lost                ready                the final response
//!   Starting, Running ───────────────▶ Detached ───────────▶ Claiming ────────────────────▶ Ended
//!                                        ▲                    ▲    │ it is going, or unknown
//!                    connection lost     │       it ended     │    ▼
//!                    again ──────────────┘     ┌──────────────┤  Waiting (agent.wait)
//!                                              │              │    │
//!                                            Waiting ◀──── Pausing ◀┘ it is still going
//! ```
//!
//! A run outlives its connection, but its final response goes only to the connection that requested
//! it. On another connection it is **claimed**: with `agent` and the same idempotency key, to which
//! the gateway returns the result that it remembers. The gateway checks the key first. Then it
//! refuses the request for its agent and its channel, which do not exist. So a claim never starts a
//! run, even if the gateway has forgotten the first one. For a run that is still going the response
//! is `accepted` or `in_flight`. Then `agent.wait` returns when it has ended, about 50 ms before
//! its final response can be claimed.
//!
//! A run that was lost in `Starting` may never have arrived. If the same process of the gateway does
//! not know it, and its session does not have it, it is requested once more, as one that may exist:
//! from `Claiming` it goes to `Looking` and `Starting`.
//!
//! A run that an earlier request may have started (`may_exist`) is requested too, under its key:
//! the gateway answers for the existing run, within its memory of five minutes. Such a run is
//! **joined**: from `Starting` it goes to `Waiting`, or to its end.
//!
//! A gateway that was restarted, or is asked later than that, remembers no run, but its session
//! does (protocol 4): the row of the message has the run's id. So a run that its client named is
//! first searched there, and in the session of its own that it may have got. If it is there, it is
//! claimed and never requested. An answer that the gateway no longer remembers is taken from the
//! session (`recall`).
//!
//! A run whose agent waits for sub-agents ends without an answer, and continues in another run:
//! `continuation`. Work that goes on after the answer comes in further runs, too: `late`.
//!
//! A run that is joined after its end, or whose connection was lost, may have text that only the
//! rows of its session have: `reread`.
//!
//! The data is in `state`. The steps up to `Running` are in `start`, those from `Detached` on in
//! `recovery`. Only the response to `agent` ends a run. `lifecycle:error` does not, because the
//! gateway may try again, and `chat:final` does not either. On protocol 3 that response has `ok`
//! for a failed run too, and only `meta.stopReason` shows the failure. Events of other runs are
//! dropped unread.
//!
//! Source of the wire facts: OpenClaw 2026.9.6 and 2026.3.13, recorded. The recordings are in
//! `core/tests/transcripts`.

mod branch;
mod continuation;
mod endpoint;
mod events;
pub(crate) mod io;
mod late;
mod outgoing;
mod recovery;
mod reread;
mod settle;
mod silence;
mod start;
mod state;
mod subscription;
mod user_question;

use crate::agent::AgentId;
use crate::failure::Failure;
use crate::gateway::frame::{ANNOUNCE, RunParams};
use crate::gateway::link::{Link, Protocol, RequestId};
use crate::kept::{Facts, Kept};
use crate::session::SessionKey;
use crate::turn::{AgentChoice, RunEvent, SessionUse, Usage};

use io::{Incoming, Io};
pub(crate) use state::Run;
use state::{NO_STATUS, RunName, Search, State, Target};

impl Run {
    /// Takes the state of a run that an earlier hub requested: it is claimed on the next
    /// connection, and its text is not read. `None` if its agent is not known.
    pub(crate) fn adopt(&mut self, kept: &Kept<'_>) -> Option<()> {
        let agent = self.agent()?.clone();
        let session = self.turn.session.key(&agent);
        let protocol = if kept.facts.has(Facts::V4) {
            Protocol::V4
        } else {
            Protocol::V3
        };
        self.target = Some(Target {
            agent,
            session,
            protocol,
        });
        self.name = RunName::of(kept.id);
        let [prompt, cached, completion] = kept.spent;
        self.spent = Usage {
            prompt,
            cached,
            completion,
            ..Usage::default()
        };
        self.may_have_started = true;
        self.is_joined = kept.facts.has(Facts::COUNTED);
        self.is_unread = true;
        self.detach(Failure::GatewayConnectionLost {
            close_code: NO_STATUS,
            cause: None,
        });
        Some(())
    }

    /// Has the text of an adopted run read.
    pub(crate) fn read_text(&mut self) {
        self.is_unread = false;
    }

    /// Takes an incoming frame. Requests go into the outbox, the run's events to `show`.
    pub(crate) fn receive(
        &mut self,
        incoming: Incoming<'_>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) {
        let result = match incoming {
            Incoming::Ready(protocol) => self.begin(protocol, io),
            Incoming::Response { id, result } if self.subscription == Some(id) => {
                self.receive_subscription(result)
            }
            Incoming::Response { id, result } if self.question_request() == Some(id) => {
                self.receive_question(&result, io, show)
            }
            Incoming::Response { id, result } => match &self.state {
                State::Rereading { rows, ending } if *rows == id => {
                    let ending = (**ending).clone();
                    self.receive_reread(result, ending, io, show)
                }
                State::Claiming { claim } if *claim == id => self.receive_claim(result, io, show),
                State::Waiting { wait } if *wait == id => self.receive_wait(result, io),
                State::Yielded {
                    search: Search::Asked { history, .. },
                } if *history == id && self.awaits_late() => self.receive_tasks(result, io, show),
                State::Yielded {
                    search: Search::Asked { history, .. },
                } if *history == id => self.receive_history(result, io),
                _ => self.receive_response(id, result, io, show),
            },
            Incoming::Agent(event) => self.receive_event(event, io, show),
            Incoming::Chat(payload) => self.receive_chat(payload, show),
        };
        if let Err(failure) = result {
            // The run may still be going, but its client no longer needs it.
            self.abort(io.link, io.outbox);
            show(RunEvent::Ended(Err(failure)));
        }
    }

    /// Records that events are missing. They may be this run's, so from here on only the whole
    /// answer counts. On protocol 3 it means nothing.
    pub(crate) fn miss_events(&mut self) {
        if self.is_v4() {
            self.text.interrupt(self.emitted);
        }
    }

    /// Returns true if the run made the request with this id, and reads its responses.
    pub(crate) fn awaits(&self, id: RequestId) -> bool {
        let asked = match &self.state {
            State::Choosing { list, .. } | State::Explaining { list, .. } => Some(*list),
            State::Looking { rows, .. } | State::Rereading { rows, .. } => Some(*rows),
            State::Branching { asked, .. } => Some(*asked),
            State::Starting { agent } | State::Running { agent } => Some(*agent),
            State::Claiming { claim } => Some(*claim),
            State::Waiting { wait } => Some(*wait),
            State::Yielded {
                search: Search::Asked { history, .. },
            } => Some(*history),
            _ => None,
        };
        [asked, self.subscription, self.own, self.question_request()].contains(&Some(id))
    }

    /// Returns true if the run reads the events of this run.
    pub(crate) fn reads(&self, run_id: &str) -> bool {
        self.name.is(run_id)
            || (self.yielded.is_some() && run_id.starts_with(ANNOUNCE))
            || self.is_late_id(run_id)
    }

    /// Returns the session whose events the run has subscribed to.
    pub(crate) fn subscribed_session(&self) -> Option<(&AgentId, &SessionKey)> {
        let target = self
            .target
            .as_ref()
            .filter(|_| self.subscription.is_some())?;
        Some((&target.agent, &target.session))
    }

    /// Asks the gateway to stop the run, if there may be one, the gateway allows it, and no other
    /// exchange shares it.
    ///
    /// Protocol 3 cannot abort an `agent` run with `operator.write`, so the run continues to its
    /// end there.
    pub(crate) fn abort(&mut self, link: &mut Link, outbox: &mut Vec<String>) {
        if !self.is_shared {
            self.write_abort(link, outbox);
        }
        self.state = State::Ended;
    }

    /// Writes the request that stops the run.
    pub(crate) fn write_abort(&self, link: &mut Link, outbox: &mut Vec<String>) {
        let may_be_going =
            self.may_have_started && !matches!(self.state, State::Ended | State::AtEndpoint);
        if let Some(target) = &self.target
            && may_be_going
            && self.can_be_aborted()
        {
            let params = RunParams {
                session_key: Some(target.session.as_str()),
                run_id: self.id(),
                timeout_ms: None,
            };
            // A failure to write it is ignored, because the exchange ends here.
            let _ = link.request("chat.abort", &params, outbox);
        }
    }

    /// Returns true if the gateway may have begun the run, so that a second request could run it
    /// twice.
    pub(crate) fn may_have_started(&self) -> bool {
        self.may_have_started
    }

    /// Returns true if no further frame of the run matters.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Returns true if an earlier request started the run.
    pub(crate) fn is_joined(&self) -> bool {
        self.is_joined
    }

    /// Returns the tokens of the run that the gateway has sent.
    pub(crate) fn usage(&self) -> Usage {
        self.spent
    }

    /// Returns the tokens of the runs before the one that is going. A run that waits for its
    /// continuation is still the one that is going: the next hub gets its end once more.
    pub(crate) fn earlier_usage(&self) -> Usage {
        if let Some(earlier) = self.before_end {
            return earlier;
        }
        if let Some(late) = self.late.as_ref().filter(|_| self.awaits_late()) {
            return late.earlier;
        }
        let yielded = self.yielded.as_ref();
        let yielded = yielded.filter(|yielded| self.name.is(&yielded.by));
        yielded.map_or(self.spent, |yielded| yielded.earlier)
    }

    /// Returns the id of the run that was requested, whatever continues it.
    pub(crate) fn requested_id(&self) -> &str {
        self.turn.run.as_str()
    }

    /// Returns the id of the run that has the answer: the requested one, or its continuation. The
    /// next hub looks for it, and for no work that goes on after it.
    pub(crate) fn running_id(&self) -> &str {
        let late = self.late.as_ref().filter(|_| self.awaits_late());
        late.map_or_else(|| self.id(), |late| &late.of)
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    pub(crate) fn share(&mut self, is_shared: bool) {
        self.is_shared = is_shared;
    }

    /// Returns the gateway's reason for refusing the run, while its meaning is still being
    /// requested.
    pub(crate) fn refused(&self) -> Option<&Failure> {
        match &self.state {
            State::Explaining { refused, .. } => Some(refused),
            _ => None,
        }
    }

    /// Returns true if the gateway has accepted the run and sent no event of it.
    pub(crate) fn waits_to_start(&self) -> bool {
        matches!(self.state, State::Running { .. }) && !self.has_begun
    }

    /// Returns true if `agent` was sent and the gateway has neither accepted nor refused it.
    pub(crate) fn awaits_acceptance(&self) -> bool {
        matches!(self.state, State::Starting { .. })
    }

    /// Returns the beginning of the run ids whose events are read, closing quote included.
    pub(crate) fn event_filter(&self) -> &str {
        match self.yielded {
            // Runs of several tools and sub-agents may follow.
            _ if self.late.is_some() => "",
            Some(_) => ANNOUNCE,
            None => self.name.filter(),
        }
    }

    pub(crate) fn agent(&self) -> Option<&AgentId> {
        match (&self.target, &self.turn.agent) {
            (Some(target), _) => Some(&target.agent),
            (None, AgentChoice::Named(agent)) => Some(agent),
            (None, AgentChoice::GatewayDefault(_)) => None,
        }
    }

    /// Returns the session whose rows the run awaits.
    pub(crate) fn awaited_session(&self) -> Option<SessionKey> {
        match &self.state {
            State::Looking { agent, .. } => Some(self.turn.session.key(agent)),
            _ => None,
        }
    }

    /// Returns true for another run than this one that uses the session, and has not answered.
    pub(crate) fn is_other(&self, run: &Self, session: &SessionKey) -> bool {
        self.session() == Some(session) && self.turn.run != run.turn.run && !self.awaits_late()
    }

    pub(crate) fn note_session_busy(&mut self, is_busy: bool) {
        self.is_session_busy = is_busy;
    }

    /// Returns the part of the conversation that the agent gets, if its session lasts.
    pub(crate) fn session_use(&self) -> Option<SessionUse> {
        self.session_use
    }

    /// Returns the agent and the session of a run that may have begun.
    pub(crate) fn requested(&self) -> Option<(&AgentId, &SessionKey)> {
        let target = self.target.as_ref().filter(|_| self.may_have_started)?;
        Some((&target.agent, &target.session))
    }

    pub(crate) fn session(&self) -> Option<&SessionKey> {
        self.target.as_ref().map(|target| &target.session)
    }
}
