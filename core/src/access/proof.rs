//! The proof in a key that the hub has made.
//!
//! The last eight characters of such a key are 40 bits of an HMAC of the characters before them.
//! The edge checks them, so that a forged key ends there and never wakes the hub. Only the hub
//! knows whether the key is still valid. The other 24 characters of the secret are random: 120
//! bits.
//!
//! The id of a file ends with such a proof, too: its link works without a key.

use base32ct::{Base32Unpadded, Encoding};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::access::key::{KeyId, NewKey, PREFIX};
use crate::secret::{Secret, hmac};

/// Random bytes of a key that the hub makes.
pub const ENTROPY_BYTES: usize = 15;

/// Bytes of the HMAC that the key has: a forger needs 2^40 tries to wake the hub once.
const PROOF_BYTES: usize = 5;

/// Characters of the proof: base32 of [`PROOF_BYTES`].
const PROOF_CHARS: usize = 8;

/// Begins the id of a file, as at OpenAI.
const FILE_PREFIX: &str = "file-";

/// Bytes of the HMAC in the id of a file that stand for its key, and for the file.
const FILE_KEY_BYTES: usize = 5;
const FILE_BYTES: usize = 15;

/// Characters of a file's id that stand for its key, with [`FILE_PREFIX`].
pub const FILE_OF_KEY_CHARS: usize = 13;

/// Characters of a file's id.
const FILE_ID_CHARS: usize = 45;

/// Shortest and longest secret, in characters: 128 bits as hexadecimal digits, and a few lines.
const SECRET_CHARS: core::ops::RangeInclusive<usize> = 32..=512;

/// The secret that makes and checks proofs.
#[derive(Clone, Debug)]
pub struct KeysSecret(Secret);

impl KeysSecret {
    /// Takes a secret of 32 to 512 visible characters.
    pub fn parse(text: String) -> Option<Self> {
        let is_usable =
            SECRET_CHARS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        is_usable.then(|| Self(Secret::new(text)))
    }

    /// Makes a key.
    pub fn new_key(&self, id: &KeyId, entropy: &[u8; ENTROPY_BYTES]) -> NewKey {
        let random = Zeroizing::new(Base32Unpadded::encode_string(entropy));
        let mut key = Zeroizing::new([PREFIX, id.as_str(), "_", &random].concat());
        let proof = self.proof(&key);
        key.push_str(&proof);
        NewKey::of(key)
    }

    /// Returns true if the key was made with this secret.
    pub(crate) fn made(&self, key: &str) -> bool {
        let end = key.len().saturating_sub(PROOF_CHARS);
        let Some((made_of, proof)) = key.split_at_checked(end) else {
            return false;
        };
        // As numbers, which are compared in constant time without a loop.
        let number = |proof: &str| proof.as_bytes().try_into().map(u64::from_ne_bytes);
        match (number(&self.proof(made_of)), number(proof)) {
            (Ok(expected), Ok(presented)) => bool::from(expected.ct_eq(&presented)),
            _ => false,
        }
    }

    /// Makes the id of a file of the key: `file` has everything that the id is for.
    pub(crate) fn file_id(&self, file: &str, key: &str) -> String {
        let digits = |text: &str, len| {
            let mac = hmac(self.0.expose().as_bytes(), text.as_bytes());
            Base32Unpadded::encode_string(mac.get(..len).unwrap_or_default())
        };
        // No key begins like this.
        let key = digits(&["files\0", key].concat(), FILE_KEY_BYTES);
        let file = digits(&["file\0", file].concat(), FILE_BYTES);
        let id = [FILE_PREFIX, &key, &file].concat();
        let proof = self.proof(&id);
        [id.as_str(), &proof].concat()
    }

    /// Returns true if the id of a file was made with this secret.
    pub fn made_file(&self, id: &str) -> bool {
        is_file_id(id) && self.made(id)
    }

    fn proof(&self, text: &str) -> Zeroizing<String> {
        let mac = hmac(self.0.expose().as_bytes(), text.as_bytes());
        let bytes = mac.get(..PROOF_BYTES).unwrap_or_default();
        Zeroizing::new(Base32Unpadded::encode_string(bytes))
    }
}

/// Returns true if the text has the form of a file's id.
pub(crate) fn is_file_id(id: &str) -> bool {
    let is_digit = |b: u8| matches!(b, b'a'..=b'z' | b'2'..=b'7');
    let digits = id.strip_prefix(FILE_PREFIX);
    id.len() == FILE_ID_CHARS && digits.is_some_and(|digits| digits.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::key::is_well_formed;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn secret(text: &str) -> KeysSecret {
        KeysSecret::parse(text.to_owned()).unwrap()
    }

    fn key() -> NewKey {
        secret(SECRET).new_key(&KeyId::parse("phone").unwrap(), &[7; ENTROPY_BYTES])
    }

    #[test]
    fn a_key_of_the_hub_looks_like_any_other() {
        // printf %s claw_phone_a4dqobyha4dqobyha4dqobyh | openssl dgst -sha256 -binary
        // -hmac 0123456789abcdef0123456789abcdef | head -c 5 | base32
        assert_eq!(
            key().plaintext.as_str(),
            "claw_phone_a4dqobyha4dqobyha4dqobyhw32zrru7"
        );
        assert!(is_well_formed(&key().plaintext));
    }

    #[test]
    fn only_its_own_secret_recognises_a_key() {
        let key = key().plaintext;
        assert!(secret(SECRET).made(&key));
        assert!(!secret(&SECRET.replace('0', "1")).made(&key));
        for forged in [
            key.replace("phone", "other"),
            key.replace("a4dq", "b4dq"),
            key.get(..key.len() - 1).unwrap().to_owned(),
            format!("{}a", key.as_str()),
            String::new(),
            "\u{fc}".repeat(9),
        ] {
            assert!(!secret(SECRET).made(&forged), "{forged}");
        }
    }

    #[test]
    fn a_secret_is_long_and_visible() {
        for bad in [
            "",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef 0123456789abcdef",
        ] {
            assert!(KeysSecret::parse(bad.to_owned()).is_none(), "{bad}");
        }
        assert!(KeysSecret::parse("x".repeat(513)).is_none());
    }
}
