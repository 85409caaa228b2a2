//! One client request joined to one run. The gateway's frames go in; frames for the gateway and
//! bytes for the client come out.
//!
//! The caller owns the sockets and the clock. It gives every event to [`Exchange::handle`], carries
//! out the [`Output`], and calls again with [`Input::Tick`] no later than [`Exchange::wake_at_ms`].
//! After [`Output::ended`] nothing follows: the caller closes both sides. End of file, hang-up and
//! deadlines are inputs like any other.
//!
//! ```text
//!                the run was requested, and the connection is lost        in time
//!   Connection ──────────────────────────────────────────────────▶ Pause ────────▶ Attempt
//!       ▲                                                            ▲               │  │
//!       │                                                            └───────────────┘  │
//!       └────────────────────────────────────────────────────────────  it fails   ──────┘  ready
//! ```
//!
//! Before the gateway's hello no run was requested. So a first connection that fails for a passing
//! reason is tried again, a few times.
//!
//! A run that was requested continues without us. So another connection is made and the run is
//! found again ([`Run`]); until then the client's stream stays open, with heartbeats. No run is
//! ever requested twice.

use std::mem;

use crate::access::policy::{OnDisconnect, StreamPolicy};
use crate::agent::AgentId;
use crate::config::Gateway;
use crate::failure::diagnosis::Diagnosis;
use crate::failure::{Cause, Deadline, Failure};
use crate::gateway::client_identity::ClientIdentity;
use crate::gateway::link::{Incoming, Link};
use crate::gateway::run::Run;
use crate::gateway::run::io::Io;
use crate::http::head::{Head, RESPONSE_ID_HEADER, ResponseMeta};
use crate::openai::Writer;
use crate::openai::error::{ErrorResponse, Phase};
use crate::session::SessionKey;
use crate::turn::{Progress, RunEvent, RunSummary, Turn, Wait};

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// Time from the client's request until the run is requested. It includes connecting, which may
/// take 10 s: the gateway itself gives a client 3 s (2026.3) or 15 s (2026.9) for the handshake.
pub(crate) const HANDSHAKE_MS: u64 = 20_000;

/// Time from the run's request until the gateway accepts it: a cold gateway was seen to need 1.3 s.
pub(crate) const ACCEPTANCE_MS: u64 = 30_000;

/// Time from the run's request until its end: the gateway's own default limit (2026.9; 10 min on
/// 2026.3). The gateway has forgotten a run that is not over then.
pub(crate) const RUN_MS: u64 = 172_800_000;

/// Time between two frames of any kind: a gateway sends a tick every 30 s, so two are missing.
pub(crate) const SILENCE_MS: u64 = 75_000;

/// Time between two writes to a client: proxies give up after 100 s and more, and only a write
/// reveals that the client left.
pub(crate) const HEARTBEAT_MS: u64 = 15_000;

/// Time for which the head of a stream is held after the run was accepted, unless the answer begins
/// before. A failure within it has a status, which more clients accept as final than an error
/// event. Most failures of a provider come sooner, and a client waits no longer for the first
/// words.
const HEAD_HOLD_MS: u64 = 2_000;

/// Time from a run's acceptance until a comment that the run waits for its start. A gateway runs a
/// few at a time, and does not announce a queue. A run that starts at once was seen to take up to
/// 3.4 s until its first event.
const START_PATIENCE_MS: u64 = 5_000;

/// Time from a lost connection until there is another: a gateway that is restarted takes 10 to 40
/// s, a tunnel less.
pub(crate) const RECONNECT_MS: u64 = 60_000;

/// Pauses before the attempts to connect again, from the first on; the last value repeats.
const PAUSES_MS: [u64; 5] = [100, 300, 900, 2_700, 5_000];

/// Pauses before further attempts at the first connection, if the failure may pass. A gateway that
/// is starting reports that for up to 6 s, and a short wait serves the client better than its own
/// retry. All of them fit in the time for the handshake.
const FIRST_PAUSES_MS: [u64; 3] = [250, 750, 2_000];

/// Time for which a connection must hold so that its loss counts as a new one.
const STABLE_MS: u64 = 10_000;

/// Connections of one request: the platform allows 50 subrequests on its free plan.
pub(crate) const MAX_CONNECTIONS: u32 = 40;

/// Time for a connection whose only purpose is to stop the run of a client that left.
pub(crate) const LEAVE_MS: u64 = 10_000;

/// One request and its run.
#[derive(Debug, Clone)]
pub struct Exchange {
    link: Link,
    run: Run,
    policy: StreamPolicy,
    /// The client asked for progress.
    shows_progress: bool,
    /// The comment about a run that waits to be started was written.
    has_shown_start_wait: bool,
    reply: Reply,
    /// The beginning of the present phase: the handshake, or the wait for acceptance.
    phase_began_ms: u64,
    /// The time at which the run was requested.
    asked_ms: Option<u64>,
    last_frame_ms: u64,
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
    has_expired: bool,
}

#[derive(Debug, Clone)]
struct Loss {
    since_ms: u64,
    step: Step,
    /// The cause of the last attempt's failure.
    cause: Option<Cause>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Pause { until_ms: u64 },
    Attempt { since_ms: u64 },
}

/// The deadline that is due.
#[derive(Debug, Clone, Copy)]
enum Due {
    Deadline(Deadline),
    /// The next attempt to connect.
    Connection,
    /// The end of an attempt.
    Attempt,
    /// The end of all attempts.
    Recovery,
}

/// An event that the caller reports.
#[derive(Debug)]
pub enum Input<'a> {
    /// A text frame from the gateway.
    Frame(&'a str),
    /// The gateway's socket is closed.
    Closed { code: u16 },
    /// There is no socket: the connection could not be made, for this reason.
    Failed(Failure),
    /// The client is gone.
    HungUp,
    /// The client has not read the bytes that were sent, and the buffer for it is full.
    Overrun,
    /// Time passed.
    Tick,
}

/// The actions that follow, in this order.
#[derive(Debug, Default)]
pub struct Output {
    /// Text frames for the gateway.
    pub frames: Vec<String>,
    /// The gateway's socket cannot be used any more: close it if it is still open, and make another
    /// connection.
    pub connect: bool,
    /// The response begins.
    pub head: Option<Head>,
    /// Bytes of its body.
    pub body: Vec<u8>,
    /// Nothing follows: the body is complete, the gateway's socket can be closed.
    pub ended: bool,
}

impl Output {
    /// Empties the output, keeping its buffers.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.connect = false;
        self.head = None;
        self.body.clear();
        self.ended = false;
    }
}

/// The end of a request, for the log.
#[derive(Debug, Clone, Default)]
pub enum Outcome {
    #[default]
    Pending,
    Answered(RunSummary),
    Failed(Failure),
}

/// The client's side of the exchange.
#[derive(Debug, Clone)]
struct Reply {
    meta: ResponseMeta,
    answer: Writer,
    head_sent: bool,
    /// The time at which the run was accepted.
    accepted_ms: Option<u64>,
    /// The comments among the bytes of the present input.
    comment_bytes: usize,
    status: u16,
    outcome: Outcome,
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
            link: Link::new(if turn.wants_progress {
                ClientIdentity::WATCHING_BACKEND
            } else {
                ClientIdentity::BACKEND
            }),
            shows_progress: turn.wants_progress,
            has_shown_start_wait: false,
            run: Run::new(turn),
            policy,
            reply: Reply {
                meta,
                answer,
                head_sent: false,
                accepted_ms: None,
                comment_bytes: 0,
                status: 0,
                outcome: Outcome::Pending,
            },
            phase_began_ms: now_ms,
            asked_ms: None,
            last_frame_ms: now_ms,
            last_write_ms: now_ms,
            loss: None,
            again_at_ms: None,
            first_attempts: 0,
            failed_attempts: 0,
            connections: 1,
            connected_ms: now_ms,
            leave_by_ms: None,
            expires_ms: None,
            has_expired: false,
        }
    }

    /// Ends the exchange with [`Failure::ApiKeyExpired`] at this time, by the policy for clients
    /// that leave.
    pub fn expire_at(&mut self, expires_ms: Option<u64>) {
        self.expires_ms = expires_ms;
    }

    /// Handles an input, and adds the actions that follow to `out`. `now_ms` never goes back.
    pub fn handle(&mut self, input: Input<'_>, gateway: &Gateway, now_ms: u64, out: &mut Output) {
        if !matches!(self.reply.outcome, Outcome::Pending) {
            return;
        }
        let written = out.body.len();
        let asked = self.run.awaits_acceptance();
        match input {
            // The input belongs to a socket that was given up.
            Input::Frame(_) | Input::Closed { .. }
                if self.is_pausing() || self.again_at_ms.is_some() => {}
            Input::Frame(frame) => {
                self.last_frame_ms = now_ms;
                match self
                    .link
                    .receive(frame, &gateway.credential, &mut out.frames)
                {
                    Ok(incoming) => self.receive(incoming, now_ms, out),
                    Err(failure) if self.loss.is_some() => self.retry(&failure, now_ms, out),
                    Err(failure) if self.schedule_retry(&failure, now_ms) => {}
                    Err(failure) => self.give_up(failure, out),
                }
            }
            Input::Closed { code } if self.loss.is_some() => {
                self.retry(&self.link.closed(code), now_ms, out);
            }
            Input::Closed { code } if self.run.is_going() || self.run.awaits_acceptance() => {
                let lost = Failure::GatewayConnectionLost {
                    close_code: code,
                    cause: None,
                };
                self.lose(lost, now_ms, out);
            }
            Input::Closed { code } => {
                let failure = self.closed(code);
                if !self.schedule_retry(&failure, now_ms) {
                    self.fail(failure, out);
                }
            }
            Input::Failed(failure) if self.loss.is_some() => self.retry(&failure, now_ms, out),
            Input::Failed(failure) if self.schedule_retry(&failure, now_ms) => {}
            Input::Failed(failure) => self.fail(failure, out),
            Input::HungUp => self.hang_up(now_ms, out),
            // The client misses only heartbeats, and the run could not be stopped.
            Input::Overrun if self.loss.is_some() => {}
            Input::Overrun => self.give_up(Failure::ClientTooSlow, out),
            Input::Tick => self.tick(now_ms, out),
        }
        if asked != self.run.awaits_acceptance() {
            self.phase_began_ms = now_ms;
            self.asked_ms.get_or_insert(now_ms);
        }
        if out.body.len() > written.saturating_add(mem::take(&mut self.reply.comment_bytes)) {
            self.last_write_ms = now_ms;
        }
    }

    /// Returns the time at which [`Input::Tick`] is due next; `None` once the exchange ended.
    pub fn wake_at_ms(&self) -> Option<u64> {
        if !matches!(self.reply.outcome, Outcome::Pending) {
            return None;
        }
        let (deadline, _) = self.deadline();
        let beat = self.heartbeat_at_ms();
        let wakes = [
            beat,
            self.head_at_ms(),
            self.start_wait_at_ms(),
            self.run.wake_at_ms(),
            self.run_ends_ms(),
            self.leave_by_ms,
            self.expires_ms,
        ];
        Some(wakes.into_iter().flatten().fold(deadline, u64::min))
    }

    /// Sets whether another exchange shares the run. A shared run is not stopped, whatever happens
    /// to this exchange.
    pub fn share(&mut self, is_shared: bool) {
        self.run.share(is_shared);
    }

    /// Forbids the response to name its session, unless it has already. The client may not be the
    /// one whose request this one seems to repeat.
    pub fn withhold_session(&mut self) {
        if !self.reply.head_sent {
            self.reply.answer.withhold_session();
        }
    }

    /// Returns the frames that stop an accepted run, for a panic, after which nothing else can be
    /// sent. There are none if the run may continue without its client, or cannot be stopped.
    pub fn abort_frames(&mut self) -> Option<Vec<String>> {
        self.reply.accepted_ms?;
        let mut frames = Vec::new();
        if self.policy.on_disconnect == OnDisconnect::Abort {
            self.run.write_abort(&mut self.link, &mut frames);
        }
        Some(frames)
    }

    /// Returns true if the run may have begun.
    pub fn may_have_started(&self) -> bool {
        self.run.may_have_started()
    }

    /// Returns the beginning of the run's id in the events that are read, closing quote included.
    /// Events of other runs can be skipped.
    pub fn event_filter(&self) -> &str {
        self.run.event_filter()
    }

    /// Returns true if the event `chat` is read; otherwise it can be skipped.
    pub fn needs_chat(&self) -> bool {
        self.run.needs_chat()
    }

    /// Counts the events that were skipped between the last frame and the next.
    pub fn skip(&mut self, events: u32) {
        self.link.skip(events);
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

    fn receive(&mut self, incoming: Incoming<'_>, now_ms: u64, out: &mut Output) {
        if let Incoming::Ready(_) = incoming {
            self.loss = None;
            self.connected_ms = now_ms;
            if self.leave_by_ms.is_some() {
                self.leave(out);
                return;
            }
        }
        let shows_waits = self.shows_waits();
        let reply = &mut self.reply;
        let Output {
            frames, head, body, ..
        } = out;
        let mut ended = None;
        self.run.receive(
            incoming,
            &mut Io {
                now_ms,
                link: &mut self.link,
                outbox: frames,
            },
            &mut |event| match event {
                RunEvent::Accepted => reply.accepted_ms = Some(now_ms),
                RunEvent::Text(text) => {
                    if !reply.answer.is_call() {
                        reply.begin_stream(head, body);
                    }
                    reply.answer.text(text, body);
                }
                RunEvent::Thought(thought) => {
                    reply.begin_stream(head, body);
                    reply.answer.thought(thought, body);
                }
                RunEvent::Progress(progress) if progress.is_always_shown() && !shows_waits => {}
                RunEvent::Progress(progress) => {
                    reply.begin_stream(head, body);
                    let before = body.len();
                    reply.answer.progress(&progress, body);
                    let comment_bytes = body.len().saturating_sub(before);
                    reply.comment_bytes = reply.comment_bytes.saturating_add(comment_bytes);
                }
                RunEvent::Ended(result) => ended = Some(result),
            },
        );
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
            Some(Err(failure)) => self.fail(failure, out),
        }
    }

    /// Ends the exchange for a reason of ours, while the gateway's socket is still open.
    fn give_up(&mut self, failure: Failure, out: &mut Output) {
        if self.loss.is_none() {
            self.run.abort(&mut self.link, &mut out.frames);
        }
        self.fail(failure, out);
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

    /// Schedules another attempt at the first connection if this failure may pass, and returns true
    /// then. Nothing is repeated, because no run was requested before the gateway's hello.
    fn schedule_retry(&mut self, failure: &Failure, now_ms: u64) -> bool {
        let may_pass = failure.diagnosis().is_some_and(Diagnosis::is_passing);
        let again_at_ms = FIRST_PAUSES_MS
            .get(self.first_attempts)
            .map(|pause_ms| now_ms.saturating_add(*pause_ms))
            .filter(|at_ms| {
                may_pass
                    && !self.link.is_ready()
                    && *at_ms < self.phase_began_ms.saturating_add(HANDSHAKE_MS)
            });
        self.again_at_ms = again_at_ms;
        if again_at_ms.is_some() {
            self.first_attempts = self.first_attempts.saturating_add(1);
        }
        again_at_ms.is_some()
    }

    /// Handles a lost connection. The run is not lost: it is searched for on another connection.
    fn lose(&mut self, lost: Failure, now_ms: u64, out: &mut Output) {
        self.run.detach(lost);
        if now_ms >= self.connected_ms.saturating_add(STABLE_MS) {
            self.failed_attempts = 0;
        }
        self.loss = Some(Loss {
            since_ms: now_ms,
            step: Step::Attempt { since_ms: now_ms },
            cause: None,
        });
        self.pause(None, now_ms, out);
    }

    /// Handles a failed attempt to connect again.
    fn retry(&mut self, failure: &Failure, now_ms: u64, out: &mut Output) {
        if failure.is_permanent() {
            self.stay_lost(failure.cause(), out);
        } else {
            self.pause(failure.cause(), now_ms, out);
        }
    }

    fn pause(&mut self, cause: Option<Cause>, now_ms: u64, out: &mut Output) {
        let pause_ms = PAUSES_MS.get(self.failed_attempts).or(PAUSES_MS.last());
        self.failed_attempts = self.failed_attempts.saturating_add(1);
        if self.connections >= MAX_CONNECTIONS {
            self.stay_lost(cause, out);
        } else if let Some(loss) = &mut self.loss {
            loss.cause = cause;
            loss.step = Step::Pause {
                until_ms: now_ms.saturating_add(pause_ms.copied().unwrap_or_default()),
            };
        }
    }

    fn connect(&mut self, now_ms: u64, out: &mut Output) {
        if let Some(loss) = &mut self.loss {
            loss.step = Step::Attempt { since_ms: now_ms };
        }
        self.again_at_ms = None;
        self.link = Link::new(ClientIdentity::BACKEND);
        self.connections = self.connections.saturating_add(1);
        out.connect = true;
    }

    /// Handles the end of all attempts: there will be no other connection.
    fn stay_lost(&mut self, cause: Option<Cause>, out: &mut Output) {
        if self.leave_by_ms.is_some() {
            self.leave(out);
        } else {
            self.fail(self.run.lost(cause), out);
        }
    }

    /// Handles a client that left. A run that cannot be reached at the moment is stopped on another
    /// connection, if there is one soon.
    fn hang_up(&mut self, now_ms: u64, out: &mut Output) {
        if self.leave_by_ms.is_some() {
            return;
        }
        if !self.run.is_detached()
            || !self.run.can_be_aborted()
            || self.policy.on_disconnect == OnDisconnect::Finish
        {
            self.leave(out);
            return;
        }
        self.leave_by_ms = Some(now_ms.saturating_add(LEAVE_MS));
        if self.is_pausing() {
            self.connect(now_ms, out);
        }
    }

    fn leave(&mut self, out: &mut Output) {
        if self.loss.is_none() && self.policy.on_disconnect == OnDisconnect::Abort {
            self.run.abort(&mut self.link, &mut out.frames);
        }
        if self.has_expired {
            self.fail(Failure::ApiKeyExpired, out);
        } else {
            self.reply.outcome = Outcome::Failed(Failure::ClientClosedRequest);
            out.ended = true;
        }
    }

    /// Ends the exchange because the client's key has expired.
    fn expire(&mut self, now_ms: u64, out: &mut Output) {
        self.expires_ms = None;
        // A client that left does not receive the reason.
        self.has_expired = self.leave_by_ms.is_none();
        self.hang_up(now_ms, out);
    }

    fn tick(&mut self, now_ms: u64, out: &mut Output) {
        let (deadline, which) = self.deadline();
        if self
            .expires_ms
            .is_some_and(|expires_ms| now_ms >= expires_ms)
        {
            self.expire(now_ms, out);
        } else if self
            .leave_by_ms
            .is_some_and(|leave_by_ms| now_ms >= leave_by_ms)
        {
            self.leave(out);
        } else if self.run_ends_ms().is_some_and(|ends_ms| now_ms >= ends_ms) {
            self.give_up(Failure::TimedOut(Deadline::Run), out);
        } else if now_ms >= deadline {
            self.miss(which, now_ms, out);
        } else if let Err(failure) = self.run.tick(&mut Io {
            now_ms,
            link: &mut self.link,
            outbox: &mut out.frames,
        }) {
            self.give_up(failure, out);
        }
        if out.ended {
            return;
        }
        if self.start_wait_at_ms().is_some_and(|at_ms| now_ms >= at_ms) {
            self.has_shown_start_wait = true;
            self.reply.begin_stream(&mut out.head, &mut out.body);
            self.reply
                .answer
                .progress(&Progress::Waiting(Wait::Start), &mut out.body);
        } else if self.head_at_ms().is_some_and(|at_ms| now_ms >= at_ms) {
            self.reply.begin_stream(&mut out.head, &mut out.body);
        } else if self.heartbeat_at_ms().is_some_and(|at_ms| now_ms >= at_ms) {
            self.reply.beat(&mut out.head, &mut out.body);
        }
    }

    fn miss(&mut self, which: Due, now_ms: u64, out: &mut Output) {
        match which {
            Due::Deadline(Deadline::Silence) => {
                self.lose(Failure::TimedOut(Deadline::Silence), now_ms, out);
            }
            Due::Deadline(which) => {
                let failure = self
                    .run
                    .refused()
                    .cloned()
                    .unwrap_or(Failure::TimedOut(which));
                self.give_up(failure, out);
            }
            Due::Connection => self.connect(now_ms, out),
            Due::Attempt => self.retry(&Failure::TimedOut(Deadline::Handshake), now_ms, out),
            Due::Recovery => {
                let cause = self.loss.as_mut().and_then(|loss| loss.cause.take());
                self.stay_lost(cause, out);
            }
        }
    }

    fn deadline(&self) -> (u64, Due) {
        if let Some(loss) = &self.loss {
            let end = (loss.since_ms.saturating_add(RECONNECT_MS), Due::Recovery);
            let step = match loss.step {
                Step::Pause { until_ms } => (until_ms, Due::Connection),
                Step::Attempt { since_ms } => (since_ms.saturating_add(HANDSHAKE_MS), Due::Attempt),
            };
            return if end.0 <= step.0 { end } else { step };
        }
        if let Some(again_at_ms) = self.again_at_ms {
            return (again_at_ms, Due::Connection);
        }
        let (since_ms, limit_ms, which) = if self.run.is_going() {
            (self.last_frame_ms, SILENCE_MS, Deadline::Silence)
        } else if self.run.awaits_acceptance() {
            (self.phase_began_ms, ACCEPTANCE_MS, Deadline::Acceptance)
        } else {
            (self.phase_began_ms, HANDSHAKE_MS, Deadline::Handshake)
        };
        (since_ms.saturating_add(limit_ms), Due::Deadline(which))
    }

    /// Returns the time at which the run has taken too long.
    fn run_ends_ms(&self) -> Option<u64> {
        Some(self.asked_ms?.saturating_add(RUN_MS))
    }

    fn is_pausing(&self) -> bool {
        matches!(
            self.loss,
            Some(Loss {
                step: Step::Pause { .. },
                ..
            })
        )
    }

    /// Returns the time at which the head of a stream is due even if the answer has not begun.
    fn head_at_ms(&self) -> Option<u64> {
        let is_held =
            self.reply.answer.is_stream() && !self.reply.head_sent && self.leave_by_ms.is_none();
        let accepted_ms = self.reply.accepted_ms.filter(|_| is_held)?;
        Some(accepted_ms.saturating_add(HEAD_HOLD_MS))
    }

    /// Returns true if comments are written without being requested.
    fn shows_waits(&self) -> bool {
        self.policy.heartbeat || self.shows_progress
    }

    /// Returns the time at which the comment about a run that waits for its start is due.
    fn start_wait_at_ms(&self) -> Option<u64> {
        let is_due =
            self.reply.answer.is_stream() && self.shows_waits() && !self.has_shown_start_wait;
        let is_waiting = is_due && self.leave_by_ms.is_none() && self.run.waits_to_start();
        let accepted_ms = self.reply.accepted_ms.filter(|_| is_waiting)?;
        Some(accepted_ms.saturating_add(START_PATIENCE_MS))
    }

    fn heartbeat_at_ms(&self) -> Option<u64> {
        let is_stream = self.reply.answer.is_stream();
        if self.leave_by_ms.is_some() || (is_stream && !self.policy.heartbeat) {
            None
        } else if self.reply.head_sent {
            Some(self.last_write_ms.saturating_add(HEARTBEAT_MS))
        } else if is_stream {
            None
        } else {
            let accepted_ms = self.reply.accepted_ms?;
            Some(
                accepted_ms
                    .saturating_add(u64::from(self.policy.keep_alive_s).saturating_mul(1000)),
            )
        }
    }

    /// Returns the failure for a socket that closed before a run was started.
    fn closed(&self, close_code: u16) -> Failure {
        if let Some(refused) = self.run.refused() {
            return refused.clone();
        }
        self.link.closed(close_code)
    }
}

impl Reply {
    /// Sends the head of a stream and its first event, once.
    fn begin_stream(&mut self, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if self.answer.is_stream() && !self.head_sent {
            let mut stream = self.meta.stream();
            if let Some(id) = self.answer.response_id() {
                // For the edge, if the stream breaks.
                stream.headers.push((RESPONSE_ID_HEADER, id.to_owned()));
            }
            self.send_head(stream, head);
            self.answer.begin(body);
        }
    }

    /// Writes bytes that keep the response alive and have no meaning.
    fn beat(&mut self, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if !self.head_sent {
            self.send_head(self.meta.awaited_json(), head);
        }
        self.answer.beat(body);
    }

    fn finish(
        &mut self,
        summary: RunSummary,
        now_ms: u64,
        head: &mut Option<Head>,
        body: &mut Vec<u8>,
    ) {
        self.begin_stream(head, body);
        if !self.head_sent {
            self.send_head(self.meta.json(), head);
        }
        self.answer.finish(&summary, now_ms / SECOND_MS, body);
        self.outcome = Outcome::Answered(summary);
    }

    fn fail(
        &mut self,
        failure: Failure,
        phase: Phase,
        head: &mut Option<Head>,
        body: &mut Vec<u8>,
    ) {
        let reply = ErrorResponse::on(&failure, self.meta.api, phase);
        if self.head_sent {
            self.answer.fail(&reply.body.in_body(), body);
        } else {
            self.send_head(reply.head(&self.meta), head);
            reply.body.write(body);
        }
        self.outcome = Outcome::Failed(failure);
    }

    fn send_head(&mut self, new: Head, head: &mut Option<Head>) {
        self.head_sent = true;
        self.status = new.status;
        *head = Some(new);
    }
}
