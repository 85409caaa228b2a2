//! Sessions: the conversation of an agent that a request belongs to, and the limits of a client's
//! own names for conversations.
//!
//! A client only ever addresses `agent:<agent>:edge:<key id>:…`, whatever it sends. The gateway
//! lower-cases session keys and gives some prefixes a meaning of their own. So a client's name is
//! used verbatim only if neither can change its meaning, and as a hash otherwise. The two forms
//! begin differently, so two names never share one session.

use std::fmt;

use base16ct::lower as hex;
use sha2::{Digest, Sha256};

use crate::access::key::{self, KeyId};
use crate::access::policy::SessionPolicy;
use crate::agent::AgentId;

/// Longest session name that a client may send, in bytes: enough for any id, and cheap to log and
/// hash.
pub const MAX_SESSION_NAME_BYTES: usize = 1024;

/// Longest name that is used verbatim in the session key, in bytes.
const MAX_VERBATIM_BYTES: usize = 64;

/// Namespaces inside an agent that the gateway reserves for itself. Source: OpenClaw 2026.9.6
/// `http-utils.ts` ("cannot use reserved internal session namespaces").
const RESERVED_NAMESPACES: [&str; 3] = ["subagent:", "cron:", "acp:"];

/// A complete session key, as the gateway's `sessionKey` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKey(String);

impl SessionKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if a client wrote the whole key, so that the gateway may take another spelling
    /// for the same session.
    pub(crate) fn is_raw(&self, agent: &AgentId) -> bool {
        let within = self.0.strip_prefix("agent:");
        let within = within.and_then(|rest| rest.strip_prefix(agent.as_str()));
        !within.is_some_and(|rest| rest.starts_with(":edge:"))
    }
}

/// A session before its agent is known, because the gateway's default agent is known only after a
/// request to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    name: Name,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// The part after `agent:<agent>:`.
    Within(String),
    /// A raw key of this agent.
    Raw { agent: AgentId, key: String },
}

/// The reason why a session name was refused; the caller can fix each.
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
            Self::MalformedRawKey => {
                f.write_str("is not a session key of the form agent:<id>:<name>")
            }
        }
    }
}

impl Session {
    /// Returns a session that no other request shares.
    pub fn fresh(key_id: &KeyId, nonce: &[u8; 16]) -> Self {
        Self::within(format!("edge:{key_id}:run:{}", hex::encode_string(nonce)))
    }

    /// Returns the stable session of the request's `user`.
    pub fn of_user(key_id: &KeyId, user: &str) -> Result<Self, SessionError> {
        check(user)?;
        Ok(Self::within(format!(
            "edge:{key_id}:user:{}",
            segment(user)
        )))
    }

    /// Returns the stable session of a chat UI's conversation, which the client's header `header`
    /// names.
    pub fn of_conversation(key_id: &KeyId, header: &str, id: &str) -> Result<Self, SessionError> {
        check(id)?;
        Ok(Self::within(format!(
            "edge:{key_id}:chat:{header}:{}",
            segment(id)
        )))
    }

    /// Returns the session that `x-openclaw-session-key` names.
    pub fn named(key_id: &KeyId, policy: SessionPolicy, name: &str) -> Result<Self, SessionError> {
        check(name)?;
        match policy {
            SessionPolicy::Own => Ok(Self::within(format!("edge:{key_id}:key:{}", segment(name)))),
            SessionPolicy::Any => Self::raw(name),
        }
    }

    /// Reads the complete key of a session.
    pub(crate) fn read(key: &str) -> Option<Self> {
        let (agent, key) = key.strip_prefix("agent:")?.split_once(':')?;
        Some(Self {
            name: Name::Raw {
                agent: AgentId::parse(agent)?,
                key: key.to_owned(),
            },
        })
    }

    /// Returns the name of the session, before its agent is known.
    pub fn name(&self) -> &str {
        match &self.name {
            Name::Within(name) | Name::Raw { key: name, .. } => name,
        }
    }

    /// Returns the agent that a raw session key names.
    pub fn agent(&self) -> Option<&AgentId> {
        match &self.name {
            Name::Within(_) => None,
            Name::Raw { agent, .. } => Some(agent),
        }
    }

    /// Returns the session of one run that must not disturb the others of this session. No name of
    /// a client has its name, because they have no colons.
    pub(crate) fn aside(&self, run: &str) -> Self {
        Self::within([self.name(), ":run:", run].concat())
    }

    /// Returns the complete key; a raw key stays with the agent that it names.
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
        // The gateways lower-case all of Unicode. Outside ASCII only `K` (Kelvin) and `İ` become
        // ASCII letters, and no reserved word has either letter.
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

/// Returns true if a raw key has a segment that is empty or has blanks around it. The gateways
/// disagree about such a key, and 2026.3 would find a reserved namespace after an empty segment.
fn is_malformed(key: &str) -> bool {
    key.split(':')
        .any(|segment| segment.is_empty() || segment.trim() != segment)
}

/// Refuses the names that no session may have, for every client.
fn check(name: &str) -> Result<(), SessionError> {
    if name.len() > MAX_SESSION_NAME_BYTES {
        return Err(SessionError::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(SessionError::ControlCharacter);
    }
    // The runtime replaces bytes that are not UTF-8 with this character: two names would become
    // one.
    if name.contains(char::REPLACEMENT_CHARACTER) {
        return Err(SessionError::NotUtf8);
    }
    let name = name.trim().to_ascii_lowercase();
    // Skips any number of `agent:<id>:` heads, so that a nested head cannot hide a reserved name.
    let mut rest = name.as_str();
    while let Some((_, inner)) = rest.strip_prefix("agent:").and_then(|r| r.split_once(':')) {
        rest = inner;
    }
    if RESERVED_NAMESPACES
        .iter()
        .any(|reserved| rest.starts_with(reserved))
    {
        return Err(SessionError::Reserved);
    }
    Ok(())
}

/// Returns one segment of a session key for a client's own name: `=name` if it is harmless,
/// `~sha256` otherwise. A name that contains a key is not harmless: the gateway logs session keys.
fn segment(name: &str) -> String {
    let harmless = name.len() <= MAX_VERBATIM_BYTES
        && !key::is_in(name)
        && name.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
        });
    if harmless {
        format!("={name}")
    } else {
        format!("~{}", hex::encode_string(&Sha256::digest(name.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_id() -> KeyId {
        KeyId::parse("phone").unwrap()
    }

    fn main() -> AgentId {
        AgentId::parse("main").unwrap()
    }

    fn own(name: &str) -> Result<String, SessionError> {
        Session::named(&key_id(), SessionPolicy::Own, name).map(|s| s.key(&main()).0)
    }

    #[test]
    fn a_plain_name_stays_readable_inside_the_keys_namespace() {
        assert_eq!(
            own("trip-2026").unwrap(),
            "agent:main:edge:phone:key:=trip-2026"
        );
        assert_eq!(
            Session::of_user(&key_id(), "alice").unwrap().key(&main()).0,
            "agent:main:edge:phone:user:=alice"
        );
    }

    #[test]
    fn a_name_with_a_meaning_to_the_gateway_is_hashed() {
        for hostile in [
            "agent:main:main",
            "AGENT:beta:x",
            "edge:other:key:=x",
            "Trip-2026",
            "../x",
            "ünï",
            "a b",
            &"x".repeat(65),
            "claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh",
        ] {
            let key = own(hostile).unwrap();
            let hash = key.strip_prefix("agent:main:edge:phone:key:~").unwrap();
            assert!(
                hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
                "{key}"
            );
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
                    Session::named(&key_id(), policy, name),
                    Err(SessionError::Reserved),
                    "{name}"
                );
            }
            for name in ["a\nb", "a\u{0}", "a\u{85}b"] {
                assert_eq!(
                    Session::named(&key_id(), policy, name),
                    Err(SessionError::ControlCharacter)
                );
            }
            assert_eq!(
                Session::named(&key_id(), policy, "caf\u{FFFD}"),
                Err(SessionError::NotUtf8)
            );
            assert_eq!(
                Session::named(&key_id(), policy, &"x".repeat(MAX_SESSION_NAME_BYTES + 1)),
                Err(SessionError::TooLong)
            );
        }
    }

    #[test]
    fn a_raw_key_names_its_agent_and_is_lower_cased_as_the_gateway_would() {
        let session =
            Session::named(&key_id(), SessionPolicy::Any, "agent:Beta:Team:Chat").unwrap();
        assert_eq!(session.agent(), AgentId::parse("beta").as_ref());
        assert_eq!(session.key(&main()).0, "agent:beta:team:chat");
        let bare = Session::named(&key_id(), SessionPolicy::Any, "main").unwrap();
        assert_eq!(
            (bare.agent(), bare.key(&main()).0.as_str()),
            (None, "agent:main:main")
        );
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
                Session::named(&key_id(), SessionPolicy::Any, bad),
                Err(SessionError::MalformedRawKey),
                "{bad}"
            );
        }
    }

    #[test]
    fn fresh_sessions_differ_by_their_nonce_only() {
        let a = Session::fresh(&key_id(), &[1; 16]).key(&main()).0;
        assert_eq!(a, format!("agent:main:edge:phone:run:{}", "01".repeat(16)));
        assert_ne!(a, Session::fresh(&key_id(), &[2; 16]).key(&main()).0);
    }
}
