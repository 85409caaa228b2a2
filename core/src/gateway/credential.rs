//! The credential that the Worker presents to the gateway.

use crate::gateway::device::DeviceKey;
use crate::secret::Secret;

/// A device with its own token is the right credential. The shared secret is for a gateway on the
/// same host and for the first pairing.
#[derive(Debug, Clone)]
pub struct Credential {
    pub device: Option<DeviceKey>,
    pub auth: Auth,
    /// True if a gateway may grant more than was requested. It does so for the shared token of a
    /// client that looks local.
    pub takes_any_scopes: bool,
    /// True if the gateway is on this host, by its URL. Only there a shared secret may be used
    /// without a device.
    pub is_own_host: bool,
}

/// The secret beside the device; exactly one is sent.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `auth.deviceToken`, given to one device and revocable alone.
    DeviceToken(Secret),
    /// `auth.token`, the gateway's shared token.
    Token(Secret),
    /// `auth.password`, the gateway's shared password.
    Password(Secret),
}
