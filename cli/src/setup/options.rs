//! The options of `clawfront setup`.

use clap::{Args, ValueEnum};

use crate::doctor::Scope;
use crate::pairing;
use crate::settings::Source;

pub(crate) const AFTER_HELP: &str = concat!(
    "Asks on a terminal for each value that no option gives, and asks again after a wrong answer. \
     The gateway's shared secret is read from
GATEWAY_TOKEN or GATEWAY_PASSWORD, never from an option. With --credential=device it is used once, \
     for pairing, and not stored.

Examples:
  clawfront setup
  GATEWAY_TOKEN=$(pass show openclaw) clawfront setup --gateway wss://gateway.example.com --key \
     phone --agents main

",
    crate::outcome::exit_codes!()
);

#[derive(Args)]
pub(crate) struct Setup {
    /// Address of the gateway, such as `wss://gateway.example.com`
    #[arg(long, value_name = "URL")]
    pub(super) gateway: Option<String>,
    /// Credential that the Worker presents to the gateway together with its device
    #[arg(long, value_name = "KIND", default_value = "device")]
    pub(super) credential: Kind,
    /// Public name of the first client key
    #[arg(long, value_name = "ID")]
    pub(super) key: Option<String>,
    /// Agents that the first client key may reach, separated by commas, or *
    #[arg(long)]
    pub(super) agents: Option<String>,
    /// Seconds to wait for the device's approval; a pairing request expires after five minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(super) wait: u64,
    /// Destination of the settings: the file, or the file and the deployed Worker
    #[arg(long, value_name = "WHERE", default_value = "file")]
    pub(super) apply: Apply,
    /// Name of the Worker, if it differs from the configuration's
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// With --apply=both, push a list even if it lacks keys that the Worker has or may have
    #[arg(long)]
    pub(super) replace: bool,
    /// With --apply=both, push an address even if Cloudflare's network does not reach it
    #[arg(long)]
    pub(super) allow_private: bool,
    #[command(flatten)]
    pub(super) source: Source,
    #[command(flatten)]
    pub(super) scope: Scope,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// The device's own token, which can be revoked alone
    Device,
    /// The gateway's shared token
    Token,
    /// The gateway's shared password
    Password,
}

impl Kind {
    /// Returns the kinds of secret that it accepts, in the order of the search.
    pub(super) fn secrets(self) -> &'static [pairing::Kind] {
        match self {
            Self::Device => &pairing::Kind::ALL,
            Self::Token => &[pairing::Kind::Token],
            Self::Password => &[pairing::Kind::Password],
        }
    }

    /// Returns the kind of a secret that a person or a pipe gives, if only one is possible.
    pub(super) fn asked(self) -> Option<pairing::Kind> {
        match self.secrets() {
            [kind] => Some(*kind),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Apply {
    File,
    #[value(alias = "worker")]
    Both,
}
