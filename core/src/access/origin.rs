//! Web origins, for pages that use a key from a browser. Source: RFC 6454, the Fetch standard
//! (CORS).

use std::fmt;

/// Longest origin, in bytes: a host name has at most 253.
const MAX_ORIGIN_BYTES: usize = 300;

/// `scheme://host` or `scheme://host:port`, as a browser sends it in `Origin`: lower case, without
/// a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Parses an origin; `None` if the text is not an origin, such as `*`, `null`, or a URL with a
    /// path.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = scheme.bytes().next()?.is_ascii_lowercase()
            && scheme.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.')
            });
        let begins = authority.bytes().next()?;
        let is_authority = (begins.is_ascii_alphanumeric() || begins == b'[')
            && !has_default_port(scheme, authority)
            && authority.bytes().all(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']')
            });
        (is_scheme && is_authority && text.len() <= MAX_ORIGIN_BYTES).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns true if a page of the API's own host, such as the console, sends the request. `header`
/// returns a header of it. Browsers that send `Sec-Fetch-Site` decide by themselves; else the
/// authority decides without the scheme, because a proxy may have ended the encryption.
pub fn is_own_page<E>(header: impl Fn(&str) -> Result<Option<String>, E>) -> Result<bool, E> {
    if let Some(site) = header("sec-fetch-site")? {
        return Ok(site == "same-origin");
    }
    let (origin, host) = (header("origin")?, header("host")?);
    let authority = origin
        .as_deref()
        .and_then(|origin| origin.split_once("://"));
    Ok(authority.is_some_and(|(_, authority)| Some(authority) == host.as_deref()))
}

/// Returns true if the port is the scheme's default, which a browser never sends.
fn has_default_port(scheme: &str, authority: &str) -> bool {
    match scheme {
        "https" => authority.ends_with(":443"),
        "http" => authority.ends_with(":80"),
        _ => false,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_same_host_is_our_own() {
        let is_own = |site: Option<&str>, origin: Option<&str>, host: Option<&str>| {
            is_own_page(|name| {
                let value = match name {
                    "sec-fetch-site" => site,
                    "origin" => origin,
                    _ => host,
                };
                Ok::<_, ()>(value.map(str::to_owned))
            })
        };
        let host = Some("claw.example.com");
        for (site, origin, own) in [
            (None, Some("https://claw.example.com"), true),
            (None, Some("http://claw.example.com"), true),
            (None, Some("https://claw.example.com:8443"), false),
            (None, Some("https://evil.example.com"), false),
            (None, Some("null"), false),
            (None, None, false),
            (Some("same-origin"), Some("https://seen.by.a.proxy"), true),
            (Some("same-site"), Some("https://claw.example.com"), false),
            (Some("cross-site"), None, false),
        ] {
            assert_eq!(is_own(site, origin, host), Ok(own), "{site:?} {origin:?}");
        }
        assert_eq!(is_own(None, Some("null"), None), Ok(false));
    }

    #[test]
    fn an_origin_is_read_as_a_browser_writes_it() {
        for good in [
            "https://chat.example.com",
            "http://localhost:3000",
            "http://[::1]:8080",
            "chrome-extension://abc",
            "app://obsidian.md",
        ] {
            assert_eq!(
                Origin::parse(good)
                    .map(|origin| origin.to_string())
                    .as_deref(),
                Some(good)
            );
        }
        for bad in [
            "",
            "*",
            "null",
            "https://",
            "https://a/",
            "https://a/b",
            "HTTPS://a",
            "https://A.example",
            "chat.example.com",
            "https://a b",
            "https://*.example.com",
            "https://chat.example.com:443",
            "http://localhost:80",
            "https://:::",
        ] {
            assert_eq!(Origin::parse(bad), None, "{bad}");
        }
    }
}
