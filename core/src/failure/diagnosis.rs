//! The failures of a connection to a gateway: the code, the fact and the fix of each.
//!
//! The Worker's log and the command line share one table. It reads statuses, codes and the
//! beginning of a body, never prose that changes between versions. The owner of a socket maps its
//! runtime's errors to one of the first variants. Source: OpenClaw 2026.9.6 and 2026.3.13 (codes),
//! workerd 1.20261117 (errors of `fetch`), Cloudflare's documentation (52x, 530).

/// The failure of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    // There is no connection.
    Dns,
    /// DNS or TLS failed; the runtime does not distinguish the two.
    DnsOrTls,
    Tls,
    ConnectionRefused,
    /// The connection was refused, or broke before a response; the runtime does not distinguish the
    /// two.
    ConnectionFailed,
    ConnectTimeout,

    // Something answered the upgrade that is not a WebSocket.
    AccessLogin,
    Redirected,
    HtmlPage,
    ProxyAttribution,
    Forbidden,
    NotAGateway,
    OriginDown,
    WebSocketDisabled,

    // There is a WebSocket, but no gateway's hello.
    ClosedBeforeChallenge,
    ClosedInHandshake,
    HandshakeTimeout,
    ProtocolError,
    ProtocolMismatch,
    ClockSkew,

    // The gateway does not take the credential.
    Unpaired,
    ScopeUpgrade,
    MetadataUpgrade,
    DeviceRequired,
    DeviceProof,
    DeviceToken,
    DeviceRemoved,
    GatewayToken,
    GatewayPassword,
    AuthLockout,
    ScopeMissing,
    ScopesTooWide,
    TakenForLocal,
    OriginNotAllowed,
    EndpointOff,
    EndpointIdentity,
    Refused,

    // A temporary state.
    Starting,
    Draining,
    Silent,
    Closed,
}

/// The state that a connection has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is open, and the gateway has sent nothing.
    Challenge,
    /// Our credential was sent to the gateway.
    Hello,
    Ready,
}

/// The response to an upgrade, reduced to the parts that are read. A header that is absent, or not
/// text, is empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpgradeResponse<'a> {
    pub status: u16,
    pub location: &'a str,
    pub content_type: &'a str,
    /// The beginning of the body: [`MAX_BODY_BYTES`] are enough.
    pub body: &'a [u8],
}

/// Bytes of a body that are read: a gateway's own body is one short JSON object, and a page has its
/// title near the top.
pub const MAX_BODY_BYTES: usize = 2048;

/// The words that identify a page, or a proxy's error.
const GATEWAYS_PAGE: &[u8] = b"openclaw";
const WORKERD_BAD_HANDSHAKE: &[u8] = b"Server failed WebSocket handshake";
const PROXY_ATTRIBUTION: &[u8] = b"\"proxy_attribution_required\"";
/// The host to which Cloudflare Access redirects unknown callers.
const ACCESS_HOST: &str = ".cloudflareaccess.com";
const ACCESS_PATH: &str = "/cdn-cgi/access/login";

impl Diagnosis {
    pub const ALL: [Self; 41] = [
        Self::Dns,
        Self::DnsOrTls,
        Self::Tls,
        Self::ConnectionRefused,
        Self::ConnectionFailed,
        Self::ConnectTimeout,
        Self::AccessLogin,
        Self::Redirected,
        Self::HtmlPage,
        Self::ProxyAttribution,
        Self::Forbidden,
        Self::NotAGateway,
        Self::OriginDown,
        Self::WebSocketDisabled,
        Self::ClosedBeforeChallenge,
        Self::ClosedInHandshake,
        Self::HandshakeTimeout,
        Self::ProtocolError,
        Self::ProtocolMismatch,
        Self::ClockSkew,
        Self::Unpaired,
        Self::ScopeUpgrade,
        Self::MetadataUpgrade,
        Self::DeviceRequired,
        Self::DeviceProof,
        Self::DeviceToken,
        Self::DeviceRemoved,
        Self::GatewayToken,
        Self::GatewayPassword,
        Self::AuthLockout,
        Self::ScopeMissing,
        Self::ScopesTooWide,
        Self::TakenForLocal,
        Self::OriginNotAllowed,
        Self::EndpointOff,
        Self::EndpointIdentity,
        Self::Refused,
        Self::Starting,
        Self::Draining,
        Self::Silent,
        Self::Closed,
    ];

    /// Diagnoses a response to the upgrade other than 101 with a WebSocket.
    pub fn of_response(response: &UpgradeResponse<'_>) -> Self {
        let has = |words: &[u8]| contains(response.body, words);
        match response.status {
            // A proxy that drops `Upgrade` gets the gateway's own page.
            200..=299 if has(GATEWAYS_PAGE) => Self::WebSocketDisabled,
            200..=299 if contains(response.content_type.as_bytes(), b"text/html") => Self::HtmlPage,
            300..=399 if contains(response.location.as_bytes(), ACCESS_HOST.as_bytes()) => {
                Self::AccessLogin
            }
            300..=399 if contains(response.location.as_bytes(), ACCESS_PATH.as_bytes()) => {
                Self::AccessLogin
            }
            300..=399 => Self::Redirected,
            403 if has(PROXY_ATTRIBUTION) => Self::ProxyAttribution,
            401 | 403 | 407 => Self::Forbidden,
            // A 101 without a WebSocket, or a server that did not receive the headers of an
            // upgrade.
            101 | 400 => Self::WebSocketDisabled,
            502 if has(WORKERD_BAD_HANDSHAKE) => Self::WebSocketDisabled,
            521 => Self::ConnectionRefused,
            522 => Self::ConnectTimeout,
            525 | 526 => Self::Tls,
            // "Origin DNS error". Without the number it is a tunnel that is not connected (1033),
            // among others.
            530 if has(b"1016") => Self::Dns,
            429 | 502..=504 | 520..=530 => Self::OriginDown,
            _ => Self::NotAGateway,
        }
    }

    /// Diagnoses the gateway's close of a connection that had reached this stage.
    pub fn of_close(stage: Stage, close_code: u16) -> Self {
        match (close_code, stage) {
            // OpenClaw: the device was rotated, revoked or removed.
            (4001, _) => Self::DeviceRemoved,
            // Going away, service restart, try again later (RFC 6455 section 7.4.1 and its
            // registry).
            (1001 | 1012, _) => Self::Draining,
            (1013, _) => Self::Starting,
            (1002, Stage::Hello) => Self::ProtocolMismatch,
            (_, Stage::Challenge) => Self::ClosedBeforeChallenge,
            (_, Stage::Hello) => Self::ClosedInHandshake,
            (_, Stage::Ready) => Self::Closed,
        }
    }

    /// Diagnoses a gateway's error: `code` is `error.details.code`, else `error.code`; `reason` is
    /// `error.details.reason`.
    pub fn of_refusal(code: &str, reason: &str) -> Self {
        match code {
            "PAIRING_REQUIRED" | "NOT_PAIRED" => match reason {
                "scope-upgrade" | "role-upgrade" => Self::ScopeUpgrade,
                "metadata-upgrade" => Self::MetadataUpgrade,
                _ => Self::Unpaired,
            },
            "DEVICE_IDENTITY_REQUIRED" => Self::DeviceRequired,
            "AUTH_DEVICE_TOKEN_MISMATCH" => Self::DeviceToken,
            "AUTH_TOKEN_MISMATCH" | "AUTH_TOKEN_MISSING" => Self::GatewayToken,
            "AUTH_PASSWORD_MISMATCH" | "AUTH_PASSWORD_MISSING" => Self::GatewayPassword,
            "AUTH_SCOPE_MISMATCH" | "MISSING_SCOPE" => Self::ScopeMissing,
            "SCOPES_TOO_WIDE" => Self::ScopesTooWide,
            "TAKEN_FOR_LOCAL" => Self::TakenForLocal,
            "AUTH_RATE_LIMITED" => Self::AuthLockout,
            "PROTOCOL_MISMATCH" => Self::ProtocolMismatch,
            "DEVICE_AUTH_SIGNATURE_EXPIRED" => Self::ClockSkew,
            "CONTROL_UI_ORIGIN_NOT_ALLOWED" => Self::OriginNotAllowed,
            "ENDPOINT_OFF" => Self::EndpointOff,
            "ENDPOINT_IDENTITY" => Self::EndpointIdentity,
            "UNAVAILABLE" if reason.starts_with("startup") => Self::Starting,
            "UNAVAILABLE" => Self::Draining,
            _ if code.starts_with("DEVICE_AUTH_") => Self::DeviceProof,
            _ => Self::Refused,
        }
    }

    /// Returns true if the failure may end soon without an operator's action.
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::OriginDown | Self::ConnectionRefused | Self::ConnectionFailed | Self::Starting
        )
    }

    /// Returns true if the gateway refused our credential, which only an operator changes.
    pub fn refuses_credential(self) -> bool {
        matches!(
            self,
            Self::Unpaired
                | Self::ScopeUpgrade
                | Self::MetadataUpgrade
                | Self::DeviceRequired
                | Self::DeviceProof
                | Self::DeviceToken
                | Self::DeviceRemoved
                | Self::GatewayToken
                | Self::GatewayPassword
        )
    }

    /// Returns the code, for logs and programs. It never changes.
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// Returns the fact.
    pub fn message(self) -> &'static str {
        self.row().1
    }

    /// Returns the action that the operator can take.
    pub fn fix(self) -> &'static str {
        self.row().2
    }

    /// The table.
    #[expect(clippy::too_many_lines, reason = "it is one table, and is read as one")]
    fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Dns => (
                "dns_failure",
                "the host of GATEWAY_URL has no address",
                "correct GATEWAY_URL, or make the DNS record",
            ),
            Self::DnsOrTls => (
                "dns_or_tls_failure",
                "the host of GATEWAY_URL has no address, or its certificate is not accepted",
                "run clawfront doctor, which can tell them apart",
            ),
            Self::Tls => (
                "tls_failure",
                "the TLS handshake failed",
                "GATEWAY_URL needs a port that speaks TLS, and a certificate of a public \
                 authority for this host",
            ),
            Self::ConnectionRefused => (
                "connection_refused",
                "nothing listens at GATEWAY_URL",
                "start the gateway, or correct the port",
            ),
            Self::ConnectionFailed => (
                "connection_failed",
                "the connection to GATEWAY_URL was refused, or broke before an answer came",
                "start the gateway, or correct host, port and scheme",
            ),
            Self::ConnectTimeout => (
                "connect_timeout",
                "GATEWAY_URL does not answer",
                "see whether a firewall drops packets, and whether the host is up",
            ),
            Self::AccessLogin => (
                "access_login",
                "Cloudflare Access wants a login",
                "set ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET to a service token, and let an \
                 Access policy with the action Service Auth accept it",
            ),
            Self::Redirected => (
                "redirected",
                "the upgrade was redirected, probably to a login page or to https",
                "GATEWAY_URL must reach the gateway itself",
            ),
            Self::HtmlPage => (
                "html_page",
                "a web page answers at GATEWAY_URL, not an OpenClaw gateway",
                "GATEWAY_URL must reach the gateway itself",
            ),
            Self::ProxyAttribution => (
                "proxy_attribution_required",
                "the gateway does not trust the proxy in front of it",
                "set gateway.trustedProxies in openclaw.json to exactly the address of that \
                 tunnel or proxy",
            ),
            Self::Forbidden => (
                "forbidden",
                "what stands in front of the gateway lets nobody through",
                "give it the headers it wants with ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET, or \
                 GATEWAY_HEADERS",
            ),
            Self::NotAGateway => (
                "not_a_gateway",
                "what answers at GATEWAY_URL is not an OpenClaw gateway",
                "correct GATEWAY_URL, or the proxy's route to the gateway",
            ),
            Self::OriginDown => (
                "origin_down",
                "a tunnel or proxy answers at GATEWAY_URL, with no gateway behind it",
                "start the gateway, or correct the address that the tunnel or proxy passes to",
            ),
            Self::WebSocketDisabled => (
                "websocket_disabled",
                "the answer to the upgrade is no WebSocket",
                "let the proxy pass Upgrade and Connection on; on Cloudflare, switch WebSockets on",
            ),
            Self::ClosedBeforeChallenge => (
                "closed_before_challenge",
                "the connection was closed before the gateway spoke",
                "the gateway's log says why, or the proxy's; another program may be answering",
            ),
            Self::ClosedInHandshake => (
                "closed_in_handshake",
                "the gateway closed the connection instead of saying hello",
                "the gateway's log says why",
            ),
            Self::HandshakeTimeout => (
                "handshake_timeout",
                "a WebSocket was opened, and no gateway said hello",
                "see whether the gateway is overloaded, or another program answers",
            ),
            Self::ProtocolError => (
                "protocol_error",
                "what answers does not keep to the gateway's protocol",
                "see whether another program answers at GATEWAY_URL",
            ),
            Self::ProtocolMismatch => (
                "protocol_mismatch",
                "the gateway speaks neither protocol 3 nor protocol 4",
                "run a version of OpenClaw and of Clawfront that fit each other",
            ),
            Self::ClockSkew => (
                "clock_skew",
                "the clocks of the gateway and of this side differ by more than two minutes",
                "set the clock of the gateway's host",
            ),
            Self::Unpaired => (
                "device_unpaired",
                "the gateway does not know this device",
                "on the gateway's host run: openclaw devices list, then openclaw devices approve \
                 <id>",
            ),
            Self::ScopeUpgrade => (
                "scope_upgrade",
                "the device was paired with less than operator.read and operator.write",
                "on the gateway's host run: openclaw devices list, then openclaw devices approve \
                 <id>",
            ),
            Self::MetadataUpgrade => (
                "metadata_upgrade",
                "the device was paired as something else than a Worker",
                "on the gateway's host run: openclaw devices list, then openclaw devices approve \
                 <id>",
            ),
            Self::DeviceRequired => (
                "device_required",
                "a gateway on another host wants a device",
                "set DEVICE_KEY and DEVICE_TOKEN",
            ),
            Self::DeviceProof => (
                "device_proof_refused",
                "the gateway does not accept the device's signature",
                "make a new device with clawfront device pair",
            ),
            Self::DeviceToken => (
                "device_token_mismatch",
                "DEVICE_TOKEN is not the device's: it was rotated, revoked, or belongs to another \
                 DEVICE_KEY, or the gateway removed the device when another one was paired under \
                 the same name",
                "pair the device again with clawfront device pair of this version, which names \
                 each device apart, and set the DEVICE_TOKEN it gets",
            ),
            Self::DeviceRemoved => (
                "device_removed",
                "the device was rotated, revoked or removed while it was connected",
                "pair the device again with clawfront device pair of this version, which names \
                 each device apart, and set the DEVICE_TOKEN it gets",
            ),
            Self::GatewayToken => (
                "gateway_token_mismatch",
                "the gateway wants its token, and was sent none or another one",
                "set GATEWAY_TOKEN to gateway.auth.token, or pair a device",
            ),
            Self::GatewayPassword => (
                "gateway_password_mismatch",
                "the gateway wants its password, and was sent none or another one",
                "set GATEWAY_PASSWORD to gateway.auth.password and unset GATEWAY_TOKEN, or pair a \
                 device",
            ),
            Self::AuthLockout => (
                "auth_lockout",
                "the gateway locked this address after failed attempts",
                "wait, it opens again by itself; keep strangers from the gateway with Cloudflare \
                 Access",
            ),
            Self::ScopeMissing => (
                "missing_scope",
                "the credential lacks operator.write",
                "pair the device with the scopes operator.read and operator.write",
            ),
            Self::ScopesTooWide => (
                "scopes_too_wide",
                "the gateway granted more than operator.read and operator.write: a proxy that \
                 strips forwarding headers may make the Worker look local",
                "let the proxy send X-Forwarded-For, and use a device; or set GATEWAY_SCOPES=any \
                 if it is meant",
            ),
            Self::TakenForLocal => (
                "taken_for_local",
                "the gateway takes this connection for one of its own host, and gives the shared \
                 secret every right: a proxy strips the forwarding headers",
                "let the proxy send X-Forwarded-For, and use a device; or set GATEWAY_SCOPES=any \
                 if it is meant",
            ),
            Self::OriginNotAllowed => (
                "origin_not_allowed",
                "the gateway does not accept the Origin header",
                "take Origin out of GATEWAY_HEADERS, and out of what the proxy adds",
            ),
            Self::EndpointOff => (
                "http_endpoint_off",
                "the gateway's HTTP endpoint, which runs clients' tools, is off",
                "set gateway.http.endpoints.chatCompletions.enabled to true in openclaw.json, and \
                 let the proxy pass POST /v1/chat/completions on",
            ),
            Self::EndpointIdentity => (
                "http_endpoint_identity",
                "the gateway's HTTP endpoint, which runs clients' tools, does not take the user \
                 or the token that GATEWAY_HTTP names",
                "set gateway.auth and gateway.trustedProxies as docs/client-tools.md has them",
            ),
            Self::Refused => (
                "refused",
                "the gateway refused",
                "the gateway's log says why",
            ),
            Self::Starting => (
                "gateway_starting",
                "the gateway is starting",
                "wait a moment",
            ),
            Self::Draining => (
                "gateway_draining",
                "the gateway is stopping, restarting or busy",
                "wait a moment; if it stays so, the gateway's log says why",
            ),
            Self::Silent => (
                "gateway_silent",
                "the gateway's ticks stay out: the connection is dead, or the gateway hangs",
                "see whether the proxy ends idle connections, and whether the gateway answers",
            ),
            Self::Closed => (
                "gateway_closed",
                "the gateway closed the connection",
                "the gateway's log says why",
            ),
        }
    }
}

/// Returns true if `bytes` contain `words`, in upper or lower case.
fn contains(bytes: &[u8], words: &[u8]) -> bool {
    bytes
        .windows(words.len())
        .any(|window| window.eq_ignore_ascii_case(words))
}

#[cfg(test)]
mod tests;
