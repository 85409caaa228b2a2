//! The place of a server, read from its URL.

use tungstenite::http::Uri;

const HTTPS_PORT: u16 = 443;

const HTTP_PORT: u16 = 80;

/// The place of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// True where the URL names the port; otherwise it is the scheme's.
    pub(crate) has_port: bool,
    pub(crate) is_tls: bool,
    /// The value of `Host`.
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl Place {
    /// Reads `http://` or `https://`.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let is_tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let behind_host = authority.as_str().strip_prefix(authority.host())?;
        let port = match (behind_host.is_empty(), is_tls) {
            (false, _) => authority.port_u16()?,
            (true, true) => HTTPS_PORT,
            (true, false) => HTTP_PORT,
        };
        Some(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port,
            has_port: !behind_host.is_empty(),
            is_tls,
            authority: authority.as_str().to_owned(),
            path: match uri.path() {
                "" => "/".to_owned(),
                path => path.to_owned(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_of_a_url() {
        for (url, host, port, is_tls, path) in [
            ("https://gw.example.com", "gw.example.com", 443, true, "/"),
            ("http://localhost", "localhost", 80, false, "/"),
            (
                "https://gw.example.com:8443/a/b",
                "gw.example.com",
                8443,
                true,
                "/a/b",
            ),
            ("http://[::1]:18789", "::1", 18789, false, "/"),
        ] {
            let place = Place::parse(url).unwrap();
            assert_eq!(
                (
                    place.host.as_str(),
                    place.port,
                    place.is_tls,
                    place.path.as_str()
                ),
                (host, port, is_tls, path)
            );
        }
        assert_eq!(Place::parse("wss://gw.example.com"), None);
        assert_eq!(Place::parse("gw.example.com"), None);
        assert_eq!(Place::parse("http://gw.example.com:99999"), None);
    }
}
