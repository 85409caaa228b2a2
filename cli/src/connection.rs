//! The way to a server, one step at a time, so that each can fail for a reason of its own: address, TCP, TLS, upgrade.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clawfront_core::gateway::diagnosis::{Answer, Diagnosis, MAX_BODY_BYTES};
use clawfront_core::gateway::upgrade::Headers;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::WebSocket;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::http::Uri;
use tungstenite::protocol::Role;
use zeroize::Zeroizing;

use crate::Problem;

/// For each address, for the TLS handshake, and for an answer: as long as the Worker waits for all of them.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the rest of a refusal's body is waited for, once its head is there.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

const SWITCHING_PROTOCOLS: u16 = 101;

/// Of an answer's head; servers send a few kilobytes at most.
const MAX_HEAD_BYTES: usize = 65_536;
const MAX_HEADERS: usize = 128;

/// Of a chunked body. Source: RFC 9112 section 7.1.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
    /// As a request's `Host`.
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
        Some(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if is_tls { HTTPS_PORT } else { HTTP_PORT }),
            is_tls,
            authority: authority.as_str().to_owned(),
            path: match uri.path() {
                "" => "/".to_owned(),
                path => path.to_owned(),
            },
        })
    }
}

/// Why a step failed: what it means, and in short what the system said.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) diagnosis: Diagnosis,
    pub(crate) detail: String,
}

impl Broken {
    fn new(diagnosis: Diagnosis, detail: impl Display) -> Self {
        Self {
            diagnosis,
            detail: detail.to_string(),
        }
    }
}

/// The authorities whose certificates are accepted.
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The public ones, and those of a file.
    pub(crate) fn new(more: Option<&Path>) -> Result<Self, Problem> {
        let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        if let Some(path) = more {
            let unreadable = |why: String| Problem::new(format!("{} has no certificate: {why}", path.display()));
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?;
            let before = roots.len();
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
            }
            if roots.len() == before {
                return Err(unreadable("it is empty".to_owned()));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Problem::new(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// A connection that bytes can be sent over.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref(),
        }
    }

    /// What protects it.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Plain(_) => "none: in the clear".to_owned(),
            Self::Tls(tls) => match tls.conn.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "1.3, the certificate is good".to_owned(),
                _ => "1.2, the certificate is good".to_owned(),
            },
        }
    }

    /// How long a read may take from now on.
    pub(crate) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        // Zero would mean for ever.
        self.tcp().set_read_timeout(Some(timeout.max(Duration::from_millis(1))))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// The addresses of a host.
pub(crate) fn resolve(place: &Place) -> Result<Vec<SocketAddr>, Broken> {
    let addresses: Vec<_> = (place.host.as_str(), place.port)
        .to_socket_addrs()
        .map_err(|error| Broken::new(Diagnosis::Dns, error))?
        .collect();
    if addresses.is_empty() {
        return Err(Broken::new(Diagnosis::Dns, "no address"));
    }
    Ok(addresses)
}

/// Tries one address after the other.
pub(crate) fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Broken> {
    let mut last = Broken::new(Diagnosis::Dns, "no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, TIMEOUT) {
            Ok(tcp) => {
                tcp.set_read_timeout(Some(TIMEOUT))
                    .and_then(|()| tcp.set_write_timeout(Some(TIMEOUT)))
                    .and_then(|()| tcp.set_nodelay(true))
                    .map_err(|error| Broken::new(Diagnosis::ConnectionFailed, error))?;
                return Ok(tcp);
            }
            Err(error) => {
                let diagnosis = match error.kind() {
                    ErrorKind::ConnectionRefused => Diagnosis::ConnectionRefused,
                    ErrorKind::TimedOut | ErrorKind::WouldBlock => Diagnosis::ConnectTimeout,
                    _ => Diagnosis::ConnectionFailed,
                };
                last = Broken::new(diagnosis, error);
            }
        }
    }
    Err(last)
}

/// Shakes hands as TLS does; nothing is done where the place has none.
pub(crate) fn secure(mut tcp: TcpStream, place: &Place, trust: &Trust) -> Result<Stream, Broken> {
    if !place.is_tls {
        return Ok(Stream::Plain(tcp));
    }
    let broken = |error: &dyn Display| Broken::new(Diagnosis::Tls, error.to_string());
    let name = ServerName::try_from(place.host.clone()).map_err(|error| broken(&error))?;
    let mut session = ClientConnection::new(Arc::clone(&trust.0), name).map_err(|error| broken(&error))?;
    let until = Instant::now().checked_add(TIMEOUT);
    while session.is_handshaking() {
        if until.is_none_or(|until| Instant::now() > until) {
            return Err(broken(&"no answer in time"));
        }
        session.complete_io(&mut tcp).map_err(|error| broken(&error))?;
    }
    Ok(Stream::Tls(Box::new(StreamOwned::new(session, tcp))))
}

/// An answer to a request, as much of it as is looked at.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// What came behind the head.
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub(crate) fn as_answer(&self) -> Answer<'_> {
        Answer {
            status: self.status,
            location: self.header("location"),
            content_type: self.header("content-type"),
            body: &self.body,
        }
    }
}

/// Why there is no WebSocket.
pub(crate) enum NoSocket {
    Answered(Answered),
    Broken(Broken),
}

/// Asks for a WebSocket as the Worker does; redirects are not followed.
pub(crate) fn upgrade(mut stream: Stream, place: &Place, headers: &Headers) -> Result<WebSocket<Stream>, NoSocket> {
    let key = generate_key();
    let mut fields = vec![
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", key.as_str()),
    ];
    fields.extend(headers.iter().map(|(name, value)| (name.as_str(), value.expose())));
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

/// `GET path`, with the beginning of the body.
pub(crate) fn get(stream: &mut Stream, place: &Place, path: &str, fields: &[(&str, &str)]) -> Result<Answered, Broken> {
    let mut all = vec![("connection", "close")];
    all.extend(fields);
    let mut answered = ask(stream, place, path, &all)?;
    read_body(stream, &mut answered);
    Ok(answered)
}

/// Sends a request and reads the head of its answer.
fn ask(stream: &mut Stream, place: &Place, path: &str, fields: &[(&str, &str)]) -> Result<Answered, Broken> {
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", place.authority);
    for (name, value) in fields {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    let lost = |error: io::Error| {
        let diagnosis = match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Diagnosis::ConnectTimeout,
            _ => Diagnosis::ConnectionFailed,
        };
        Broken::new(diagnosis, error)
    };
    let request = Zeroizing::new(request);
    stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.flush())
        .map_err(lost)?;
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).map_err(lost)? {
            0 => return Err(Broken::new(Diagnosis::ConnectionFailed, "closed before an answer came")),
            count => read.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
        if let Some(answered) = parse(&read).map_err(|error| Broken::new(Diagnosis::ConnectionFailed, error))? {
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

/// `None`: there is more to come.
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

/// Reads on to the end of the body, or as far as it is looked at. What does not come says nothing.
fn read_body(stream: &mut Stream, answered: &mut Answered) {
    let length: usize = answered.header("content-length").parse().unwrap_or(MAX_BODY_BYTES);
    let is_chunked = answered.header("transfer-encoding").eq_ignore_ascii_case("chunked");
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
    body.truncate(MAX_BODY_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_of_a_url() {
        for (url, host, port, is_tls, path) in [
            ("https://gw.example.com", "gw.example.com", 443, true, "/"),
            ("http://localhost", "localhost", 80, false, "/"),
            ("https://gw.example.com:8443/a/b", "gw.example.com", 8443, true, "/a/b"),
            ("http://[::1]:18789", "::1", 18789, false, "/"),
        ] {
            let place = Place::parse(url).unwrap();
            assert_eq!(
                (place.host.as_str(), place.port, place.is_tls, place.path.as_str()),
                (host, port, is_tls, path)
            );
        }
        assert_eq!(Place::parse("wss://gw.example.com"), None);
        assert_eq!(Place::parse("gw.example.com"), None);
    }

    #[test]
    fn a_head_is_read_once_it_is_there() {
        assert!(parse(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n").unwrap().is_none());
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
