//! The run of a turn with a client's tools, at the gateway's HTTP endpoint.

use crate::failure::{Cause, Failure};
use crate::gateway::endpoint::{Event, refusal};

use super::reply::Shown;
use super::{Exchange, Output};

/// The close code of a connection that just ended (RFC 6455 section 7.4.1).
const ABNORMAL_CLOSURE: u16 = 1006;

impl Exchange {
    /// Returns true once the gateway's HTTP endpoint is asked for the run.
    pub(crate) fn is_at_endpoint(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Takes an event of the request.
    #[inline(never)]
    pub(super) fn take(&mut self, event: Event<'_>, now_ms: u64, out: &mut Output) {
        let Some(endpoint) = &mut self.endpoint else {
            return;
        };
        let mut shown = Shown::new(false, now_ms);
        let reply = &mut self.reply;
        let (head, body) = (&mut out.head, &mut out.body);
        match event {
            Event::Answered => {
                endpoint.answer(&mut |event| reply.show(event, &mut shown, head, body));
            }
            Event::Refused(response) => {
                let failure = refusal(&response);
                if response.starts_nothing() {
                    self.run.end_at_endpoint(false);
                    return self.fail(failure, out);
                }
                shown.ended = Some(Err(lost(failure.cause())));
            }
            Event::Bytes(bytes) => {
                endpoint.receive(bytes, &mut |event| {
                    reply.show(event, &mut shown, head, body);
                });
                self.run.set_usage(endpoint.usage());
            }
            Event::Ended => shown.ended = Some(Err(lost(None))),
            Event::Failed(failure) => shown.ended = Some(Err(failure)),
        }
        if shown.ended.is_some() {
            self.run.end_at_endpoint(true);
        }
        self.settle(shown.ended, now_ms, out);
    }

    /// Returns true while the endpoint has neither accepted nor refused the run.
    pub(super) fn awaits_endpoint(&self) -> bool {
        self.endpoint
            .as_ref()
            .is_some_and(|endpoint| !endpoint.is_answering())
    }
}

fn lost(cause: Option<Cause>) -> Failure {
    Failure::GatewayConnectionLost {
        close_code: ABNORMAL_CLOSURE,
        cause,
    }
}
