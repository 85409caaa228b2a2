//! The authentication of a request: by the headers of a trusted proxy, or by the shared secret.
//!
//! Source: openclaw 2026.9.6, measured.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use super::refusal::Refusal;
use crate::options::{ChatCompletions, Options, Secret};

/// The authority of a request that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authority {
    /// Every tool of the gateway, and every scope.
    Owner,
    /// The scopes of `x-openclaw-scopes`.
    Narrowed,
}

/// Admits a request, or returns the refusal.
pub(super) fn admit(options: &Options, headers: &HeaderMap) -> Result<Authority, Refusal> {
    let authority = match &options.chat_completions {
        ChatCompletions::Off => return Err(Refusal::not_found()),
        // The secret's owner has every scope: the header is ignored.
        ChatCompletions::Secret if has_secret(&options.secret, headers) => Authority::Owner,
        ChatCompletions::Secret => return Err(Refusal::unauthorized()),
        ChatCompletions::TrustedProxy { user_header } => {
            of_proxy(&options.secret, user_header, headers)?
        }
    };
    if authority == Authority::Narrowed && headers.contains_key("x-openclaw-model") {
        return Err(Refusal::missing_scope("operator.admin"));
    }
    Ok(authority)
}

fn of_proxy(secret: &Secret, user_header: &str, headers: &HeaderMap) -> Result<Authority, Refusal> {
    let is_forwarded = headers.keys().any(|name| {
        let name = name.as_str();
        matches!(name, "forwarded" | "x-real-ip") || name.starts_with("x-forwarded-")
    });
    if headers.contains_key(header::ORIGIN) {
        return Err(Refusal::unauthorized());
    }
    if !is_forwarded && !headers.contains_key(user_header) {
        // A client of the gateway's own host.
        let has_secret = !matches!(secret, Secret::None) && has_secret(secret, headers);
        return if has_secret {
            Ok(Authority::Owner)
        } else {
            Err(Refusal::unauthorized())
        };
    }
    if !is_attributed(text(headers, "x-forwarded-for").unwrap_or_default()) {
        return Err(Refusal::proxy_attribution());
    }
    let is_present = |name: &str| text(headers, name).is_some_and(|value| !value.is_empty());
    if !is_present(user_header) || !is_present("x-forwarded-proto") {
        return Err(Refusal::unauthorized());
    }
    let Some(scopes) = text(headers, "x-openclaw-scopes") else {
        return Ok(Authority::Owner);
    };
    let may_write = scopes
        .split(',')
        .any(|scope| matches!(scope.trim(), "operator.write" | "operator.admin"));
    if may_write {
        Ok(Authority::Narrowed)
    } else {
        Err(Refusal::missing_scope("operator.write"))
    }
}

fn has_secret(secret: &Secret, headers: &HeaderMap) -> bool {
    let presented = text(headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    match secret {
        Secret::None => true,
        Secret::Token(secret) | Secret::Password(secret) => presented == Some(secret),
    }
}

/// Returns whether `x-forwarded-for` has the address of a client, beside those of proxies on the
/// gateway's host.
fn is_attributed(forwarded_for: &str) -> bool {
    forwarded_for
        .split(',')
        .rev()
        .map(|address| address.trim().parse::<IpAddr>())
        .find(|address| !address.as_ref().is_ok_and(IpAddr::is_loopback))
        .is_some_and(|address| address.is_ok())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?;
    // A value that is not ASCII is a value.
    Some(value.to_str().unwrap_or("<not text>").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: (&str, &str) = ("x-forwarded-user", "key-phone");
    const PROTO: (&str, &str) = ("x-forwarded-proto", "https");
    const CLIENT: (&str, &str) = ("x-forwarded-for", "203.0.113.7");
    const SCOPES: (&str, &str) = ("x-openclaw-scopes", "operator.read,operator.write");
    const BEARER: (&str, &str) = ("authorization", "Bearer s3cret");

    fn admitted(
        chat_completions: ChatCompletions,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Authority, u16> {
        let options = Options {
            chat_completions,
            secret: Secret::Token("s3cret".to_owned()),
            ..Options::of_a_test()
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        admit(&options, &headers).map_err(|refusal| refusal.status)
    }

    #[test]
    fn a_trusted_proxy_is_admitted_as_measured() {
        let local = ("x-forwarded-for", "127.0.0.1");
        let chain = ("x-forwarded-for", "garbage, 203.0.113.7, ::1");
        for (headers, expected) in [
            (
                &[USER, PROTO, CLIENT, SCOPES] as &[_],
                Ok(Authority::Narrowed),
            ),
            (&[USER, PROTO, chain, SCOPES], Ok(Authority::Narrowed)),
            (&[USER, PROTO, CLIENT], Ok(Authority::Owner)),
            (&[BEARER], Ok(Authority::Owner)),
            (
                &[USER, PROTO, CLIENT, ("x-openclaw-scopes", "operator.read")],
                Err(403),
            ),
            (&[USER, PROTO, CLIENT, ("x-openclaw-scopes", "")], Err(403)),
            (
                &[USER, PROTO, CLIENT, SCOPES, ("x-openclaw-model", "m")],
                Err(403),
            ),
            (&[USER, PROTO, SCOPES], Err(403)),
            (&[USER, PROTO, SCOPES, local], Err(403)),
            (
                &[USER, PROTO, SCOPES, ("x-forwarded-for", "garbage")],
                Err(403),
            ),
            (&[PROTO, CLIENT, SCOPES], Err(401)),
            (&[USER, CLIENT, SCOPES], Err(401)),
            (
                &[USER, PROTO, CLIENT, SCOPES, ("origin", "https://a.example")],
                Err(401),
            ),
            (&[BEARER, CLIENT], Err(401)),
            (&[], Err(401)),
        ] {
            let user_header = "x-forwarded-user".to_owned();
            let proxy = ChatCompletions::TrustedProxy { user_header };
            assert_eq!(admitted(proxy, headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn the_shared_secret_makes_an_owner_whatever_the_scopes_are() {
        let read_only = ("x-openclaw-scopes", "operator.read");
        assert_eq!(
            admitted(ChatCompletions::Secret, &[BEARER, read_only]),
            Ok(Authority::Owner)
        );
        assert_eq!(
            admitted(ChatCompletions::Secret, &[USER, PROTO, CLIENT]),
            Err(401)
        );
        assert_eq!(admitted(ChatCompletions::Off, &[BEARER]), Err(404));
    }
}
