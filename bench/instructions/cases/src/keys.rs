//! Cases of the work for each request before there is a connection, and for each isolate before
//! there is a request.

use std::hint::black_box;

use clawfront_core::access::bearer::{self, Bearer};
use clawfront_core::access::key::{KeyId, NewKey, SECRET_BYTES};
use clawfront_core::config::Config;
use clawfront_core::failure::Failure;
use clawfront_core::http::head::ResponseMeta;
use clawfront_core::openai::error::refuse;
use clawfront_core::openai::{self, Accepted, Entropy, chat};

use crate::Stage;
use crate::frames::NOW_MS;

/// The number of keys that one secret of the platform can hold.
const KEYS: u8 = 40;
/// The key in the middle.
const OURS: u8 = KEYS / 2;

const ENTROPY: Entropy = Entropy {
    run: [0xAA; 16],
    session: [0xBB; 16],
};

pub(crate) fn configuration() -> Stage {
    let keys: &str = Box::leak(client_keys().into_boxed_str());
    Box::new(move || Box::new(move || parse(black_box(keys)).clients.iter().count()))
}

fn headers(key: &str) -> &'static bearer::Headers {
    Box::leak(Box::new(bearer::Headers {
        authorization: Some(format!("Bearer {key}")),
        ..bearer::Headers::default()
    }))
}

fn admit<'c>(config: &'c Config, headers: &bearer::Headers) -> Result<Bearer<'c>, Failure> {
    let secret = config.keys_secret.as_ref();
    bearer::admit(&config.clients, secret, headers, NOW_MS, None)
}

pub(crate) fn right_key() -> Stage {
    let config = config();
    let headers = headers(&key(OURS).plaintext);
    Box::new(move || {
        Box::new(move || {
            let client = admit(config, black_box(headers)).expect("it is right");
            client.id().map_or(0, |id| id.as_str().len())
        })
    })
}

pub(crate) fn wrong_key() -> Stage {
    let config = config();
    let wrong = NewKey::from_entropy(&id(OURS), &[0xA5; SECRET_BYTES]);
    let headers = headers(&wrong.plaintext);
    Box::new(move || {
        Box::new(move || {
            let refused = admit(config, black_box(headers)).expect_err("it is wrong");
            let (head, body) = refuse(&meta(), &refused);
            assert!(head.status == 401, "not a 401");
            body.len()
        })
    })
}

pub(crate) fn request(messages: usize) -> Stage {
    let config = config();
    let body: &str = Box::leak(body(messages).into_boxed_str());
    Box::new(move || Box::new(move || accept(config, black_box(body)).turn.message.len()))
}

/// Returns the body that a chat client sends: its first message, or a whole conversation.
fn body(messages: usize) -> String {
    let messages: Vec<String> = (0..messages)
        .map(|n| {
            // The last one is the user's.
            let role = if (messages - n) % 2 == 1 { "user" } else { "assistant" };
            format!(r#"{{"role":"{role}","content":"What is the answer to question {n}?\nIt is about \"work\"."}}"#)
        })
        .collect();
    format!(
        r#"{{"model":"openclaw","messages":[{}],"stream":true,"stream_options":{{"include_usage":true}},"temperature":0.7}}"#,
        messages.join(",")
    )
}

/// A request of one short message.
pub(crate) fn accepted(config: &Config) -> Accepted {
    accept(config, &body(1))
}

fn accept(config: &Config, body: &str) -> Accepted {
    let client = config
        .clients
        .iter()
        .nth(usize::from(OURS))
        .expect("there are 40");
    let request = openai::Request {
        body: body.as_bytes(),
        header: &|_| None,
        caller: [0; 32],
        is_repeated: false,
    };
    chat::accept(&request, client, &config.aliases, &ENTROPY).expect("it can be done")
}

pub(crate) fn meta() -> ResponseMeta {
    ResponseMeta {
        request_id: "req_0123456789abcdef0123456789abcdef".to_owned(),
        ..ResponseMeta::default()
    }
}

/// Returns the configuration of a deployment with a device.
pub(crate) fn config() -> &'static Config {
    Box::leak(Box::new(parse(&client_keys())))
}

fn parse(keys: &str) -> Config {
    Config::parse(|name| match name {
        "GATEWAY_URL" => Some("wss://gateway.test".to_owned()),
        "DEVICE_KEY" => Some("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE".to_owned()),
        "DEVICE_TOKEN" => Some("device-token".to_owned()),
        "CLIENT_KEYS" => Some(keys.to_owned()),
        _ => None,
    })
    .expect("nothing is wrong with it")
}

fn client_keys() -> String {
    let entries: Vec<String> = (0..KEYS)
        .map(|n| {
            format!(
                "{} {} agents=main,notes default=main rpm=30",
                id(n),
                key(n).hash
            )
        })
        .collect();
    entries.join("\n")
}

fn key(n: u8) -> NewKey {
    NewKey::from_entropy(&id(n), &[n + 1; SECRET_BYTES])
}

fn id(n: u8) -> KeyId {
    KeyId::parse(&format!("key-{n:02}")).expect("it is an id")
}
