//! The end of a run: its final response, and the part of the answer that was not shown before.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::failure::{Failure, ProviderFailure};
use crate::gateway::answer::Update;
use crate::gateway::frame::{AgentMeta, AgentResult, RunError, RunResult, TokenUsage};
use crate::gateway::link::Protocol;
use crate::gateway::media::without_directives;
use crate::gateway::memory::Recorded;
use crate::parse;
use crate::turn::{Finish, RunEvent, RunSummary, Usage};

use super::io::Io;
use super::silence::{SILENCE, is_silence};
use super::state::{Run, UserQuestion};

impl Run {
    /// Takes the final response of a run. Its `ok` alone does not mean success.
    pub(super) fn finish(
        &mut self,
        reply: &AgentResult<'_>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let meta = &reply.result.meta;
        if reply.status == "timeout" || meta.aborted {
            if let Some(UserQuestion::Shown(used)) = self.question {
                self.finish_question(used, show);
                return Ok(());
            }
            // An earlier request showed the question, and had the run stopped.
            let recorded = self.recovery.recorded.take();
            if let Some(Recorded::Answered {
                question: Some(_), ..
            }) = recorded
            {
                return recorded.map_or(Ok(()), |recorded| self.show_recorded(recorded, show));
            }
        }
        self.question = None;
        self.note_children(&reply.result);
        let earlier = self.before_end.take().unwrap_or(self.spent);
        self.spent = earlier.plus(usage(meta.agent_meta));
        let result = match (&*reply.status, meta.stop_reason.as_deref()) {
            ("ok", _) if meta.aborted => Err(Failure::RunAborted),
            ("ok", _) if meta.error.is_some() => Err(self.failed_with(meta.error.as_ref())),
            ("ok", Some("error")) | ("error", _) => Err(self.failed()),
            ("ok", _) if self.is_yielded(&reply.result) => {
                self.settle(&reply.result, show)?;
                return self.await_continuation(&reply.result, earlier, io, show);
            }
            ("ok", stop_reason) => {
                let finish = if stop_reason == Some("length") {
                    Finish::Length
                } else {
                    Finish::Stop
                };
                match self.settle(&reply.result, show) {
                    // The rows have what a tool sent, too, and it looks like an answer.
                    Err(Failure::AnswerLost)
                        if self.can_reread() && split(&reply.result).0.is_empty() =>
                    {
                        return self.reread(&reply.result, finish, earlier, io);
                    }
                    settled => settled.map(|()| finish),
                }
            }
            ("timeout", _) => Err(Failure::RunAborted),
            _ => {
                return Err(Failure::GatewayProtocolError(
                    "the run ended with a status nobody knows",
                ));
            }
        };
        self.end_with(result, earlier, io, show)
    }

    /// Ends the run, unless work may follow. `earlier` are the tokens of the runs before it.
    pub(super) fn end_with(
        &mut self,
        result: Result<Finish, Failure>,
        earlier: Usage,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let is_spared = self.awaits_late() && self.text.is_empty();
        if self.expects_late() && (result.is_ok() || is_spared) {
            return self.await_late(result.ok(), earlier, io, show);
        }
        let usage = self.spent;
        let result = result.map(|finish| RunSummary { finish, usage });
        self.end(result, show);
        Ok(())
    }

    /// Checks that the shown text is the answer, and shows the text that only the final response
    /// has.
    fn settle(
        &mut self,
        result: &RunResult<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        if self.is_unread {
            return Ok(());
        }
        let (messages, answer) = split(result);
        if self.text.is_interrupted() {
            self.settle_interrupted(result, &answer, show)?;
        } else if self.text.lacks_words() {
            return Err(Failure::GatewayProtocolError(
                "a part of the answer could not be read",
            ));
        } else if !self.text.is_settled() {
            return Err(Failure::AnswerRetracted);
        } else if self.text.is_empty() {
            // An answer that no model wrote, such as a command's, is not streamed.
            for text in answer {
                let fresh = self.text.update(Update {
                    item: None,
                    text,
                    delta: text,
                })?;
                self.outgoing.push(fresh, show);
            }
        } else if let Some(last) = result.meta.final_assistant_visible_text.as_deref() {
            // Protocol 4 repeats the last message.
            let turns = agent_meta(result.meta.agent_meta).assistant_turns;
            let last = without_directives(last);
            let fresh = if self.is_silent && last != SILENCE && is_silence(&last) {
                // It was held as a possible beginning of silence, but is the agent's whole last
                // text.
                self.text.update(Update {
                    item: Some("held"),
                    text: &last,
                    delta: "",
                })?
            } else {
                self.text.check_last(&last, turns.unwrap_or_default())?
            };
            self.outgoing.push(fresh, show);
        } else if !self.is_v4() {
            let fresh = self.text.check_whole(&answer, self.attempts)?;
            self.outgoing.push(fresh, show);
        }
        if self.is_yielded(result) {
            self.outgoing.finish_run(&messages, files(result), show);
        } else {
            self.conclude(&messages, files(result), show);
        }
        Ok(())
    }

    /// Shows what the answer has beside its text.
    pub(super) fn conclude(
        &mut self,
        messages: &[&str],
        files: Vec<String>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) {
        self.outgoing.finish_run(messages, files, show);
        if !self.expects_late() {
            self.show_files(show);
        }
    }

    /// Shows the files of the answer, or our own text if there is no other.
    pub(super) fn show_files(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        let target = self.target.as_ref();
        // Protocol 3 has no way to fetch one.
        let target =
            target.filter(|target| self.turn.wants_files && target.protocol == Protocol::V4);
        let link = target.map(|target| (&target.agent, &target.session));
        self.outgoing.finish(link, show);
    }

    /// Does the same after a connection was lost. Text that was not received must be proven
    /// complete; otherwise it is shown here.
    fn settle_interrupted(
        &mut self,
        result: &RunResult<'_>,
        answer: &[&str],
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let fresh = if self.is_v4() {
            // Protocol 4 repeats the last message only.
            let last = last_text(result, answer);
            match (self.text.is_settled(), self.recovery.has_whole_text) {
                (true, true) => return Ok(()),
                (true, false) if self.text.ends_with(&last) => return Ok(()),
                (false, true) => return Err(Failure::AnswerRetracted),
                _ => {}
            }
            let turns = agent_meta(result.meta.agent_meta).assistant_turns;
            // Of a report that was missed there is its last text.
            let is_missed = self.awaits_late() && self.text.is_empty();
            let turns = turns.filter(|_| !is_missed).unwrap_or_default();
            self.text.update_last(&last, turns)?
        } else {
            self.text.complete(answer, self.attempts)?
        };
        self.outgoing.push(fresh, show);
        Ok(())
    }

    fn failed_with(&self, error: Option<&RunError<'_>>) -> Failure {
        match error.map(|error| &*error.kind) {
            Some("context_overflow" | "compaction_failure") => {
                Failure::Provider(ProviderFailure::ContextOverflow)
            }
            _ => self.failed(),
        }
    }
}

/// Splits the texts of a final response into the messages that a tool sent and the answer. Protocol
/// 4 repeats the last message of the answer, protocol 3 all of them.
pub(super) fn split<'a>(result: &'a RunResult<'_>) -> (Vec<&'a str>, Vec<&'a str>) {
    let sent = result.messaging_tool_sent_texts.map_or("[]", RawValue::get);
    let mut sent: Vec<Cow<'_, str>> = parse::from_str(sent).unwrap_or_default();
    let texts = result.payloads.iter().filter(|payload| !payload.is_error);
    let texts = texts.filter_map(|payload| payload.text.as_deref());
    texts.filter(|text| !text.is_empty()).partition(|text| {
        let place = sent.iter().position(|sent| sent.trim() == text.trim());
        place.map(|place| sent.swap_remove(place)).is_some()
    })
}

/// Returns the last text of the answer (protocol 4).
pub(super) fn last_text(result: &RunResult<'_>, answer: &[&str]) -> String {
    let last = result.meta.final_assistant_visible_text.as_deref();
    without_directives(last.or(answer.first().copied()).unwrap_or_default())
}

/// Longest path or URL of a file, in bytes: no file system has a longer one.
const MAX_PATH_BYTES: usize = 4096;

/// Returns the files that the agent sends the client, as paths of the gateway's host or URLs.
pub(super) fn files(result: &RunResult<'_>) -> Vec<String> {
    let mut files = Vec::new();
    for payload in &result.payloads {
        let several = payload.media_urls.map_or("null", RawValue::get);
        let several: Option<Vec<String>> = parse::from_str(several).ok().flatten();
        let one = payload.media_url.map_or("null", RawValue::get);
        let one: Option<String> = parse::from_str(one).ok().flatten();
        files.extend(several.unwrap_or_else(|| one.into_iter().collect()));
    }
    files.retain(|file| (1..=MAX_PATH_BYTES).contains(&file.len()));
    files
}

fn agent_meta(meta: Option<&RawValue>) -> AgentMeta {
    meta.and_then(|meta| parse::from_str(meta.get()).ok())
        .unwrap_or_default()
}

fn usage(meta: Option<&RawValue>) -> Usage {
    Usage::from(&agent_meta(meta).usage)
}

impl From<&TokenUsage> for Usage {
    fn from(tokens: &TokenUsage) -> Self {
        Self {
            prompt: tokens
                .input
                .saturating_add(tokens.cache_read)
                .saturating_add(tokens.cache_write),
            cached: tokens.cache_read,
            cache_written: tokens.cache_write,
            completion: tokens.output,
        }
    }
}
