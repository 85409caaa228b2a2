//! The question for the gateway's agents, on the connection of the runs.

use crate::agent::AgentList;
use crate::agent_cache::FETCH_MS;
use crate::failure::Failure;
use crate::gateway::agent_list::ListRequest;

use super::{Hub, Question};

impl Hub {
    /// Asks for the gateway's agents. The answer is one to all earlier questions, too.
    pub fn ask_agents(&mut self, now_ms: u64) {
        let is_open = self.needs_connection(now_ms);
        self.question = Some(Question {
            until_ms: now_ms.saturating_add(FETCH_MS),
            request: None,
        });
        if is_open {
            self.send_question(now_ms);
        }
    }

    /// Takes the answer to [`Hub::ask_agents`].
    pub fn take_answer(&mut self) -> Option<Result<AgentList, Failure>> {
        self.answer.take()
    }

    pub(super) fn send_question(&mut self, now_ms: u64) {
        if let Some(question) = &mut self.question {
            let frames = &mut self.orders.frames;
            match ListRequest::send(&mut self.link, frames) {
                Ok(request) => question.request = Some(request),
                Err(failure) => self.answer(Some(Err(failure)), now_ms),
            }
        }
    }

    /// Answers the question, if there are one and an answer.
    pub(super) fn answer(&mut self, answer: Option<Result<AgentList, Failure>>, now_ms: u64) {
        if answer.is_some() && self.question.take().is_some() {
            self.answer = answer;
            self.release(now_ms);
        }
    }
}
