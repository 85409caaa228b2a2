//! `clawfront device`

use std::net::TcpStream;
use std::time::Duration;

use clap::Args;
use clawfront_core::error::Failure;
use clawfront_core::gateway::credential::{Auth, Credential};
use clawfront_core::gateway::device::DeviceKey;
use clawfront_core::gateway::diagnosis::Diagnosis;
use clawfront_core::gateway::pairing::{Pairing, Step};
use clawfront_core::secret::Secret;
use tungstenite::http::Uri;
use tungstenite::{Message, WebSocket};
use zeroize::Zeroizing;

use crate::{NOT_APPROVED, Problem, entropy};

/// For connecting and for every frame: a gateway that starts on a slow machine answers within seconds.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The port of a gateway whose URL names none. Source: OpenClaw's default configuration.
const DEFAULT_PORT: u16 = 18789;

/// Frames until hello-ok; a gateway sends its challenge, its hello, and perhaps an event or two.
pub(crate) const MAX_FRAMES: usize = 64;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a device key: the value of DEVICE_KEY
    New(New),
    /// On the gateway's host: pair the device, and print the value of DEVICE_TOKEN
    ///
    /// Reads the gateway's shared secret from GATEWAY_TOKEN or GATEWAY_PASSWORD, and the device key from DEVICE_KEY (without it, it
    /// makes one).
    Pair(Pair),
}

#[derive(Args)]
pub(crate) struct New {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Pair {
    /// Address of the gateway on this host
    #[arg(long, default_value = "ws://127.0.0.1:18789")]
    url: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Command) -> Result<String, Problem> {
    match command {
        Command::New(arguments) => {
            let key = new_key()?;
            Ok(if arguments.json {
                serde_json::json!({ "device_id": key.device_id(), "device_key": key.encode().as_str() }).to_string()
            } else {
                format!("DEVICE_KEY={}", key.encode().as_str())
            })
        }
        Command::Pair(arguments) => {
            let (key, token) = pair(&arguments.url)?;
            Ok(if arguments.json {
                serde_json::json!({
                    "device_id": key.device_id(),
                    "device_key": key.encode().as_str(),
                    "device_token": token.expose(),
                })
                .to_string()
            } else {
                format!("DEVICE_KEY={}\nDEVICE_TOKEN={}", key.encode().as_str(), token.expose())
            })
        }
    }
}

pub(crate) fn new_key() -> Result<DeviceKey, Problem> {
    Ok(DeviceKey::from_seed(&Zeroizing::new(entropy()?)))
}

fn pair(url: &str) -> Result<(DeviceKey, Secret), Problem> {
    let key = match variable("DEVICE_KEY") {
        Some(text) => DeviceKey::parse(&text).ok_or_else(|| Problem::new("DEVICE_KEY is not a device key"))?,
        None => new_key()?,
    };
    let auth = variable("GATEWAY_TOKEN")
        .map(|token| Auth::Token(Secret::new(token)))
        .or_else(|| variable("GATEWAY_PASSWORD").map(|password| Auth::Password(Secret::new(password))))
        .ok_or_else(|| Problem::new("set GATEWAY_TOKEN or GATEWAY_PASSWORD to the gateway's shared secret"))?;
    let credential = Credential {
        device: Some(key.clone()),
        auth,
        takes_any_scopes: false,
        is_own_host: true,
    };
    let mut socket = connect(url)?;
    let token = shake_hands(&mut socket, &credential)?;
    // The token is safe; a gateway that does not say goodbye changes nothing.
    let _ = socket.close(None);
    Ok((key, token))
}

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

fn connect(url: &str) -> Result<WebSocket<TcpStream>, Problem> {
    let uri: Uri = url.parse().map_err(|_| Problem::new("--url is not a URL"))?;
    if !matches!(uri.scheme_str(), Some("ws" | "http")) {
        return Err(Problem::new(
            "--url must be ws://: pairing without approval works on the gateway's own host only",
        ));
    }
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(DEFAULT_PORT);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port))
        .map_err(|error| Problem::new(format!("{url} does not answer: {error}")))?;
    stream
        .set_read_timeout(Some(TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)))
        .map_err(|error| Problem::new(format!("{url}: {error}")))?;
    let (socket, _) = tungstenite::client(format!("ws://{host}:{port}/"), stream)
        .map_err(|error| Problem::new(format!("{url} is not a gateway: {error}")))?;
    Ok(socket)
}

fn shake_hands(socket: &mut WebSocket<TcpStream>, credential: &Credential) -> Result<Secret, Problem> {
    let mut pairing = Pairing::default();
    for _ in 0..MAX_FRAMES {
        let message = socket
            .read()
            .map_err(|error| Problem::new(format!("the gateway broke off: {error}")))?;
        let Message::Text(frame) = message else {
            continue;
        };
        match pairing
            .receive(&frame, credential)
            .map_err(|failure| refused(&failure))?
        {
            Step::Wait => {}
            Step::Send(frame) => socket
                .send(Message::text(frame))
                .map_err(|error| Problem::new(format!("the gateway broke off: {error}")))?,
            Step::Paired {
                device_token: Some(token),
            } => return Ok(token),
            Step::Paired { device_token: None } => {
                return Err(Problem::new(
                    "the gateway gave the device no token: is this command running on the gateway's own host?",
                ));
            }
        }
    }
    Err(Problem::new("the gateway did not say hello"))
}

fn refused(failure: &Failure) -> Problem {
    let (code, hint) = failure
        .cause()
        .map(|cause| (cause.code, cause.hint))
        .unwrap_or_default();
    let needs_approval = matches!(
        failure.diagnosis(),
        Some(Diagnosis::Unpaired | Diagnosis::ScopeUpgrade | Diagnosis::MetadataUpgrade)
    );
    Problem {
        message: format!("the gateway refused the device ({code}): {hint}"),
        code: if needs_approval { NOT_APPROVED } else { crate::FAILED },
    }
}
