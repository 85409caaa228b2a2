//! The headers that a key comes in: `Authorization`, or a header that clients of other APIs send.
//!
//! If `Authorization` is present, the other headers do not count. Otherwise a key may come bare, in
//! `x-api-key` (Anthropic's clients) or `api-key` (Azure's); two different values count as no key.
//! So a request has one key, and another header cannot replace a bad key. Source: RFC 6750 section
//! 2.1, RFC 9110 section 11.1 (the scheme is case-insensitive).

use core::net::IpAddr;
use std::borrow::Cow;

use crate::access::admit::Grants;
use crate::access::entry::{OF_LINK, hub_header};
use crate::access::grant::Grant;
use crate::access::key::{self, KeyId};
use crate::access::proof::KeysSecret;
use crate::failure::{Denial, Failure};
use crate::secret::Digest;

/// Longest header that is parsed, in bytes: a key has at most 71.
const MAX_HEADER_BYTES: usize = 512;

/// The headers that a key can come in.
#[derive(Clone, Default)]
pub struct Headers {
    pub authorization: Option<String>,
    pub x_api_key: Option<String>,
    pub api_key: Option<String>,
}

impl Headers {
    /// The names of the headers, and the values of those that a request has.
    pub fn read<E>(get: impl Fn(&str) -> Result<Option<String>, E>) -> Result<Self, E> {
        Ok(Self {
            authorization: get("authorization")?,
            x_api_key: get("x-api-key")?,
            api_key: get("api-key")?,
        })
    }

    /// Returns true if the request has none of the headers.
    pub fn is_empty(&self) -> bool {
        self.authorization.is_none() && self.x_api_key.is_none() && self.api_key.is_none()
    }

    /// Returns the key that the headers present.
    pub fn token(&self) -> Option<&str> {
        if let Some(authorization) = &self.authorization {
            return token(authorization);
        }
        let (x_api_key, api_key) = (self.x_api_key.as_deref(), self.api_key.as_deref());
        let key = x_api_key.or(api_key)?;
        let is_one = api_key.is_none_or(|other| other == key);
        (is_one && key.len() <= MAX_HEADER_BYTES && is_token(key)).then_some(key)
    }
}

/// The bearer of a key that the edge has recognised.
#[derive(Debug)]
pub enum Bearer<'c> {
    /// The key is in `CLIENT_KEYS`, and valid.
    Listed(&'c Grant),
    /// The hub has made the key. Only the hub knows whether it is still valid.
    OfHub { id: KeyId, digest: Digest },
    /// The bearer of a file's link, without a key.
    OfLink,
}

impl Bearer<'_> {
    pub fn id(&self) -> Option<&KeyId> {
        match self {
            Self::Listed(grant) => Some(&grant.id),
            Self::OfHub { id, .. } => Some(id),
            Self::OfLink => None,
        }
    }

    /// Returns the text that [`from_header`](crate::access::entry::from_header) reads once it is
    /// percent-encoded.
    pub fn header(&self) -> Cow<'_, str> {
        match self {
            Self::Listed(grant) => grant.entry().into(),
            Self::OfHub { id, digest } => hub_header(id, digest).into(),
            Self::OfLink => OF_LINK.into(),
        }
    }
}

/// Admits the bearer of a client key. Every cause gets the same response, and no gateway is
/// contacted before admission. `secret` recognises the keys that the hub has made.
pub fn admit<'c>(
    clients: &'c Grants,
    secret: Option<&KeysSecret>,
    headers: &Headers,
    now_ms: u64,
    address: Option<IpAddr>,
) -> Result<Bearer<'c>, Failure> {
    let token = headers.token().ok_or(Denial::Missing);
    token
        .and_then(|token| {
            // Computed for every key, so that the time does not show which ids are listed.
            let is_of_hub = secret.is_some_and(|secret| secret.made(token));
            match (clients.admit(token, now_ms, address), key::id_of(token)) {
                (Err(Denial::UnknownId), Some(id)) if is_of_hub => {
                    let id = KeyId::parse(id).ok_or(Denial::Malformed)?;
                    let digest = Digest::of(token);
                    Ok(Bearer::OfHub { id, digest })
                }
                (admitted, _) => admitted.map(Bearer::Listed),
            }
        })
        .map_err(Failure::InvalidApiKey)
}

/// Returns the token of a `Bearer` header: visible ASCII. Two headers arrive joined by a comma and
/// a space, which no token has.
pub fn token(header: &str) -> Option<&str> {
    if header.len() > MAX_HEADER_BYTES {
        return None;
    }
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && is_token(token)).then_some(token)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_come_bare_where_there_is_no_authorization() {
        let presented =
            |authorization: Option<&str>, x_api_key: Option<&str>, api_key: Option<&str>| {
                let headers = Headers {
                    authorization: authorization.map(str::to_owned),
                    x_api_key: x_api_key.map(str::to_owned),
                    api_key: api_key.map(str::to_owned),
                };
                headers.token().map(str::to_owned)
            };
        for (x_api_key, api_key, expected) in [
            (Some("abc"), None, Some("abc")),
            (None, Some("abc"), Some("abc")),
            (Some("abc"), Some("abc"), Some("abc")),
            (Some("abc"), Some("def"), None),
            (Some(""), Some("abc"), None),
            (Some("abc, abc"), None, None),
            (Some("Bearer abc"), None, None),
            (Some("ab\u{e9}"), None, None),
            (None, None, None),
        ] {
            assert_eq!(
                presented(None, x_api_key, api_key).as_deref(),
                expected,
                "{x_api_key:?} {api_key:?}"
            );
            assert_eq!(
                presented(Some("Bearer own"), x_api_key, api_key).as_deref(),
                Some("own")
            );
            for bad in ["", "Basic own", "Bearer own, Bearer own"] {
                assert_eq!(presented(Some(bad), x_api_key, api_key), None, "{bad}");
            }
        }
        assert_eq!(presented(None, Some(&"x".repeat(513)), None), None);
    }

    #[test]
    fn the_token_follows_the_scheme_in_any_case() {
        for header in ["Bearer abc", "bearer abc", "BEARER  abc", " Bearer abc "] {
            assert_eq!(token(header), Some("abc"), "{header}");
        }
        for header in [
            "",
            "abc",
            "Bearer",
            "Bearer ",
            "Basic abc",
            "Bearer a b",
            "Bearer abc, Bearer def",
            "Bearer ab\u{e9}",
            "Bearer ab\u{7f}",
            &format!("Bearer {}", "x".repeat(512)),
        ] {
            assert_eq!(token(header), None, "{header}");
        }
    }
}
