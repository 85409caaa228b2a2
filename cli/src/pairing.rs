//! Pairs a device with its gateway, over connections that look like the gateway's own command line.

use std::io::{IsTerminal as _, Read as _};
use std::time::{Duration, Instant};

use clawfront_core::config::{GATEWAY_PASSWORD, GATEWAY_TOKEN, Gateway};
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::gateway::credential::{Auth, Credential};
use clawfront_core::gateway::device::DeviceKey;
use clawfront_core::gateway::pairing::{Pairing, Step};
use clawfront_core::secret::Secret;
use tungstenite::Message;
use zeroize::Zeroizing;

use crate::ask;
use crate::connection::stream::Trust;
use crate::outcome::{FAILED, NOT_APPROVED, Problem, USAGE};
use crate::socket::{Received, open, read};

/// Longest wait for the handshake: a gateway that starts on a slow machine answers within seconds.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Frames until hello-ok; a gateway sends its challenge, its hello, and perhaps an event or two.
const MAX_FRAMES: usize = 64;

/// Longest secret that is read from standard input, in bytes.
const MAX_SECRET_BYTES: u64 = 4096;

/// The two kinds of secret that all clients of a gateway share; a gateway has one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Token,
    Password,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Token, Self::Password];

    /// Returns the name of the setting that holds it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Token => GATEWAY_TOKEN,
            Self::Password => GATEWAY_PASSWORD,
        }
    }

    pub(crate) fn auth(self, secret: Secret) -> Auth {
        match self {
            Self::Token => Auth::Token(secret),
            Self::Password => Auth::Password(secret),
        }
    }
}

/// The gateway's shared secret.
pub(crate) struct Shared {
    pub(crate) secret: Secret,
    /// `None` if a person or a pipe gave it: the gateway's answer then shows the kind.
    pub(crate) kind: Option<Kind>,
}

impl Shared {
    /// Takes the first of these kinds that `get` knows.
    pub(crate) fn find(kinds: &[Kind], get: impl Fn(Kind) -> Option<String>) -> Option<Self> {
        kinds.iter().find_map(|kind| {
            Some(Self {
                secret: Secret::new(get(*kind)?),
                kind: Some(*kind),
            })
        })
    }

    /// Asks for the secret on a terminal without showing it, or reads it from a pipe. Returns
    /// `None` if neither has one.
    pub(crate) fn ask(kind: Option<Kind>) -> Result<Option<Self>, Problem> {
        let text = if ask::is_possible() {
            ask::secret("The gateway's token or password (not shown): ")?
        } else {
            piped()?
        };
        let secret = text.trim();
        Ok((!secret.is_empty()).then(|| Self {
            secret: Secret::new(secret.to_owned()),
            kind,
        }))
    }

    /// Connects to `gateway` with this secret. A secret of unknown kind is tried as a token, then
    /// as a password if the gateway wants one.
    pub(crate) fn present(
        &self,
        gateway: &Gateway,
        trust: &Trust,
    ) -> Result<(Kind, Option<Secret>), (Failure, String)> {
        let attempt = |kind: Kind| {
            let gateway = Gateway {
                endpoint: None,
                url: gateway.url.clone(),
                headers: gateway.headers.clone(),
                credential: Credential {
                    auth: kind.auth(self.secret.clone()),
                    ..gateway.credential.clone()
                },
            };
            Ok((kind, shake_hands(&gateway, trust)?))
        };
        match (self.kind, attempt(self.kind.unwrap_or(Kind::Token))) {
            (None, Err((failure, _)))
                if failure.diagnosis() == Some(Diagnosis::GatewayPassword) =>
            {
                attempt(Kind::Password)
            }
            (_, result) => result,
        }
    }
}

/// Reads standard input, if that is a pipe or a file.
fn piped() -> Result<Zeroizing<String>, Problem> {
    let mut text = Zeroizing::new(String::new());
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        stdin
            .take(MAX_SECRET_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| {
                Problem::with(USAGE, format!("standard input cannot be read: {error}"))
            })?;
    }
    Ok(text)
}

/// Makes one connection and returns the token that the gateway gives the device. A failure comes
/// with the system's message.
pub(crate) fn shake_hands(
    gateway: &Gateway,
    trust: &Trust,
) -> Result<Option<Secret>, (Failure, String)> {
    let mut socket = open(gateway, trust)?;
    let mut pairing = Pairing::default();
    let until = Instant::now().checked_add(TIMEOUT);
    let mut outcome = Err(Failure::GatewayProtocolError(
        "the gateway sent no hello-ok",
    ));
    for _ in 0..MAX_FRAMES {
        let step = match read(&mut socket, until) {
            Received::Frame(frame) => pairing.receive(&frame, &gateway.credential, DeviceKey::sign),
            Received::Closed(code) => Err(pairing.closed(code)),
            Received::Nothing => Err(Failure::TimedOut(Deadline::Handshake)),
        };
        match step {
            Ok(Step::Wait) => {}
            Ok(Step::Send(frame)) => {
                // A frame that cannot be sent is followed by the end of the socket.
                let _ = socket.send(Message::text(frame));
            }
            Ok(Step::Paired { device_token }) => {
                outcome = Ok(device_token);
                break;
            }
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    // A gateway that does not confirm the close changes nothing.
    let _ = socket.close(None).and_then(|()| socket.flush());
    outcome.map_err(|failure| (failure, String::new()))
}

/// Returns true if the gateway's operator has to approve the device.
pub(crate) fn needs_approval(failure: &Failure) -> bool {
    matches!(
        failure.diagnosis(),
        Some(Diagnosis::Unpaired | Diagnosis::ScopeUpgrade | Diagnosis::MetadataUpgrade)
    )
}

/// Returns true if another secret could be the right one.
pub(crate) fn is_wrong_secret(failure: &Failure) -> bool {
    matches!(
        failure.diagnosis(),
        Some(Diagnosis::GatewayToken | Diagnosis::GatewayPassword)
    )
}

/// Describes a failure: its code, the system's message, and the fix.
pub(crate) fn refused(failure: &Failure, detail: &str) -> Problem {
    let (code, fix) = failure
        .cause()
        .map_or_else(Default::default, |cause| (cause.code, cause.fix));
    let detail = if detail.is_empty() {
        String::new()
    } else {
        format!(" ({detail})")
    };
    let exit = if needs_approval(failure) {
        NOT_APPROVED
    } else {
        FAILED
    };
    Problem::with(exit, format!("{code}{detail}: {fix}"))
}
