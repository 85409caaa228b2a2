//! Ids of responses and of their items, which name the session that they came from.
//!
//! Nothing is stored. The id of a response names its session, and a request with this id
//! (`previous_response_id`) continues there. If the client did not name the session, the id holds
//! the session's nonce within its key's own namespace. If the client named it, the id holds only
//! some digits of a hash. The client then names the session again, and the digits show whether it
//! is the same. The id of another key's response leads nowhere, because the key's id is in every
//! hash. The last digits stand for the run, which shows whether other turns followed the response.

use base16ct::lower as hex;
use sha2::{Digest, Sha256};

use crate::access::key::KeyId;
use crate::failure::Failure;
use crate::turn::RESPONSE_DIGITS;

/// Begins the id of a response.
pub(crate) const ID_PREFIX: &str = "resp_";

/// Begins the id of a message, a thought and a call.
pub(crate) const MESSAGE_PREFIX: &str = "msg_";
pub(crate) const THOUGHT_PREFIX: &str = "rs_";
pub(crate) const CALL_PREFIX: &str = "fc_";

/// The number of hex digits of a session's nonce.
pub(crate) const NONCE_DIGITS: usize = 32;

/// The number of hex digits that distinguish a key's own ids from others. One foreign id in four
/// billion passes by chance, and would find an empty session.
pub(crate) const CHECK_DIGITS: usize = 8;

/// Replaces a session that the id does not name.
pub(crate) const WITHHELD: &str = "x";

/// The session that a response or an item came from, by its id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A session that the client did not name.
    Unnamed([u8; 16]),
    /// Digits of the hash of a session that the client named.
    Named(String),
}

impl Origin {
    pub(crate) fn of(key_id: &KeyId, id: &str) -> Result<Self, Failure> {
        let unknown = || {
            Failure::invalid(
                "previous_response_id",
                "No response of this key has this id.",
            )
        };
        let digits = id.strip_prefix(ID_PREFIX).ok_or_else(unknown)?;
        if digits.starts_with(WITHHELD) {
            return Err(Failure::invalid(
                "previous_response_id",
                "This response answered a retry of another request, and its session may be \
                 another caller's. Send the whole conversation in `input` instead.",
            ));
        }
        Self::of_digits(key_id, digits).ok_or_else(unknown)
    }

    /// Reads the id of an item. `None`: it is not an item of this key.
    pub(crate) fn of_item(key_id: &KeyId, id: &str) -> Option<Self> {
        let rest = id
            .strip_prefix(MESSAGE_PREFIX)
            .or_else(|| id.strip_prefix(THOUGHT_PREFIX))
            .or_else(|| id.strip_prefix(CALL_PREFIX))?;
        let (digits, index) = rest.split_once('_')?;
        index.parse::<u32>().ok()?;
        Self::of_digits(key_id, digits)
    }

    pub(crate) fn of_digits(key_id: &KeyId, digits: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let (chain, _) = digits
            .len()
            .checked_sub(RESPONSE_DIGITS)
            .and_then(|at| digits.split_at_checked(at))
            .filter(|_| digits.bytes().all(is_digit))?;
        if chain.len() == CHECK_DIGITS {
            return Some(Self::Named(chain.to_owned()));
        }
        let (nonce, check) = chain.split_at_checked(NONCE_DIGITS)?;
        let mut bytes = [0; 16];
        hex::decode(nonce, &mut bytes).ok()?;
        (check == check_digits(key_id, &bytes)).then_some(Self::Unnamed(bytes))
    }
}

/// Returns the digits of the run in the id of a response.
pub(crate) fn run_of(id: &str) -> Option<&str> {
    id.get(id.len().checked_sub(RESPONSE_DIGITS)?..)
}

/// Returns the part of an id that names its session.
pub(crate) fn chain(key_id: &KeyId, nonce: &[u8; 16]) -> String {
    let mut chain = hex::encode_string(nonce);
    chain.push_str(&check_digits(key_id, nonce));
    chain
}

/// Returns some digits of the hash of a session's nonce, or of its name, which is longer.
pub(crate) fn check_digits(key_id: &KeyId, nonce: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(key_id.as_str());
    // The zero ends the key's id, which has no zero in it.
    hash.update([0]);
    hash.update(nonce);
    let mut digits = hex::encode_string(&hash.finalize());
    digits.truncate(CHECK_DIGITS);
    digits
}
