//! `clawfront`: makes client keys, and the device by which the Worker is known to its gateway.
//!
//! Secrets are read from the environment and written to standard output; never taken as arguments, which other users of the machine
//! can see. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the gateway's operator has to approve the device first.

mod device;
mod key;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "clawfront",
    version,
    about = "Client keys and the gateway's device, for a Clawfront deployment"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Client keys: what a client sends, and the entry that CLIENT_KEYS holds for it
    #[command(subcommand)]
    Key(key::Command),
    /// The device: the credential that the Worker shows to the gateway
    #[command(subcommand)]
    Device(device::Command),
}

/// What went wrong, in one line, and the code to exit with.
struct Problem {
    message: String,
    code: u8,
}

/// The command failed.
const FAILED: u8 = 1;

/// The device waits for the approval of the gateway's operator.
const NOT_APPROVED: u8 = 3;

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: FAILED,
        }
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Key(command) => key::run(&command),
        Command::Device(command) => device::run(&command),
    };
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("clawfront: {}", problem.message);
            ExitCode::from(problem.code)
        }
    }
}

/// Bytes from the operating system's secure source.
fn entropy<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Problem::new(format!("no randomness from the system: {error}")))?;
    Ok(bytes)
}
