//! The name of the requested model, in a form that may stand in the log.

use std::borrow::Cow;

use super::models::DEFAULT;
use super::request::AGENT_HEADER;

use crate::parse::{self, object};

/// Longest name that is logged, in bytes. The longest agent id after `openclaw/` gives 73, and a
/// longer name is not an agent's.
const MAX_LOGGED_BYTES: usize = 80;

/// Beginnings of API keys. A client that is set up wrongly sends its key as the model.
const SECRETS: [&str; 3] = ["claw_", "sk-", "eyj"];

/// Reads the name from the agent header, or else from the body.
pub fn asked_model(body: &[u8], header: &dyn Fn(&str) -> Option<String>) -> String {
    #[derive(Default)]
    struct Named<'a> {
        model: Option<Cow<'a, str>>,
    }

    object!(Named<'_>, [], [model]);
    let agent = header(AGENT_HEADER).filter(|agent| !agent.trim().is_empty());
    let named = || {
        let body = std::str::from_utf8(body).ok()?;
        parse::from_str::<Named<'_>>(body).ok()?.model
    };
    agent
        .map(|agent| loggable(&agent))
        .or_else(|| named().map(|model| loggable(&model)))
        .unwrap_or_else(|| DEFAULT.to_owned())
}

/// Returns the name if it can be a model's and cannot be a secret; otherwise a fixed text.
pub fn loggable(name: &str) -> String {
    let name = name.trim();
    let is_name = name.len() <= MAX_LOGGED_BYTES
        && name.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b':' | b'@')
        });
    let lower = name.to_ascii_lowercase();
    if !is_name || SECRETS.iter().any(|beginning| lower.contains(beginning)) {
        return "(not a model's name)".to_owned();
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_headers_or_the_bodys_or_the_default() {
        let none = |_: &str| None;
        assert_eq!(
            asked_model(br#"{"model":"gpt-4o","messages":[]}"#, &none),
            "gpt-4o"
        );
        assert_eq!(asked_model(br#"{"messages":[]}"#, &none), "openclaw");
        assert_eq!(asked_model(b"{", &none), "openclaw");
        let header = |name: &str| (name == AGENT_HEADER).then(|| "notes".to_owned());
        assert_eq!(asked_model(br#"{"model":"openclaw"}"#, &header), "notes");
    }

    #[test]
    fn a_name_that_may_be_a_secret_or_a_prompt_is_not_logged() {
        assert_eq!(loggable(" openclaw/notes "), "openclaw/notes");
        for name in [
            "claw_phone_0123456789abcdef0123456789abcdef",
            "openai/sk-proj-1234",
            "eyJhbGciOiJI",
            "my PIN is 4711",
            "a\nb",
            &"x".repeat(81),
        ] {
            assert_eq!(loggable(name), "(not a model's name)", "{name}");
        }
    }
}
