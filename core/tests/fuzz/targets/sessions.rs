//! The target `sessions`: two names, separated by the first line break.

use clawfront_core::access::key::KeyId;
use clawfront_core::access::policy::SessionPolicy;
use clawfront_core::agent::AgentId;
use clawfront_core::session::Session;

/// Checks two names. As sessions of every kind they are equal only if they must be.
pub(super) fn run(text: &str) {
    let (one, other) = text.split_once('\n').unwrap_or((text, text));
    let main = AgentId::parse("main").unwrap();
    let named = |key_id: &str, name: &str| {
        let key_id = KeyId::parse(key_id).unwrap();
        let sessions = [
            Session::named(&key_id, SessionPolicy::Own, name),
            Session::of_user(&key_id, name),
            Session::of_conversation(&key_id, "x-session-id", name),
            Session::of_conversation(&key_id, "x-openwebui-chat-id", name),
        ];
        sessions.map(|session| session.ok().map(|session| session.key(&main)))
    };
    let mine = named("phone", one);
    for key in mine.iter().flatten() {
        check_session_name(
            key.as_str().strip_prefix("agent:main:").unwrap(),
            SessionPolicy::Own,
        );
    }
    for (key_id, name) in [
        ("phone", one),
        ("phone", other),
        ("phone-2", other),
        ("phon", other),
        ("bot", one),
    ] {
        for (i, left) in mine.iter().enumerate() {
            for (j, right) in named(key_id, name).iter().enumerate() {
                if let (Some(left), Some(right)) = (left, right) {
                    assert_eq!(
                        left == right,
                        i == j && key_id == "phone" && one == name,
                        "{one:?} {name:?}"
                    );
                }
            }
        }
    }
    let phone = KeyId::parse("phone").unwrap();
    if let Ok(session) = Session::named(&phone, SessionPolicy::Any, one) {
        let agent = session.agent().unwrap_or(&main);
        let key = session.key(&main);
        let name = key.as_str().strip_prefix(&format!("agent:{agent}:"));
        check_session_name(
            name.unwrap_or_else(|| panic!("{key:?}")),
            SessionPolicy::Any,
        );
    }
}

/// Checks the part after `agent:<agent>:` in a session's key.
pub(super) fn check_session_name(name: &str, policy: SessionPolicy) {
    match policy {
        SessionPolicy::Own => {
            assert!(name.starts_with("edge:phone:"), "{name}");
            // The name has nothing that the gateway would fold, split or misinterpret.
            let is_plain =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-=~:".contains(&b);
            assert!(name.bytes().all(is_plain) && name.len() < 256, "{name}");
        }
        SessionPolicy::Any => {
            // Capitals hide no reserved name: the gateway ignores case.
            assert_eq!(name, name.to_ascii_lowercase());
            let reserved = ["cron:", "subagent:", "acp:"];
            assert!(
                !reserved.iter().any(|namespace| name.starts_with(namespace)),
                "{name}"
            );
        }
    }
}
