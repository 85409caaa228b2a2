//! The parts of the upgrade request that the handshake uses.
//!
//! Source: measured on both versions.

use axum::http::HeaderMap;

use crate::frames::Protocol;

/// The parts of the upgrade request that the handshake uses.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// It came through a proxy, or may have.
    pub(crate) proxied: bool,
    pub(crate) host: Option<String>,
    pub(crate) origin: Option<String>,
    /// `x-openclaw-scopes`: a cap on the scopes, on protocol 4.
    pub(crate) scopes_cap: Option<Vec<String>>,
}

impl Upgrade {
    pub(crate) fn of(headers: &HeaderMap, protocol: Protocol) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let host = text("host");
        let proxied = match protocol {
            Protocol::V3 => {
                ["x-forwarded-for", "x-real-ip", "x-forwarded-host"]
                    .iter()
                    .any(|name| headers.contains_key(*name))
                    || !host.as_deref().is_some_and(is_local_host)
            }
            // Neither Host nor CF-Connecting-IP is looked at.
            Protocol::V4 => headers.keys().any(|name| {
                matches!(name.as_str(), "forwarded" | "x-real-ip")
                    || name.as_str().starts_with("x-forwarded-")
            }),
        };
        let scopes_cap = text("x-openclaw-scopes").filter(|_| protocol == Protocol::V4);
        Self {
            proxied,
            origin: text("origin"),
            scopes_cap: scopes_cap.map(|scopes| {
                scopes
                    .split(',')
                    .map(|scope| scope.trim().to_owned())
                    .collect()
            }),
            host,
        }
    }
}

fn is_local_host(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]" | "::1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(headers: &[(&'static str, &'static str)], protocol: Protocol) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        Upgrade::of(&headers, protocol).proxied
    }

    #[test]
    fn each_version_has_its_own_idea_of_remote() {
        let local = ("host", "127.0.0.1:1");
        for (headers, on_3, on_4) in [
            (&[local] as &[_], false, false),
            (&[("host", "gw.example.com")], true, false),
            (&[local, ("x-forwarded-for", "203.0.113.7")], true, true),
            (&[local, ("x-forwarded-proto", "https")], false, true),
            (&[local, ("forwarded", "for=203.0.113.7")], false, true),
            (&[local, ("cf-connecting-ip", "203.0.113.7")], false, false),
        ] {
            assert_eq!(
                (
                    proxied(headers, Protocol::V3),
                    proxied(headers, Protocol::V4)
                ),
                (on_3, on_4),
                "{headers:?}"
            );
        }
    }
}
