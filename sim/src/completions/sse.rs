//! The body of a stream: data becomes events, and events become writes of chosen sizes.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use futures_util::stream::poll_fn;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::frames::Outgoing;
use crate::gateway::Gateway;
use crate::journal::AbortedBy;
use crate::run::record::Abort;
use crate::script::over_http::OverHttp;

/// The form of the events on the wire.
#[derive(Debug)]
pub(super) struct Framing {
    line_end: &'static str,
    comments: u32,
    /// Bytes of each write.
    split: Option<usize>,
}

/// Aborts the run at the end of the response's body: the gateway stops a run whose client leaves.
#[derive(Debug)]
pub(super) struct HangUp {
    pub(super) gateway: Arc<Gateway>,
    pub(super) connection: u64,
    pub(super) aborts: UnboundedSender<Abort>,
}

impl Drop for HangUp {
    fn drop(&mut self) {
        self.gateway.close_stream(self.connection);
        // A run that has ended receives nothing.
        drop(self.aborts.send(Abort {
            by: AbortedBy {
                connection: self.connection,
                method: "hang-up".to_owned(),
            },
            answer: None,
        }));
    }
}

impl Framing {
    pub(super) fn of(script: &OverHttp) -> Self {
        Self {
            line_end: if script.crlf { "\r\n" } else { "\n" },
            comments: script.comments,
            split: script.split,
        }
    }

    fn event(&self, data: &str) -> Vec<u8> {
        let end = self.line_end;
        let mut event = String::new();
        for _ in 0..self.comments {
            event.push_str(": clawfront-sim");
            event.push_str(end);
        }
        event.push_str("data: ");
        event.push_str(data);
        event.push_str(end);
        event.push_str(end);
        event.into_bytes()
    }
}

/// Returns the body with the events that `outbox` receives. A close ends it; a cut, or the loss of
/// all senders, ends the connection in its middle.
pub(super) fn body(outbox: UnboundedReceiver<Outgoing>, framing: Framing, hang_up: HangUp) -> Body {
    let mut events = Events {
        outbox,
        framing,
        event: Bytes::new(),
        flushes: false,
        is_cut: false,
        _hang_up: hang_up,
    };
    Body::from_stream(poll_fn(move |context| events.poll(context)))
}

struct Events {
    outbox: UnboundedReceiver<Outgoing>,
    framing: Framing,
    /// The rest of the current event.
    event: Bytes,
    /// The next poll returns nothing, so that the bytes so far are written.
    flushes: bool,
    is_cut: bool,
    _hang_up: HangUp,
}

impl Events {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        loop {
            if self.flushes {
                self.flushes = false;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !self.event.is_empty() {
                let length = self.framing.split.unwrap_or(usize::MAX);
                self.flushes = self.framing.split.is_some();
                let length = length.min(self.event.len());
                return Poll::Ready(Some(Ok(self.event.split_to(length))));
            }
            if self.is_cut {
                return Poll::Ready(Some(Err(Cut)));
            }
            match ready!(self.outbox.poll_recv(context)) {
                Some(Outgoing::Text(data)) => self.event = self.framing.event(&data).into(),
                Some(Outgoing::Close(_)) => return Poll::Ready(None),
                Some(Outgoing::Drop) | None => {
                    self.is_cut = true;
                    self.flushes = true;
                }
            }
        }
    }
}

/// The end of a connection in the middle of its response.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection is cut")
    }
}

impl std::error::Error for Cut {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_scripts_line_ends_and_comments() {
        let framing = Framing {
            line_end: "\r\n",
            comments: 1,
            split: None,
        };
        assert_eq!(
            framing.event("[DONE]"),
            b": clawfront-sim\r\ndata: [DONE]\r\n\r\n"
        );
        let plain = Framing::of(&OverHttp::default());
        assert_eq!(plain.event("[DONE]"), b"data: [DONE]\n\n");
    }
}
