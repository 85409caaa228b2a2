//! A WebSocket to the gateway, as the Worker opens it.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use clawfront_core::config::Gateway;
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::gateway::agent_question::Question;
use clawfront_core::gateway::upgrade::refused;
use tungstenite::{Error, Message, WebSocket};

use crate::connection::http::{self, NoSocket};
use crate::connection::place::Place;
use crate::connection::stream::{self, Broken, Stream, Trust};

/// From the challenge to the first frame of a gateway that starts on a slow machine.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// Closed without a close frame. Source: RFC 6455 section 7.1.5.
pub(crate) const ABNORMAL_CLOSURE: u16 = 1006;

/// Opens a WebSocket to the gateway in one call.
pub(crate) fn open(
    gateway: &Gateway,
    trust: &Trust,
) -> Result<WebSocket<Stream>, (Failure, String)> {
    let broken = |broken: Broken| (Failure::GatewayUnreachable(broken.diagnosis), broken.detail);
    let place = Place::parse(&gateway.url)
        .ok_or((Failure::GatewayUnreachable(Diagnosis::Dns), String::new()))?;
    let addresses = stream::resolve(&place).map_err(broken)?;
    let tcp = stream::connect(&addresses).map_err(broken)?;
    let stream = stream::secure(tcp, &place, trust).map_err(broken)?;
    upgrade(stream, &place, gateway)
}

/// Checks that a gateway answers: it sends the first frame unasked.
pub(crate) fn greet(gateway: &Gateway, trust: &Trust) -> Result<(), (Failure, String)> {
    let mut socket = open(gateway, trust)?;
    let question = Question::default();
    let until = Instant::now().checked_add(HANDSHAKE_TIMEOUT);
    let failure = match read(&mut socket, until) {
        Received::Frame(_) => return Ok(()),
        Received::Closed(code) => question.closed(code),
        Received::Nothing => Failure::TimedOut(Deadline::Handshake),
    };
    Err((failure, String::new()))
}

/// Upgrades a stream as the Worker does. A failure comes with the system's message.
pub(crate) fn upgrade(
    stream: Stream,
    place: &Place,
    gateway: &Gateway,
) -> Result<WebSocket<Stream>, (Failure, String)> {
    http::upgrade(stream, place, &gateway.headers).map_err(|error| match error {
        NoSocket::Answered(answered) => (
            refused(&answered.as_response()),
            format!("HTTP {}", answered.status),
        ),
        NoSocket::Broken(broken) => (Failure::GatewayUnreachable(broken.diagnosis), broken.detail),
    })
}

/// An event of a socket.
pub(crate) enum Received {
    Frame(String),
    Closed(u16),
    /// No event before the deadline.
    Nothing,
}

/// Reads the next text frame.
pub(crate) fn read(socket: &mut WebSocket<Stream>, until: Option<Instant>) -> Received {
    loop {
        let left = until
            .and_then(|until| until.checked_duration_since(Instant::now()))
            .unwrap_or_default();
        if left.is_zero() || socket.get_ref().set_timeout(left).is_err() {
            return Received::Nothing;
        }
        match socket.read() {
            Ok(Message::Text(frame)) => return Received::Frame(frame.as_str().to_owned()),
            Ok(Message::Close(frame)) => {
                return Received::Closed(frame.map_or(ABNORMAL_CLOSURE, |frame| frame.code.into()));
            }
            Ok(_) => {}
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                return Received::Nothing;
            }
            Err(_) => return Received::Closed(ABNORMAL_CLOSURE),
        }
    }
}
