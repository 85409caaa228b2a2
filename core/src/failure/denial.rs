//! The reasons why a caller's key is not valid.

/// The reason why a caller is not admitted.
///
/// The log has it. The response does not: it is the same for every reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No header has a key in the right form.
    Missing,
    /// The bearer token is not a key of ours.
    Malformed,
    UnknownId,
    WrongSecret,
    NotYetValid,
    Expired,
    /// An administrator has disabled the key.
    Disabled,
    /// The client's address is not in one of the key's networks.
    Network,
}

impl Denial {
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "key_missing",
            Self::Malformed => "key_malformed",
            Self::UnknownId => "key_unknown",
            Self::WrongSecret => "key_wrong_secret",
            Self::NotYetValid => "key_not_yet_valid",
            Self::Expired => "key_expired",
            Self::Disabled => "key_disabled",
            Self::Network => "key_network",
        }
    }

    /// Returns the fact, for the operator.
    pub fn message(self) -> &'static str {
        match self {
            Self::Missing => {
                "no Authorization header with a bearer token, and no x-api-key or api-key"
            }
            Self::Malformed => {
                "the token is no key of this deployment: keys are claw_<id>_<32 characters>"
            }
            Self::UnknownId => {
                "no entry of CLIENT_KEYS and no key of the hub has this id: the key was revoked, or \
                 belongs to another deployment"
            }
            Self::WrongSecret => {
                "the entry has another hash: the key was rotated, or its secret is wrong"
            }
            Self::NotYetValid => "the entry's not_before has not come yet",
            Self::Expired => "the entry's expires has passed",
            Self::Disabled => "an administrator has disabled the key",
            Self::Network => "the client's address is in none of the entry's networks",
        }
    }
}
