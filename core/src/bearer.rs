//! The `Authorization` header. Source: RFC 6750 section 2.1, RFC 9110 section 11.1 (the scheme is case-insensitive).

use core::net::IpAddr;

use crate::error::Failure;
use crate::key::{Client, Clients, Denial};

/// Longest header that is looked at, in bytes: a key has at most 71.
const MAX_HEADER_BYTES: usize = 512;

/// Admits the bearer of a client key. One answer for every cause, and no origin is touched before.
pub fn admit<'c>(
    clients: &'c Clients,
    header: Option<&str>,
    now_ms: u64,
    address: Option<IpAddr>,
) -> Result<&'c Client, Failure> {
    header
        .and_then(token)
        .ok_or(Denial::Missing)
        .and_then(|token| clients.admit(token, now_ms, address))
        .map_err(Failure::Unauthorized)
}

/// The token of a `Bearer` header: visible ASCII. Two headers arrive joined by a comma and a space, which no token has.
pub fn token(header: &str) -> Option<&str> {
    if header.len() > MAX_HEADER_BYTES {
        return None;
    }
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let valid =
        scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    valid.then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

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
