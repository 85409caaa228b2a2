//! The events of a run: its text, its thoughts, its tools.

use std::borrow::Cow;

use crate::failure::{Failure, ProviderFailure};
use crate::gateway::answer::{Attempts, Emitted, MAX_ANSWER_BYTES, Update};
use crate::gateway::frame::{AgentEvent, AssistantData, Json, LifecycleData, ThinkingData};
use crate::gateway::link::Protocol;
use crate::gateway::media::before_directive;
use crate::gateway::progress;
use crate::parse;
use crate::turn::{Progress, RunEvent};

use super::io::Io;
use super::silence::is_silence;
use super::state::{Run, State};

/// Most bytes of thoughts that are shown of one request, all its runs together: a whole answer is
/// kept in memory until its end.
const MAX_THOUGHTS_BYTES: usize = MAX_ANSWER_BYTES;

impl Run {
    /// Takes an event of any run.
    pub(super) fn receive_event(
        &mut self,
        event: &AgentEvent<'_>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        if self.late.is_some() {
            self.note_late_run(event);
        }
        if self.is_continuation(event) {
            self.follow(event, io)?;
        }
        if !self.name.is(&event.run_id) {
            return Ok(());
        }
        self.has_begun = true;
        match self.state {
            State::Running { .. } => {}
            // It is not known yet whether this is the run's beginning. The next event repeats the
            // text.
            State::Starting { .. } if self.turn.may_exist => return Ok(()),
            State::Starting { agent } => {
                self.state = State::Running { agent };
                self.accept(show);
                self.check_subscription()?;
            }
            State::Claiming { .. } | State::Waiting { .. } | State::Pausing { .. } => {
                self.record_going(show);
            }
            _ => return Ok(()),
        }
        match &*event.stream {
            stream if self.is_unread && stream != "lifecycle" => Ok(()),
            "assistant" => self.receive_text(event.data, show),
            "thinking" if self.turn.wants_thoughts => {
                if let Some(data) = event.data.read::<ThinkingData<'_>>() {
                    self.think(&data.text, show);
                }
                Ok(())
            }
            "lifecycle" => self.receive_lifecycle(event, io, show),
            stream => self.receive_progress(stream, event.data, io.now_ms, show),
        }
    }

    fn receive_text(
        &mut self,
        data: Json<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let Some(data) = data.read::<AssistantData<'_>>() else {
            // This is no reason to end the run, but what was shown may not be its answer.
            self.text.miss();
            return Ok(());
        };
        let text = match data.item_id {
            Some(_) => &*data.text,
            None => before_directive(&data.text),
        };
        if (text.is_empty() && !data.text.is_empty()) || is_silence(text) {
            self.is_silent = true;
            return Ok(());
        }
        let is_trimmed = text.len() < data.text.len();
        let delta: Cow<'_, str> = match (&data.item_id, data.delta) {
            (None, _) if data.replace => Cow::Borrowed(""),
            // The event that began this text held the beginning of silence.
            (None, Some(_)) if self.is_silent => Cow::Borrowed(text),
            (None, Some(delta)) => match parse::from_str::<Cow<'_, str>>(delta.get()) {
                Ok(delta) if delta == data.text => Cow::Borrowed(text),
                _ => Cow::Borrowed(""),
            },
            _ => Cow::Borrowed(""),
        };
        self.is_silent = false;
        if !delta.is_empty()
            && let Some(held) = self.held.take()
        {
            // The text before this one was complete.
            let fresh = self.text.update(Update {
                item: None,
                text: &held,
                delta: "",
            })?;
            self.outgoing.push(fresh, show);
        }
        self.held = is_trimmed.then(|| data.text.clone().into_owned());
        let fresh = self.text.update(Update {
            item: data.item_id.as_deref(),
            text,
            delta: &delta,
        })?;
        self.outgoing.push(fresh, show);
        Ok(())
    }

    fn receive_progress(
        &mut self,
        stream: &str,
        data: Json<'_>,
        now_ms: u64,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let Some(target) = &self.target else {
            return Ok(());
        };
        let is_v4 = target.protocol == Protocol::V4;
        let Some(progress) = progress::read(target.protocol, stream, data) else {
            if is_v4
                && stream == "item"
                && let Some(preamble) = progress::read_preamble(data)
            {
                self.text
                    .note_aside(&preamble.item_id, &preamble.progress_text);
            }
            return Ok(());
        };
        let starts_tool = matches!(progress, Progress::ToolStarted { .. });
        if is_v4 {
            if starts_tool {
                let fresh = self.text.take_aside()?;
                self.outgoing.push(fresh, show);
            }
            self.outgoing.note(&progress, show);
            self.note_question(&progress, now_ms);
            self.note_media(&progress);
        }
        if self.turn.wants_progress || progress.is_always_shown() {
            show(RunEvent::Progress(progress));
        }
        Ok(())
    }

    /// Shows the new part of a thought. A text that does not continue the last thought is another
    /// thought. Beyond the limit thoughts are not shown, because the client requested the answer.
    fn think(&mut self, thought: &str, show: &mut impl FnMut(RunEvent<'_>)) {
        let fresh = thought
            .strip_prefix(self.thought.as_str())
            .unwrap_or(thought);
        let shown_bytes = self.thoughts_bytes.saturating_add(fresh.len());
        if !fresh.is_empty() && shown_bytes <= MAX_THOUGHTS_BYTES {
            self.thoughts_bytes = shown_bytes;
            show(RunEvent::Thought(fresh));
            thought.clone_into(&mut self.thought);
        }
    }

    fn receive_lifecycle(
        &mut self,
        event: &AgentEvent<'_>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let Some(data) = event.data.read::<LifecycleData<'_>>() else {
            return Ok(());
        };
        match &*data.phase {
            _ if self.is_unread => {}
            "model" => {
                let fresh = self.text.begin_call()?;
                self.outgoing.push(fresh, show);
            }
            "start" => {
                self.provider_failure = None;
                self.emitted = Emitted::Part;
                self.attempts = Attempts::Unknown;
            }
            "finishing" => self.emitted = Emitted::All,
            "end" => {
                // Protocol 3 no longer names the session after a failed attempt.
                self.attempts = match event.session_key {
                    Some(_) => Attempts::One,
                    None => Attempts::Unknown,
                };
                self.look_after_shared_end(io.now_ms);
            }
            // Protocol 3 shows a failed attempt by this event, and then starts its text again.
            "error"
                if self
                    .target
                    .as_ref()
                    .is_some_and(|target| target.protocol == Protocol::V3) =>
            {
                self.text.restart();
                self.held = None;
                if self.turn.wants_progress {
                    show(RunEvent::Progress(Progress::AttemptFailed));
                }
            }
            _ => {}
        }
        if let Some(observation) = &data.error_observation {
            let reason = observation.failover_reason.as_deref().unwrap_or_default();
            self.provider_failure = Some(ProviderFailure::of(reason));
        }
        Ok(())
    }

    /// Begins to ask for the final response of a run that ended, if it may go to another request.
    /// Protocol 3 answers `accepted` to two simultaneous requests, and sends the end to the first of
    /// them only.
    fn look_after_shared_end(&mut self, now_ms: u64) {
        if self.turn.may_exist && !self.is_v4() && matches!(self.state, State::Running { .. }) {
            // Text from before the run was known may be missing.
            self.text.interrupt(Emitted::Part);
            self.look_after(now_ms);
            self.pause(now_ms);
        }
    }
}
