//! The HTTP route for media of an assistant: a file by the path that an answer named.
//!
//! There are no files: the end of the name says what the route returns. Source: openclaw 2026.9.6,
//! `control-ui`, read and measured.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use crate::frames::Protocol;
use crate::gateway::Gateway;
use crate::options::Secret;

/// The endings of names, their types, and the numbers of bytes.
const KINDS: [(&str, &str, usize); 7] = [
    (".png", "image/png", 80),
    (".svg", "image/svg+xml", 90),
    (".html", "text/html", 100),
    (".wav", "audio/wav", 3000),
    (".pdf", "application/pdf", 700),
    (".big", "application/octet-stream", 3_000_000),
    // More than Clawfront hands on at once.
    (".huge", "application/octet-stream", 104_857_601),
];

/// Most bytes of a file with a pattern: a longer one has zeros, because making it takes seconds.
const MAX_PATTERN_BYTES: usize = 3_000_000;

/// Answers with a file.
pub(crate) async fn get(
    State(gateway): State<Arc<Gateway>>,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let not_found = || (StatusCode::NOT_FOUND, "Not Found").into_response();
    if gateway.protocol() == Protocol::V3 {
        return not_found();
    }
    if !is_admitted(&gateway, &headers) {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    }
    let parameter = |name| parameter(&uri, name).unwrap_or_default();
    let source = parameter("source");
    let is_of_agent =
        parameter("sessionKey").starts_with(&format!("agent:{}:", parameter("agentId")));
    let kind = KINDS.iter().find(|(end, ..)| source.ends_with(end));
    let (Some((_, content_type, length)), true) = (kind, is_of_agent) else {
        return not_found();
    };
    if source.contains("moved") {
        return (StatusCode::FOUND, [(header::LOCATION, "/login")]).into_response();
    }
    let bytes: Bytes = if *length > MAX_PATTERN_BYTES {
        vec![0; *length].into()
    } else {
        (0..*length)
            .map(|place| u8::try_from(place % 251).unwrap_or_default())
            .collect()
    };
    let range = headers.get(header::RANGE).map(|range| part(range, *length));
    let mut response = match range {
        None => bytes.clone().into_response(),
        Some(Some((first, last))) => {
            let part = bytes.slice(first..last.saturating_add(1));
            let mut response = (StatusCode::PARTIAL_CONTENT, part).into_response();
            let range = format!("bytes {first}-{last}/{length}");
            insert(&mut response, header::CONTENT_RANGE, &range);
            response
        }
        Some(None) => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            insert(
                &mut response,
                header::CONTENT_RANGE,
                &format!("bytes */{length}"),
            );
            response
        }
    };
    insert(&mut response, header::CONTENT_TYPE, content_type);
    if !source.contains("login") {
        insert(&mut response, header::CONTENT_DISPOSITION, "attachment");
    }
    if method == Method::HEAD {
        insert(&mut response, header::CONTENT_LENGTH, &length.to_string());
    }
    response
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = uri
        .query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    let value = value.replace('+', " ");
    let value = percent_decode_str(&value).decode_utf8_lossy();
    Some(value.into_owned())
}

fn insert(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Returns whether the request has the token of a paired device, or the shared secret.
fn is_admitted(gateway: &Gateway, headers: &HeaderMap) -> bool {
    let presented = headers.get(header::AUTHORIZATION);
    let presented = presented.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let is_secret = match &gateway.options.secret {
        Secret::None => true,
        Secret::Token(secret) | Secret::Password(secret) => presented == Some(secret),
    };
    is_secret || presented.is_some_and(|token| gateway.state().pairing.has_token(token))
}

/// Returns the first and the last byte of a range; `None` if the file does not have them.
fn part(range: &HeaderValue, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range
        .to_str()
        .ok()?
        .strip_prefix("bytes=")?
        .split_once('-')?;
    let end = length.saturating_sub(1);
    let (first, last) = match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => (first, end.min(last)),
        (Ok(first), Err(_)) => (first, end),
        (Err(_), Ok(last)) => (length.saturating_sub(last), end),
        (Err(_), Err(_)) => return None,
    };
    (first <= last).then_some((first, last))
}
