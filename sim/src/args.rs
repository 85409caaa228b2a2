//! The command line.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

use crate::fault::Fault;
use crate::frames::{self, Protocol};
use crate::options::{ChatCompletions, ClientTools, LIVE_TEXT_PACING_MS, Options, Secret};
use crate::script;

/// A scripted `OpenClaw` gateway: for demos, tests and benchmarks.
#[derive(Debug, Parser)]
#[command(name = "clawfront-sim", version)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one switch of the command line"
)]
pub(crate) struct Args {
    /// Address to listen on; only loopback. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The protocol: 4 is `OpenClaw` 2026.9.6, 3 is 2026.3.13.
    #[arg(long, default_value = "4", value_parser = parse_protocol)]
    pub(crate) protocol: Protocol,
    /// The shared token. Without a token and a password, every client is admitted as if it had the
    /// secret.
    #[arg(long, env = "SIM_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The shared password, instead of a token.
    #[arg(
        long,
        env = "SIM_PASSWORD",
        hide_env_values = true,
        conflicts_with = "token"
    )]
    pub(crate) password: Option<String>,
    /// An agent; repeat it for several.
    #[arg(long = "agent", default_values_t = ["main".to_owned(), "beta".to_owned()])]
    pub(crate) agents: Vec<String>,
    /// The agent of requests that name none; the first one unless given.
    #[arg(long)]
    pub(crate) default_agent: Option<String>,
    /// Refuse requests that name no agent, as protocol 4 does where several agents have no default.
    #[arg(long, conflicts_with = "default_agent")]
    pub(crate) no_default_agent: bool,
    /// Treat every connection as a remote one, except that of the gateway's own command line
    /// (`cli`/`cli`).
    #[arg(long)]
    pub(crate) require_device: bool,
    /// A fault of the upgrade or the handshake, for every connection; README.md lists them.
    #[arg(long, value_parser = Fault::parse)]
    pub(crate) fault: Option<Fault>,
    /// Begin with the fault `startup`, and end it after this many milliseconds.
    #[arg(long)]
    pub(crate) startup_ms: Option<u64>,
    /// Milliseconds between two `tick` events.
    #[arg(
        long,
        default_value_t = frames::TICK_INTERVAL_MS,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) tick_ms: u64,
    /// Milliseconds for which protocol 4 gathers text before it sends it; 0 sends every delta.
    #[arg(long, default_value_t = LIVE_TEXT_PACING_MS)]
    pub(crate) pacing_ms: u64,
    /// Milliseconds between two deltas of the demo answer.
    #[arg(long, default_value_t = script::DEMO_DELAY_MS)]
    pub(crate) demo_delay_ms: u64,
    /// Send no task events: protocol 4 sends them to every connection, so a thousand runs make a
    /// million events a second.
    #[arg(long)]
    pub(crate) no_tasks: bool,
    /// Serve `POST /v1/chat/completions`, to clients with the shared secret or to a trusted proxy;
    /// only protocol 4.
    #[arg(long)]
    pub(crate) chat_completions: Option<CompletionsAuth>,
    /// The header in which a trusted proxy names the user.
    #[arg(long, default_value = "x-forwarded-user")]
    pub(crate) user_header: String,
    /// Hide the functions of requests from the model, as a gateway without `tools.toolSearch`.
    #[arg(long)]
    pub(crate) hide_client_tools: bool,
    /// Print the ready line as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// End at the end of standard input, so that this process does not outlive its parent.
    #[arg(long)]
    pub(crate) exit_with_stdin: bool,
}

/// The authentication of `POST /v1/chat/completions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompletionsAuth {
    Secret,
    TrustedProxy,
}

pub(crate) fn options(args: Args) -> Result<Options, String> {
    let chat_completions = match (args.chat_completions, args.protocol) {
        (None, _) => ChatCompletions::Off,
        (Some(_), Protocol::V3) => {
            return Err(
                "--chat-completions needs protocol 4: 2026.3.13 has no functions.".to_owned(),
            );
        }
        (Some(CompletionsAuth::Secret), Protocol::V4) => ChatCompletions::Secret,
        (Some(CompletionsAuth::TrustedProxy), Protocol::V4) => ChatCompletions::TrustedProxy {
            user_header: args.user_header.to_lowercase(),
        },
    };
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
        demo_delay_ms: args.demo_delay_ms,
        publishes_tasks: !args.no_tasks,
        chat_completions,
        client_tools: if args.hide_client_tools {
            ClientTools::Hidden
        } else {
            ClientTools::Offered
        },
    })
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "3" => Ok(Protocol::V3),
        "4" => Ok(Protocol::V4),
        _ => Err("the protocol is 3 or 4".to_owned()),
    }
}
