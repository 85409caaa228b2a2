//! Requests of HTTP/1.1 over a stream, and the upgrade to a WebSocket.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use clawfront_core::failure::diagnosis::{Diagnosis, MAX_BODY_BYTES, UpgradeResponse};
use clawfront_core::gateway::upgrade::Headers;
use tungstenite::WebSocket;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use zeroize::Zeroizing;

use super::place::Place;
use super::stream::{Broken, Stream};

const SWITCHING_PROTOCOLS: u16 = 101;

/// Longest head of a response: servers send a few kilobytes at most.
const MAX_HEAD_BYTES: usize = 65_536;
const MAX_HEADERS: usize = 128;

/// The parts of a response that are read.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// The bytes after the head.
    pub(crate) body: Vec<u8>,
}

impl Answered {
    #[cfg(test)]
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            status,
            headers: headers.iter().map(header).collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub(crate) fn as_response(&self) -> UpgradeResponse<'_> {
        UpgradeResponse {
            status: self.status,
            location: self.header("location"),
            content_type: self.header("content-type"),
            body: &self.body,
        }
    }
}

/// A failed upgrade.
pub(crate) enum NoSocket {
    Answered(Answered),
    Broken(Broken),
}

/// Opens a WebSocket as the Worker does; redirects are not followed.
pub(crate) fn upgrade(
    mut stream: Stream,
    place: &Place,
    headers: &Headers,
) -> Result<WebSocket<Stream>, NoSocket> {
    let key = generate_key();
    let mut fields = vec![
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", key.as_str()),
    ];
    fields.extend(
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose())),
    );
    let mut answered = ask(&mut stream, place, &place.path, &fields).map_err(NoSocket::Broken)?;
    let accept = derive_accept_key(key.as_bytes());
    if answered.status == SWITCHING_PROTOCOLS && answered.header("sec-websocket-accept") == accept {
        return Ok(WebSocket::from_partially_read(
            stream,
            answered.body,
            Role::Client,
            None,
        ));
    }
    if answered.status != SWITCHING_PROTOCOLS {
        read_body(&mut stream, &mut answered);
    }
    Err(NoSocket::Answered(answered))
}

/// Sends a `GET` and reads the beginning of the body.
pub(crate) fn get(
    stream: &mut Stream,
    place: &Place,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<Answered, Broken> {
    let mut all = vec![("connection", "close")];
    all.extend(fields);
    let mut answered = ask(stream, place, path, &all)?;
    read_body(stream, &mut answered);
    Ok(answered)
}

/// Sends a `POST` and reads the beginning of the body.
pub(crate) fn post(
    stream: &mut Stream,
    place: &Place,
    path: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Result<Answered, Broken> {
    let length = body.len().to_string();
    let mut all = vec![("connection", "close"), ("content-length", length.as_str())];
    all.extend(fields);
    let request = Request {
        method: "POST",
        path,
        fields: &all,
        body,
    };
    let mut answered = send(stream, place, &request)?;
    read_body(stream, &mut answered);
    Ok(answered)
}

/// A request with JSON, whose answer is read to the end.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) fields: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a str,
    /// Longest time until the last byte of the answer.
    pub(crate) timeout: Duration,
    /// Longest body of the answer that is read.
    pub(crate) max_bytes: usize,
}

/// Sends a request and reads its answer to the end.
pub(crate) fn call(
    stream: &mut Stream,
    place: &Place,
    call: &Call<'_>,
) -> Result<Answered, Broken> {
    let timeout = call.timeout;
    let length = call.body.len().to_string();
    let mut all = vec![
        ("connection", "close"),
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
    ];
    all.extend(call.fields);
    let until = Instant::now().checked_add(timeout);
    stream.set_timeout(timeout).map_err(lost)?;
    let request = Request {
        method: call.method,
        path: call.path,
        fields: &all,
        body: call.body,
    };
    let mut answered = send(stream, place, &request)?;
    let length: usize = answered
        .header("content-length")
        .parse()
        .unwrap_or(call.max_bytes);
    let is_chunked = answered
        .header("transfer-encoding")
        .eq_ignore_ascii_case("chunked");
    let mut buffer = [0; 4096];
    while answered.body.len() < length.min(call.max_bytes)
        && !(is_chunked && answered.body.ends_with(LAST_CHUNK))
    {
        let left = until.and_then(|until| until.checked_duration_since(Instant::now()));
        stream.set_timeout(left.unwrap_or_default()).map_err(lost)?;
        match stream.read(&mut buffer).map_err(lost)? {
            0 => break,
            count => answered
                .body
                .extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    if is_chunked {
        answered.body = without_chunks(&answered.body);
    }
    Ok(answered)
}

/// Sends a request without a body and reads the head of its answer.
fn ask(
    stream: &mut Stream,
    place: &Place,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<Answered, Broken> {
    let request = Request {
        method: "GET",
        path,
        fields,
        body: "",
    };
    send(stream, place, &request)
}

/// Diagnoses a stream that ended.
fn lost(error: io::Error) -> Broken {
    let diagnosis = match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Diagnosis::ConnectTimeout,
        _ => Diagnosis::ConnectionFailed,
    };
    Broken::new(diagnosis, error)
}

/// A request, except its `Host`.
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    fields: &'a [(&'a str, &'a str)],
    body: &'a str,
}

/// Sends a request and reads the head of its answer.
fn send(stream: &mut Stream, place: &Place, request: &Request<'_>) -> Result<Answered, Broken> {
    let Request {
        method,
        path,
        fields,
        body,
    } = request;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", place.authority);
    for (name, value) in *fields {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    request.push_str(body);
    let request = Zeroizing::new(request);
    stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.flush())
        .map_err(lost)?;
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).map_err(lost)? {
            0 => {
                return Err(Broken::new(
                    Diagnosis::ConnectionFailed,
                    "closed before an answer came",
                ));
            }
            count => read.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
        if let Some(answered) =
            parse(&read).map_err(|error| Broken::new(Diagnosis::ConnectionFailed, error))?
        {
            return Ok(answered);
        }
        if read.len() > MAX_HEAD_BYTES {
            return Err(Broken::new(
                Diagnosis::ConnectionFailed,
                "the answer's head does not end",
            ));
        }
    }
}

/// Parses a response; `None` means that its head is incomplete.
fn parse(bytes: &[u8]) -> Result<Option<Answered>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(bytes)? else {
        return Ok(None);
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Ok(Some(Answered {
        status: head.code.unwrap_or_default(),
        headers: head
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), text(header.value)))
            .collect(),
        body: bytes.get(length..).unwrap_or_default().to_vec(),
    }))
}

/// Reads the rest of the body, at most `MAX_BODY_BYTES`. A body that is cut short is not an error.
fn read_body(stream: &mut Stream, answered: &mut Answered) {
    let length: usize = answered
        .header("content-length")
        .parse()
        .unwrap_or(MAX_BODY_BYTES);
    let is_chunked = answered
        .header("transfer-encoding")
        .eq_ignore_ascii_case("chunked");
    let body = &mut answered.body;
    let mut buffer = [0; 1024];
    let until = Instant::now().checked_add(BODY_TIMEOUT);
    while body.len() < MAX_BODY_BYTES.min(length)
        && !(is_chunked && body.ends_with(LAST_CHUNK))
        && until.is_some_and(|until| Instant::now() < until)
        && stream.set_timeout(BODY_TIMEOUT).is_ok()
    {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => body.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            _ => break,
        }
    }
    if is_chunked {
        *body = without_chunks(body);
    }
    body.truncate(MAX_BODY_BYTES);
}

/// Returns the content of a chunked body, which may be cut short. Source: RFC 9112 section 7.1.
fn without_chunks(body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut rest = body;
    while let Ok(httparse::Status::Complete((head, size))) = httparse::parse_chunk_size(rest) {
        let chunk = rest.get(head..).unwrap_or_default();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size == 0 {
            break;
        }
        let (data, after) = chunk.split_at_checked(size).unwrap_or((chunk, &[]));
        content.extend_from_slice(data);
        rest = after.strip_prefix(b"\r\n").unwrap_or(after);
    }
    content
}

/// Longest wait for the rest of a refusal's body, once its head is there.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// The end of a chunked body. Source: RFC 9112 section 7.1.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_read_without_its_frames() {
        assert_eq!(
            without_chunks(b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"),
            b"abc0123456789"
        );
        assert_eq!(without_chunks(b"5\r\nab"), b"ab");
        assert_eq!(without_chunks(b""), b"");
        assert_eq!(
            without_chunks(b"4\r\ndata\r\n3;x=1\r\n: x\r\n0\r\n\r\n"),
            b"data: x"
        );
        assert_eq!(without_chunks(b"A\r\ncut"), b"cut");
        assert_eq!(without_chunks(b"no chunk\r\n"), b"");
    }

    #[test]
    fn a_head_is_read_once_it_is_there() {
        assert!(
            parse(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n")
                .unwrap()
                .is_none()
        );
        let answered = parse(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\nbody")
            .unwrap()
            .unwrap();
        assert_eq!((answered.status, answered.header("location")), (302, "/x"));
        assert_eq!(
            (answered.header("content-type"), answered.body.as_slice()),
            ("", b"body".as_slice())
        );
        assert!(parse(b"SSH-2.0-OpenSSH_9.9\r\n").is_err());
    }
}
