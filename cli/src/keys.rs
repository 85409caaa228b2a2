//! `clawfront keys`: the commands that change and check the list of client keys.

mod advice;
mod apply;
mod check;
pub(crate) mod dotenv;
pub(crate) mod entry;
pub(crate) mod list;
pub(crate) mod list_file;
pub(crate) mod new;
pub(crate) mod proof;
pub(crate) mod push;
pub(crate) mod push_command;
mod revoke;
mod rotate;
mod show;
mod source;
mod view;
pub(crate) mod wrangler;

use source::Source;

use crate::outcome::{EXIT_CODES, Output, Problem};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key and add its entry; the key itself is printed once
    #[command(after_help = new::EXAMPLES)]
    New(Box<new::New>),
    /// List all keys with their states, and the sizes of the secrets
    #[command(after_help = EXIT_CODES)]
    List(Source),
    /// Show one key with all its settings
    #[command(after_help = EXIT_CODES)]
    Show(show::Show),
    /// Replace a key in two steps: both keys work until --finish ends the rotation
    #[command(after_help = EXAMPLES)]
    Rotate(rotate::Rotate),
    /// Revoke a key
    #[command(after_help = EXIT_CODES)]
    Revoke(revoke::Revoke),
    /// Print the mistakes of the list that the Worker would find, or check whether a key is
    /// admitted
    #[command(after_help = check::EXAMPLES)]
    Check(check::Check),
    /// Replace the deployed Worker's list by this one
    #[command(after_help = EXIT_CODES)]
    Push(push_command::Push),
}

pub(crate) const EXAMPLES: &str = concat!(
    "Examples:
  clawfront keys new --id phone --agents main,notes --default main --label \"Anna's phone\" --apply
  clawfront keys list
  clawfront keys rotate phone --apply=both            # prints the new key; both keys work
  clawfront keys rotate phone --finish --apply=both   # after the client has the new key
  clawfront keys revoke phone --apply=both

",
    crate::outcome::exit_codes!()
);

pub(crate) fn run(command: &Command) -> Result<Output, Problem> {
    match command {
        Command::New(arguments) => new::run(arguments),
        Command::List(source) => show::list(source),
        Command::Show(arguments) => show::show(arguments),
        Command::Rotate(arguments) => rotate::run(arguments),
        Command::Revoke(arguments) => revoke::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Push(arguments) => push_command::run(arguments),
    }
}
