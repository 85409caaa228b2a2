//! Thousands of hostile names, models, headers and entries: all of a client's input stays inside
//! its key.

#![expect(clippy::unwrap_used, reason = "a test's helpers are tests")]

use clawfront_core::access::admit::Grants;
use clawfront_core::access::grant::Grant;
use clawfront_core::access::key::{KeyId, NewKey, SECRET_BYTES};
use clawfront_core::access::policy::SessionPolicy;
use clawfront_core::agent::AgentId;
use clawfront_core::failure::Failure;
use clawfront_core::openai::models::{self, Aliases, Names};
use clawfront_core::openai::{Accepted, Entropy, Request, chat};
use clawfront_core::session::Session;
use clawfront_core::turn::AgentChoice;
use proptest::prelude::*;
use proptest::test_runner::Config;

/// Cases of each property: enough to reach every branch of a strategy hundreds of times.
const CASES: u32 = 4096;

fn config() -> Config {
    Config {
        cases: CASES,
        // A failure prints the input for a new test; a file beside the sources would repeat it.
        failure_persistence: None,
        ..Config::default()
    }
}

fn clients(entries: &str) -> Grants {
    let mut clients = Grants::default();
    let mut problems = Vec::new();
    clients.extend(entries, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    clients
}

fn key(id: &str, entropy: u8) -> NewKey {
    NewKey::from_entropy(&KeyId::parse(id).unwrap(), &[entropy; SECRET_BYTES])
}

fn client(fields: &str) -> Grant {
    clients(&format!("phone {} {fields}", key("phone", 7).hash))
        .iter()
        .next()
        .unwrap()
        .clone()
}

/// Names that a client may send for a session: names of other keys and agents, in every form.
fn hostile_name() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("agent".to_owned()),
        Just("main".to_owned()),
        Just("edge".to_owned()),
        Just("phone".to_owned()),
        Just("bot".to_owned()),
        Just("key".to_owned()),
        Just("=x".to_owned()),
        Just("~0".to_owned()),
        Just(String::new()),
        Just("..".to_owned()),
        "[a-zA-Z0-9._-]{1,8}",
        "\\PC{0,6}",
    ];
    let separator = prop_oneof![
        Just(":"),
        Just("/"),
        Just(" "),
        Just("%3A"),
        Just("\u{ff1a}"),
        Just("")
    ];
    let chained = prop::collection::vec((word, separator), 0..8).prop_map(|parts| {
        parts
            .into_iter()
            .map(|(word, separator)| word + separator)
            .collect()
    });
    prop_oneof![
        4 => chained,
        1 => "\\PC{0,200}",
        1 => "[A-Z]{60,70}",
        1 => any::<u64>().prop_map(|n| format!("{n:x}")),
    ]
}

/// Names that a client may send as a model.
fn hostile_model() -> impl Strategy<Value = String> {
    prop_oneof![
        "(openclaw[/:]|agent:|)(main|beta|secret|MAIN|default|[a-z0-9_-]{1,10})",
        "\\PC{0,40}",
        Just("openclaw".to_owned()),
        Just("gpt-4o".to_owned()),
        Just("private".to_owned()),
    ]
}

fn accept(
    client: &Grant,
    model: &str,
    user: &str,
    headers: &[(&str, &str)],
) -> Result<Accepted, Failure> {
    let text = |text: &str| serde_json::to_string(text).unwrap();
    let body = format!(
        r#"{{"model":{},"user":{},"messages":[{{"role":"user","content":"hi"}}]}}"#,
        text(model),
        text(user)
    );
    let header = |name: &str| {
        let found = headers.iter().find(|(header, _)| *header == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    chat::accept(
        &Request {
            body: body.as_bytes(),
            header: &header,
            caller: [0; 32],
            is_repeated: false,
        },
        client,
        &Aliases::parse("gpt-4o=main private=secret").unwrap(),
        &Entropy {
            run: [1; 16],
            session: [2; 16],
        },
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_agent_and_session_of_any_request_are_its_clients_own(
        model in hostile_model(),
        user in hostile_name(),
        agent_header in prop::option::of(hostile_model()),
        session_header in prop::option::of(hostile_name()),
        conversation in prop::option::of(hostile_name()),
    ) {
        let client = client("agents=main,beta default=main conversations=x-session-id");
        let headers: Vec<(&str, &str)> = [
            ("x-openclaw-agent-id", &agent_header),
            ("x-openclaw-session-key", &session_header),
            ("x-session-id", &conversation),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect();
        if let Ok(accepted) = accept(&client, &model, &user, &headers) {
            let AgentChoice::Named(agent) = &accepted.turn.agent else {
                panic!("the key has a default, so every request has an agent");
            };
            prop_assert!(matches!(agent.as_str(), "main" | "beta"), "{agent}");
            let session = accepted.turn.session.key(agent);
            let own = format!("agent:{agent}:edge:phone:");
            let name = session.as_str().strip_prefix(&own);
            prop_assert!(name.is_some(), "{session:?}");
            // The name has nothing that the gateway would fold, split or misinterpret.
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-=~:".contains(&b);
            prop_assert!(name.unwrap_or_default().bytes().all(plain), "{session:?}");
            prop_assert!(session.as_str().len() < 256, "{session:?}");
        }
    }

    #[test]
    fn a_raw_session_key_reaches_no_agent_beyond_the_list(
        model in hostile_model(),
        session in hostile_name(),
    ) {
        let client = client("agents=main,beta default=main sessions=any");
        if let Ok(accepted) = accept(&client, &model, "", &[("x-openclaw-session-key", &session)]) {
            let AgentChoice::Named(agent) = &accepted.turn.agent else {
                panic!("the key has a default, so every request has an agent");
            };
            let key = accepted.turn.session.key(agent);
            prop_assert!(matches!(agent.as_str(), "main" | "beta"), "{agent}");
            let inside = key.as_str().strip_prefix(&format!("agent:{agent}:"));
            prop_assert!(inside.is_some(), "{key:?}");
            let inside = inside.unwrap_or_default();
            for reserved in ["cron:", "subagent:", "acp:"] {
                prop_assert!(!inside.starts_with(reserved), "{key:?}");
            }
        }
    }

    #[test]
    fn two_names_are_two_sessions_and_one_name_is_one(a in hostile_name(), b in hostile_name()) {
        let key_id = KeyId::parse("phone").unwrap();
        let main = AgentId::parse("main").unwrap();
        let sessions = |name: &str| {
            [
                Session::named(&key_id, SessionPolicy::Own, name),
                Session::of_user(&key_id, name),
                Session::of_conversation(&key_id, "x-session-id", name),
                Session::of_conversation(&key_id, "x-openwebui-chat-id", name),
            ]
            .map(|session| session.map(|session| session.key(&main)))
        };
        let (of_a, of_b) = (sessions(&a), sessions(&b));
        for (i, left) in of_a.iter().enumerate() {
            for (j, right) in of_b.iter().enumerate() {
                if let (Ok(left), Ok(right)) = (left, right) {
                    prop_assert_eq!(left == right, a == b && i == j, "{} {}", &a, &b);
                }
            }
        }
    }

    #[test]
    fn two_keys_never_meet(name in hostile_name(), other_name in hostile_name()) {
        let main = AgentId::parse("main").unwrap();
        let session = |key_id: &str, name: &str| {
            let key_id = KeyId::parse(key_id).unwrap();
            Session::named(&key_id, SessionPolicy::Own, name).map(|session| session.key(&main))
        };
        // Also ids that begin with each other.
        for other in ["phone-2", "phon", "bot"] {
            if let (Ok(mine), Ok(theirs)) = (session("phone", &name), session(other, &other_name)) {
                prop_assert_ne!(mine, theirs);
            }
        }
    }

    #[test]
    fn only_the_key_itself_is_admitted(text in "\\PC{0,80}|claw_[a-z]{1,6}_[a-z2-7]{30,34}", flip in 0_usize..43, to in "[a-z2-7_]") {
        let phone = key("phone", 7);
        let clients = clients(&format!("phone {} agents=*", phone.hash));
        prop_assert!(clients.admit(&text, 0, None).is_err());
        let mut changed = phone.plaintext.to_string();
        changed.replace_range(flip..=flip, &to);
        let is_admitted = clients.admit(&changed, 0, None).is_ok();
        prop_assert_eq!(is_admitted, changed == phone.plaintext.as_str());
    }

    #[test]
    fn an_entry_of_anything_is_read_or_refused_without_repeating_it(
        fields in "( ?[a-z_]{1,8}=?\"?[^;\n]{0,12}\"?){0,6}",
        secret in "[A-Z]{12}",
    ) {
        for entry in [
            fields.clone(),
            format!("phone {} {fields} x={secret}", key("phone", 7).hash),
            format!("phone {} agents=main expires={secret}{fields}", key("phone", 7).hash),
        ] {
            let mut problems = Vec::new();
            Grants::default().extend(&entry, &mut problems);
            for problem in problems {
                prop_assert!(!problem.to_string().contains(&secret), "{problem}");
            }
        }
    }

    #[test]
    fn a_listed_model_is_the_keys(
        agents in prop::collection::hash_set("(main|beta|secret|[a-z]{1,4})", 1..4),
        there in prop::collection::hash_set("(main|beta|secret|[a-z]{1,4})", 0..5),
    ) {
        let list: Vec<&str> = agents.iter().map(String::as_str).collect();
        let client = client(&format!("agents={}", list.join(",")));
        let aliases = Aliases::parse("gpt-4o=main private=secret").unwrap();
        let known = clawfront_core::agent::AgentList {
            agents: there.iter().filter_map(|id| AgentId::parse(id)).collect(),
            default_agent: there.iter().next().and_then(|id| AgentId::parse(id)),
            ..clawfront_core::agent::AgentList::default()
        };
        for names in [Names::One, Names::All] {
            let models = models::list(&client, &aliases, Some(&known), names);
            let mut out = Vec::new();
            models::write_list(&models, &mut out);
            let listed: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let mut named = Vec::new();
            for model in listed["data"].as_array().unwrap() {
                let id = model["id"].as_str().unwrap();
                let agent = match models::agent_of(id, &aliases).unwrap() {
                    Some(agent) => agent,
                    None => client.default_agent.clone().or(known.default_agent.clone()).unwrap(),
                };
                prop_assert!(agents.contains(agent.as_str()) && known.agents.contains(&agent), "{id}");
                named.push(agent.to_string());
            }
            if names == Names::One {
                named.sort_unstable();
                let there = known.agents.iter().map(ToString::to_string);
                let mut there: Vec<_> = there.filter(|id| agents.contains(id)).collect();
                there.sort_unstable();
                prop_assert_eq!(named, there);
            }
        }
    }
}
