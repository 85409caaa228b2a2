//! The client's side of an exchange: the head of its response, then the body, once each.

use crate::failure::Failure;
use crate::http::head::{Head, RESPONSE_ID_HEADER, ResponseMeta};
use crate::openai::Writer;
use crate::openai::error::{ErrorResponse, Phase};
use crate::turn::RunSummary;

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// The end of a request, for the log.
#[derive(Debug, Clone, Default)]
pub enum Outcome {
    #[default]
    Pending,
    Answered(RunSummary),
    Failed(Failure),
}

/// The client's side of the exchange.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) meta: ResponseMeta,
    pub(super) answer: Writer,
    pub(super) head_sent: bool,
    /// The time at which the run was accepted.
    pub(super) accepted_ms: Option<u64>,
    /// The comments among the bytes of the present input.
    pub(super) comment_bytes: usize,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
}

impl Reply {
    pub(super) fn new(meta: ResponseMeta, answer: Writer) -> Self {
        Self {
            meta,
            answer,
            head_sent: false,
            accepted_ms: None,
            comment_bytes: 0,
            status: 0,
            outcome: Outcome::Pending,
        }
    }

    /// Sends the head of a stream and its first event, once.
    pub(super) fn begin_stream(&mut self, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if self.answer.is_stream() && !self.head_sent {
            self.send_head(self.for_edge(self.meta.stream()), head);
            self.answer.begin(body);
        }
    }

    /// Adds the response's id, for the edge, if the body breaks off.
    fn for_edge(&self, mut head: Head) -> Head {
        if let Some(id) = self.answer.response_id() {
            head.headers.push((RESPONSE_ID_HEADER, id.to_owned()));
        }
        head
    }

    /// Writes bytes that keep the response alive and have no meaning.
    pub(super) fn beat(&mut self, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if !self.head_sent {
            self.send_head(self.for_edge(self.meta.awaited_json()), head);
        }
        self.answer.beat(body);
    }

    pub(super) fn finish(
        &mut self,
        summary: RunSummary,
        now_ms: u64,
        head: &mut Option<Head>,
        body: &mut Vec<u8>,
    ) {
        self.begin_stream(head, body);
        if !self.head_sent {
            self.send_head(self.meta.json(), head);
        }
        self.answer.finish(&summary, now_ms / SECOND_MS, body);
        self.outcome = Outcome::Answered(summary);
    }

    pub(super) fn fail(
        &mut self,
        failure: Failure,
        phase: Phase,
        head: &mut Option<Head>,
        body: &mut Vec<u8>,
    ) {
        let reply = ErrorResponse::on(&failure, self.meta.api, phase);
        if self.head_sent {
            self.answer.fail(&reply.body.in_body(), body);
        } else {
            self.send_head(reply.head(&self.meta), head);
            reply.body.write(body);
        }
        self.outcome = Outcome::Failed(failure);
    }

    fn send_head(&mut self, new: Head, head: &mut Option<Head>) {
        self.head_sent = true;
        self.status = new.status;
        *head = Some(new);
    }
}
