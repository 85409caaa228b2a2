//! `clawfront device`: makes the key of a device, and pairs it with its gateway.

use clap::Args;
use clawfront_core::config::{Gateway, read_gateway_url};
use clawfront_core::gateway::credential::{Auth, Credential};
use clawfront_core::gateway::device::DeviceKey;
use clawfront_core::secret::Secret;
use zeroize::Zeroizing;

use crate::address;
use crate::connection::place::Place;
use crate::connection::stream::Trust;
use crate::outcome::{Problem, USAGE};
use crate::pairing::{Kind, Shared, refused};
use crate::system::{entropy, variable};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a device key, the value of DEVICE_KEY
    New(New),
    /// Pair the device, on the gateway's host, and print the value of DEVICE_TOKEN
    ///
    /// Reads the gateway's shared secret from GATEWAY_TOKEN or GATEWAY_PASSWORD, otherwise from
    /// standard input; a terminal does not show the answer. Reads the device key from DEVICE_KEY,
    /// or makes one if that is not set.
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
                format!(
                    "DEVICE_KEY={}\nDEVICE_TOKEN={}",
                    key.encode().as_str(),
                    token.expose()
                )
            })
        }
    }
}

pub(crate) fn new_key() -> Result<DeviceKey, Problem> {
    Ok(DeviceKey::from_seed(&Zeroizing::new(entropy()?)))
}

fn pair(address: &str) -> Result<(DeviceKey, Secret), Problem> {
    let url =
        address::complete(address).map_err(|why| Problem::with(USAGE, format!("--url: {why}")))?;
    let url = read_gateway_url(&url)
        .map_err(|problem| Problem::with(USAGE, format!("--url {}", problem.what)))?;
    if !url.starts_with("http://") {
        return Err(Problem::with(
            USAGE,
            "--url must be ws://, because pairing without approval works only on the gateway's \
             own host. Fix: pair from another host with clawfront setup",
        ));
    }
    let key = match variable("DEVICE_KEY") {
        Some(text) => {
            DeviceKey::parse(&text).ok_or_else(|| Problem::new("DEVICE_KEY is not a device key"))?
        }
        None => new_key()?,
    };
    let shared = match Shared::find(&Kind::ALL, |kind| variable(kind.name())) {
        Some(shared) => shared,
        None => Shared::ask(None)?.ok_or_else(|| {
            Problem::with(
                USAGE,
                "no shared secret is set. Fix: set GATEWAY_TOKEN or GATEWAY_PASSWORD",
            )
        })?,
    };
    let gateway = Gateway {
        endpoint: None,
        url,
        headers: Vec::new(),
        credential: Credential {
            device: Some(key.clone()),
            auth: Auth::Token(shared.secret.clone()),
            takes_any_scopes: false,
            is_own_host: true,
        },
    };
    match shared.present(&gateway, &Trust::new(None)?) {
        Ok((_, Some(token))) => Ok((key, token)),
        Ok((_, None)) => Err(Problem::new(
            "the gateway sent no token for the device. Fix: run this command on the gateway's own \
             host",
        )),
        Err((failure, detail)) => Err(refused(&failure, &with_port(&gateway.url, detail))),
    }
}

/// Adds the port to `detail` where the URL names none, because a gateway listens on another.
pub(crate) fn with_port(url: &str, detail: String) -> String {
    match Place::parse(url) {
        Some(place) if !place.has_port && !place.is_tls => format!(
            "{detail}{}port {}, as the address names none; OpenClaw's is {}",
            if detail.is_empty() { "" } else { ", " },
            place.port,
            address::GATEWAY_PORT
        ),
        _ => detail,
    }
}
