//! One run, from its acceptance to its last response: follows the script and emits the events.
//!
//! ```text
//!   accepted ─▶ its turn in the session ─▶ attempt ─▶ … ─▶ ended
//!                                           ▲   │ fails, and is retried
//!                                           └───┘
//! ```
//!
//! It continues after the socket that started it has closed. Source: measured on both versions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::agents::{self, Place};
use crate::clock;
use crate::events;
use crate::events::interface::{Events, Fields};
use crate::events::noise::foreign;
use crate::frames::{Close, Outgoing, Protocol, Reply};
use crate::gateway::Gateway;
use crate::history::Answer;
use crate::journal::Ending;
use crate::request::Responder;
use crate::run::account::Account;
use crate::run::context::{RETRY_DELAY_MS, RunContext};
use crate::run::failure::Failure;
use crate::run::outcome;
use crate::run::record::{Abort, Ended};
use crate::script::Script;

/// Delay between the steps of a tool.
const TOOL_STEP_MS: u64 = 20;

/// The text that a test receives instead of a frame.
const GARBAGE: &str = "this is not { JSON";

/// A run that is about to begin.
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) place: Place,
    /// The id that its session must have.
    pub(crate) session_id: Option<String>,
    pub(crate) message: String,
    pub(crate) script: Script,
    pub(crate) accepted: Reply,
    /// The error that ends the run before any model is called.
    pub(crate) problem: Option<String>,
    /// Emits the run's moments over HTTP as well.
    pub(crate) completion: Option<Box<dyn Events + Send>>,
    /// No event is sent while it runs: `sessionEffects: "internal"`.
    pub(crate) quiet: bool,
    pub(crate) starter: u64,
    pub(crate) responder: Responder,
    pub(crate) aborts: UnboundedReceiver<Abort>,
    pub(crate) ended: watch::Sender<Option<Arc<Ended>>>,
}

/// The reason why a run ends before its answer is complete.
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
        session_id,
        message,
        script,
        accepted,
        problem,
        completion,
        quiet,
        starter,
        responder,
        aborts,
        ended,
    } = run;
    let mut resumes = gateway.resumes.subscribe();
    if script.slow_accept_ms > 0 {
        let limit = Duration::from_millis(script.slow_accept_ms);
        drop(timeout(limit, resumes.changed()).await);
    }
    if script.lost_accept {
        gateway.send(starter, Outgoing::Drop);
    } else {
        responder.answer(&accepted);
    }

    let context = Arc::new(RunContext {
        model: agents::model(&gateway.options, &place.agent_id),
        run_id,
        place,
        is_rotated: session_id.is_some(),
        session_id: session_id.unwrap_or_else(clock::uuid),
        message,
        quiet,
        starter,
        accepted_at_ms: clock::now_ms(),
        gateway: Arc::clone(&gateway),
    });
    let turn = gateway.turn(&context.place.session_key);
    let own_events = events::for_protocol(Arc::clone(&context));
    let mut task = RunTask {
        events: match completion {
            Some(completion) => events::both(own_events, completion),
            None => own_events,
        },
        context: Arc::clone(&context),
        account: Account::new(),
        script,
        aborts,
        resumes,
        next_at: Instant::now(),
        emitted: 0,
    };
    task.events.accepted();
    let stopped = match task.take_turn(turn).await {
        Ok(_turn) => match task.play(problem).await {
            // The turn is over once the run has ended, even if it failed.
            Ok(()) => {
                let reply = task.finish();
                task.conclude(&ended, &responder, &reply, Ending::Ok);
                return;
            }
            Err(stop) => stop,
        },
        Err(stop) => stop,
    };
    task.stop(stopped, &ended, &responder);
}

struct RunTask {
    context: Arc<RunContext>,
    events: Box<dyn Events + Send>,
    script: Script,
    account: Account,
    aborts: UnboundedReceiver<Abort>,
    /// Changes when the runs that stall go on.
    resumes: watch::Receiver<u64>,
    /// The time of the model's next delta.
    next_at: Instant,
    /// Deltas of the answer so far, over all attempts.
    emitted: u32,
}

impl RunTask {
    /// Waits for the other runs of the session.
    async fn take_turn(
        &mut self,
        turn: Arc<tokio::sync::Mutex<()>>,
    ) -> Result<tokio::sync::OwnedMutexGuard<()>, Stop> {
        tokio::select! {
            turn = turn.lock_owned() => Ok(turn),
            Some(abort) = self.aborts.recv() => Err(Stop::Aborted(abort)),
        }
    }

    async fn play(&mut self, problem: Option<String>) -> Result<(), Stop> {
        self.next_at = Instant::now();
        if let Some(problem) = problem {
            return Err(Stop::Refused(problem));
        }
        self.events.started();
        if !self.context.quiet {
            let context = &self.context;
            let mut state = context.gateway.state();
            if context.is_rotated {
                let key = &context.place.session_key;
                state.histories.rotate(key, &context.session_id);
            }
            state.histories.asked(
                context.protocol(),
                &context.place.session_key,
                &context.run_id,
                &context.message,
            );
        }
        self.wait(self.script.delay_ms).await?;
        if self.context.protocol() == Protocol::V4 && self.script.empty > 0 {
            // Protocol 4 calls the model once more when its answer was empty.
            self.account.calls = self.account.calls.saturating_add(1);
            self.events.answered_nothing(self.output_tokens());
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
            self.events.attempt_failed(&failure, attempt);
            self.account.partial_texts.push(self.events.item_text());
            self.account.last_error = Some(failure.provider_message.clone());
            self.wait(RETRY_DELAY_MS).await?;
            self.events.retried();
        }
        Ok(())
    }

    /// One attempt at the answer; the inner error is a failure of the provider.
    async fn attempt(&mut self, attempt: u32) -> Result<Result<(), Failure>, Stop> {
        for thought in self.script.thoughts() {
            self.events.thought(&thought);
            self.wait(self.script.delay_ms).await?;
        }
        let silent = self.is_silent();
        let deltas = if silent {
            Vec::new()
        } else {
            self.script.deltas.clone()
        };
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
                self.script.stall = None;
                self.stall().await?;
            }
            if self.script.retract == Some(index) {
                self.events.retracted(Script::other_text());
            }
            self.emit_foreign();
            let fields = self.fields();
            self.events.answered(delta, fields);
            self.emitted = self.emitted.saturating_add(1);
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
            self.events.retracted(Script::other_text());
        }
        if self.script.timeout {
            Err(Stop::TimedOut)
        } else {
            Ok(Ok(()))
        }
    }

    /// Returns true if the answer is empty: protocol 3 accepts that at once, protocol 4 after a
    /// second call.
    fn is_silent(&self) -> bool {
        match self.context.protocol() {
            Protocol::V3 => self.script.empty > 0,
            Protocol::V4 => self.script.empty > 1,
        }
    }

    /// Emits events of other runs.
    fn emit_foreign(&self) {
        let count = self.script.foreign;
        for nth in 0..count {
            foreign(
                &self.context,
                self.emitted.wrapping_mul(count).wrapping_add(nth),
            );
        }
    }

    /// Returns the fields of the events with text.
    fn fields(&self) -> Fields {
        if self.script.unknown {
            Fields::Surplus
        } else {
            Fields::Known
        }
    }

    async fn use_tool(&mut self, tool: &str) -> Result<(), Stop> {
        for delta in ["Let", " me", " check."] {
            self.events.answered(delta, Fields::Known);
            self.wait(self.script.delay_ms).await?;
        }
        self.account.calls = self.account.calls.saturating_add(1);
        self.account.tools.push(tool.to_owned());
        let output_tokens = self.output_tokens();
        self.events.tool_started(tool, output_tokens);
        self.wait(TOOL_STEP_MS).await?;
        self.events.tool_continued(tool);
        self.wait(TOOL_STEP_MS).await?;
        self.account.earlier_texts.push(self.events.item_text());
        self.events.tool_ended(tool);
        self.wait(self.script.delay_ms).await
    }

    /// Causes the socket fault that the script has for this point of the answer.
    fn interfere(&mut self) {
        let (gateway, starter, emitted) =
            (&self.context.gateway, self.context.starter, self.emitted);
        if self.script.garbage == Some(emitted) {
            gateway.send(starter, Outgoing::Text(GARBAGE.to_owned()));
        }
        if self.script.drop == Some(emitted) {
            gateway.send(starter, Outgoing::Drop);
        }
        if let Some(code) = self.script.close.filter(|_| self.script.after == emitted) {
            gateway.send(starter, Outgoing::Close(Close::new(code, "")));
        }
    }

    fn failure(&self) -> Failure {
        Failure::of(
            self.script.error,
            self.script.reason.as_deref(),
            self.context.model,
        )
    }

    /// Is silent until the run is aborted, or goes on.
    async fn stall(&mut self) -> Result<(), Stop> {
        let mut resumes = self.resumes.clone();
        let stopped = tokio::select! {
            stopped = self.wait_until(None) => stopped,
            _ = resumes.changed() => Ok(()),
        };
        self.next_at = Instant::now();
        stopped
    }

    /// Waits until `ms` after the previous delta, so that one slow delta does not delay the whole
    /// answer.
    async fn wait(&mut self, ms: u64) -> Result<(), Stop> {
        self.next_at = self
            .next_at
            .checked_add(Duration::from_millis(ms))
            .unwrap_or_else(Instant::now);
        self.wait_until(Some(self.next_at)).await
    }

    /// Waits, and sends gathered text when it is due.
    async fn wait_until(&mut self, deadline: Option<Instant>) -> Result<(), Stop> {
        loop {
            let now = Instant::now();
            if self.events.due().is_some_and(|due| due <= now) {
                self.events.flush();
                continue;
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                // The sockets get a turn even in an answer without delays.
                tokio::task::yield_now().await;
                return self
                    .aborts
                    .try_recv()
                    .map_or(Ok(()), |abort| Err(Stop::Aborted(abort)));
            }
            let wake = [deadline, self.events.due()].into_iter().flatten().min();
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
        self.events.finished(&self.account);
        self.account.text = self.events.item_text();
        outcome::completed(&self.context, &self.account)
    }

    /// Ends a run before its answer is complete.
    fn stop(
        mut self,
        stop: Stop,
        ended: &watch::Sender<Option<Arc<Ended>>>,
        responder: &Responder,
    ) {
        self.account.output_per_call = self.output_tokens();
        let (reply, ending) = match stop {
            Stop::Aborted(Abort { by, answer }) => {
                self.events.aborted();
                // Other requests may have asked for the same abort meanwhile.
                let more = std::iter::from_fn(|| self.aborts.try_recv().ok())
                    .filter_map(|abort| abort.answer);
                for (responder, reply) in answer.into_iter().chain(more).map(|answer| *answer) {
                    responder.answer(&reply);
                }
                self.events.settled_after_abort();
                self.account.aborted_by = Some(by);
                (outcome::aborted(&self.context.run_id), Ending::Aborted)
            }
            Stop::Failed(failure) => {
                self.events.failed(&failure);
                self.account.text = self.events.item_text();
                (
                    outcome::provider_failed(&self.context, &self.account, &failure),
                    Ending::Error,
                )
            }
            Stop::StreamError => {
                let failure = Failure::in_stream(self.context.model);
                self.events.failed_in_stream(&failure);
                self.account.text = self.events.item_text();
                (
                    outcome::stream_failed(&self.context, &self.account, &failure),
                    Ending::Error,
                )
            }
            Stop::TimedOut => {
                self.account.stop_reason = "timeout";
                self.events.timed_out();
                (
                    outcome::timed_out(&self.context, &self.account),
                    Ending::Error,
                )
            }
            Stop::Refused(problem) => {
                self.events.refused(&problem);
                (
                    outcome::failure(&self.context.run_id, &problem),
                    Ending::Error,
                )
            }
        };
        self.conclude(ended, responder, &reply, ending);
    }

    /// Stores the answer in the session: a row for each message.
    fn remember(&self, ending: Ending) {
        let context = &self.context;
        if context.quiet {
            return;
        }
        let last = self.events.item_text();
        let last_reason = match ending {
            Ending::Ok => self.account.stop_reason,
            Ending::Aborted => "aborted",
            Ending::Error | Ending::Running => "error",
        };
        let mut state = context.gateway.state();
        let rows = self
            .account
            .earlier_texts
            .iter()
            .map(|text| (text.as_str(), "toolUse"));
        for (text, reason) in rows.chain([(last.as_str(), last_reason)]) {
            let answer = Answer {
                run_id: &context.run_id,
                text,
                stop_reason: reason,
            };
            let key = &context.place.session_key;
            state.histories.answered(context.protocol(), key, &answer);
        }
    }

    fn conclude(
        &mut self,
        ended: &watch::Sender<Option<Arc<Ended>>>,
        responder: &Responder,
        reply: &Reply,
        ending: Ending,
    ) {
        self.remember(ending);
        let wait = outcome::waited(&self.context, &self.account, ending);
        let by = self.account.aborted_by.take();
        self.context
            .gateway
            .state()
            .journal
            .run_ended(&self.context.run_id, ending, by);
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
