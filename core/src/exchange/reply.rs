//! The client's side of an exchange: the head of its response, then the body, once each.

use crate::failure::Failure;
use crate::file::{Linked, Links};
use crate::http::head::{Head, RESPONSE_ID_HEADER, ResponseMeta};
use crate::http::sse;
use crate::openai::Writer;
use crate::openai::error::{ErrorResponse, Phase};
use crate::turn::{RunEvent, RunSummary};

use super::blocks::Record;

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
    /// Makes the links of the answer's files.
    pub(super) links: Option<Box<Links>>,
    pub(super) head_sent: bool,
    /// The time at which the run was accepted.
    pub(super) accepted_ms: Option<u64>,
    /// The comments among the bytes of the present input.
    pub(super) comment_bytes: usize,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    /// Set once the response is in the background.
    pub(super) record: Option<Record>,
}

/// The effect of the events of one input.
pub(super) struct Shown {
    shows_waits: bool,
    now_ms: u64,
    pub(super) begins_background: bool,
    /// The files whose links are in the answer.
    pub(super) files: Vec<Linked>,
    pub(super) ended: Option<Result<RunSummary, Failure>>,
}

impl Shown {
    pub(super) fn new(shows_waits: bool, now_ms: u64) -> Self {
        Self {
            shows_waits,
            now_ms,
            begins_background: false,
            files: Vec::new(),
            ended: None,
        }
    }
}

impl Reply {
    pub(super) fn new(meta: ResponseMeta, answer: Writer) -> Self {
        Self {
            meta,
            answer,
            links: None,
            head_sent: false,
            accepted_ms: None,
            comment_bytes: 0,
            status: 0,
            outcome: Outcome::Pending,
            record: None,
        }
    }

    /// Shows an event of the run to the client.
    #[inline(never)]
    pub(super) fn show(
        &mut self,
        event: RunEvent<'_>,
        shown: &mut Shown,
        head: &mut Option<Head>,
        body: &mut Vec<u8>,
    ) {
        match event {
            RunEvent::Branched => self.answer.branch(),
            RunEvent::Accepted => {
                self.accepted_ms = Some(shown.now_ms);
                self.answer.settle_id(body);
                shown.begins_background = self.awaits_acceptance();
                // The run's first text may follow at once.
                self.begin_record(head, body);
            }
            RunEvent::Text(text) => self.text(text, head, body),
            RunEvent::Thought(thought) => {
                self.begin_stream(head, body);
                self.answer.thought(thought, body);
            }
            RunEvent::Call(piece) => {
                self.begin_stream(head, body);
                self.answer.call_piece(piece, body);
            }
            RunEvent::File(file) => {
                if let Some(links) = &self.links {
                    let (link, linked) = links.link(&file, shown.now_ms / SECOND_MS);
                    shown.files.extend(linked);
                    self.text(&link, head, body);
                }
            }
            RunEvent::Progress(progress) if progress.is_always_shown() && !shown.shows_waits => {}
            RunEvent::Progress(progress) => {
                self.begin_stream(head, body);
                let before = body.len();
                self.answer.progress(&progress, body);
                let comment_bytes = body.len().saturating_sub(before);
                self.comment_bytes = self.comment_bytes.saturating_add(comment_bytes);
            }
            RunEvent::Ended(result) => shown.ended = Some(result),
        }
    }

    #[inline(never)]
    fn text(&mut self, text: &str, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if !self.answer.is_call() {
            self.begin_stream(head, body);
        }
        self.answer.text(text, body);
    }

    /// Sends the head of a stream and its first event, once.
    pub(super) fn begin_stream(&mut self, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if self.answer.is_stream() && !self.head_sent {
            self.send_head(self.for_edge(self.meta.stream()), head);
            if !self.awaits_acceptance() {
                self.answer.begin(body);
            }
        }
    }

    /// Returns true if the response is to be in the background once its run is accepted. So long it
    /// has no events, because they would not be stored.
    pub(super) fn awaits_acceptance(&self) -> bool {
        self.record.is_none() && self.answer.background().is_some()
    }

    /// Begins the record of a stream in the background, once its run was accepted.
    pub(super) fn begin_record(&mut self, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if !self.answer.is_stream() || !self.awaits_acceptance() {
            return;
        }
        self.record = Some(Record::default());
        if self.head_sent {
            self.answer.begin(body);
        } else {
            self.begin_stream(head, body);
        }
    }

    /// Sends the head of a whole response, once.
    pub(super) fn begin_whole(&mut self, head: &mut Option<Head>) {
        if !self.head_sent {
            self.send_head(self.meta.json(), head);
        }
    }

    /// Adds the response's id, for the edge, if the body breaks off. A response in the background
    /// does not end with its body.
    fn for_edge(&self, mut head: Head) -> Head {
        let id = self.answer.response_id();
        if let Some(id) = id.filter(|_| self.answer.background().is_none()) {
            head.headers.push((RESPONSE_ID_HEADER, id.to_owned()));
        }
        head
    }

    /// Writes bytes that keep the response alive and have no meaning.
    pub(super) fn beat(&mut self, head: &mut Option<Head>, body: &mut Vec<u8>) {
        if !self.head_sent {
            self.send_head(self.for_edge(self.meta.awaited_json()), head);
        }
        if self.answer.is_stream() && self.answer.background().is_some() {
            // An event would be stored.
            sse::ping(body);
        } else {
            self.answer.beat(body);
        }
    }

    pub(super) fn finish(
        &mut self,
        summary: RunSummary,
        now_ms: u64,
        head: &mut Option<Head>,
        body: &mut Vec<u8>,
    ) {
        self.begin_stream(head, body);
        self.begin_whole(head);
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
            if self.awaits_acceptance() {
                self.answer.begin(body);
            }
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
