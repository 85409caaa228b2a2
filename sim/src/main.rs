//! A scripted OpenClaw gateway over real WebSockets: for the demo, fault tests and benchmarks.
//!
//! It speaks the gateway's protocol 4 (2026.9.6) or 3 (2026.3.13) as measured on the running gateways; what an answer says and
//! how a run goes wrong is written in the user's message, see [`script`]. `README.md` lists every word of it.

mod agent_params;
mod agents;
mod clock;
mod connect_params;
mod connection;
mod control;
mod fault;
mod frames;
mod gateway;
mod handshake;
mod hello;
mod journal;
mod methods;
mod narrator;
mod outcome;
mod pairing;
mod requests;
mod run;
mod schema;
mod script;
mod upgrade;
mod wire;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::frames::Protocol;
use crate::gateway::{Gateway, Options, Secret};

/// How long connections have to send their last frames after a signal.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(50);

/// A scripted `OpenClaw` gateway: for demos, tests and benchmarks.
#[derive(Debug, Parser)]
#[command(name = "clawfront-sim", version)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the command line")]
struct Args {
    /// Where to listen; loopback addresses only. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The protocol: 4 is `OpenClaw` 2026.9.6, 3 is 2026.3.13.
    #[arg(long, default_value = "4", value_parser = parse_protocol)]
    protocol: Protocol,
    /// The shared token. With neither a token nor a password, every client is let in as if it had it.
    #[arg(long, env = "SIM_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The shared password, instead of a token.
    #[arg(long, env = "SIM_PASSWORD", hide_env_values = true, conflicts_with = "token")]
    password: Option<String>,
    /// An agent; repeat it for several.
    #[arg(long = "agent", default_values_t = ["main".to_owned(), "beta".to_owned()])]
    agents: Vec<String>,
    /// The agent of requests that name none; the first one unless given.
    #[arg(long)]
    default_agent: Option<String>,
    /// Refuse requests that name no agent, as protocol 4 does where several agents have no default.
    #[arg(long, conflicts_with = "default_agent")]
    no_default_agent: bool,
    /// Treat every connection as a remote one, except that of the gateway's own command line (`cli`/`cli`).
    #[arg(long)]
    require_device: bool,
    /// A fault of the upgrade or the handshake, for every connection; README.md lists them.
    #[arg(long, value_parser = Fault::parse)]
    fault: Option<Fault>,
    /// Begin with the fault `startup` and end it after so many milliseconds.
    #[arg(long)]
    startup_ms: Option<u64>,
    /// Milliseconds between two `tick` events.
    #[arg(long, default_value_t = frames::TICK_INTERVAL_MS, value_parser = clap::value_parser!(u64).range(1..))]
    tick_ms: u64,
    /// Milliseconds that protocol 4 gathers text for before it sends it; 0 sends every delta.
    #[arg(long, default_value_t = narrator::LIVE_TEXT_PACING_MS)]
    pacing_ms: u64,
    /// Tell nobody of tasks, of which protocol 4 tells every connection, so that a thousand runs are a million events a second.
    #[arg(long)]
    no_tasks: bool,
    /// Print the ready line as JSON.
    #[arg(long)]
    json: bool,
    /// End when standard input does, so that nothing outlives whoever started this.
    #[arg(long)]
    exit_with_stdin: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nowhere is left to say it if standard error is closed.
            drop(writeln!(std::io::stderr(), "clawfront-sim: {message}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> Result<(), String> {
    if !args.listen.ip().is_loopback() {
        return Err(format!(
            "{} is not a loopback address; a simulated gateway has nothing to guard itself with, so it listens on no other.",
            args.listen.ip()
        ));
    }
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let (json, exit_with_stdin, protocol) = (args.json, args.exit_with_stdin, args.protocol);
    let gateway = Arc::new(Gateway::new(options(args)?)?);
    tokio::spawn(gateway::tick(Arc::clone(&gateway)));

    announce(address, protocol, json).map_err(|error| format!("cannot write to standard output: {error}"))?;
    let app = upgrade::router(Arc::clone(&gateway));
    // Small frames must not wait for each other: a gateway on Node sends them at once as well.
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            drop(writeln!(std::io::stderr(), "clawfront-sim: {error}"));
        }
    });
    tokio::select! {
        served = axum::serve(listener, app) => served.map_err(|error| error.to_string()),
        () = ended(exit_with_stdin) => {
            gateway.shut_down();
            tokio::time::sleep(SHUTDOWN_GRACE).await;
            Ok(())
        }
    }
}

fn options(args: Args) -> Result<Options, String> {
    let default_agent = match (args.no_default_agent, args.default_agent) {
        (true, _) => None,
        (false, Some(agent)) if !args.agents.contains(&agent) => {
            return Err(format!(
                "--default-agent {agent} is none of the agents ({}).",
                args.agents.join(", ")
            ));
        }
        (false, Some(agent)) => Some(agent),
        (false, None) => args.agents.first().cloned(),
    };
    Ok(Options {
        protocol: args.protocol,
        secret: match (args.token, args.password) {
            (Some(token), _) => Secret::Token(token),
            (None, Some(password)) => Secret::Password(password),
            (None, None) => Secret::None,
        },
        agents: args.agents,
        default_agent,
        require_device: args.require_device,
        fault: args.fault,
        startup_ms: args.startup_ms,
        tick_ms: args.tick_ms,
        pacing_ms: args.pacing_ms,
        tells_tasks: !args.no_tasks,
    })
}

fn announce(address: SocketAddr, protocol: Protocol, json: bool) -> std::io::Result<()> {
    let version = protocol.number();
    let line = if json {
        serde_json::json!({ "url": format!("ws://{address}"), "http": format!("http://{address}"), "protocol": version }).to_string()
    } else {
        format!("clawfront-sim speaks protocol {version} on ws://{address}")
    };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

async fn ended(with_stdin: bool) {
    let terminated = async {
        #[cfg(unix)]
        if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            signal.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    };
    let stdin_closed = async {
        if with_stdin {
            // Cannot fail while the thread runs; if it is gone, so is standard input.
            drop(stdin_end().await);
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // Without a handler, the signal ends the process by itself.
        Ok(()) = tokio::signal::ctrl_c() => {}
        () = terminated => {}
        () = stdin_closed => {}
    }
}

/// Resolves at the end of standard input. A thread of its own: a blocked read would hold the runtime up at its end.
fn stdin_end() -> oneshot::Receiver<()> {
    let (closed, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut scratch = [0_u8; 256];
        while matches!(std::io::stdin().read(&mut scratch), Ok(1..)) {}
        // Nobody waits for it any more once the gateway ends by itself.
        let _unheard = closed.send(());
    });
    receiver
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "3" => Ok(Protocol::V3),
        "4" => Ok(Protocol::V4),
        _ => Err("the protocol is 3 or 4".to_owned()),
    }
}
