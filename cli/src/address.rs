//! The address of a gateway: completed as an operator types it, and checked against the reach of
//! Cloudflare's network.

use std::net::IpAddr;

use clawfront_core::config::{self, read_gateway_url};

use crate::connection::place::Place;
use crate::outcome::{Problem, USAGE};

/// The port of a gateway. Source: OpenClaw's default configuration.
pub(crate) const GATEWAY_PORT: u16 = 18789;

/// Endings of names that have no meaning outside of a private network. Source: RFC 6761, RFC 6762,
/// RFC 8375, ICANN 2024 (`internal`).
const PRIVATE_NAMES: [&str; 5] = [".localhost", ".local", ".lan", ".home.arpa", ".internal"];

/// Completes an address and checks it; the error names the missing part. A URL stays as it is.
pub(crate) fn complete(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(
            "the address is empty. Fix: give one such as wss://gateway.example.com or \
             127.0.0.1:18789"
                .to_owned(),
        );
    }
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        let plain = format!("ws://{text}");
        match (config::is_loopback(&plain), place(&plain)) {
            (false, _) => format!("wss://{text}"),
            (true, Some(place)) if !place.has_port => {
                format!("ws://{}:{GATEWAY_PORT}{}", place.authority, path(&place))
            }
            (true, _) => plain,
        }
    };
    let http = read_gateway_url(&url).map_err(|problem| format!("{url} {}", problem.what))?;
    match Place::parse(&http) {
        Some(_) => Ok(url),
        None => Err(format!(
            "{url} is not a URL. Fix: give a host, and a port below 65536"
        )),
    }
}

fn place(url: &str) -> Option<Place> {
    Place::parse(&read_gateway_url(url).ok()?)
}

fn path(place: &Place) -> &str {
    if place.path == "/" { "" } else { &place.path }
}

/// Returns why Cloudflare's network does not reach this address, if it belongs to one machine or to
/// a private network.
pub(crate) fn why_private(url: &str) -> Option<&'static str> {
    let place = place(url)?;
    let host = place.host.to_ascii_lowercase();
    let Ok(address) = host.parse::<IpAddr>() else {
        let is_private =
            !host.contains('.') || PRIVATE_NAMES.iter().any(|ending| host.ends_with(ending));
        return is_private.then_some("is a name of this machine or of a private network");
    };
    match address.to_canonical() {
        address if address.is_loopback() => Some("is this machine itself"),
        address if is_private(address) => Some("is an address of a private network"),
        _ => None,
    }
}

/// Refuses an address of a private network for a deployed Worker.
pub(crate) fn private(fact: &str) -> Problem {
    Problem::with(
        USAGE,
        format!(
            "{fact}. Fix: give its public address (`clawfront setup --gateway wss://…`), or bind \
             GATEWAY in wrangler.toml; --allow-private pushes it anyway"
        ),
    )
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            // Source: RFC 6598, which Tailscale uses.
            let is_shared = matches!(v4.octets(), [100, second, ..] if (64..128).contains(&second));
            v4.is_private() || v4.is_link_local() || v4.is_unspecified() || is_shared
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_completed_as_far_as_it_is_clear() {
        for (text, url) in [
            ("127.0.0.1:20750", "ws://127.0.0.1:20750"),
            (" localhost ", "ws://localhost:18789"),
            ("[::1]:9", "ws://[::1]:9"),
            ("[::1]", "ws://[::1]:18789"),
            ("gateway.example.com", "wss://gateway.example.com"),
            (
                "gateway.example.com:8443/way",
                "wss://gateway.example.com:8443/way",
            ),
            ("ws://127.0.0.1", "ws://127.0.0.1"),
            ("https://gateway.example.com", "https://gateway.example.com"),
        ] {
            assert_eq!(complete(text).as_deref(), Ok(url), "{text}");
        }
        for text in [
            "",
            "ftp://x",
            "wss://",
            "a b",
            "wss://user:pass@x",
            "127.0.0.1:99999",
            "wss://x?y",
        ] {
            assert!(complete(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_without_a_port_means_the_port_of_its_scheme_for_every_command() {
        for (url, port) in [
            ("ws://127.0.0.1", 80),
            ("http://x", 80),
            ("wss://x", 443),
            ("ws://x:18789", 18789),
        ] {
            assert_eq!(place(url).map(|place| place.port), Some(port), "{url}");
        }
    }

    #[test]
    fn an_address_of_a_private_network_is_known() {
        for url in [
            "ws://127.0.0.1:18789",
            "ws://[::1]",
            "ws://[::ffff:10.0.0.1]",
            "wss://10.1.2.3",
            "wss://192.168.0.1",
            "wss://100.100.1.1",
            "wss://[fd00::1]",
            "ws://localhost",
            "wss://gateway",
            "wss://gateway.local",
        ] {
            assert!(why_private(url).is_some(), "{url}");
        }
        for url in [
            "wss://gateway.example.com",
            "wss://8.8.8.8",
            "wss://host.tailnet.ts.net",
            "wss://100.128.0.1",
        ] {
            assert_eq!(why_private(url), None, "{url}");
        }
    }
}
