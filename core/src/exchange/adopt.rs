//! The runs of an earlier hub, which was reset: each is followed to its end without its client, for
//! its key's usage. It is claimed, which could not start it.
//!
//! A run whose key does not let it go on without its client is stopped, unless the client comes
//! back in time: then another exchange shares the run.

use crate::access::key::KeyId;
use crate::access::policy::{OnDisconnect, StreamPolicy};
use crate::agent::AgentId;
use crate::http::head::ResponseMeta;
use crate::kept::{Facts, Kept};
use crate::openai::chat::ChatWriter;
use crate::openai::responses::ResponsesWriter;
use crate::openai::{Delivery, Writer};
use crate::session::Session;
use crate::turn::{AgentChoice, RunId, Turn};

use super::{Adoption, ClientState, Exchange, Loss, Step};

/// Time from the moment at which a hub finds the run until it is stopped. An SDK retries within
/// 8 s, and a person sends the request again.
pub(crate) const RETURN_MS: u64 = 30_000;

/// Time for which a gateway that cannot be reached is tried, for a run without a client: operators
/// fix a wrong setting within the hour.
pub(crate) const GIVE_UP_MS: u64 = 3_600_000;

/// Pause between two attempts to connect, after the first ones. Nobody waits for the answer, and a
/// gateway that refuses the credential locks the address out after ten refusals in a minute.
pub(super) const PAUSE_MS: u64 = 30_000;

impl Exchange {
    /// Makes an exchange without a client for a run that an earlier hub requested.
    /// Returns its key, too; `None` if the row cannot be read.
    #[inline(never)]
    pub fn adopt(kept: &Kept<'_>, now_ms: u64) -> Option<(Self, KeyId)> {
        let key = KeyId::parse(kept.key)?;
        let turn = Turn {
            agent: AgentChoice::Named(AgentId::parse(kept.agent)?),
            session: Session::read(kept.session)?,
            run: RunId::read(kept.run),
            may_exist: true,
            wants_thoughts: false,
            wants_progress: false,
            wants_files: false,
            linger_s: 0,
            message: String::new(),
            earlier: None,
            origin: None,
            extra_system_prompt: None,
            traceparent: None,
            thinking: None,
            attachments: Vec::new(),
            answered_images: 0,
            tools: None,
        };
        let policy = StreamPolicy {
            on_disconnect: if kept.facts.has(Facts::FINISHES) {
                OnDisconnect::Finish
            } else {
                OnDisconnect::Abort
            },
            ..StreamPolicy::default()
        };
        let delivery = Delivery::Stream {
            include_usage: false,
        };
        let writer = ChatWriter::new(delivery, String::new(), String::new(), 0);
        let meta = ResponseMeta::default();
        let mut exchange = Self::new(turn, Writer::Chat(writer), meta, policy, now_ms);
        let lost_ms = if kept.left_ms == 0 {
            now_ms
        } else {
            kept.left_ms
        };
        exchange.run.adopt(kept)?;
        exchange.key = Some(key.clone());
        exchange.client = ClientState::Gone;
        exchange.reply.head_sent = true;
        exchange.asked_ms = Some(kept.asked_ms);
        exchange.loss = Some(Loss {
            since_ms: lost_ms,
            step: Step::Attempt,
            cause: None,
        });
        exchange.adoption = Some(Adoption {
            lost_ms,
            stop_at_ms: lost_ms.saturating_add(RETURN_MS),
        });
        Some((exchange, key))
    }

    /// Has an adopted run's text written for a response in the background. `blocks` of its events
    /// are stored, with `bytes`.
    pub fn continue_response(&mut self, writer: ResponsesWriter, blocks: u32, bytes: usize) {
        self.reply.answer = Writer::Responses(writer);
        // The run's row may be older than the response.
        self.policy.on_disconnect = OnDisconnect::Finish;
        self.continue_record(blocks, bytes);
        self.run.read_text();
    }

    /// Returns the data by which the next hub finds the run again; `None` before the run may have
    /// begun.
    pub fn kept(&self) -> Option<Kept<'_>> {
        let (agent, session) = self.run.requested()?;
        let usage = self.run.earlier_usage();
        Some(Kept {
            facts: Facts::default()
                .with(Facts::V4, self.run.can_be_aborted())
                .with(Facts::AT_ENDPOINT, self.is_at_endpoint())
                .with(
                    Facts::FINISHES,
                    self.on_disconnect_of_key == OnDisconnect::Finish,
                ),
            left_ms: self.adoption.map_or(0, |adoption| adoption.lost_ms),
            asked_ms: self.asked_ms.unwrap_or_default(),
            spent: [usage.prompt, usage.cached, usage.completion],
            id: self.run.running_id(),
            agent: agent.as_str(),
            session: session.as_str(),
            ..Kept::default()
        })
    }

    /// Returns true if an earlier hub requested the run.
    pub fn is_adopted(&self) -> bool {
        self.adoption.is_some()
    }

    /// Returns the time at which an adopted run is stopped, once it can be: not while a retry
    /// shares it.
    pub(super) fn stop_at_ms(&self) -> Option<u64> {
        let can_stop = self.policy.on_disconnect == OnDisconnect::Abort
            && self.loss.is_none()
            && self.run.can_be_aborted()
            && !self.run.is_shared();
        let adoption = self.adoption.filter(|_| can_stop)?;
        Some(adoption.stop_at_ms)
    }

    /// Has an adopted run stopped as soon as possible, because its key is not valid any more.
    pub(super) fn stop_soon(&mut self) {
        if let Some(adoption) = &mut self.adoption {
            adoption.stop_at_ms = 0;
        }
    }
}
