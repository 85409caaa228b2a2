//! The HTTP request that opens the WebSocket, and the meaning of a response that is not a
//! gateway's.

use std::fmt;

use crate::failure::diagnosis::{Diagnosis, UpgradeResponse};
use crate::failure::{Failure, RETRY_AFTER_S};
use crate::secret::Secret;

/// The headers beyond the upgrade itself: names in lower case, and values that a proxy before the
/// gateway requires.
pub type Headers = Vec<(String, Secret)>;

/// Source: Cloudflare's documentation, "Service tokens".
pub const ACCESS_ID_HEADER: &str = "cf-access-client-id";
pub const ACCESS_SECRET_HEADER: &str = "cf-access-client-secret";

/// Most headers that an operator may add.
const MAX_HEADERS: usize = 16;

/// These headers belong to the upgrade itself, or would make the gateway take us for another kind
/// of client.
const FORBIDDEN: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    // A gateway treats such a request as a web page's, and clears the scopes.
    "origin",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
const FORBIDDEN_PREFIX: &str = "sec-websocket-";

/// The reason why a list of headers cannot be used; `line` counts from 1. It never contains a
/// value.
#[derive(Debug, PartialEq, Eq)]
pub struct BadHeader {
    line: usize,
    what: &'static str,
}

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Reads `name: value` lines; blank ones are skipped.
#[inline(never)]
pub fn parse_headers(text: &str) -> Result<Headers, BadHeader> {
    let mut headers = Headers::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let bad = |what| BadHeader { line, what };
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| bad("is no header: it takes a name, a colon and a value"))?;
        let name = name.trim().to_ascii_lowercase();
        header_name(&name).map_err(bad)?;
        if headers.iter().any(|(known, _)| *known == name) {
            return Err(bad("the header is there twice"));
        }
        let value = header_value(value.trim())
            .ok_or_else(|| bad("the value is empty, or not plain ASCII"))?;
        if headers.len() >= MAX_HEADERS {
            return Err(bad("there are more than 16 headers"));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

/// Checks a name, in lower case, of a header that an operator sets.
pub(crate) fn header_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("the name cannot be a header's");
    }
    if FORBIDDEN.contains(&name) || name.starts_with(FORBIDDEN_PREFIX) {
        return Err("a header of this name is not yours to set: it belongs to the upgrade");
    }
    Ok(())
}

/// Returns the value, if it is allowed in a header.
pub fn header_value(value: &str) -> Option<Secret> {
    let is_plain = !value.is_empty() && value.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'));
    is_plain.then(|| Secret::new(value.to_owned()))
}

/// RFC 9110 section 5.6.2.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Returns the failure that a response to the upgrade without a WebSocket means.
pub fn refused(response: &UpgradeResponse<'_>) -> Failure {
    let (status, diagnosis) = (response.status, Diagnosis::of_response(response));
    match diagnosis {
        Diagnosis::OriginDown => Failure::GatewayUnavailable {
            retry_after_s: RETRY_AFTER_S,
            diagnosis,
            detail: status.to_string().into(),
        },
        Diagnosis::ConnectTimeout
        | Diagnosis::ConnectionRefused
        | Diagnosis::Dns
        | Diagnosis::Tls => Failure::GatewayUnreachable(diagnosis),
        _ => Failure::NotAGateway { status, diagnosis },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        parse_headers(text)
            .map(|headers| {
                headers
                    .into_iter()
                    .map(|(name, value)| (name, value.expose().to_owned()))
                    .collect()
            })
            .map_err(|bad| bad.to_string())
    }

    #[test]
    fn headers_are_lines_of_a_name_and_a_value() {
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(
            read("X-Tunnel-Key: a: b\r\n\n  authorization : Basic eDp5  "),
            Ok(vec![
                ("x-tunnel-key".into(), "a: b".into()),
                ("authorization".into(), "Basic eDp5".into())
            ])
        );
    }

    #[test]
    fn a_bad_or_reserved_header_is_refused_without_its_value() {
        for (text, what) in [
            (
                "s3cret",
                "line 1: is no header: it takes a name, a colon and a value",
            ),
            (": s3cret", "line 1: the name cannot be a header's"),
            ("x y: s3cret", "line 1: the name cannot be a header's"),
            ("x:", "line 1: the value is empty, or not plain ASCII"),
            (
                "\nx: s3cret\u{e9}",
                "line 2: the value is empty, or not plain ASCII",
            ),
            (
                "x: s3cret\0",
                "line 1: the value is empty, or not plain ASCII",
            ),
            ("x: 1\nX: s3cret", "line 2: the header is there twice"),
        ] {
            assert_eq!(read(text), Err(what.into()), "{text:?}");
        }
        for name in [
            "Host",
            "upgrade",
            "Connection",
            "Sec-WebSocket-Protocol",
            "sec-websocket-key",
            "Origin",
        ] {
            assert_eq!(
                read(&format!("{name}: s3cret")),
                Err(
                    "line 1: a header of this name is not yours to set: it belongs to the upgrade"
                        .into()
                ),
                "{name}"
            );
        }
        let many: Vec<_> = (0..17).map(|number| format!("x-{number}: 1")).collect();
        assert_eq!(
            read(&many.join("\n")),
            Err("line 17: there are more than 16 headers".into())
        );
    }
}
