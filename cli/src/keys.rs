//! `clawfront keys`: the commands that change the client keys of the hub, and the list of the
//! others.

mod advice;
mod apply;
mod check;
pub(crate) mod dotenv;
pub(crate) mod entry;
mod fields;
pub(crate) mod hub;
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

use crate::outcome::{EXIT_CODES, Output, Problem};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key in the hub, where it works at once; the key itself is printed once
    #[command(after_help = new::EXAMPLES)]
    New(Box<new::New>),
    /// List all keys of the hub with their states
    #[command(after_help = EXIT_CODES)]
    List(show::List),
    /// Show one key with all its settings
    #[command(after_help = EXIT_CODES)]
    Show(show::Show),
    /// Change fields of a key in the hub; the next request has the new rights
    #[command(after_help = EXIT_CODES)]
    Set(Box<hub::Set>),
    /// Refuse a key of the hub until it is enabled again
    #[command(after_help = EXIT_CODES)]
    Disable(hub::One),
    /// Admit a disabled key again
    #[command(after_help = EXIT_CODES)]
    Enable(hub::One),
    /// Replace a key: both keys work for a day, or for --overlap seconds
    #[command(after_help = EXAMPLES)]
    Rotate(rotate::Rotate),
    /// Revoke a key: the hub refuses it from the next request on, and ends its streams
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
  clawfront keys new --id phone --agents main,notes --default main --label \"Anna's phone\"
  clawfront keys list
  clawfront keys set phone --rpm 30 --unset label
  clawfront keys rotate phone --overlap 3600          # prints the new key; both keys work
  clawfront keys revoke phone
  clawfront keys new --static --id ops2 --scopes admin --apply=both

The keys are in the hub of the Worker at --worker, else CLAWFRONT_URL of .dev.vars, else the running
npm start. The key of an administrator is CLAWFRONT_ADMIN_KEY of the environment or of .dev.vars. With
--static they are the list of CLIENT_KEYS in a file and in the Worker's secrets.

",
    crate::outcome::exit_codes!()
);

pub(crate) fn run(command: &Command) -> Result<Output, Problem> {
    match command {
        Command::New(arguments) => new::run(arguments),
        Command::List(arguments) => show::list(arguments),
        Command::Show(arguments) => show::show(arguments),
        Command::Set(arguments) => hub::set(arguments),
        Command::Disable(arguments) => hub::disable(arguments, true),
        Command::Enable(arguments) => hub::disable(arguments, false),
        Command::Rotate(arguments) => rotate::run(arguments),
        Command::Revoke(arguments) => revoke::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Push(arguments) => push_command::run(arguments),
    }
}
