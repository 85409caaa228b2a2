//! Sessions: which conversation of an agent a request belongs to, and how far a client's own names for one can reach.
//!
//! A client only ever addresses `agent:<agent>:edge:<key id>:…`, whatever it sends. The gateway lower-cases session keys and
//! gives some prefixes a meaning of their own, so what a client sends goes in verbatim only where that cannot matter, and as a
//! hash otherwise; the two forms begin differently, so two inputs never meet in one session.

use std::fmt;

use base16ct::lower as hex;
use sha2::{Digest, Sha256};

use crate::agent::AgentId;
use crate::key::KeyId;

/// Longest session name a client may send, in bytes: enough for any id, little enough to log and hash without a thought.
pub const MAX_SESSION_NAME_BYTES: usize = 1024;

/// Longest name that goes into the session key as it is, in bytes.
const MAX_VERBATIM_BYTES: usize = 64;

/// Namespaces inside an agent that the gateway keeps for itself.
/// Source: OpenClaw 2026.9.6 `http-utils.ts` ("cannot use reserved internal session namespaces").
const RESERVED_NAMESPACES: [&str; 3] = ["subagent:", "cron:", "acp:"];

/// A complete session key, as the gateway's `sessionKey` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKey(String);

impl SessionKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For logs: the first 16 hex digits of the SHA-256, enough to find the lines of one session again.
    pub fn log_hash(&self) -> String {
        let mut hash = hex::encode_string(&Sha256::digest(self.0.as_bytes()));
        hash.truncate(16);
        hash
    }
}

/// Whether a key may name sessions outside its own namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SessionPolicy {
    /// `agent:<agent>:edge:<key id>:…` only.
    #[default]
    Own,
    /// Any session of an agent that the key may reach, by its raw key.
    Any,
}

/// A session before its agent is known (the gateway's default agent is only known once it is asked).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    name: Name,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// The part behind `agent:<agent>:`.
    Within(String),
    /// A raw key of this agent.
    Raw { agent: AgentId, key: String },
}

/// Why a session name was refused; each is the caller's to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    TooLong,
    ControlCharacter,
    NotUtf8,
    Reserved,
    MalformedRawKey,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "is longer than {MAX_SESSION_NAME_BYTES} bytes"),
            Self::ControlCharacter => f.write_str("contains control characters"),
            Self::NotUtf8 => f.write_str("is not UTF-8"),
            Self::Reserved => f.write_str("names a reserved namespace (subagent:, cron:, acp:)"),
            Self::MalformedRawKey => f.write_str("is not a session key of the form agent:<id>:<name>"),
        }
    }
}

impl Session {
    /// A session that no other request shares.
    pub fn fresh(kid: &KeyId, nonce: &[u8; 16]) -> Self {
        Self::within(format!("edge:{kid}:run:{}", hex::encode_string(nonce)))
    }

    /// The stable session of the request's `user`.
    pub fn of_user(kid: &KeyId, user: &str) -> Result<Self, SessionError> {
        check(user)?;
        Ok(Self::within(format!("edge:{kid}:user:{}", segment(user))))
    }

    /// The stable session of a chat UI's conversation, which the client's header `header` names.
    pub fn of_conversation(kid: &KeyId, header: &str, id: &str) -> Result<Self, SessionError> {
        check(id)?;
        Ok(Self::within(format!("edge:{kid}:chat:{header}:{}", segment(id))))
    }

    /// The session that `x-openclaw-session-key` names.
    pub fn named(kid: &KeyId, policy: SessionPolicy, name: &str) -> Result<Self, SessionError> {
        check(name)?;
        match policy {
            SessionPolicy::Own => Ok(Self::within(format!("edge:{kid}:key:{}", segment(name)))),
            SessionPolicy::Any => Self::raw(name),
        }
    }

    /// Its name, before its agent is known.
    pub fn name(&self) -> &str {
        match &self.name {
            Name::Within(name) | Name::Raw { key: name, .. } => name,
        }
    }

    /// The agent that a raw session key names.
    pub fn agent(&self) -> Option<&AgentId> {
        match &self.name {
            Name::Within(_) => None,
            Name::Raw { agent, .. } => Some(agent),
        }
    }

    /// The complete key; a raw key stays with the agent it names.
    pub fn key(&self, agent: &AgentId) -> SessionKey {
        match &self.name {
            Name::Within(name) => SessionKey(format!("agent:{agent}:{name}")),
            Name::Raw { agent, key } => SessionKey(format!("agent:{agent}:{key}")),
        }
    }

    fn within(name: String) -> Self {
        Self {
            name: Name::Within(name),
        }
    }

    fn raw(name: &str) -> Result<Self, SessionError> {
        // The gateways do that to all of Unicode; of its other letters only `K` (Kelvin) and `İ` become one of ASCII's, and no word
        // that counts here has either.
        let name = name.to_ascii_lowercase();
        let Some(rest) = name.strip_prefix("agent:") else {
            if is_malformed(&name) {
                return Err(SessionError::MalformedRawKey);
            }
            return Ok(Self::within(name));
        };
        if is_malformed(rest) {
            return Err(SessionError::MalformedRawKey);
        }
        let (agent, key) = rest.split_once(':').ok_or(SessionError::MalformedRawKey)?;
        let agent = AgentId::parse(agent).ok_or(SessionError::MalformedRawKey)?;
        if key.is_empty() {
            return Err(SessionError::MalformedRawKey);
        }
        Ok(Self {
            name: Name::Raw {
                agent,
                key: key.to_owned(),
            },
        })
    }
}

/// Whether a raw key has a segment that is empty or has blanks around it: the gateways disagree on what such a key means, and
/// 2026.3 would find a reserved namespace behind an empty segment.
fn is_malformed(key: &str) -> bool {
    key.split(':')
        .any(|segment| segment.is_empty() || segment.trim() != segment)
}

/// Refuses what no session may be named, whoever asks.
fn check(name: &str) -> Result<(), SessionError> {
    if name.len() > MAX_SESSION_NAME_BYTES {
        return Err(SessionError::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(SessionError::ControlCharacter);
    }
    // The runtime puts it for bytes that are no UTF-8: two names would become one.
    if name.contains(char::REPLACEMENT_CHARACTER) {
        return Err(SessionError::NotUtf8);
    }
    let name = name.trim().to_ascii_lowercase();
    // Behind any number of `agent:<id>:` heads, so that a nested one cannot smuggle a reserved name through.
    let mut rest = name.as_str();
    while let Some((_, inner)) = rest.strip_prefix("agent:").and_then(|r| r.split_once(':')) {
        rest = inner;
    }
    if RESERVED_NAMESPACES.iter().any(|reserved| rest.starts_with(reserved)) {
        return Err(SessionError::Reserved);
    }
    Ok(())
}

/// One segment of a session key for a client's own name: `=name` where it is harmless, `~sha256` otherwise.
fn segment(name: &str) -> String {
    let harmless = name.len() <= MAX_VERBATIM_BYTES
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
    if harmless {
        format!("={name}")
    } else {
        format!("~{}", hex::encode_string(&Sha256::digest(name.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kid() -> KeyId {
        KeyId::parse("phone").unwrap()
    }

    fn main() -> AgentId {
        AgentId::parse("main").unwrap()
    }

    fn own(name: &str) -> Result<String, SessionError> {
        Session::named(&kid(), SessionPolicy::Own, name).map(|s| s.key(&main()).0)
    }

    #[test]
    fn a_plain_name_stays_readable_inside_the_keys_namespace() {
        assert_eq!(own("trip-2026").unwrap(), "agent:main:edge:phone:key:=trip-2026");
        assert_eq!(
            Session::of_user(&kid(), "alice").unwrap().key(&main()).0,
            "agent:main:edge:phone:user:=alice"
        );
    }

    #[test]
    fn whatever_could_mean_something_to_the_gateway_is_hashed() {
        for hostile in [
            "agent:main:main",
            "AGENT:beta:x",
            "edge:other:key:=x",
            "Trip-2026",
            "../x",
            "ünï",
            "a b",
            &"x".repeat(65),
        ] {
            let key = own(hostile).unwrap();
            let hash = key.strip_prefix("agent:main:edge:phone:key:~").unwrap();
            assert!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{key}");
        }
    }

    #[test]
    fn two_different_names_never_share_a_session() {
        let hash_of_upper = segment("A");
        let names = [
            "a",
            "A",
            "a ",
            "",
            "=a",
            "~a",
            &hash_of_upper,
            hash_of_upper.trim_start_matches('~'),
        ];
        for (i, a) in names.iter().enumerate() {
            for b in names.iter().skip(i + 1) {
                assert_ne!(segment(a), segment(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn reserved_namespaces_and_control_characters_are_refused_under_both_policies() {
        for policy in [SessionPolicy::Own, SessionPolicy::Any] {
            for name in [
                "subagent:x",
                "CRON:x",
                "acp:x",
                "agent:main:cron:x",
                "agent:a:agent:b:acp:1",
                " cron:x",
            ] {
                assert_eq!(
                    Session::named(&kid(), policy, name),
                    Err(SessionError::Reserved),
                    "{name}"
                );
            }
            for name in ["a\nb", "a\u{0}", "a\u{85}b"] {
                assert_eq!(
                    Session::named(&kid(), policy, name),
                    Err(SessionError::ControlCharacter)
                );
            }
            assert_eq!(
                Session::named(&kid(), policy, "caf\u{FFFD}"),
                Err(SessionError::NotUtf8)
            );
            assert_eq!(
                Session::named(&kid(), policy, &"x".repeat(MAX_SESSION_NAME_BYTES + 1)),
                Err(SessionError::TooLong)
            );
        }
    }

    #[test]
    fn a_raw_key_names_its_agent_and_is_lower_cased_as_the_gateway_would() {
        let session = Session::named(&kid(), SessionPolicy::Any, "agent:Beta:Team:Chat").unwrap();
        assert_eq!(session.agent(), AgentId::parse("beta").as_ref());
        assert_eq!(session.key(&main()).0, "agent:beta:team:chat");
        let bare = Session::named(&kid(), SessionPolicy::Any, "main").unwrap();
        assert_eq!((bare.agent(), bare.key(&main()).0.as_str()), (None, "agent:main:main"));
        for bad in [
            "agent:",
            "agent:main",
            "agent:main:",
            "agent::x",
            "agent:a b:x",
            "agent:main::cron:nightly",
            ":cron:nightly",
            "agent:main: cron:x",
            "x:",
        ] {
            assert_eq!(
                Session::named(&kid(), SessionPolicy::Any, bad),
                Err(SessionError::MalformedRawKey),
                "{bad}"
            );
        }
    }

    #[test]
    fn fresh_sessions_differ_by_their_nonce_only() {
        let a = Session::fresh(&kid(), &[1; 16]).key(&main()).0;
        assert_eq!(a, format!("agent:main:edge:phone:run:{}", "01".repeat(16)));
        assert_ne!(a, Session::fresh(&kid(), &[2; 16]).key(&main()).0);
    }
}
