//! Keyed hashes for the log, of sessions and addresses, which identify people.

use core::net::IpAddr;
use std::fmt;

use base16ct::lower as hex;
use zeroize::Zeroizing;

use crate::access::throttle::network_of;
use crate::gateway::credential::{Auth, Credential};
use crate::secret::hmac;

/// Hex digits of a hash in the log: enough to find all lines of one session.
const HASH_CHARS: usize = 16;

/// Hashes data that identifies people. A keyed hash and not a plain one, because the names of users
/// can be guessed: without the deployment's secrets a log reveals no name.
#[derive(Clone)]
pub struct LogKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogKey(…)")
    }
}

impl LogKey {
    /// Returns the key of a deployment. It is derived from the device, or from the shared secret if
    /// there is no device, and stays constant with it.
    pub fn of(credential: &Credential) -> Self {
        let secret = match (&credential.device, &credential.auth) {
            (Some(device), _) => device.encode(),
            (None, Auth::DeviceToken(secret) | Auth::Token(secret) | Auth::Password(secret)) => {
                Zeroizing::new(secret.expose().to_owned())
            }
        };
        Self(Zeroizing::new(hmac(secret.as_bytes(), b"clawfront log")))
    }

    pub fn of_session(&self, session: &str) -> String {
        self.hash(["session ", session].concat().as_bytes())
    }

    /// Returns one hash for all addresses of a subscriber.
    pub fn of_address(&self, address: IpAddr) -> String {
        let address = match network_of(address) {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        self.hash(&[b"address ", address.octets().as_slice()].concat())
    }

    fn hash(&self, message: &[u8]) -> String {
        let mut hash = hex::encode_string(&hmac(self.0.as_slice(), message));
        hash.truncate(HASH_CHARS);
        hash
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::gateway::device::DeviceKey;
    use crate::secret::Secret;

    fn log_key(device: Option<u8>, token: &str) -> LogKey {
        LogKey::of(&Credential {
            device: device.map(|seed| DeviceKey::from_seed(&[seed; 32])),
            auth: Auth::Token(Secret::new(token.to_owned())),
            takes_any_scopes: false,
            is_own_host: false,
        })
    }

    #[test]
    fn a_hash_in_the_log_is_a_deployments_own_and_outlives_its_tokens() {
        let session = "agent:main:edge:phone:user:=alice";
        let hash = |key: &LogKey| key.of_session(session);
        let own = log_key(Some(1), "a");
        assert_eq!(hash(&own).len(), HASH_CHARS);
        assert_eq!(hash(&own), hash(&log_key(Some(1), "b")));
        assert_ne!(hash(&own), hash(&log_key(Some(2), "a")));
        assert_ne!(hash(&log_key(None, "a")), hash(&log_key(None, "b")));
        assert!(!hex::encode_string(&Sha256::digest(session)).starts_with(&hash(&own)));
        let address = |text: &str| own.of_address(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff"));
        assert_ne!(address("203.0.113.1"), address("203.0.113.2"));
        assert_eq!(format!("{own:?}"), "LogKey(…)");
    }
}
