//! Values that must never be printed, serialised or compared in variable time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret string: it has no `Display`, no `Serialize` and no `==`; its `Debug` shows only that it
/// exists.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Returns the value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Computes HMAC-SHA-256 (RFC 2104).
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // A key of any length is good.
    Hmac::<Sha256>::new_from_slice(key).map_or([0; 32], |mac| {
        mac.chain_update(message).finalize().into_bytes().into()
    })
}

/// A SHA-256 digest of a secret, compared in constant time.
#[derive(Clone)]
pub struct Digest([u8; 32]);

impl Digest {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Returns the digest as hexadecimal digits, for the one place that sends it.
    pub(crate) fn to_hex(&self) -> String {
        base16ct::lower::encode_string(&self.0)
    }

    pub fn matches(&self, other: &Self) -> subtle::Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

#[cfg(test)]
mod tests {
    use base16ct::lower as hex;

    use super::*;

    #[test]
    fn the_keyed_hash_is_hmac() {
        // Source: RFC 4231, test cases 2 and 6.
        assert!(
            hex::encode_string(&hmac(b"Jefe", b"what do ya want for nothing?"))
                .starts_with("5bdcc146bf60754e6a042426089575c7")
        );
        assert!(
            hex::encode_string(&hmac(
                &[0xAA; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            ))
            .starts_with("60e431591ee0b67f0d8a26aacbf5b77f")
        );
    }
}
