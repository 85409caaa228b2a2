//! Keyed hashes for the log, of sessions and addresses, which identify people.

use core::net::IpAddr;
use std::fmt;

use base16ct::lower as hex;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::access::throttle::network_of;
use crate::gateway::credential::{Auth, Credential};

/// Hex digits of a hash in the log: enough to find all lines of one session.
const HASH_CHARS: usize = 16;

/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;

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
        Self(Zeroizing::new(hmac(secret.as_bytes(), "clawfront log")))
    }

    pub fn of_session(&self, session: &str) -> String {
        self.hash(&["session ", session].concat())
    }

    /// Returns one hash for all addresses of a subscriber.
    pub fn of_address(&self, address: IpAddr) -> String {
        self.hash(&format!("address {}", network_of(address)))
    }

    fn hash(&self, text: &str) -> String {
        let mut hash = hex::encode_string(&hmac(self.0.as_slice(), text));
        hash.truncate(HASH_CHARS);
        hash
    }
}

/// Computes HMAC-SHA-256. Source: RFC 2104.
fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut block = Zeroizing::new([0; BLOCK_BYTES]);
    if key.len() > BLOCK_BYTES {
        block
            .iter_mut()
            .zip(Sha256::digest(key))
            .for_each(|(to, from)| *to = from);
    } else {
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    }
    let with = |pad: u8| {
        let mut hash = Sha256::new();
        hash.update(Zeroizing::new(block.map(|byte| byte ^ pad)).as_slice());
        hash
    };
    let inner = with(0x36).chain_update(text).finalize();
    with(0x5C).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::device::DeviceKey;
    use crate::secret::Secret;

    #[test]
    fn the_keyed_hash_is_hmac() {
        // Source: RFC 4231, test cases 2 and 6.
        assert!(
            hex::encode_string(&hmac(b"Jefe", "what do ya want for nothing?"))
                .starts_with("5bdcc146bf60754e6a042426089575c7")
        );
        assert!(
            hex::encode_string(&hmac(
                &[0xAA; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First"
            ))
            .starts_with("60e431591ee0b67f0d8a26aacbf5b77f")
        );
    }

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
