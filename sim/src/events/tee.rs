//! The moments of a run for two emitters: the events of the protocol and a completion over HTTP.

use tokio::time::Instant;

use crate::events::interface::{Events, Fields};
use crate::run::account::Account;
use crate::run::failure::Failure;

/// Two emitters. Gathered text and the text of the current message are those of the first one.
pub(super) struct Tee {
    pub(super) first: Box<dyn Events + Send>,
    pub(super) second: Box<dyn Events + Send>,
}

impl Events for Tee {
    fn accepted(&mut self) {
        self.first.accepted();
        self.second.accepted();
    }

    fn started(&mut self) {
        self.first.started();
        self.second.started();
    }

    fn answered_nothing(&mut self, output_tokens: u64) {
        self.first.answered_nothing(output_tokens);
        self.second.answered_nothing(output_tokens);
    }

    fn thought(&mut self, delta: &str) {
        self.first.thought(delta);
        self.second.thought(delta);
    }

    fn answered(&mut self, delta: &str, fields: Fields) {
        self.first.answered(delta, fields);
        self.second.answered(delta, fields);
    }

    fn retracted(&mut self, text: &str) {
        self.first.retracted(text);
        self.second.retracted(text);
    }

    fn tool_started(&mut self, tool: &str, output_tokens: u64) {
        self.first.tool_started(tool, output_tokens);
        self.second.tool_started(tool, output_tokens);
    }

    fn tool_continued(&mut self, tool: &str) {
        self.first.tool_continued(tool);
        self.second.tool_continued(tool);
    }

    fn tool_ended(&mut self, tool: &str) {
        self.first.tool_ended(tool);
        self.second.tool_ended(tool);
    }

    fn attempt_failed(&mut self, failure: &Failure, retry: u32) {
        self.first.attempt_failed(failure, retry);
        self.second.attempt_failed(failure, retry);
    }

    fn retried(&mut self) {
        self.first.retried();
        self.second.retried();
    }

    fn finished(&mut self, account: &Account) {
        self.first.finished(account);
        self.second.finished(account);
    }

    fn failed(&mut self, failure: &Failure) {
        self.first.failed(failure);
        self.second.failed(failure);
    }

    fn failed_in_stream(&mut self, failure: &Failure) {
        self.first.failed_in_stream(failure);
        self.second.failed_in_stream(failure);
    }

    fn timed_out(&mut self) {
        self.first.timed_out();
        self.second.timed_out();
    }

    fn refused(&mut self, problem: &str) {
        self.first.refused(problem);
        self.second.refused(problem);
    }

    fn aborted(&mut self) {
        self.first.aborted();
        self.second.aborted();
    }

    fn settled_after_abort(&mut self) {
        self.first.settled_after_abort();
        self.second.settled_after_abort();
    }

    fn due(&self) -> Option<Instant> {
        self.first.due()
    }

    fn flush(&mut self) {
        self.first.flush();
    }

    fn item_text(&self) -> String {
        self.first.item_text()
    }
}
