//! One client request joined to one run: what the gateway sends goes in, what to send to either side comes out.
//!
//! The caller owns the sockets and the clock. It gives every event to [`Exchange::handle`], carries out the [`Output`], and calls
//! again with [`Input::Tick`] no later than [`Exchange::wake_at_ms`]. Once [`Output::ended`] is set nothing more will come: it
//! closes both sides. End of file, hang-up and deadlines are inputs like any other.
//!
//! ```text
//!                the run was asked for, and the connection is lost        in time
//!   Connection ──────────────────────────────────────────────────▶ Pause ────────▶ Attempt
//!       ▲                                                            ▲               │  │
//!       │                                                            └───────────────┘  │
//!       └────────────────────────────────────────────────────────────  it fails   ──────┘  ready
//! ```
//!
//! Before a gateway said hello nothing was asked for, so a first connection that fails for a passing reason is tried again, a few times.
//!
//! A run that was asked for goes on without us, so another connection is made and the run is found again ([`Run`]); until then
//! the client's stream stays open, with heartbeats. Nothing is ever asked for twice.

use crate::agent::AgentId;
use crate::config::Gateway;
use crate::error::{Cause, Deadline, Failure};
use crate::gateway::diagnosis::Diagnosis;
use crate::gateway::link::{Client, Incoming, Link};
use crate::gateway::run::Run;
use crate::key::{OnDisconnect, StreamPolicy};
use crate::openai::{Rendition, write_error};
use crate::respond::{Common, Head};
use crate::session::SessionKey;
use crate::turn::{Answer, RunEvent, Turn};

/// From the request until the run is asked for, connecting (which may take 10 s) included: the gateway itself gives a client 3 s
/// (2026.3) or 15 s (2026.9) for the handshake.
const HANDSHAKE_MS: u64 = 20_000;

/// From asking for the run until the gateway takes it: a cold gateway was seen to need 1.3 s.
const ACCEPTANCE_MS: u64 = 30_000;

/// From asking for the run until its end: the gateway's own default limit (2026.9; 10 min on 2026.3). Whatever is not over then has
/// been forgotten.
const RUN_MS: u64 = 172_800_000;

/// Between two frames of any kind: a gateway sends a tick every 30 s, so two are missing.
const SILENCE_MS: u64 = 75_000;

/// Between two writes to a client: proxies give up after 100 s and more, and only a write shows that the client left.
const HEARTBEAT_MS: u64 = 15_000;

/// From a lost connection until there is another: a gateway that is restarted takes 10 to 40 s, a tunnel less.
const RECONNECT_MS: u64 = 60_000;

/// Before the attempts to connect again, from the first on; the last one stays.
const PAUSES_MS: [u64; 5] = [100, 300, 900, 2_700, 5_000];

/// Before further attempts at the first connection, where what stands in its way may pass: a gateway that starts says so for up to
/// 6 s, and a client that waits for a moment is better off than one that asks again. All within the time for the handshake.
const FIRST_PAUSES_MS: [u64; 3] = [250, 750, 2_000];

/// A connection that held so long says that the next loss is another one.
const STABLE_MS: u64 = 10_000;

/// Of one request: the platform allows 50 subrequests on its free plan.
const MAX_CONNECTIONS: u32 = 40;

/// For a connection whose only purpose is to stop the run of a client that left.
const LEAVE_MS: u64 = 10_000;

/// One request and its run.
#[derive(Debug, Clone)]
pub struct Exchange {
    link: Link,
    run: Run,
    policy: StreamPolicy,
    reply: Reply,
    /// When the present phase began: the handshake, or the wait for acceptance.
    phase_began_ms: u64,
    /// When the run was asked for.
    asked_ms: Option<u64>,
    last_frame_ms: u64,
    last_write_ms: u64,
    /// While there is no connection over which the run can be heard.
    loss: Option<Loss>,
    /// When the first connection, which failed, is tried again.
    again_at_ms: Option<u64>,
    /// Attempts at the first connection that failed.
    first_attempts: usize,
    /// Attempts to connect that failed lately.
    failed_attempts: usize,
    connections: u32,
    connected_ms: u64,
    /// The client left; the run is to be stopped by then.
    leave_by_ms: Option<u64>,
}

#[derive(Debug, Clone)]
struct Loss {
    since_ms: u64,
    step: Step,
    /// Of the last attempt.
    cause: Option<Cause>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Pause { until_ms: u64 },
    Attempt { since_ms: u64 },
}

/// What is due.
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

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A text frame from the gateway.
    Frame(&'a str),
    /// The gateway's socket is closed.
    Closed { code: u16 },
    /// There is no socket, for this reason: the connection could not be made.
    Failed(Failure),
    /// The client is gone.
    HungUp,
    /// The client has not read what it was sent, and no more is kept for it.
    Overrun,
    /// Time passed.
    Tick,
}

/// What to do about it, in this order.
#[derive(Debug, Default)]
pub struct Output {
    /// Text frames for the gateway.
    pub frames: Vec<String>,
    /// The gateway's socket is of no use any more: close it if it is still open, and make another connection.
    pub connect: bool,
    /// The response begins.
    pub head: Option<Head>,
    /// Bytes of its body.
    pub body: Vec<u8>,
    /// Nothing follows: the body is complete, the gateway's socket can be closed.
    pub ended: bool,
}

impl Output {
    /// Empties it, keeping its buffers.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.connect = false;
        self.head = None;
        self.body.clear();
        self.ended = false;
    }
}

/// How a request ended, for the log.
#[derive(Debug, Clone, Default)]
pub enum Outcome {
    #[default]
    Pending,
    Answered(Answer),
    Failed(Failure),
}

/// The client's side of the exchange.
#[derive(Debug, Clone)]
struct Reply {
    common: Common,
    answer: Rendition,
    head_sent: bool,
    /// When the run was accepted.
    accepted_ms: Option<u64>,
    status: u16,
    outcome: Outcome,
}

impl Exchange {
    pub fn new(turn: Turn, answer: Rendition, common: Common, policy: StreamPolicy, now_ms: u64) -> Self {
        Self {
            link: Link::new(if turn.wants_progress {
                Client::WATCHING_BACKEND
            } else {
                Client::BACKEND
            }),
            run: Run::new(turn),
            policy,
            reply: Reply {
                common,
                answer,
                head_sent: false,
                accepted_ms: None,
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
        }
    }

    /// Takes what happened and adds to `out` what follows from it. `now_ms` never goes back.
    pub fn handle(&mut self, input: Input<'_>, gateway: &Gateway, now_ms: u64, out: &mut Output) {
        if !matches!(self.reply.outcome, Outcome::Pending) {
            return;
        }
        let written = out.body.len();
        let asked = self.run.awaits_acceptance();
        match input {
            // Of a socket that was given up.
            Input::Frame(_) | Input::Closed { .. } if self.is_pausing() || self.again_at_ms.is_some() => {}
            Input::Frame(frame) => {
                self.last_frame_ms = now_ms;
                match self.link.receive(frame, &gateway.credential, &mut out.frames) {
                    Ok(incoming) => self.receive(incoming, now_ms, out),
                    Err(failure) if self.loss.is_some() => self.retry(&failure, now_ms, out),
                    Err(failure) if self.is_patient(&failure, now_ms) => {}
                    Err(failure) => self.give_up(failure, out),
                }
            }
            Input::Closed { code } if self.loss.is_some() => {
                self.retry(&self.link.closed(code), now_ms, out);
            }
            Input::Closed { code } if self.run.is_going() || self.run.awaits_acceptance() => {
                let lost = Failure::Lost {
                    close_code: code,
                    cause: None,
                };
                self.lose(lost, now_ms, out);
            }
            Input::Closed { code } => {
                let failure = self.closed(code);
                if !self.is_patient(&failure, now_ms) {
                    self.fail(failure, out);
                }
            }
            Input::Failed(failure) if self.loss.is_some() => self.retry(&failure, now_ms, out),
            Input::Failed(failure) if self.is_patient(&failure, now_ms) => {}
            Input::Failed(failure) => self.fail(failure, out),
            Input::HungUp => self.hang_up(now_ms, out),
            // It is only heartbeats that the client misses, and the run could not be stopped.
            Input::Overrun if self.loss.is_some() => {}
            Input::Overrun => self.give_up(Failure::ClientTooSlow, out),
            Input::Tick => self.tick(now_ms, out),
        }
        if asked != self.run.awaits_acceptance() {
            self.phase_began_ms = now_ms;
            self.asked_ms.get_or_insert(now_ms);
        }
        if out.body.len() > written {
            self.last_write_ms = now_ms;
        }
    }

    /// When [`Input::Tick`] is due next; `None` once the exchange ended.
    pub fn wake_at_ms(&self) -> Option<u64> {
        if !matches!(self.reply.outcome, Outcome::Pending) {
            return None;
        }
        let (deadline, _) = self.deadline();
        let beat = self.heartbeat_at_ms();
        let wakes = [beat, self.run.wake_at_ms(), self.run_ends_ms(), self.leave_by_ms];
        Some(wakes.into_iter().flatten().fold(deadline, u64::min))
    }

    /// Whether somebody else hears the run: then it is not stopped, whatever becomes of this exchange.
    pub fn share(&mut self, is_shared: bool) {
        self.run.share(is_shared);
    }

    /// Once the run was accepted, the frames that stop it, to be sent where nothing else can be: after a panic. None where the run may go on
    /// without its client, or cannot be stopped.
    pub fn last_words(&mut self) -> Option<Vec<String>> {
        self.reply.accepted_ms?;
        let mut frames = Vec::new();
        if self.policy.on_disconnect == OnDisconnect::Abort {
            self.run.write_abort(&mut self.link, &mut frames);
        }
        Some(frames)
    }

    /// Whether the run may have begun.
    pub fn may_have_started(&self) -> bool {
        self.run.may_have_started()
    }

    /// The id that events of the run have. Those of others can be skipped.
    pub fn run_id(&self) -> &str {
        self.run.id()
    }

    /// Whether the event `chat` is read; if not, it can be skipped.
    pub fn needs_chat(&self) -> bool {
        self.run.needs_chat()
    }

    /// So many events were skipped between the last frame and the next.
    pub fn skip(&mut self, events: u32) {
        self.link.skip(events);
    }

    pub fn outcome(&self) -> &Outcome {
        &self.reply.outcome
    }

    /// The status that was sent; 0 if none was.
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
        let reply = &mut self.reply;
        let Output { frames, head, body, .. } = out;
        let mut ended = None;
        self.run
            .receive(incoming, now_ms, &mut self.link, frames, &mut |event| match event {
                RunEvent::Accepted => reply.accept(now_ms, head, body),
                RunEvent::Text(text) => reply.answer.text(text, body),
                RunEvent::Thought(thought) => reply.answer.thought(thought, body),
                RunEvent::Progress(progress) => reply.answer.progress(&progress, body),
                RunEvent::Ended(result) => ended = Some(result),
            });
        match ended {
            None => {}
            Some(Ok(answer)) => {
                self.reply.finish(answer, &mut out.head, &mut out.body);
                out.ended = true;
            }
            Some(Err(failure)) => self.fail(failure, out),
        }
    }

    /// Ends the exchange for a reason of ours, while the gateway still listens.
    fn give_up(&mut self, failure: Failure, out: &mut Output) {
        if self.loss.is_none() {
            self.run.abort(&mut self.link, &mut out.frames);
        }
        self.fail(failure, out);
    }

    fn fail(&mut self, failure: Failure, out: &mut Output) {
        let may_repeat = !self.run.may_have_started() && !failure.is_permanent();
        self.reply.fail(failure, may_repeat, &mut out.head, &mut out.body);
        out.ended = true;
    }

    /// Whether the first connection is tried again after this failure; then it is noted when. The gateway has not even said hello, so
    /// it was asked for nothing.
    fn is_patient(&mut self, failure: &Failure, now_ms: u64) -> bool {
        let may_pass = failure.diagnosis().is_some_and(Diagnosis::is_passing);
        let again_at_ms = FIRST_PAUSES_MS
            .get(self.first_attempts)
            .map(|pause_ms| now_ms.saturating_add(*pause_ms))
            .filter(|at_ms| {
                may_pass && !self.link.is_ready() && *at_ms < self.phase_began_ms.saturating_add(HANDSHAKE_MS)
            });
        self.again_at_ms = again_at_ms;
        if again_at_ms.is_some() {
            self.first_attempts = self.first_attempts.saturating_add(1);
        }
        again_at_ms.is_some()
    }

    /// The connection is lost, the run is not: it is looked for on another one.
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

    /// An attempt to connect again failed.
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
        self.link = Link::new(Client::BACKEND);
        self.connections = self.connections.saturating_add(1);
        out.connect = true;
    }

    /// There will be no other connection.
    fn stay_lost(&mut self, cause: Option<Cause>, out: &mut Output) {
        if self.leave_by_ms.is_some() {
            self.leave(out);
        } else {
            self.fail(self.run.lost(cause), out);
        }
    }

    /// A run that cannot be reached at the moment is stopped on another connection, if there is one soon.
    fn hang_up(&mut self, now_ms: u64, out: &mut Output) {
        if self.leave_by_ms.is_some() {
            return;
        }
        if !self.run.is_detached() || !self.run.can_be_aborted() || self.policy.on_disconnect == OnDisconnect::Finish {
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
        self.reply.outcome = Outcome::Failed(Failure::HungUp);
        out.ended = true;
    }

    fn tick(&mut self, now_ms: u64, out: &mut Output) {
        let (deadline, which) = self.deadline();
        if self.leave_by_ms.is_some_and(|leave_by_ms| now_ms >= leave_by_ms) {
            self.leave(out);
        } else if self.run_ends_ms().is_some_and(|ends_ms| now_ms >= ends_ms) {
            self.give_up(Failure::TimedOut(Deadline::Run), out);
        } else if now_ms >= deadline {
            self.miss(which, now_ms, out);
        } else if let Err(failure) = self.run.tick(now_ms, &mut self.link, &mut out.frames) {
            self.give_up(failure, out);
        }
        if !out.ended && self.heartbeat_at_ms().is_some_and(|at_ms| now_ms >= at_ms) {
            self.reply.beat(&mut out.head, &mut out.body);
        }
    }

    fn miss(&mut self, which: Due, now_ms: u64, out: &mut Output) {
        match which {
            Due::Deadline(Deadline::Silence) => self.lose(Failure::TimedOut(Deadline::Silence), now_ms, out),
            Due::Deadline(which) => {
                let failure = self.run.refused().cloned().unwrap_or(Failure::TimedOut(which));
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

    /// When the run has taken too long.
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

    fn heartbeat_at_ms(&self) -> Option<u64> {
        let is_stream = self.reply.answer.is_stream();
        if self.leave_by_ms.is_some() || (is_stream && !self.policy.heartbeat) {
            None
        } else if self.reply.head_sent {
            Some(self.last_write_ms.saturating_add(HEARTBEAT_MS))
        } else {
            let accepted_ms = self.reply.accepted_ms?;
            Some(accepted_ms.saturating_add(u64::from(self.policy.keep_alive_s).saturating_mul(1000)))
        }
    }

    /// What a socket that closed by itself means where nothing was started.
    fn closed(&self, close_code: u16) -> Failure {
        if let Some(refused) = self.run.refused() {
            return refused.clone();
        }
        self.link.closed(close_code)
    }
}

impl Reply {
    fn accept(&mut self, now_ms: u64, head: &mut Option<Head>, body: &mut Vec<u8>) {
        self.accepted_ms = Some(now_ms);
        if self.answer.is_stream() {
            self.send_head(self.common.stream(), head);
            self.answer.begin(body);
        }
    }

    /// Writes what keeps the response alive and means nothing.
    fn beat(&mut self, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if !self.head_sent {
            self.send_head(self.common.awaited_json(), head);
        }
        self.answer.beat(body);
    }

    fn finish(&mut self, answer: Answer, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if !self.head_sent {
            self.send_head(self.common.json(), head);
        }
        self.answer.finish(&answer, body);
        self.outcome = Outcome::Answered(answer);
    }

    fn fail(&mut self, failure: Failure, may_repeat: bool, head: &mut Option<Head>, body: &mut Vec<u8>) {
        let reply = failure.reply();
        if self.head_sent {
            self.answer.fail(&reply.body, body);
        } else {
            self.send_head(self.common.error(&reply, may_repeat), head);
            write_error(&reply.body, body);
        }
        self.outcome = Outcome::Failed(failure);
    }

    fn send_head(&mut self, new: Head, head: &mut Option<Head>) {
        self.head_sent = true;
        self.status = new.status;
        *head = Some(new);
    }
}
