//! The place of a client, as the gateway sees it.

use crate::connect_params::Connect;
use crate::gateway::Gateway;
use crate::upgrade::Upgrade;

/// Local clients need less proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locality {
    Local,
    Remote,
}

impl Locality {
    /// With `--require-device` every client is remote, except the gateway's own command line on its
    /// own host.
    pub(super) fn of(gateway: &Gateway, connect: &Connect, upgrade: &Upgrade) -> Self {
        if upgrade.proxied || (gateway.options.require_device && !connect.client.is_cli()) {
            Self::Remote
        } else {
            Self::Local
        }
    }
}
