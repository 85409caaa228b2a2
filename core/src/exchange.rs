//! One client request joined to one run: what the gateway sends goes in, what to send to either side comes out.
//!
//! The caller owns the sockets and the clock. It gives every event to [`Exchange::handle`], carries out the [`Output`], and calls
//! again with [`Input::Tick`] no later than [`Exchange::wake_at_ms`]. Once [`Output::ended`] is set nothing more will come: it
//! closes both sides. End of file, hang-up and deadlines are inputs like any other.

use crate::agent::AgentId;
use crate::config::Gateway;
use crate::error::{Deadline, Failure, RETRY_AFTER_S};
use crate::gateway::link::{Client, Incoming, Link};
use crate::gateway::run::Run;
use crate::openai::{Completion, Form, write_error};
use crate::respond::{Common, Head};
use crate::session::SessionKey;
use crate::sse;
use crate::turn::{Answer, RunEvent, Turn};

/// From the request until the run is asked for, connecting (which may take 10 s) included: the gateway itself gives a client 3 s
/// (2026.3) or 15 s (2026.9) for the handshake.
const HANDSHAKE_MS: u64 = 20_000;

/// From asking for the run until the gateway takes it: a cold gateway was seen to need 1.3 s.
const ACCEPTANCE_MS: u64 = 30_000;

/// Between two frames of any kind: a gateway sends a tick every 30 s, so two are missing.
const SILENCE_MS: u64 = 75_000;

/// Between two writes to a streaming client: proxies give up after 100 s and more, and only a write shows that the client left.
const HEARTBEAT_MS: u64 = 15_000;

/// One request and its run.
#[derive(Debug, Clone)]
pub struct Exchange {
    link: Link,
    run: Run,
    reply: Reply,
    /// When the present phase began: the handshake, or the wait for acceptance.
    phase_began_ms: u64,
    last_frame_ms: u64,
    last_write_ms: u64,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A text frame from the gateway.
    Frame(&'a str),
    /// The gateway's socket is closed.
    Closed { code: u16 },
    /// There is no socket, for this reason.
    Failed(Failure),
    /// The client is gone.
    HungUp,
    /// Time passed.
    Tick,
}

/// What to do about it, in this order.
#[derive(Debug, Default)]
pub struct Output {
    /// Text frames for the gateway.
    pub frames: Vec<String>,
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
    completion: Completion,
    head_sent: bool,
    status: u16,
    outcome: Outcome,
}

impl Exchange {
    pub fn new(turn: Turn, completion: Completion, common: Common, now_ms: u64) -> Self {
        Self {
            link: Link::new(Client::BACKEND),
            run: Run::new(turn),
            reply: Reply {
                common,
                completion,
                head_sent: false,
                status: 0,
                outcome: Outcome::Pending,
            },
            phase_began_ms: now_ms,
            last_frame_ms: now_ms,
            last_write_ms: now_ms,
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
            Input::Frame(frame) => {
                self.last_frame_ms = now_ms;
                match self.link.receive(frame, &gateway.credential, &mut out.frames) {
                    Ok(incoming) => self.receive(incoming, out),
                    Err(failure) => self.give_up(failure, out),
                }
            }
            Input::Closed { code } => self.fail(self.closed(code), out),
            Input::Failed(failure) => self.fail(failure, out),
            Input::HungUp => self.hang_up(out),
            Input::Tick => self.tick(now_ms, out),
        }
        if asked != self.run.awaits_acceptance() {
            self.phase_began_ms = now_ms;
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
        Some(if self.beats() {
            deadline.min(self.heartbeat_at_ms())
        } else {
            deadline
        })
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

    fn receive(&mut self, incoming: Incoming<'_>, out: &mut Output) {
        let reply = &mut self.reply;
        let Output { frames, head, body, .. } = out;
        let mut ended = None;
        self.run
            .receive(incoming, &mut self.link, frames, &mut |event| match event {
                RunEvent::Accepted => reply.accept(head, body),
                RunEvent::Text(text) => reply.completion.text(text, body),
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
        self.run.abort(&mut self.link, &mut out.frames);
        self.fail(failure, out);
    }

    fn fail(&mut self, failure: Failure, out: &mut Output) {
        let may_repeat = !self.run.may_have_started() && !failure.is_permanent();
        self.reply.fail(failure, may_repeat, &mut out.head, &mut out.body);
        out.ended = true;
    }

    fn hang_up(&mut self, out: &mut Output) {
        self.run.abort(&mut self.link, &mut out.frames);
        self.reply.outcome = Outcome::Failed(Failure::HungUp);
        out.ended = true;
    }

    fn tick(&mut self, now_ms: u64, out: &mut Output) {
        let (deadline, which) = self.deadline();
        if now_ms >= deadline {
            let failure = self.run.refused().cloned().unwrap_or(Failure::TimedOut(which));
            self.give_up(failure, out);
        } else if self.beats() && now_ms >= self.heartbeat_at_ms() {
            sse::ping(&mut out.body);
        }
    }

    fn deadline(&self) -> (u64, Deadline) {
        if self.run.is_going() {
            (self.last_frame_ms.saturating_add(SILENCE_MS), Deadline::Silence)
        } else if self.run.awaits_acceptance() {
            (self.phase_began_ms.saturating_add(ACCEPTANCE_MS), Deadline::Acceptance)
        } else {
            (self.phase_began_ms.saturating_add(HANDSHAKE_MS), Deadline::Handshake)
        }
    }

    fn beats(&self) -> bool {
        self.reply.head_sent && self.reply.completion.form() != Form::Whole
    }

    fn heartbeat_at_ms(&self) -> u64 {
        self.last_write_ms.saturating_add(HEARTBEAT_MS)
    }

    /// What a socket that closed by itself means.
    fn closed(&self, close_code: u16) -> Failure {
        if self.run.is_going() || self.run.awaits_acceptance() {
            return Failure::Lost { close_code };
        }
        if let Some(refused) = self.run.refused() {
            return refused.clone();
        }
        match close_code {
            // Going away, service restart, try again later (RFC 6455 section 7.4.1 and its registry).
            1001 | 1012 | 1013 => Failure::Unavailable {
                retry_after_s: RETRY_AFTER_S,
                refusal: None,
            },
            _ => Failure::Closed { close_code },
        }
    }
}

impl Reply {
    fn accept(&mut self, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if self.completion.form() != Form::Whole {
            self.send_head(self.common.stream(), head);
            self.completion.begin(body);
        }
    }

    fn finish(&mut self, answer: Answer, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if !self.head_sent {
            self.send_head(self.common.json(), head);
        }
        self.completion.finish(&answer, body);
        self.outcome = Outcome::Answered(answer);
    }

    fn fail(&mut self, failure: Failure, may_repeat: bool, head: &mut Option<Head>, body: &mut Vec<u8>) {
        let reply = failure.reply();
        if self.head_sent {
            self.completion.fail(&reply.body, body);
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
