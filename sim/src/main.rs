//! A scripted OpenClaw gateway over real WebSockets: for the demo, fault tests and benchmarks.
//!
//! It implements the gateway's protocol 4 (2026.9.6) or 3 (2026.3.13) as measured on the running
//! gateways. The user's message sets the answer and the faults of a run, see [`script`].
//! `README.md` lists every word of it.

mod agent_params;
mod agents;
mod args;
mod clock;
mod completions;
mod connect_params;
mod connection;
mod control;
mod events;
mod fault;
mod frames;
mod gateway;
mod handshake;
mod hello;
mod history;
mod journal;
mod json_answer;
mod media;
mod methods;
mod options;
mod pairing;
mod request;
mod requests;
mod run;
mod schema;
mod script;
mod serve;
mod server;
mod upgrade;
mod wire;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve::serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // If standard error is closed, there is no other place for the message.
            drop(writeln!(std::io::stderr(), "clawfront-sim: {message}"));
            ExitCode::FAILURE
        }
    }
}
