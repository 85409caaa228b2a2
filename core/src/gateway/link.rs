//! One connection to a gateway, from the challenge on.
//!
//! ```text
//!              connect.challenge              a signature            hello-ok
//!   Challenge ───────────────────▶ Signing ─────────────────▶ Hello ─────────────▶ Ready
//!                                  (a device)  (sends `connect`)
//! ```
//!
//! Give every incoming frame to [`Link::receive`] and send the content of the outbox, in order.
//! Once it returns [`Incoming::Ready`], [`Link::request`] makes requests. An unknown event is
//! [`Incoming::Ignored`] in every state. A failure is final.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::failure::diagnosis::{Diagnosis, Stage};
use crate::failure::{Failure, RETRY_AFTER_S};
use crate::gateway::client_identity::ClientIdentity;
use crate::gateway::credential::Credential;
use crate::gateway::device::Sign;
use crate::gateway::frame::{AgentEvent, Challenge, Envelope, ErrorShape, Json, Request};
use crate::gateway::handshake::{ConnectFrame, payload_to_sign, read_hello};
pub(crate) use crate::gateway::handshake::{Hello, Protocol};
use crate::gateway::peek::{Event, Peeked, peek};
use crate::gateway::refusal;
use crate::parse;

/// The largest frame that is read, in bytes: `policy.maxPayload` of both versions.
pub(crate) const MAX_FRAME_BYTES: usize = 26_214_400;

/// The failure for a larger one.
pub(crate) const OVERSIZE: &str = "a frame is larger than the protocol allows";

/// Returns the id of a response by its position, for a frame that is not parsed.
pub(crate) fn response_id(frame: &str) -> Option<RequestId> {
    let rest = frame.strip_prefix(r#"{"type":"res","id":""#)?;
    let (id, _) = rest.split_once('"')?;
    id.parse().ok().map(RequestId)
}

/// One connection to a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    client: ClientIdentity,
    state: State,
    next_id: u32,
    /// The time of the gateway's challenge, in milliseconds since the Unix epoch: by its clock, and
    /// by ours.
    challenged_ms: (u64, u64),
    /// The present time, by our clock.
    now_ms: u64,
    /// `seq` of the last event.
    last_seq: Option<u64>,
    /// Events after that one that were skipped.
    skipped: u64,
    /// The events are not consecutive.
    has_gap: bool,
    /// The name of the gateway's process; empty before the hello, and on protocol 3.
    boot_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Challenge,
    /// The device's proof for this nonce is being made.
    Signing {
        nonce: String,
    },
    Hello(RequestId),
    Ready(Protocol),
}

/// The id of a request on this connection; its responses carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId(u32);

/// The meaning of a frame for the caller that runs agents over the link.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// No meaning: a heartbeat, an unknown event, a step of the handshake.
    Ignored,
    /// The device must sign this text: [`Link::connect`] takes the signature.
    Challenged(String),
    /// The handshake is complete; requests can be made.
    Ready(Hello<'a>),
    Response {
        id: RequestId,
        result: Result<Option<&'a RawValue>, Rejection<'a>>,
    },
    Agent(AgentEvent<'a>),
    /// The payload of an event `chat`, not parsed.
    Chat(Json<'a>),
}

/// A response with `ok: false`.
#[derive(Debug)]
pub(crate) struct Rejection<'a> {
    pub error: ErrorShape<'a>,
    /// Only the final response of a run that failed has one.
    pub payload: Option<&'a RawValue>,
}

/// The id of the first request whose response nobody reads. No connection makes as many requests.
const UNREAD_ID: u32 = 1_000_000_000;

impl Link {
    pub(crate) fn new(client: ClientIdentity) -> Self {
        Self {
            client,
            state: State::Challenge,
            next_id: 1,
            challenged_ms: (0, 0),
            now_ms: 0,
            last_seq: None,
            skipped: 0,
            has_gap: false,
            boot_id: String::new(),
        }
    }

    /// Begins again, for the next connection, which is made by the same client.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.client);
    }

    /// Sets the time at which the next frames are received.
    pub(crate) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Makes a link that only writes requests, whose responses nobody reads: their ids are on no
    /// other link.
    pub(crate) fn unread() -> Self {
        Self {
            next_id: UNREAD_ID,
            ..Self::new(ClientIdentity::BACKEND)
        }
    }

    /// Reads one text frame.
    pub(crate) fn receive<'a>(
        &mut self,
        frame: &'a str,
        credential: &Credential,
        outbox: &mut Vec<String>,
    ) -> Result<Incoming<'a>, Failure> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(Failure::GatewayProtocolError(OVERSIZE));
        }
        if self.is_ready()
            && let Some(Peeked { event, seq }) = peek(frame)
        {
            return Ok(match event {
                _ if self.is_again(seq) => Incoming::Ignored,
                Event::Agent(event) => Incoming::Agent(event),
                Event::Chat(payload) => Incoming::Chat(payload),
            });
        }
        // A text that is not a frame of the protocol has no information about a run, so it ends
        // none.
        let Ok(envelope) = parse::from_str::<Envelope<'a>>(frame) else {
            return Ok(Incoming::Ignored);
        };
        if envelope
            .seq
            .and_then(|seq| seq.get().parse().ok())
            .is_some_and(|seq| self.is_again(seq))
        {
            return Ok(Incoming::Ignored);
        }
        match (&*envelope.kind, &*envelope.event) {
            ("event", "agent") if self.is_ready() => Ok(envelope
                .payload
                .and_then(|payload| parse::from_str(payload.get()).ok())
                .map_or(Incoming::Ignored, Incoming::Agent)),
            ("event", "chat") if self.is_ready() => Ok(envelope
                .payload
                .and_then(|payload| parse::from_str(payload.get()).ok())
                .map_or(Incoming::Ignored, Incoming::Chat)),
            ("event", "connect.challenge") if self.state == State::Challenge => {
                self.answer_challenge(envelope.payload, credential, outbox)
            }
            ("res", _) => self.receive_response(&envelope, credential),
            _ => Ok(Incoming::Ignored),
        }
    }

    /// Records the event's number, and returns true if it came before: on protocol 3 its text would
    /// be sent twice.
    fn is_again(&mut self, seq: u64) -> bool {
        let skipped = std::mem::take(&mut self.skipped);
        let Some(last) = self.last_seq.replace(seq) else {
            return false;
        };
        let next = last.saturating_add(1);
        let is_again = seq == last && skipped == 0;
        // The number is lower than the skipped events imply: one of them came twice, which changes
        // nothing.
        self.has_gap |= !is_again && !(next..=next.saturating_add(skipped)).contains(&seq);
        is_again
    }

    /// Counts events that were skipped.
    pub(crate) fn skip(&mut self, events: u32) {
        self.skipped = self.skipped.saturating_add(u64::from(events));
    }

    /// Returns true if events are missing, or came in another order, since the last call. On
    /// protocol 3 that means nothing, because its numbers also count the events of other clients.
    /// Source: openclaw 2026.9.6, `server-broadcast`, read: a slow connection loses events.
    pub(crate) fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.has_gap)
    }

    /// Returns the protocol of the ready link.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        match self.state {
            State::Ready(protocol) => Some(protocol),
            _ => None,
        }
    }

    /// Returns the name of the gateway's process; empty before the hello, and on protocol 3.
    pub(crate) fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Returns true after the gateway's hello.
    pub(crate) fn is_ready(&self) -> bool {
        self.protocol().is_some()
    }

    /// Returns the failure for a connection that the gateway closed before a run was started.
    pub(crate) fn closed(&self, close_code: u16) -> Failure {
        let stage = match self.state {
            State::Challenge | State::Signing { .. } => Stage::Challenge,
            State::Hello(_) => Stage::Hello,
            State::Ready(_) => Stage::Ready,
        };
        match Diagnosis::of_close(stage, close_code) {
            diagnosis @ (Diagnosis::Draining | Diagnosis::Starting) => {
                Failure::GatewayUnavailable {
                    retry_after_s: RETRY_AFTER_S,
                    diagnosis,
                    detail: close_code.to_string().into(),
                }
            }
            diagnosis => Failure::GatewayClosed {
                close_code,
                diagnosis,
            },
        }
    }

    /// Returns true if a time of the gateway is before a time of ours.
    pub(crate) fn is_older(&self, gateway_ms: u64, than_ms: u64) -> bool {
        let (theirs_ms, ours_ms) = self.challenged_ms;
        gateway_ms < theirs_ms.saturating_add(than_ms.saturating_sub(ours_ms))
    }

    /// Puts a request into the outbox and returns the id that its responses will carry.
    pub(crate) fn request<P: Serialize>(
        &mut self,
        method: &'static str,
        params: &P,
        outbox: &mut Vec<String>,
    ) -> Result<RequestId, Failure> {
        self.traced_request(method, params, None, outbox)
    }

    /// Makes a request as a part of its client's trace.
    pub(crate) fn traced_request<P: Serialize>(
        &mut self,
        method: &'static str,
        params: &P,
        traceparent: Option<&str>,
        outbox: &mut Vec<String>,
    ) -> Result<RequestId, Failure> {
        let request = Request {
            id: self.next_id,
            method,
            traceparent,
        };
        let mut frame = request.begin();
        let written = serde_json::to_writer(&mut frame, params);
        self.put(&request, frame, written, outbox)
    }

    /// Completes a frame. It is not inlined, because it does not depend on the parameters' type.
    #[inline(never)]
    fn put(
        &mut self,
        request: &Request<'_>,
        frame: Vec<u8>,
        written: serde_json::Result<()>,
        outbox: &mut Vec<String>,
    ) -> Result<RequestId, Failure> {
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let frame = written.ok().and_then(|()| request.end(frame));
        let frame = frame.ok_or(Failure::Bug("a request could not be written"))?;
        if frame.len() > MAX_FRAME_BYTES {
            // The gateway would close the connection.
            return Err(Failure::InvalidRequest {
                param: None,
                message: "The conversation is too large for the gateway: as JSON within JSON it \
                          has more than 25 MiB."
                    .into(),
            });
        }
        outbox.push(frame);
        Ok(id)
    }

    fn answer_challenge(
        &mut self,
        payload: Option<&RawValue>,
        credential: &Credential,
        outbox: &mut Vec<String>,
    ) -> Result<Incoming<'static>, Failure> {
        let challenge: Challenge<'_> = payload
            .and_then(|payload| parse::from_str(payload.get()).ok())
            .ok_or(Failure::GatewayProtocolError(
                "connect.challenge has no nonce",
            ))?;
        let payload = payload_to_sign(self.client, credential, &challenge);
        self.challenged_ms = (challenge.ts, self.now_ms);
        self.state = State::Signing {
            nonce: challenge.nonce.into_owned(),
        };
        match payload {
            Some(payload) => Ok(Incoming::Challenged(payload)),
            None => self
                .connect("", credential, outbox)
                .map(|()| Incoming::Ignored),
        }
    }

    /// Answers the challenge with this signature of the device. It is ignored if the gateway did
    /// not send one, or has its answer.
    pub(crate) fn connect(
        &mut self,
        signature: &str,
        credential: &Credential,
        outbox: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let State::Signing { nonce } = &self.state else {
            return Ok(());
        };
        let (nonce, (signed_at_ms, _)) = (nonce.clone(), self.challenged_ms);
        let frame = ConnectFrame::new(self.client, credential, &nonce, signed_at_ms, signature);
        let id = self.request("connect", &frame.params(), outbox)?;
        self.state = State::Hello(id);
        Ok(())
    }

    /// Reads one text frame, and answers a challenge at once.
    pub(crate) fn receive_signing<'a>(
        &mut self,
        frame: &'a str,
        credential: &Credential,
        sign: Sign,
        outbox: &mut Vec<String>,
    ) -> Result<Incoming<'a>, Failure> {
        let incoming = self.receive(frame, credential, outbox)?;
        if let (Incoming::Challenged(payload), Some(key)) = (&incoming, &credential.device) {
            self.connect(&sign(key, payload), credential, outbox)?;
        }
        Ok(incoming)
    }

    fn receive_response<'a>(
        &mut self,
        envelope: &Envelope<'a>,
        credential: &Credential,
    ) -> Result<Incoming<'a>, Failure> {
        // An id that we never sent belongs to no request. The gateway answers a frame that it
        // cannot read with "invalid".
        let Some(id) = envelope.id.parse().ok().map(RequestId) else {
            return Ok(Incoming::Ignored);
        };
        let result = if envelope.ok {
            Ok(envelope.payload)
        } else {
            Err(Rejection {
                // An error that cannot be read is still a refusal.
                error: envelope
                    .error
                    .and_then(|error| parse::from_str(error.get()).ok())
                    .unwrap_or_default(),
                payload: envelope.payload,
            })
        };
        match self.state {
            State::Hello(connect) if connect == id => {
                let hello = match result {
                    Ok(payload) => read_hello(payload, credential)?,
                    Err(rejection) => return Err(refusal::failure(&rejection.error)),
                };
                self.state = State::Ready(hello.protocol);
                self.boot_id.push_str(hello.boot_id);
                Ok(Incoming::Ready(hello))
            }
            State::Ready(_) => Ok(Incoming::Response { id, result }),
            _ => Ok(Incoming::Ignored),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether the last event follows upon 5 and the events skipped after it, and whether
    /// it is repeated.
    fn after(skipped: u32, seq: u64) -> (bool, bool) {
        let mut link = Link::new(ClientIdentity::BACKEND);
        assert!(!link.is_again(5) && !link.take_gap());
        link.skip(skipped);
        let is_again = link.is_again(seq);
        (!link.take_gap(), is_again)
    }

    #[test]
    fn events_that_were_skipped_are_no_gap_and_hide_none() {
        assert_eq!(after(0, 6), (true, false));
        assert_eq!(after(0, 7), (false, false));
        assert_eq!(after(0, 5), (true, true));
        assert_eq!(after(3, 9), (true, false));
        assert_eq!(after(3, 10), (false, false));
        // A skipped event came twice.
        assert_eq!(after(4, 9), (true, false));
        // Out of order, but not repeated, because another event came in between.
        assert_eq!(after(1, 5), (false, false));
        assert_eq!(after(0, 4), (false, false));
    }
}
