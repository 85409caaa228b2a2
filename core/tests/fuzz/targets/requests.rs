//! The target `requests`: requests with keys of every kind. `name: value` lines, a blank line, and a
//! body.

use std::sync::LazyLock;

use clawfront_core::access::grant::Grant;
use clawfront_core::agent::{AboutAgent, AgentId, AgentList};
use clawfront_core::exchange::Exchange;
use clawfront_core::failure::Failure;
use clawfront_core::http::head::ResponseMeta;
use clawfront_core::openai::chat::ChatWriter;
use clawfront_core::openai::error::ErrorResponse;
use clawfront_core::openai::models::Aliases;
use clawfront_core::openai::{Accepted, Delivery, Entropy, Request, Writer, chat, responses};
use clawfront_core::turn::{AgentChoice, Otherwise};
use serde_json::Value;

use crate::replay::{Alone, Input, START_MS, Shown, feed};

use super::SECRET;
use super::frames::{CHALLENGE, HELLO_4};
use super::gateway_request::check_run_params;
use super::keys::{one_client, phone};
use super::sessions::check_session_name;

/// The levels of thinking of the agent's model.
const LEVELS: [&str; 2] = ["off", "high"];

/// Sends a request of keys of every kind.
pub(super) fn run(text: &str) {
    static CLIENTS: LazyLock<Vec<Grant>> = LazyLock::new(|| {
        [
            "agents=main,beta default=main conversations=x-session-id",
            "agents=main,beta sessions=any tasks=inline",
            "agents=*",
        ]
        .map(|fields| one_client(&format!("phone {} {fields}", phone().hash)).unwrap())
        .to_vec()
    });
    static ALIASES: LazyLock<Aliases> =
        LazyLock::new(|| Aliases::parse("gpt-4o=main private=secret").unwrap());
    let (head, body) = text.split_once("\n\n").unwrap_or(("", text));
    let header = |wanted: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        fields
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value.to_owned())
    };
    for client in CLIENTS.iter() {
        let request = Request {
            body: body.as_bytes(),
            header: &header,
            caller: [0; 32],
            is_repeated: header("x-stainless-retry-count").is_some(),
        };
        let entropy = Entropy {
            run: [0xAA; 16],
            session: [0xBB; 16],
        };
        match chat::accept(&request, client, &ALIASES, &entropy) {
            Ok(accepted) => check_accepted(accepted, client),
            Err(failure) => check_refused(&failure),
        }
        match responses::accept(&request, client, &ALIASES, &entropy) {
            Ok(response) => {
                let id = response.unnamed_ids("00ff").response;
                assert!(
                    id.starts_with("resp_")
                        && id.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()),
                    "{id}"
                );
                check_accepted(response.accepted, client);
            }
            Err(failure) => check_refused(&failure),
        }
    }
}

fn check_accepted(mut accepted: Accepted, client: &Grant) {
    let main = AgentId::parse("main").unwrap();
    accepted.set_thinking(Some(&AgentList {
        agents: vec![main.clone()],
        default_agent: Some(main.clone()),
        about: vec![AboutAgent {
            id: main,
            name: None,
            context_tokens: None,
            input: None,
            thinking: LEVELS.map(str::to_owned).to_vec(),
        }],
    }));
    let turn = &accepted.turn;
    assert!(accepted.ignored.is_sorted());
    let agent = match &turn.agent {
        AgentChoice::Named(agent) => agent.clone(),
        AgentChoice::GatewayDefault(agents) => {
            assert_eq!(*agents, client.agents);
            AgentId::parse("main").unwrap()
        }
    };
    assert!(client.agents.allows(&agent), "{agent}");
    let key = turn.session.key(&agent);
    let name = key.as_str().strip_prefix(&format!("agent:{agent}:"));
    check_session_name(name.unwrap_or_else(|| panic!("{key:?}")), client.sessions);

    // The frame for the gateway has the parsed values, under the names on our list.
    let (mut message, earlier) = (turn.message.clone(), turn.earlier.clone());
    let mut images = turn.attachments.len();
    let is_named = matches!(turn.agent, AgentChoice::Named(_));
    let writer = ChatWriter::new(
        Delivery::Whole,
        "chatcmpl-00ff".to_owned(),
        accepted.model,
        1,
    );
    let mut exchange = Alone::new(Exchange::new(
        accepted.turn,
        Writer::Chat(writer),
        ResponseMeta::default(),
        client.streams,
        START_MS,
    ));
    let mut shown = Shown::default();
    feed(&mut exchange, Input::Frame(CHALLENGE), START_MS, &mut shown);
    feed(&mut exchange, Input::Frame(HELLO_4), START_MS, &mut shown);
    if !is_named {
        let list = r#"{"type":"res","id":"2","ok":true,"payload":{"defaultId":"main","agents":[{"id":"main"}]}}"#;
        feed(&mut exchange, Input::Frame(list), START_MS, &mut shown);
    }
    let mut asked: Value = serde_json::from_str(shown.frames.last().unwrap()).unwrap();
    if asked["method"] == "sessions.get" {
        assert_eq!(asked["params"]["key"], key.as_str());
        let rows = serde_json::json!({ "type": "res", "id": asked["id"], "ok": true, "payload": { "messages": [] } });
        feed(
            &mut exchange,
            Input::Frame(&rows.to_string()),
            START_MS,
            &mut shown,
        );
        asked = serde_json::from_str(shown.frames.last().unwrap()).unwrap();
        let Some(Otherwise::Send(whole)) = earlier.map(|earlier| earlier.otherwise) else {
            return;
        };
        message = whole.message;
        images += whole.images.len();
    }
    assert_eq!(asked["method"], "agent");
    let level = &asked["params"]["thinking"];
    assert!(
        level.is_null() || LEVELS.iter().any(|known| level == known),
        "{level}"
    );
    check_run_params(&asked["params"]);
    assert_eq!(asked["params"]["message"], message);
    let attached = asked["params"]["attachments"].as_array();
    assert_eq!(attached.map_or(0, Vec::len), images);
    assert!(images <= 8, "{images}");
    assert_eq!(asked["params"]["sessionKey"], key.as_str());
    assert_eq!(asked["params"]["agentId"], agent.as_str());
}

fn check_refused(failure: &Failure) {
    let response = ErrorResponse::of(failure);
    assert!((400..500).contains(&response.status), "{response:?}");
    assert!(
        !format!("{response:?}{:?}", failure.cause()).contains(SECRET),
        "{response:?}"
    );
}
