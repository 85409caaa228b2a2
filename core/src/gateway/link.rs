//! One connection to a gateway, from the challenge on.
//!
//! ```text
//!              connect.challenge            hello-ok
//!   Challenge ───────────────────▶ Hello ─────────────▶ Ready
//!              (sends `connect`)
//! ```
//!
//! Give every incoming frame to [`Link::receive`] and send the content of the outbox, in order.
//! Once it returns [`Incoming::Ready`], [`Link::request`] makes requests. An unknown event is
//! [`Incoming::Ignored`] in every state. A failure is final.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::failure::diagnosis::{Diagnosis, Stage};
use crate::failure::{Failure, RETRY_AFTER_S, Refusal};
use crate::gateway::client_identity::ClientIdentity;
use crate::gateway::credential::{Auth, Credential};
use crate::gateway::device::{self, Proof};
use crate::gateway::frame::{
    AgentEvent, Challenge, ClientInfo, ConnectAuth, ConnectParams, Device, Envelope, ErrorShape,
    HelloOk, Json, Request,
};
use crate::gateway::peek::{Event, Peeked, peek};
use crate::gateway::refusal;

/// The supported protocol versions: 3 is OpenClaw 2026.3, 4 is OpenClaw 2026.9.
const MIN_PROTOCOL: u32 = 3;
const MAX_PROTOCOL: u32 = 4;

/// The fewest scopes that allow to run an agent and to read its events. They are requested at every
/// connect.
const SCOPES: [&str; 2] = ["operator.read", "operator.write"];
const WRITE_SCOPE: &str = "operator.write";

/// The gateway pins it to the device when it is paired. It must never change, so it contains no
/// version and no build.
const PLATFORM: &str = "cloudflare-workers";

const ROLE: &str = "operator";

/// The largest frame that is read, in bytes: `policy.maxPayload` of both versions.
pub(crate) const MAX_FRAME_BYTES: usize = 26_214_400;

/// One connection to a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    client: ClientIdentity,
    state: State,
    next_id: u32,
    /// The time of the gateway's challenge, in milliseconds since the Unix epoch, by its clock.
    challenged_ms: u64,
    /// `seq` of the last event.
    last_seq: Option<u64>,
    /// Events after that one that were skipped.
    skipped: u64,
    /// The events are not consecutive.
    has_gap: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Challenge,
    Hello(RequestId),
    Ready,
}

/// The protocol that hello-ok selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    V3,
    V4,
}

/// The terms that the gateway agreed to.
#[derive(Debug)]
pub(crate) struct Hello<'a> {
    pub protocol: Protocol,
    /// Sent to a device that has none yet.
    pub device_token: Option<Cow<'a, str>>,
}

/// The id of a request on this connection; its responses carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId(u32);

/// The meaning of a frame for the caller that runs agents over the link.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// No meaning: a heartbeat, an unknown event, a step of the handshake.
    Ignored,
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
            challenged_ms: 0,
            last_seq: None,
            skipped: 0,
            has_gap: false,
        }
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
            return Err(Failure::GatewayProtocolError(
                "a frame is larger than the protocol allows",
            ));
        }
        if self.state == State::Ready
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
        let Ok(envelope) = serde_json::from_str::<Envelope<'a>>(frame) else {
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
            ("event", "agent") if self.state == State::Ready => Ok(envelope
                .payload
                .and_then(|payload| serde_json::from_str(payload.get()).ok())
                .map_or(Incoming::Ignored, Incoming::Agent)),
            ("event", "chat") if self.state == State::Ready => Ok(envelope
                .payload
                .and_then(|payload| serde_json::from_str(payload.get()).ok())
                .map_or(Incoming::Ignored, Incoming::Chat)),
            ("event", "connect.challenge") if self.state == State::Challenge => {
                self.answer_challenge(envelope.payload, credential, outbox)?;
                Ok(Incoming::Ignored)
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

    /// Returns true after the gateway's hello.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Returns the failure for a connection that the gateway closed before a run was started.
    pub(crate) fn closed(&self, close_code: u16) -> Failure {
        let stage = match self.state {
            State::Challenge => Stage::Challenge,
            State::Hello(_) => Stage::Hello,
            State::Ready => Stage::Ready,
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

    /// Returns true if a time of the gateway is before this connection.
    pub(crate) fn is_older(&self, gateway_ms: u64) -> bool {
        gateway_ms < self.challenged_ms
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
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let frame = serde_json::to_string(&Request {
            kind: "req",
            id: &id.0.to_string(),
            method,
            params,
            traceparent,
        })
        .map_err(|_| Failure::Bug("a request could not be written"))?;
        outbox.push(frame);
        Ok(id)
    }

    fn answer_challenge(
        &mut self,
        payload: Option<&RawValue>,
        credential: &Credential,
        outbox: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let challenge: Challenge<'_> = payload
            .and_then(|payload| serde_json::from_str(payload.get()).ok())
            .ok_or(Failure::GatewayProtocolError(
                "connect.challenge has no nonce",
            ))?;
        let id = self.request(
            "connect",
            &ConnectFrame::new(self.client, credential, &challenge).params(),
            outbox,
        )?;
        self.challenged_ms = challenge.ts;
        self.state = State::Hello(id);
        Ok(())
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
                    .and_then(|error| serde_json::from_str(error.get()).ok())
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
                self.state = State::Ready;
                Ok(Incoming::Ready(hello))
            }
            State::Ready => Ok(Incoming::Response { id, result }),
            State::Challenge | State::Hello(_) => Ok(Incoming::Ignored),
        }
    }
}

/// The parts of a `connect` request that must live until it is written.
struct ConnectFrame<'a> {
    client: ClientIdentity,
    credential: &'a Credential,
    nonce: &'a str,
    signed_at_ms: u64,
    device: Option<DeviceProof>,
}

struct DeviceProof {
    id: String,
    display_name: String,
    public_key: String,
    signature: String,
}

impl<'a> ConnectFrame<'a> {
    fn new(
        client: ClientIdentity,
        credential: &'a Credential,
        challenge: &'a Challenge<'a>,
    ) -> Self {
        let device = credential.device.as_ref().map(|key| {
            let id = key.device_id();
            let signature = key.sign(&Proof {
                device_id: &id,
                client_id: client.id,
                client_mode: client.mode,
                role: ROLE,
                scopes: &SCOPES,
                signed_at_ms: challenge.ts,
                token: match &credential.auth {
                    Auth::Token(secret) | Auth::DeviceToken(secret) => secret.expose(),
                    Auth::Password(_) => "",
                },
                nonce: &challenge.nonce,
                platform: PLATFORM,
                device_family: "",
            });
            DeviceProof {
                display_name: device::display_name(&id),
                id,
                public_key: key.public_key(),
                signature,
            }
        });
        Self {
            client,
            credential,
            nonce: &challenge.nonce,
            signed_at_ms: challenge.ts,
            device,
        }
    }

    fn params(&self) -> ConnectParams<'_> {
        let mut auth = ConnectAuth::default();
        match &self.credential.auth {
            Auth::Token(secret) => auth.token = Some(secret.expose()),
            Auth::Password(secret) => auth.password = Some(secret.expose()),
            Auth::DeviceToken(secret) => auth.device_token = Some(secret.expose()),
        }
        ConnectParams {
            min_protocol: MIN_PROTOCOL,
            max_protocol: MAX_PROTOCOL,
            client: ClientInfo {
                id: self.client.id,
                display_name: self
                    .device
                    .as_ref()
                    .map(|device| device.display_name.as_str()),
                version: env!("CARGO_PKG_VERSION"),
                platform: PLATFORM,
                mode: self.client.mode,
            },
            role: ROLE,
            scopes: &SCOPES,
            caps: self.client.caps,
            auth,
            device: self.device.as_ref().map(|device| Device {
                id: &device.id,
                public_key: &device.public_key,
                signature: &device.signature,
                signed_at: self.signed_at_ms,
                nonce: self.nonce,
            }),
            user_agent: concat!("clawfront/", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// Checks the gateway's terms: a protocol that we support, and exactly the requested scopes.
fn read_hello<'a>(
    payload: Option<&'a RawValue>,
    credential: &Credential,
) -> Result<Hello<'a>, Failure> {
    let hello: HelloOk<'a> = payload
        .and_then(|payload| serde_json::from_str(payload.get()).ok())
        .ok_or(Failure::GatewayProtocolError("hello-ok cannot be read"))?;
    let protocol = match hello.protocol {
        3 => Protocol::V3,
        4 => Protocol::V4,
        _ => return Err(Failure::GatewayRefused(Refusal::ours("PROTOCOL_MISMATCH"))),
    };
    let Some(auth) = hello.auth else {
        // Protocol 3 does not name the scopes. It keeps those of a connection that presented a
        // device, and clears those of any other. Source: OpenClaw 2026.3.13, measured.
        return if protocol == Protocol::V3 && credential.device.is_some() {
            Ok(Hello {
                protocol,
                device_token: None,
            })
        } else {
            Err(Failure::GatewayRefused(Refusal::ours("MISSING_SCOPE")))
        };
    };
    // Protocol 4 grants no scopes to a remote client that has only the shared secret. If we got
    // scopes, the gateway believes we are local. A client that a proxy makes look local has full
    // operator access, also without a request for it. Source: OpenClaw 2026.9.6, behind nginx,
    // measured.
    let is_taken_for_local =
        credential.device.is_none() && !credential.is_own_host && !auth.scopes.is_empty();
    if !credential.takes_any_scopes && is_taken_for_local {
        return Err(Failure::GatewayRefused(Refusal::ours("TAKEN_FOR_LOCAL")));
    }
    if !credential.takes_any_scopes
        && auth
            .scopes
            .iter()
            .any(|granted| !SCOPES.contains(&&**granted))
    {
        return Err(Failure::GatewayRefused(Refusal::ours("SCOPES_TOO_WIDE")));
    }
    if !auth.scopes.iter().any(|granted| granted == WRITE_SCOPE) {
        return Err(Failure::GatewayRefused(Refusal::ours("MISSING_SCOPE")));
    }
    Ok(Hello {
        protocol,
        device_token: auth.device_token,
    })
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
