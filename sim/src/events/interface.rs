//! The moments of a run that each protocol version turns into its own events.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::run::account::Account;
use crate::run::failure::Failure;

/// Emits the events of one run. Each method is one moment of the run, in the order of the trait.
pub(crate) trait Events {
    fn accepted(&mut self);
    /// The run's turn in its session has come, and the model is called.
    fn started(&mut self);
    /// The model answered without text and is called again.
    fn answered_nothing(&mut self, output_tokens: u64);
    fn thought(&mut self, delta: &str);
    fn answered(&mut self, delta: &str, fields: Fields);
    /// `text` replaces the text so far.
    fn retracted(&mut self, text: &str);
    fn tool_started(&mut self, tool: &str, output_tokens: u64);
    fn tool_continued(&mut self, tool: &str);
    fn tool_ended(&mut self, tool: &str);
    /// An attempt failed and will be repeated; `retry` counts from 1.
    fn attempt_failed(&mut self, failure: &Failure, retry: u32);
    fn retried(&mut self);
    fn finished(&mut self, account: &Account);
    fn failed(&mut self, failure: &Failure);
    fn failed_in_stream(&mut self, failure: &Failure);
    fn timed_out(&mut self);
    /// The run fails before any model is called.
    fn refused(&mut self, problem: &str);
    /// Comes before the response to the abort.
    fn aborted(&mut self);
    /// Comes after the response to the abort.
    fn settled_after_abort(&mut self);

    /// Returns the time at which gathered text is sent.
    fn due(&self) -> Option<Instant>;
    /// Sends the text that is due.
    fn flush(&mut self);
    /// Returns the text of the current message.
    fn item_text(&self) -> String;
}

/// The fields of an event with text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fields {
    Known,
    /// Adds fields, a stream and an event that no client knows.
    Surplus,
}

impl Fields {
    /// Returns the value of the surplus field, if the event has one.
    pub(crate) fn surplus(self) -> Option<Value> {
        (self == Self::Surplus).then(|| json!({ "known": false }))
    }
}
