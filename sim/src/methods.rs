//! The scope that each method needs.
//!
//! Source: measured on both versions. Methods that are only listed here answer nothing except a
//! missing scope.

use crate::frames::Protocol;

pub(crate) const OPERATOR_READ: &str = "operator.read";
pub(crate) const OPERATOR_WRITE: &str = "operator.write";
const OPERATOR_ADMIN: &str = "operator.admin";
const OPERATOR_PAIRING: &str = "operator.pairing";

/// Returns the scope that `method` needs; `None`: it needs none. Methods that are unknown or not
/// simulated need `operator.admin`.
pub(crate) fn scope_of(method: &str, protocol: Protocol) -> Option<&'static str> {
    match (method, protocol) {
        ("health", Protocol::V3) => None,
        ("agent" | "agent.wait" | "chat.abort", _)
        | (
            "sessions.abort" | "sessions.create" | "sessions.fork" | "sessions.patch" | "tts.speak",
            Protocol::V4,
        ) => Some(OPERATOR_WRITE),
        ("agents.list" | "models.list" | "sessions.get", _)
        | (
            "health" | "sessions.messages.subscribe" | "sessions.messages.unsubscribe",
            Protocol::V4,
        ) => Some(OPERATOR_READ),
        _ if method.starts_with("device.pair.") || method.starts_with("device.token.") => {
            Some(OPERATOR_PAIRING)
        }
        _ => Some(OPERATOR_ADMIN),
    }
}

/// Returns true if `scopes` include `needed` or a scope that implies it: admin implies all, write
/// implies read.
pub(crate) fn holds(scopes: &[String], needed: &str) -> bool {
    scopes.iter().any(|scope| {
        scope == needed
            || scope == OPERATOR_ADMIN
            || (scope == OPERATOR_WRITE && needed == OPERATOR_READ)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_implies_read_and_admin_implies_all() {
        let scopes = |scope: &str| vec![scope.to_owned()];
        assert!(holds(&scopes(OPERATOR_WRITE), OPERATOR_READ));
        assert!(!holds(&scopes(OPERATOR_READ), OPERATOR_WRITE));
        assert!(holds(&scopes(OPERATOR_ADMIN), OPERATOR_PAIRING));
    }

    #[test]
    fn an_unknown_method_needs_admin() {
        assert_eq!(scope_of("foo.bar", Protocol::V4), Some(OPERATOR_ADMIN));
        assert_eq!(
            scope_of("sessions.abort", Protocol::V3),
            Some(OPERATOR_ADMIN)
        );
        assert_eq!(scope_of("health", Protocol::V3), None);
    }
}
