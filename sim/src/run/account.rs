//! The summary of a run, for its last response.

use crate::journal::AbortedBy;

/// The summary of a run.
#[derive(Debug)]
pub(crate) struct Account {
    /// Calls of the model.
    pub(crate) calls: u64,
    pub(crate) output_per_call: u64,
    pub(crate) stop_reason: &'static str,
    pub(crate) tools: Vec<String>,
    /// Messages before the last.
    pub(crate) earlier_texts: Vec<String>,
    /// Texts of the attempts that failed.
    pub(crate) partial_texts: Vec<String>,
    /// The last message.
    pub(crate) text: String,
    pub(crate) last_error: Option<String>,
    pub(crate) aborted_by: Option<AbortedBy>,
}

impl Account {
    pub(crate) fn new() -> Self {
        Self {
            calls: 1,
            output_per_call: 0,
            stop_reason: "stop",
            tools: Vec::new(),
            earlier_texts: Vec::new(),
            partial_texts: Vec::new(),
            text: String::new(),
            last_error: None,
            aborted_by: None,
        }
    }

    /// Output tokens of all calls.
    pub(crate) fn output_tokens(&self) -> u64 {
        self.calls.saturating_mul(self.output_per_call)
    }
}
