//! One client request joined to one run. What the connection brings goes in; frames for the gateway
//! and bytes for the client come out.
//!
//! The hub owns the connection, which all exchanges share, and the clock. It gives every event to
//! [`Exchange::handle`], carries out the [`Output`], and calls again with [`Input::Tick`] no later
//! than [`Exchange::wake_at_ms`]. After [`Output::ended`] nothing follows. Hang-up, a lost
//! connection and deadlines are inputs like any other.
//!
//! ```text
//!                the run was requested, and the connection is lost        in time
//!   Connection ──────────────────────────────────────────────────▶ Pause ────────▶ Attempt
//!       ▲                                                            ▲               │  │
//!       │                                                            └───────────────┘  │
//!       └────────────────────────────────────────────────────────────  it fails   ──────┘  ready
//! ```
//!
//! Before the connection is ready no run was requested. So a first attempt that fails for a passing
//! reason is repeated, a few times.
//!
//! A run that was requested continues without us. So the exchange asks for another connection and
//! finds the run again ([`Run`]); until then the client's stream stays open, with heartbeats. A
//! run is requested once more only if the gateway does not have it. A connection that another
//! exchange asked for serves as well.
//!
//! The requests for a connection are in `connection`, the deadlines in `deadline`, the writes that
//! are due by the clock in `heartbeat`, the end for a client that left in `leave`, the outcome in
//! `end`, the response in `reply`, the storage of a response that is kept in `record` and `blocks`,
//! the runs of an earlier hub in `adopt`, and the operator's view in `overview`.

pub(crate) mod adopt;
mod blocks;
pub(crate) mod connection;
mod deadline;
mod end;
mod endpoint;
pub(crate) mod heartbeat;
pub(crate) mod leave;
pub(crate) mod overview;
mod record;
mod reply;

use std::mem;

use crate::access::key::KeyId;
use crate::access::policy::{OnDisconnect, StreamPolicy};
use crate::agent::AgentId;
use crate::failure::{Cause, Deadline, Failure};
use crate::file::{Linked, Links};
use crate::gateway::endpoint::{self as endpoint_of_gateway, Endpoint, Request};
use crate::gateway::link::{Link, RequestId};
use crate::gateway::run::Run;
use crate::gateway::run::io::{Incoming, Io};
use crate::http::head::{Head, ResponseMeta};
use crate::openai::Writer;
use crate::openai::error::Phase;
use crate::session::SessionKey;
use crate::turn::{RunSummary, Turn};

pub use blocks::{Block, Progress};
pub use reply::Outcome;
use reply::{Reply, Shown};

/// Time from the client's request until the run is requested. It includes connecting, which may
/// take 10 s: the gateway itself gives a client 3 s (2026.3) or 15 s (2026.9) for the handshake.
pub(crate) const HANDSHAKE_MS: u64 = 20_000;

/// Time from the run's request until the gateway accepts it: a cold gateway was seen to need 1.3 s.
pub(crate) const ACCEPTANCE_MS: u64 = 30_000;

/// Time from the run's request until its end: the gateway's own default limit (2026.9; 10 min on
/// 2026.3). The gateway has forgotten a run that is not over then.
pub(crate) const RUN_MS: u64 = 172_800_000;

/// One request and its run.
#[derive(Debug, Clone)]
pub struct Exchange {
    run: Run,
    /// Set once the gateway's HTTP endpoint is asked for the run. From here on the connection does
    /// not concern it.
    endpoint: Option<Endpoint>,
    policy: StreamPolicy,
    /// The key's own policy for a client that leaves. A response in the background overrides it.
    on_disconnect_of_key: OnDisconnect,
    /// The id of the client's key.
    key: Option<KeyId>,
    /// The time from which on the run waits in the hub, because the gateway has as many as it may
    /// have.
    queued_ms: Option<u64>,
    /// The client asked for progress.
    shows_progress: bool,
    /// The comment about a run that waits to be started was written.
    has_shown_start_wait: bool,
    reply: Reply,
    /// The beginning of the present phase: the handshake, or the wait for acceptance.
    phase_began_ms: u64,
    /// The time at which the run was requested.
    asked_ms: Option<u64>,
    /// The last write that was more than a comment: some clients do not count comments.
    last_write_ms: u64,
    /// Set while there is no connection that receives the run's events.
    loss: Option<Loss>,
    /// The time of the next attempt at the first connection, after a failure.
    again_at_ms: Option<u64>,
    /// Attempts at the first connection that failed.
    first_attempts: usize,
    /// Recent attempts to connect that failed.
    failed_attempts: usize,
    connections: u32,
    connected_ms: u64,
    /// The time by which the run must be stopped, because the client left or its key expired.
    leave_by_ms: Option<u64>,
    /// The time at which the client's key expires, until it does.
    expires_ms: Option<u64>,
    client: ClientState,
    /// Set if an earlier hub requested the run.
    adoption: Option<Adoption>,
    stopped_by: Option<StoppedBy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientState {
    Present,
    /// Its key has expired.
    Expired,
    /// It left, or an earlier hub had it, and the run goes on: nothing is written any more.
    Gone,
}

/// The person who has the run stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StoppedBy {
    Administrator,
    /// The client, which cancels its response. Another client may share the run.
    Client,
}

#[derive(Debug, Clone)]
struct Loss {
    since_ms: u64,
    step: Step,
    /// The last known cause of an attempt's failure.
    cause: Option<Cause>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Pause {
        until_ms: u64,
    },
    /// The hub tries to connect.
    Attempt,
}

/// The deadline that is due.
#[derive(Debug, Clone, Copy)]
enum Due {
    Deadline(Deadline),
    /// The next attempt to connect.
    Connection,
    /// The end of all attempts.
    Recovery,
}

/// The part of an exchange that only the run of an earlier hub has.
#[derive(Debug, Clone, Copy)]
struct Adoption {
    lost_ms: u64,
    stop_at_ms: u64,
}

/// An event that the hub reports.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// The connection is ready, or brings a frame that concerns the run.
    Incoming(Incoming<'a>),
    /// Events are missing on the connection.
    Gap,
    /// The connection is lost. Nothing was sent over it that a new one does not need.
    Closed { code: u16, failure: Failure },
    /// The gateway has sent no frame for too long.
    Silent,
    /// The connection could not be made, or cannot be used, for this reason.
    Failed(Failure),
    /// The client is gone.
    HungUp,
    /// An administrator stops the run.
    Stopped,
    /// The client cancels its response, which is in the background.
    Cancelled,
    /// The client has not read the bytes that were sent, and the buffer for it is full.
    Overrun,
    /// An event of the request at the gateway's HTTP endpoint.
    Endpoint(endpoint_of_gateway::Event<'a>),
    /// Time passed.
    Tick,
}

/// The actions that follow, in this order.
#[derive(Debug, Default, Clone)]
pub struct Output {
    /// Text frames for the gateway.
    pub frames: Vec<String>,
    /// A connection is needed.
    pub connect: bool,
    /// A request for the gateway's HTTP endpoint.
    pub request: Option<Request>,
    /// The response begins.
    pub head: Option<Head>,
    /// The progress of a response that is kept. It is stored before anything of this output is
    /// sent.
    pub progress: Option<Progress>,
    /// Events that are stored.
    pub blocks: Vec<Block>,
    /// The files whose links are in the answer. They are stored before anything of this output is
    /// sent.
    pub files: Vec<Linked>,
    /// Bytes of its body.
    pub body: Vec<u8>,
    /// The body is complete. The exchange goes on unless it has ended, too.
    pub answered: bool,
    /// Nothing follows: the body is complete.
    pub ended: bool,
}

impl Output {
    /// Empties the output, keeping its buffers.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.connect = false;
        self.request = None;
        self.head = None;
        self.progress = None;
        self.blocks.clear();
        self.files.clear();
        self.body.clear();
        self.answered = false;
        self.ended = false;
    }
}

impl Exchange {
    pub fn new(
        turn: Turn,
        answer: Writer,
        meta: ResponseMeta,
        policy: StreamPolicy,
        now_ms: u64,
    ) -> Self {
        Self {
            shows_progress: turn.wants_progress,
            has_shown_start_wait: false,
            endpoint: None,
            run: Run::new(turn),
            on_disconnect_of_key: policy.on_disconnect,
            policy,
            key: None,
            queued_ms: None,
            reply: Reply::new(meta, answer),
            phase_began_ms: now_ms,
            asked_ms: None,
            last_write_ms: now_ms,
            loss: None,
            again_at_ms: None,
            first_attempts: 0,
            failed_attempts: 0,
            connections: 1,
            connected_ms: now_ms,
            leave_by_ms: None,
            expires_ms: None,
            client: ClientState::Present,
            adoption: None,
            stopped_by: None,
        }
    }

    /// Ends the exchange with [`Failure::ApiKeyExpired`] at this time, by the policy for clients
    /// that leave.
    pub fn expire_at(&mut self, expires_ms: Option<u64>) {
        self.expires_ms = expires_ms;
    }

    /// Names the client's key.
    pub fn set_key(&mut self, key: KeyId) {
        self.key = Some(key);
    }

    /// Sets the maker of links for the files of the answer.
    pub fn link_files(&mut self, links: Links) {
        self.reply.links = Some(Box::new(links));
    }

    pub fn key(&self) -> Option<&KeyId> {
        self.key.as_ref()
    }

    /// Begins to wait for other runs to end. Until [`Exchange::leave_queue`] the connection does not
    /// concern it, and no deadline passes.
    pub(crate) fn enter_queue(&mut self, now_ms: u64) {
        self.queued_ms = Some(now_ms);
    }

    /// Ends the wait: the next connection that is ready gets the run.
    pub(crate) fn leave_queue(&mut self, now_ms: u64) {
        self.queued_ms = None;
        self.has_shown_start_wait = false;
        self.phase_began_ms = now_ms;
    }

    /// Returns true if the run waits for other runs to end, and was not requested.
    pub fn is_queued(&self) -> bool {
        self.queued_ms.is_some()
    }

    /// Handles an input, and adds the actions that follow to `out`. `now_ms` never goes back.
    pub(crate) fn handle(
        &mut self,
        input: Input<'_>,
        link: &mut Link,
        now_ms: u64,
        out: &mut Output,
    ) {
        if !matches!(self.reply.outcome, Outcome::Pending) {
            return;
        }
        let written = out.body.len();
        let asked = self.run.awaits_acceptance();
        match input {
            Input::HungUp => self.hang_up(link, now_ms, out),
            Input::Stopped => self.stop(StoppedBy::Administrator, link, now_ms, out),
            Input::Cancelled => self.stop(StoppedBy::Client, link, now_ms, out),
            Input::Tick => self.tick(link, now_ms, out),
            // It is about runs that the gateway has.
            _ if self.is_queued() => {}
            Input::Endpoint(event) => self.take(event, now_ms, out),
            Input::Incoming(_)
            | Input::Gap
            | Input::Closed { .. }
            | Input::Silent
            | Input::Failed(_)
                if self.is_at_endpoint() => {}
            Input::Incoming(incoming) => self.receive(incoming, link, now_ms, out),
            Input::Gap => self.run.miss_events(),
            // It is about an attempt that another exchange asked for.
            Input::Closed { .. } | Input::Failed(_)
                if self.is_pausing() || self.again_at_ms.is_some() => {}
            Input::Closed { failure, .. } | Input::Failed(failure) if self.loss.is_some() => {
                self.retry(&failure, link, now_ms, out);
            }
            Input::Closed { code, .. } if self.run.may_have_started() => {
                let lost = Failure::GatewayConnectionLost {
                    close_code: code,
                    cause: None,
                };
                self.lose(lost, link, now_ms, out);
            }
            Input::Closed { failure, .. } => self.prepare_again(failure, link, now_ms, out),
            Input::Silent => match self.missed(now_ms) {
                Some(which) => self.miss(which, link, out),
                None if self.run.may_have_started() => {
                    self.lose(Failure::TimedOut(Deadline::Silence), link, now_ms, out);
                }
                None => self.miss(Due::Deadline(Deadline::Handshake), link, out),
            },
            Input::Failed(failure) if self.connect_again(&failure, link, now_ms) => {}
            Input::Failed(failure) => self.give_up(failure, link, out),
            // The client can go on from its last event.
            Input::Overrun if self.is_in_background() => self.hang_up(link, now_ms, out),
            // The client misses only heartbeats, and the run could not be stopped.
            Input::Overrun if self.loss.is_some() => {}
            Input::Overrun => self.give_up(Failure::ClientTooSlow, link, out),
        }
        if asked != self.run.awaits_acceptance() {
            self.phase_began_ms = now_ms;
            self.asked_ms.get_or_insert(now_ms);
        }
        let has_written =
            out.body.len() > written.saturating_add(mem::take(&mut self.reply.comment_bytes));
        self.record(written, now_ms, out);
        if has_written {
            self.last_write_ms = now_ms;
        }
    }

    /// Returns the time at which [`Input::Tick`] is due next; `None` once the exchange ended.
    pub fn wake_at_ms(&self) -> Option<u64> {
        if !matches!(self.reply.outcome, Outcome::Pending) {
            return None;
        }
        let wakes = [
            self.deadline().map(|(deadline, _)| deadline),
            self.write_at_ms(),
            self.record_at_ms(),
            self.run.wake_at_ms(),
            self.run_ends_ms(),
            self.leave_by_ms,
            self.expires_ms,
            self.stop_at_ms(),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Sets whether another exchange shares the run. A shared run is not stopped, whatever happens
    /// to this exchange.
    pub fn share(&mut self, is_shared: bool) {
        self.run.share(is_shared);
    }

    /// Returns the session whose rows the run awaits before it begins.
    pub(crate) fn awaited_session(&self) -> Option<SessionKey> {
        self.run.awaited_session()
    }

    /// Returns true if the answer is complete, and waits for further work.
    pub(crate) fn lingers(&self) -> bool {
        self.run.awaits_late()
    }

    /// Returns true if another run than the one of `exchange` uses the session.
    pub(crate) fn is_other(&self, exchange: &Self, session: &SessionKey) -> bool {
        self.run.is_other(&exchange.run, session)
    }

    /// Sets whether another run uses the awaited session.
    pub(crate) fn note_session_busy(&mut self, is_busy: bool) {
        self.run.note_session_busy(is_busy);
    }

    /// Forbids the response to name its session, unless it has already. The client may not be the
    /// one whose request this one seems to repeat.
    pub fn withhold_session(&mut self) {
        if !self.reply.head_sent {
            self.reply.answer.withhold_session();
        }
    }

    /// Returns true if the response names its session.
    pub fn names_session(&self) -> bool {
        self.reply.answer.response_id().is_some()
    }

    /// Returns the frame that stops the run, on this connection or on another, after a panic. It
    /// stops the run for all exchanges that share it. There is none before the run may have begun,
    /// if it may continue without its client, and if it cannot be stopped.
    pub fn abort_frame(&self) -> Option<String> {
        let mut frames = Vec::new();
        if self.policy.on_disconnect == OnDisconnect::Abort && self.may_have_started() {
            self.run.write_abort(&mut Link::unread(), &mut frames);
        }
        frames.pop()
    }

    /// Returns the id of the run that is going: the requested one, or its continuation, which other
    /// frames stop.
    pub fn running_id(&self) -> &str {
        self.run.running_id()
    }

    /// Returns true once the gateway has accepted the run.
    pub fn is_accepted(&self) -> bool {
        self.reply.accepted_ms.is_some()
    }

    /// Returns true if the run may have begun.
    pub fn may_have_started(&self) -> bool {
        self.run.may_have_started()
    }

    /// Returns true if the content of the request is kept, because it may be sent once more.
    pub fn keeps_request(&self) -> bool {
        self.run.keeps_request()
    }

    /// Returns true if this request started the run, and did not join it.
    pub fn has_started_run(&self) -> bool {
        self.run.may_have_started() && !self.run.is_joined()
    }

    /// Returns the beginning of the run's id in the events that are read, closing quote included.
    /// Events of other runs can be skipped.
    pub(crate) fn event_filter(&self) -> &str {
        self.run.event_filter()
    }

    /// Returns true if the event `chat` is read; otherwise it can be skipped.
    pub(crate) fn needs_chat(&self) -> bool {
        self.run.needs_chat()
    }

    /// Returns true if the run made the request with this id, and reads its responses.
    pub(crate) fn awaits(&self, id: RequestId) -> bool {
        self.run.awaits(id)
    }

    /// Returns true if the run reads the events of the run with this id.
    /// Goes on without an answer that is too large. Returns false if the run needs it.
    pub(crate) fn pass_over(&mut self, id: RequestId) -> bool {
        self.run.pass_over(id)
    }

    pub(crate) fn reads(&self, run_id: &str) -> bool {
        self.run.reads(run_id)
    }

    /// Returns the session whose events the run has subscribed to.
    pub(crate) fn subscribed_session(&self) -> Option<(&AgentId, &SessionKey)> {
        self.run.subscribed_session()
    }

    pub fn outcome(&self) -> &Outcome {
        &self.reply.outcome
    }

    /// Returns the status that was sent; 0 if none was.
    pub fn status(&self) -> u16 {
        self.reply.status
    }

    pub fn agent(&self) -> Option<&AgentId> {
        self.run.agent()
    }

    pub fn session(&self) -> Option<&SessionKey> {
        self.run.session()
    }

    fn receive(&mut self, incoming: Incoming<'_>, link: &mut Link, now_ms: u64, out: &mut Output) {
        if let Incoming::Ready(_) = incoming {
            if self.loss.take().is_some() {
                self.phase_began_ms = now_ms;
            }
            self.again_at_ms = None;
            self.connected_ms = now_ms;
            let is_stopped = self.stopped_by.is_some() && self.is_in_background();
            if self.leave_by_ms.is_some() || is_stopped {
                self.leave(link, out);
                return;
            }
        }
        let mut shown = Shown::new(self.shows_waits(), now_ms);
        let reply = &mut self.reply;
        let Output {
            frames, head, body, ..
        } = out;
        self.run.receive(
            incoming,
            &mut Io {
                now_ms,
                link,
                outbox: frames,
            },
            &mut |event| reply.show(event, &mut shown, head, body),
        );
        out.files.append(&mut shown.files);
        self.reply.meta.memory = self.run.session_use();
        if let Some((request, endpoint)) = self.run.take_request() {
            self.endpoint = Some(endpoint);
            self.asked_ms = Some(now_ms);
            self.phase_began_ms = now_ms;
            out.request = Some(request);
        }
        // An answer that is complete is the whole response.
        if shown.begins_background && (shown.ended.is_none() || self.reply.answer.is_stream()) {
            self.begin_background(out);
        }
        self.settle(shown.ended, now_ms, out);
    }

    /// Ends the exchange if its run has ended.
    fn settle(
        &mut self,
        ended: Option<Result<RunSummary, Failure>>,
        now_ms: u64,
        out: &mut Output,
    ) {
        match ended {
            None => {}
            Some(Ok(summary)) => match self.reply.answer.settle() {
                Ok(()) => {
                    self.reply
                        .finish(summary, now_ms, &mut out.head, &mut out.body);
                    out.ended = true;
                }
                Err(failure) => self.fail(failure, out),
            },
            Some(Err(failure)) => self.fail_run(failure, out),
        }
    }

    /// Ends the exchange for a reason of ours, and stops its run if there is a connection.
    fn give_up(&mut self, failure: Failure, link: &mut Link, out: &mut Output) {
        if self.loss.is_none() {
            self.run.abort(link, &mut out.frames);
        }
        self.fail_run(failure, out);
    }

    /// Ends the exchange because its run failed. An answer that is complete and waits for further
    /// work is not lost with it, unless a part of that was shown.
    fn fail_run(&mut self, failure: Failure, out: &mut Output) {
        let is_answer_wrong = matches!(failure, Failure::AnswerRetracted | Failure::ClientTooSlow);
        if is_answer_wrong || !self.run.awaits_late() || self.run.shows_late() {
            return self.fail(failure, out);
        }
        self.finish_late(out);
    }

    /// Ends an answer that waits for further work, as it is.
    fn finish_late(&mut self, out: &mut Output) {
        let mut shown = Shown::new(false, self.last_write_ms);
        let reply = &mut self.reply;
        let Output { head, body, .. } = out;
        self.run
            .finish_late(&mut |event| reply.show(event, &mut shown, head, body));
        out.files.append(&mut shown.files);
        self.settle(shown.ended, self.last_write_ms, out);
    }

    fn fail(&mut self, failure: Failure, out: &mut Output) {
        let phase = if self.run.may_have_started() {
            Phase::RunMayHaveStarted
        } else {
            Phase::BeforeRun
        };
        self.reply
            .fail(failure, phase, &mut out.head, &mut out.body);
        out.ended = true;
    }
}
