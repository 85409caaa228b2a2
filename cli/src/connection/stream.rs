//! A stream to a server: its addresses, TCP, TLS.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clawfront_core::failure::diagnosis::Diagnosis;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::place::Place;
use crate::outcome::Problem;

/// Timeout for each address, for the TLS handshake, and for an answer: the Worker's timeout for all
/// of them.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A step that failed: its diagnosis, and the system's message.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) diagnosis: Diagnosis,
    pub(crate) detail: String,
}

impl Broken {
    pub(super) fn new(diagnosis: Diagnosis, detail: impl Display) -> Self {
        Self {
            diagnosis,
            detail: detail.to_string(),
        }
    }
}

/// The authorities whose certificates are accepted.
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Accepts the public authorities, and those of a file.
    pub(crate) fn new(more: Option<&Path>) -> Result<Self, Problem> {
        let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        if let Some(path) = more {
            let unreadable = |why: String| {
                Problem::new(format!(
                    "{} has no certificate: {why}. Fix: give a PEM file. Fix: give a PEM file. \
                     Fix: give a PEM \
                                                    file",
                    path.display()
                ))
            };
            let certificates = CertificateDer::pem_file_iter(path)
                .map_err(|error| unreadable(error.to_string()))?;
            let before = roots.len();
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
                roots
                    .add(certificate)
                    .map_err(|error| unreadable(error.to_string()))?;
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

    /// Describes its protection.
    pub(crate) fn protection(&self) -> String {
        match self {
            Self::Plain(_) => "none: in the clear".to_owned(),
            Self::Tls(tls) => match tls.conn.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "1.3, the certificate is \
                                                           valid"
                    .to_owned(),
                _ => "1.2, the certificate is valid".to_owned(),
            },
        }
    }

    /// Sets the longest time that a read may take from now on.
    pub(crate) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        // Zero would mean no timeout.
        self.tcp()
            .set_read_timeout(Some(timeout.max(Duration::from_millis(1))))
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

/// Resolves a host.
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

/// Connects to the first address that answers.
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

/// Makes the TLS handshake, if the place uses TLS.
pub(crate) fn secure(mut tcp: TcpStream, place: &Place, trust: &Trust) -> Result<Stream, Broken> {
    if !place.is_tls {
        return Ok(Stream::Plain(tcp));
    }
    let broken = |error: &dyn Display| Broken::new(Diagnosis::Tls, error.to_string());
    let name = ServerName::try_from(place.host.clone()).map_err(|error| broken(&error))?;
    let mut session =
        ClientConnection::new(Arc::clone(&trust.0), name).map_err(|error| broken(&error))?;
    let until = Instant::now().checked_add(TIMEOUT);
    while session.is_handshaking() {
        if until.is_none_or(|until| Instant::now() > until) {
            return Err(broken(&"no answer in time"));
        }
        session
            .complete_io(&mut tcp)
            .map_err(|error| broken(&error))?;
    }
    Ok(Stream::Tls(Box::new(StreamOwned::new(session, tcp))))
}
