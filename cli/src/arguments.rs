//! The command line.

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::outcome::EXIT_CODES;
use crate::{deploy, device, doctor, keys, setup};

#[derive(Parser)]
#[command(
    name = "clawfront",
    version,
    about = "Sets up and maintains a Clawfront deployment: its gateway, its device, its client \
             keys",
    after_help = EXIT_CODES
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Client keys: make them, and keep the list of their entries
    #[command(subcommand, alias = "key", after_help = keys::EXAMPLES)]
    Keys(keys::Command),
    /// Print if the Worker reaches its gateway, its keys, and what runs now
    #[command(after_help = EXIT_CODES)]
    Status(keys::hub::Options),
    /// Print the address of the operator's console, and open it in a browser
    #[command(after_help = EXIT_CODES)]
    Open(keys::hub::console::Open),
    /// Print the record of all changes of the hub's keys, and of stopped runs: when and by whom
    #[command(after_help = EXIT_CODES)]
    Audit(keys::hub::Options),
    /// Print what all keys of the hub have used, by key, agent or day
    #[command(after_help = EXIT_CODES)]
    Usage(keys::hub::usage::Usage),
    /// The runs of the hub: list what runs now, and stop it
    #[command(subcommand, after_help = EXIT_CODES)]
    Runs(keys::hub::operate::Runs),
    /// The device: the credential that the Worker shows to the gateway
    #[command(subcommand)]
    Device(device::Command),
    /// Set a Worker up: its gateway, its device, the first client key
    #[command(after_help = setup::AFTER_HELP)]
    Setup(Box<setup::Setup>),
    /// Build the Worker, upload it with its settings and keys, and ask an agent through it
    #[command(after_help = deploy::AFTER_HELP)]
    Deploy(Box<deploy::Deploy>),
    /// Find the faults between a Worker, its gateway and its clients, and print the fix for each
    #[command(after_help = doctor::AFTER_HELP)]
    Doctor(doctor::Doctor),
    /// Print a script that completes this command in a shell
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}
