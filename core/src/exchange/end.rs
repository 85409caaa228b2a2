//! The outcome of an exchange: for the memory of its request, and for its key's usage.

use crate::access::usage::{Counter, RunEnd};
use crate::failure::{Deadline, Failure};
use crate::repeat::ExchangeEnd;

use super::{ClientState, Exchange, Outcome};

impl Exchange {
    /// Returns the end of the exchange, for the memory of its request.
    pub fn end(&self) -> ExchangeEnd {
        match self.outcome() {
            _ if !self.may_have_started() => ExchangeEnd::NotStarted,
            Outcome::Failed(Failure::ClientClosedRequest) => ExchangeEnd::Left,
            _ if self.client != ClientState::Gone => ExchangeEnd::Sent,
            Outcome::Answered(_) | Outcome::Failed(Failure::Provider(_) | Failure::RunAborted) => {
                ExchangeEnd::Unsent
            }
            _ => ExchangeEnd::Left,
        }
    }

    /// Returns the end of the run, for the key's usage: `None` if no run was started, or if the
    /// exchange ended and the run did not.
    pub fn run_end(&self) -> Option<RunEnd> {
        let outcome = match self.outcome() {
            Outcome::Answered(_) => Counter::Answers,
            Outcome::Failed(failure) => match failure {
                _ if !self.run.may_have_started() => return None,
                Failure::Provider(_) => Counter::ProviderFailures,
                failure if failure.is_of_client() => {
                    if self.run.is_shared() || self.goes_on() {
                        return None;
                    }
                    Counter::Stopped
                }
                Failure::RunAborted | Failure::TimedOut(Deadline::Run) => Counter::Stopped,
                _ => Counter::OtherFailures,
            },
            Outcome::Pending => return None,
        };
        let usage = self.run.usage();
        Some(RunEnd {
            outcome,
            input_tokens: usage.prompt,
            cached_tokens: usage.cached,
            output_tokens: usage.completion,
        })
    }
}
