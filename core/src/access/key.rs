//! A client key: its public id and its secret.
//!
//! A key is `claw_<id>_<secret>`: the id is public and may be logged, the secret is 160 random bits
//! as 32 lower-case base32 characters. The Worker only ever holds its SHA-256, in an entry of
//! `CLIENT_KEYS`.
//!
//! A fast hash and not a slow password hash, because the secret is random and not chosen: 160 bits
//! cannot be guessed.

use std::fmt;

use base16ct::lower as hex;
use base32ct::{Base32Unpadded, Encoding};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Bytes of entropy in a key's secret.
pub const SECRET_BYTES: usize = 20;

/// Characters of a key's secret: base32 of [`SECRET_BYTES`].
const SECRET_CHARS: usize = 32;

/// Longest key id, in bytes.
const MAX_ID_BYTES: usize = 32;

/// The beginning of every key, by which secret scanners and people recognise a key.
pub const PREFIX: &str = "claw_";

/// A key's public name: lower-case letters, digits and `-`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.len() <= MAX_ID_BYTES
            && text.bytes().next()?.is_ascii_alphanumeric()
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        valid.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A new key in plain text, which exists only while the key is made.
pub struct NewKey {
    /// `claw_<id>_<secret>`, to be shown once.
    pub plaintext: Zeroizing<String>,
    /// The key's SHA-256 as an entry writes it: `sha256:<64 hex>`.
    pub hash: String,
}

impl NewKey {
    pub fn from_entropy(id: &KeyId, entropy: &[u8; SECRET_BYTES]) -> Self {
        let secret = Zeroizing::new(Base32Unpadded::encode_string(entropy));
        Self::of(Zeroizing::new(format!("{PREFIX}{id}_{}", secret.as_str())))
    }

    /// Returns the key with this text.
    pub(super) fn of(plaintext: Zeroizing<String>) -> Self {
        let hash = format!(
            "sha256:{}",
            hex::encode_string(&Sha256::digest(plaintext.as_bytes()))
        );
        Self { plaintext, hash }
    }
}

/// Returns the public id inside a presented key, for the log of a refused attempt. An entry with
/// this id need not exist.
pub fn id_of(key: &str) -> Option<&str> {
    let (id, _) = key.strip_prefix(PREFIX)?.split_once('_')?;
    KeyId::parse(id).map(|_| id)
}

/// Returns [`id_of`] if it may be logged. In a key whose parts were swapped, the secret stands
/// where the id should be.
pub fn loggable_id_of(key: &str) -> Option<&str> {
    id_of(key).filter(|id| !is_secret(id))
}

/// Returns true if the text contains a key, in upper or lower case. Such a text is neither logged
/// nor echoed.
pub fn is_in(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.match_indices(PREFIX).any(|(at, _)| {
        text.get(at..)
            .and_then(|rest| rest.strip_prefix(PREFIX)?.split_once('_'))
            .and_then(|(_, secret)| secret.get(..SECRET_CHARS))
            .is_some_and(is_secret)
    })
}

fn is_secret(text: &str) -> bool {
    text.len() == SECRET_CHARS && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
}

/// Returns true if `key` has the form of a key that [`NewKey`] made. The hash of a weaker key
/// admits nobody.
pub(super) fn is_well_formed(key: &str) -> bool {
    key.strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('_'))
        .is_some_and(|(id, secret)| KeyId::parse(id).is_some() && is_secret(secret))
}
