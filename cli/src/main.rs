//! `clawfront`: makes and keeps client keys and the device by which the Worker is known to its gateway, and says what is wrong between them.
//!
//! Secrets are read from files, from standard input and from the environment, and written to standard output; never taken as arguments,
//! which other users of the machine can see.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

/// The end of every `--help`.
macro_rules! exit_codes {
    () => {
        "Exit codes:
  0  done
  1  failed; doctor found a problem
  2  wrong usage
  3  the gateway's operator has to approve the device first
  4  the list, or the settings, have mistakes
  5  refused: something would be overwritten, or a rotation is (or is not) under way
  6  the list has no key of this id
  7  the key would not be admitted
  8  doctor has warnings, and no problem"
    };
}
pub(crate) use exit_codes;

mod connection;
mod device;
mod doctor;
mod keys;
mod settings;
mod setup;

#[derive(Parser)]
#[command(
    name = "clawfront",
    version,
    about = "Sets up and looks after a Clawfront deployment: its gateway, its device, its client keys",
    after_help = EXIT_CODES
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Client keys: makes them, and keeps the list of their entries
    #[command(subcommand, alias = "key", after_help = keys::EXAMPLES)]
    Keys(keys::Command),
    /// The device: the credential that the Worker shows to the gateway
    #[command(subcommand)]
    Device(device::Command),
    /// Set a Worker up: its gateway, its device, the first client key
    #[command(after_help = setup::AFTER_HELP)]
    Setup(Box<setup::Setup>),
    /// Say what is wrong between a Worker, its gateway and its clients, and how to mend it
    #[command(after_help = doctor::AFTER_HELP)]
    Doctor(doctor::Doctor),
    /// Print a script that completes this command in a shell
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}

const EXIT_CODES: &str = exit_codes!();

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_APPROVED: u8 = 3;
const MISTAKES: u8 = 4;
const CONFLICT: u8 = 5;
const NOT_FOUND: u8 = 6;
const NOT_ADMITTED: u8 = 7;
const WARNED: u8 = 8;

/// What went wrong, and the code to exit with.
struct Problem {
    message: String,
    code: u8,
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self::with(FAILED, message)
    }

    fn with(code: u8, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, code }
    }
}

/// What a command has to say.
#[derive(Default)]
struct Output {
    /// For standard output, to the byte.
    text: String,
    /// For people: on standard error.
    note: String,
    code: u8,
}

impl Output {
    fn of(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }

    fn line(line: impl std::fmt::Display) -> Self {
        Self {
            text: format!("{line}\n"),
            ..Self::default()
        }
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Keys(command) => keys::run(&command),
        Command::Device(command) => device::run(&command).map(Output::line),
        Command::Setup(setup) => setup::run(&setup),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Completions { shell } => Ok(completions(shell)),
    };
    let output = result.unwrap_or_else(|problem| Output {
        note: format!("clawfront: {}\n", problem.message),
        code: problem.code,
        ..Output::default()
    });
    // The note first: what is on standard output may be piped into something that ends us.
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

fn now_ms() -> Result<u64, Problem> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    since
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .ok_or_else(|| Problem::new("this machine's clock is before 1970"))
}

/// Bytes from the operating system's secure source.
fn entropy<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Problem::new(format!("no randomness from the system: {error}")))?;
    Ok(bytes)
}
