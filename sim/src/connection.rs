//! One connection: challenge, `connect`, hello-ok. Then requests and events until one end closes.
//!
//! Source: measured on both versions, unless noted otherwise.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{Instant, timeout, timeout_at};

use crate::clock;
use crate::fault::Fault;
use crate::frames::{Close, MAX_FRAME_BEFORE_HELLO_BYTES, Outgoing, Protocol, Reply, close_code};
use crate::gateway::{Gateway, Peer};
use crate::handshake::refusal::Refusal;
use crate::handshake::{self, Admitted};
use crate::request::{Client, REQUEST_FRAME, Request};
use crate::requests;
use crate::upgrade::Upgrade;
use crate::wire::{Put, Wire};

/// Returns the deadline for a client's `connect`.
fn handshake_deadline(protocol: Protocol) -> Duration {
    match protocol {
        Protocol::V3 => Duration::from_secs(3),
        Protocol::V4 => Duration::from_secs(15),
    }
}

/// Interval between two pings of protocol 4. A client that did not send the pong is cut off at the
/// next ping. Source: openclaw 2026.9.6 `websocket-keepalive`, read.
const PING_INTERVAL: Duration = Duration::from_secs(25);

/// Time limit for the other end to answer a close frame.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Time for which a socket stays open after a close frame, to act as a peer that forgets to close
/// it.
const HALF_CLOSED: Duration = Duration::from_secs(10);

/// The bytes that fit into a close frame beside its code. Source: RFC 6455, section 5.5.
const MAX_CLOSE_REASON_BYTES: usize = 123;

/// The close code before the challenge.
const CLOSE_BEFORE_CHALLENGE: u16 = 1011;

/// Serves one socket to its end.
pub(crate) async fn serve(
    mut socket: WebSocket,
    gateway: Arc<Gateway>,
    upgrade: Upgrade,
    fault: Option<Fault>,
) {
    let connection = gateway.open();
    let mut wire = Wire::new(match fault {
        Some(Fault::Wire(fault)) => Some(fault),
        _ => None,
    });
    let opening = Opening {
        gateway: &gateway,
        connection,
        upgrade: &upgrade,
        fault,
    };
    let (by, code) = match shake_hands(&mut socket, &mut wire, &opening).await {
        Ok((client, outbox)) => {
            exchange_frames(&mut socket, &mut wire, &gateway, &client, outbox).await
        }
        Err(gone) => gone,
    };
    gateway.leave(connection, by, code, &wire);
}

/// The side that ended a connection, and the close code.
type Gone = (&'static str, Option<u16>);

/// A client that can no longer be written to.
const CLIENT_GONE: Gone = ("client", None);

/// A connection before its handshake.
struct Opening<'a> {
    gateway: &'a Arc<Gateway>,
    connection: u64,
    upgrade: &'a Upgrade,
    fault: Option<Fault>,
}

async fn shake_hands(
    socket: &mut WebSocket,
    wire: &mut Wire,
    opening: &Opening<'_>,
) -> Result<(Client, UnboundedReceiver<Outgoing>), Gone> {
    let Opening {
        gateway,
        connection,
        upgrade,
        fault,
    } = *opening;
    if fault == Some(Fault::CloseBeforeChallenge) {
        return Err(close(socket, Close::new(CLOSE_BEFORE_CHALLENGE, "")).await);
    }
    let deadline = Instant::now()
        .checked_add(handshake_deadline(gateway.protocol()))
        .unwrap_or_else(Instant::now);
    let nonce = clock::uuid();
    if fault != Some(Fault::NoChallenge) {
        send(socket, wire, challenge(gateway.protocol(), &nonce)).await?;
    }
    let request = match first_request(socket, gateway.protocol(), deadline).await {
        Ok(request) => request,
        Err(NoRequest::Gone(gone)) => return Err(gone),
        Err(NoRequest::Invalid(with)) => return Err(close(socket, with).await),
    };
    gateway.state().journal.frame(connection, &request);
    if matches!(fault, Some(Fault::NoHello | Fault::NoChallenge)) {
        // No answer: the client gives up, or the deadline closes.
        return Err(match timeout_at(deadline, next_text(socket)).await {
            Ok(Err(ReadEnd::Gone(gone))) => gone,
            _ => close(socket, Close::new(close_code::NORMAL, "")).await,
        });
    }
    match handshake::admit(gateway, upgrade, &nonce, &request, fault) {
        Ok(admitted) => Ok(join(gateway, connection, &request.id, admitted)),
        Err(Refusal { error, close: with }) => {
            if let Some(error) = error {
                send(socket, wire, Reply::error(*error).frame(&request.id)).await?;
            }
            Err(close(socket, with).await)
        }
    }
}

fn challenge(protocol: Protocol, nonce: &str) -> String {
    let payload = match protocol {
        Protocol::V3 => json!({ "nonce": nonce, "ts": clock::now_ms() }),
        Protocol::V4 => {
            json!({ "nonce": nonce, "ts": clock::now_ms(), "capabilities": ["model-catalog-snapshot"] })
        }
    };
    json!({ "type": "event", "event": "connect.challenge", "payload": payload }).to_string()
}

/// A connection without a first request.
enum NoRequest {
    Gone(Gone),
    Invalid(Close),
}

/// Reads the first request of a client.
async fn first_request(
    socket: &mut WebSocket,
    protocol: Protocol,
    deadline: Instant,
) -> Result<Request, NoRequest> {
    let invalid = |code, reason| NoRequest::Invalid(Close::new(code, reason));
    let first = match timeout_at(deadline, next_text(socket)).await {
        Err(_) => return Err(invalid(close_code::NORMAL, "")),
        Ok(Err(ReadEnd::Gone(gone))) => return Err(NoRequest::Gone(gone)),
        Ok(Err(ReadEnd::TooBig)) => return Err(invalid(close_code::TOO_BIG, "")),
        Ok(Ok(text)) => text,
    };
    if first.len() > MAX_FRAME_BEFORE_HELLO_BYTES {
        return Err(invalid(close_code::TOO_BIG, ""));
    }
    let frame: Value = serde_json::from_str(&first).map_err(|_| invalid(close_code::NORMAL, ""))?;
    REQUEST_FRAME
        .check(&frame, protocol)
        .ok()
        .and_then(|()| Request::of(frame))
        .ok_or_else(|| invalid(close_code::POLICY, "invalid request frame"))
}

/// Puts hello-ok before everything else that the client is sent.
fn join(
    gateway: &Gateway,
    connection: u64,
    id: &str,
    admitted: Admitted,
) -> (Client, UnboundedReceiver<Outgoing>) {
    let (outbox, receiver) = mpsc::unbounded_channel();
    drop(outbox.send(Outgoing::Text(admitted.hello.frame(id))));
    let client = Client {
        connection,
        role: admitted.role,
        scopes: admitted.scopes,
        device: admitted.device,
        outbox: outbox.clone(),
    };
    gateway.join(
        connection,
        Peer {
            outbox,
            reads: client.holds("operator.read"),
            scoped: admitted
                .caps
                .iter()
                .any(|cap| cap == "session-scoped-events"),
            tool_events: admitted.caps.iter().any(|cap| cap == "tool-events"),
            subscriptions: HashSet::new(),
            seq: 0,
        },
    );
    (client, receiver)
}

async fn exchange_frames(
    socket: &mut WebSocket,
    wire: &mut Wire,
    gateway: &Arc<Gateway>,
    client: &Client,
    mut outbox: UnboundedReceiver<Outgoing>,
) -> Gone {
    let mut ping = tokio::time::interval(PING_INTERVAL);
    ping.reset();
    let mut waits_for_pong = false;
    loop {
        tokio::select! {
            outgoing = outbox.recv() => match outgoing {
                Some(Outgoing::Text(text)) => {
                    if let Err(gone) = send(socket, wire, text).await {
                        if gone == CLIENT_GONE {
                            take_rest(socket, gateway, client).await;
                        }
                        return gone;
                    }
                }
                Some(Outgoing::Close(with)) => return close(socket, with).await,
                Some(Outgoing::Drop) | None => return ("sim", None),
            },
            incoming = socket.recv() => match incoming {
                Some(Ok(Message::Text(text))) => requests::receive(gateway, client, &text),
                Some(Ok(Message::Pong(_))) => waits_for_pong = false,
                // Source for binary frames: neither version reads them, read.
                Some(Ok(Message::Binary(_) | Message::Ping(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    // The answer to a close frame is sent while reading on.
                    drain(socket).await;
                    return ("client", frame.map(|frame| frame.code));
                }
                Some(Err(error)) if is_too_big(&error) => {
                    return close(socket, Close::new(close_code::TOO_BIG, "")).await;
                }
                Some(Err(_)) | None => return ("client", None),
            },
            _ = ping.tick(), if gateway.protocol() == Protocol::V4 => {
                if waits_for_pong || socket.send(Message::Ping(Vec::new().into())).await.is_err() {
                    return ("sim", None);
                }
                waits_for_pong = true;
            }
        }
    }
}

/// Sends a frame through the wire, where a fault may change it.
async fn send(socket: &mut WebSocket, wire: &mut Wire, frame: String) -> Result<(), Gone> {
    for put in wire.pass(frame) {
        let message = match put {
            Put::Text(text) => Message::text(text),
            Put::Binary(bytes) => Message::Binary(bytes.into()),
            Put::Pause(pause) => {
                tokio::time::sleep(pause).await;
                continue;
            }
            Put::Close(code) => return Err(close(socket, Close::new(code, "")).await),
            Put::HalfClose(code) => {
                let frame = CloseFrame {
                    code,
                    reason: "".into(),
                };
                drop(socket.send(Message::Close(Some(frame))).await);
                // The socket stays open: a peer that waits for this end to close it must notice
                // that by itself.
                drop(
                    timeout(HALF_CLOSED, async {
                        while let Some(Ok(_)) = socket.recv().await {}
                    })
                    .await,
                );
                return Err(("sim", Some(code)));
            }
            Put::Drop => return Err(("sim", None)),
        };
        if socket.send(message).await.is_err() {
            return Err(CLIENT_GONE);
        }
    }
    Ok(())
}

enum ReadEnd {
    Gone(Gone),
    TooBig,
}

async fn next_text(socket: &mut WebSocket) -> Result<String, ReadEnd> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Close(frame))) => {
                drain(socket).await;
                return Err(ReadEnd::Gone(("client", frame.map(|frame| frame.code))));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) if is_too_big(&error) => return Err(ReadEnd::TooBig),
            Some(Err(_)) | None => return Err(ReadEnd::Gone(("client", None))),
        }
    }
}

/// axum hides the kind of an error; its text is all there is.
fn is_too_big(error: &axum::Error) -> bool {
    error.to_string().contains("too long")
}

/// Takes the requests that a client sent before it went: they have arrived.
async fn take_rest(socket: &mut WebSocket, gateway: &Arc<Gateway>, client: &Client) {
    let to_end = async {
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(text) = message {
                requests::receive(gateway, client, &text);
            }
        }
    };
    drop(timeout(CLOSE_GRACE, to_end).await);
}

/// Reads to the end and drops all frames. A client that never answers a close frame is left.
async fn drain(socket: &mut WebSocket) {
    let to_end = async { while let Some(Ok(_)) = socket.recv().await {} };
    drop(timeout(CLOSE_GRACE, to_end).await);
}

async fn close(socket: &mut WebSocket, with: Close) -> Gone {
    let mut reason = with.reason;
    while reason.len() > MAX_CLOSE_REASON_BYTES {
        reason.pop();
    }
    let frame = CloseFrame {
        code: with.code,
        reason: reason.into(),
    };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        drain(socket).await;
    }
    ("sim", Some(with.code))
}
