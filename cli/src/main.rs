//! The `clawfront` command: makes and keeps client keys and the Worker's device, sets up and
//! deploys a Worker, and finds the faults between a Worker and its gateway.
//!
//! Secrets are read from files, from standard input and from the environment, and written to
//! standard output. They are never arguments, because other users of the machine can see those.

mod address;
mod agents;
mod arguments;
mod ask;
mod connection;
mod deploy;
mod device;
mod doctor;
#[cfg(test)]
mod documented;
mod file;
mod invocation;
mod keys;
mod outcome;
mod pairing;
mod settings;
mod setup;
mod socket;
mod system;
#[cfg(test)]
mod test_folder;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;

use crate::arguments::{Arguments, Command};
use crate::outcome::{FAILED, Output};

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Keys(command) => keys::run(&command),
        Command::Status(options) => keys::hub::status::run(&options),
        Command::Open(open) => keys::hub::console::run(&open),
        Command::Audit(options) => keys::hub::audit(&options),
        Command::Usage(usage) => keys::hub::usage::run(&usage),
        Command::Runs(command) => keys::hub::operate::runs(&command),
        Command::Device(command) => device::run(&command).map(Output::line),
        Command::Setup(setup) => setup::run(&setup),
        Command::Deploy(deploy) => deploy::run(&deploy),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Completions { shell } => Ok(completions(shell)),
    };
    let output = result.unwrap_or_else(|problem| Output {
        note: format!("clawfront: {}\n", problem.message),
        code: problem.code,
        ..Output::default()
    });
    // Writes the note first, because a program that reads standard output may end this one.
    let written = std::io::stderr()
        .write_all(output.note.as_bytes())
        .and_then(|()| std::io::stdout().write_all(output.text.as_bytes()))
        .and_then(|()| std::io::stdout().flush());
    ExitCode::from(if written.is_ok() { output.code } else { FAILED })
}

fn completions(shell: Shell) -> Output {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "clawfront", &mut script);
    Output {
        text: String::from_utf8_lossy(&script).into_owned(),
        ..Output::default()
    }
}
