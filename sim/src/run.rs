//! One run, from its acceptance to its last response: plays the script, and lets a narrator tell the clients.
//!
//! ```text
//!   accepted ─▶ its turn in the session ─▶ attempt ─▶ … ─▶ ended
//!                                           ▲   │ fails, and is retried
//!                                           └───┘
//! ```
//!
//! It goes on when the socket that started it is gone. Source: measured on both versions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::agents::{self, PROVIDER, Place};
use crate::clock;
use crate::frames::{Close, Outgoing, Protocol, Reply};
use crate::gateway::{Ended, Gateway};
use crate::journal::{AbortedBy, Ending};
use crate::narrator::{Narrator, Scene, foreign, narrator};
use crate::outcome::{self, Account, Failure};
use crate::requests::Responder;
use crate::script::Script;

/// Between a failed attempt and the next. The gateway waits up to 22 s, and longer the more often it failed.
pub(crate) const RETRY_DELAY_MS: u64 = 60;

/// Between the steps of a tool.
const TOOL_STEP_MS: u64 = 20;

/// What a test finds in place of a frame.
const GARBAGE: &str = "this is not { JSON";

/// A run that is about to begin.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) script: Script,
    pub(crate) accepted: Reply,
    /// What fails the run before any model is called.
    pub(crate) thinking_problem: Option<String>,
    /// Nobody is told while it runs: `sessionEffects: "internal"`.
    pub(crate) quiet: bool,
    pub(crate) starter: u64,
    pub(crate) responder: Responder,
    pub(crate) aborts: UnboundedReceiver<Abort>,
    pub(crate) ended: watch::Sender<Option<Arc<Ended>>>,
}

/// An abort, and the response that goes out in the middle of its events.
#[derive(Debug)]
pub(crate) struct Abort {
    pub(crate) by: AbortedBy,
    pub(crate) answer: Option<Box<(Responder, Reply)>>,
}

/// Why a run ends before its answer is complete.
enum Stop {
    Aborted(Abort),
    Failed(Failure),
    /// The provider sent an error object in its stream.
    StreamError,
    TimedOut,
    /// The run fails before any model is called.
    Refused(String),
}

/// Plays a run to its end.
pub(crate) async fn perform(gateway: Arc<Gateway>, run: Run) {
    let Run {
        id: run_id,
        place,
        message,
        script,
        accepted,
        thinking_problem,
        quiet,
        starter,
        responder,
        aborts,
        ended,
    } = run;
    if script.slow_accept_ms > 0 {
        tokio::time::sleep(Duration::from_millis(script.slow_accept_ms)).await;
    }
    if script.lost_accept {
        gateway.send(starter, Outgoing::Drop);
    } else {
        responder.answer(&accepted);
    }

    let scene = Arc::new(Scene {
        model: agents::model(&gateway.options, &place.agent_id),
        run_id,
        place,
        session_id: clock::uuid(),
        message,
        quiet,
        starter,
        accepted_at_ms: clock::now_ms(),
        gateway: Arc::clone(&gateway),
    });
    let turn = gateway.turn(&scene.place.session_key);
    let mut stage = Stage {
        narrator: narrator(Arc::clone(&scene)),
        scene: Arc::clone(&scene),
        account: Account::new(),
        script,
        aborts,
        next_at: Instant::now(),
        told: 0,
    };
    stage.narrator.accepted();
    let stopped = match stage.take_turn(turn).await {
        Ok(_turn) => match stage.play(thinking_problem).await {
            // The turn is over once the run has ended, for better or worse.
            Ok(()) => {
                let reply = stage.finish();
                stage.conclude(&ended, &responder, &reply, Ending::Ok);
                return;
            }
            Err(stop) => stop,
        },
        Err(stop) => stop,
    };
    stage.stop(stopped, &ended, &responder);
}

struct Stage {
    scene: Arc<Scene>,
    narrator: Box<dyn Narrator + Send>,
    script: Script,
    account: Account,
    aborts: UnboundedReceiver<Abort>,
    /// When the model says its next delta.
    next_at: Instant,
    /// Deltas of the answer so far, over all attempts.
    told: u32,
}

impl Stage {
    /// Waits for the other runs of the session.
    async fn take_turn(&mut self, turn: Arc<tokio::sync::Mutex<()>>) -> Result<tokio::sync::OwnedMutexGuard<()>, Stop> {
        tokio::select! {
            turn = turn.lock_owned() => Ok(turn),
            Some(abort) = self.aborts.recv() => Err(Stop::Aborted(abort)),
        }
    }

    async fn play(&mut self, thinking_problem: Option<String>) -> Result<(), Stop> {
        self.next_at = Instant::now();
        if let Some(problem) = thinking_problem {
            return Err(Stop::Refused(problem));
        }
        self.narrator.started();
        self.wait(self.script.delay_ms).await?;
        if self.scene.protocol() == Protocol::V4 && self.script.empty > 0 {
            // Protocol 4 asks the model once more when it said nothing.
            self.account.calls = self.account.calls.saturating_add(1);
            self.narrator.said_nothing(self.output_tokens());
        }
        if let Some(tool) = self.script.tool.clone() {
            self.use_tool(&tool).await?;
        }
        let mut attempt = 0;
        while let Err(failure) = self.attempt(attempt).await? {
            if attempt >= self.script.retry {
                return Err(Stop::Failed(failure));
            }
            attempt = attempt.saturating_add(1);
            self.narrator.attempt_failed(&failure, attempt);
            self.account.partial_texts.push(self.narrator.item_text());
            self.account.last_error = Some(failure.provider_message.clone());
            self.wait(RETRY_DELAY_MS).await?;
            self.narrator.retried();
        }
        Ok(())
    }

    /// One attempt at the answer; the inner error is a failure of the provider.
    async fn attempt(&mut self, attempt: u32) -> Result<Result<(), Failure>, Stop> {
        for thought in self.script.thoughts() {
            self.narrator.thought(&thought);
            self.wait(self.script.delay_ms).await?;
        }
        let silent = self.is_silent();
        let deltas = if silent { Vec::new() } else { self.script.deltas.clone() };
        let fails_after = self.script.fails_after(attempt);
        for (index, delta) in (0_u32..).zip(&deltas) {
            self.interfere();
            if fails_after == Some(index) {
                return Ok(Err(self.failure()));
            }
            if self.script.stream_error == Some(index) {
                return Err(Stop::StreamError);
            }
            if self.script.stall == Some(index) {
                self.stall().await?;
            }
            if self.script.retract == Some(index) {
                self.narrator.retracted(Script::other_text());
            }
            for nth in 0..self.script.foreign {
                foreign(
                    &self.scene,
                    self.told.wrapping_mul(self.script.foreign).wrapping_add(nth),
                );
            }
            self.narrator.said(delta, self.script.unknown);
            self.told = self.told.saturating_add(1);
            self.wait(self.script.delay_ms).await?;
        }
        self.interfere();
        if fails_after.is_some() {
            return Ok(Err(self.failure()));
        }
        if self.script.stream_error.is_some() {
            return Err(Stop::StreamError);
        }
        if self.script.stall.is_some() {
            self.stall().await?;
        }
        if self
            .script
            .retract
            .is_some_and(|after| usize::try_from(after).is_ok_and(|after| after >= deltas.len()))
        {
            self.narrator.retracted(Script::other_text());
        }
        if self.script.timeout {
            Err(Stop::TimedOut)
        } else {
            Ok(Ok(()))
        }
    }

    /// Whether the answer is empty: protocol 3 takes it as it is, protocol 4 after it asked twice.
    fn is_silent(&self) -> bool {
        match self.scene.protocol() {
            Protocol::V3 => self.script.empty > 0,
            Protocol::V4 => self.script.empty > 1,
        }
    }

    async fn use_tool(&mut self, tool: &str) -> Result<(), Stop> {
        for delta in ["Let", " me", " check."] {
            self.narrator.said(delta, false);
            self.wait(self.script.delay_ms).await?;
        }
        self.account.calls = self.account.calls.saturating_add(1);
        self.account.tools.push(tool.to_owned());
        let output_tokens = self.output_tokens();
        self.narrator.tool_started(tool, output_tokens);
        self.wait(TOOL_STEP_MS).await?;
        self.narrator.tool_went_on(tool);
        self.wait(TOOL_STEP_MS).await?;
        self.account.earlier_texts.push(self.narrator.item_text());
        self.narrator.tool_ended(tool);
        self.wait(self.script.delay_ms).await
    }

    /// What goes wrong on the starter's socket at this point of the answer.
    fn interfere(&mut self) {
        let (gateway, starter, told) = (&self.scene.gateway, self.scene.starter, self.told);
        if self.script.garbage == Some(told) {
            gateway.send(starter, Outgoing::Text(GARBAGE.to_owned()));
        }
        if self.script.drop == Some(told) {
            gateway.send(starter, Outgoing::Drop);
        }
        if let Some(code) = self.script.close.filter(|_| self.script.after == told) {
            gateway.send(starter, Outgoing::Close(Close::new(code, "")));
        }
    }

    fn failure(&self) -> Failure {
        Failure::of(self.script.error, self.script.reason.as_deref(), self.scene.model)
    }

    async fn stall(&mut self) -> Result<(), Stop> {
        self.wait_until(None).await
    }

    /// Waits so many milliseconds after the delta before, so that a slow moment does not slow the whole answer.
    async fn wait(&mut self, ms: u64) -> Result<(), Stop> {
        self.next_at = self
            .next_at
            .checked_add(Duration::from_millis(ms))
            .unwrap_or_else(Instant::now);
        self.wait_until(Some(self.next_at)).await
    }

    /// Waits, while text that was gathered goes out when it is due.
    async fn wait_until(&mut self, deadline: Option<Instant>) -> Result<(), Stop> {
        loop {
            let now = Instant::now();
            if self.narrator.due().is_some_and(|due| due <= now) {
                self.narrator.flush();
                continue;
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                // The sockets get a turn even in an answer without delays.
                tokio::task::yield_now().await;
                return self.aborts.try_recv().map_or(Ok(()), |abort| Err(Stop::Aborted(abort)));
            }
            let wake = [deadline, self.narrator.due()].into_iter().flatten().min();
            tokio::select! {
                Some(abort) = self.aborts.recv() => return Err(Stop::Aborted(abort)),
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
                else => std::future::pending().await,
            }
        }
    }

    /// Output tokens of one call: as many as the answer has deltas.
    fn output_tokens(&self) -> u64 {
        u64::try_from(self.script.deltas.len()).unwrap_or(u64::MAX)
    }

    fn finish(&mut self) -> Reply {
        self.account.output_per_call = self.output_tokens();
        self.account.stop_reason = if self.script.length { "length" } else { "stop" };
        self.narrator.finished(&self.account);
        self.account.text = self.narrator.item_text();
        outcome::completed(&self.scene, &self.account)
    }

    /// Ends a run that did not come to its answer's end.
    fn stop(mut self, stop: Stop, ended: &watch::Sender<Option<Arc<Ended>>>, responder: &Responder) {
        self.account.output_per_call = self.output_tokens();
        let (reply, ending) = match stop {
            Stop::Aborted(Abort { by, answer }) => {
                self.narrator.aborted();
                // Others may have asked for the same meanwhile.
                let more = std::iter::from_fn(|| self.aborts.try_recv().ok()).filter_map(|abort| abort.answer);
                for (responder, reply) in answer.into_iter().chain(more).map(|answer| *answer) {
                    responder.answer(&reply);
                }
                self.narrator.settled_after_abort();
                self.account.aborted_by = Some(by);
                (outcome::aborted(&self.scene.run_id), Ending::Aborted)
            }
            Stop::Failed(failure) => {
                self.narrator.failed(&failure);
                self.account.text = self.narrator.item_text();
                (
                    outcome::provider_failed(&self.scene, &self.account, &failure),
                    Ending::Error,
                )
            }
            Stop::StreamError => {
                let failure = Failure::in_stream(self.scene.model);
                self.narrator.failed_in_stream(&failure);
                self.account.text = self.narrator.item_text();
                (
                    outcome::stream_failed(&self.scene, &self.account, &failure),
                    Ending::Error,
                )
            }
            Stop::TimedOut => {
                self.account.stop_reason = "timeout";
                self.narrator.timed_out();
                (outcome::timed_out(&self.scene, &self.account), Ending::Error)
            }
            Stop::Refused(problem) => {
                self.narrator.refused(&problem);
                (outcome::failure(&self.scene.run_id, &problem), Ending::Error)
            }
        };
        self.conclude(ended, responder, &reply, ending);
    }

    fn conclude(
        &mut self,
        ended: &watch::Sender<Option<Arc<Ended>>>,
        responder: &Responder,
        reply: &Reply,
        ending: Ending,
    ) {
        let wait = outcome::waited(&self.scene, &self.account, ending);
        let by = self.account.aborted_by.take();
        self.scene
            .gateway
            .state()
            .journal
            .run_ended(&self.scene.run_id, ending, by);
        ended.send_replace(Some(Arc::new(Ended {
            reply: reply.clone(),
            claimable_at: Instant::now()
                .checked_add(Duration::from_millis(self.script.settle_ms))
                .unwrap_or_else(Instant::now),
            wait,
        })));
        if !self.script.no_final {
            responder.answer(reply);
        }
    }
}

/// The model's full name.
pub(crate) fn full_model(model: &str) -> String {
    format!("{PROVIDER}/{model}")
}
