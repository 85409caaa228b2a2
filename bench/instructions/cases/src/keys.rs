//! What is done for each request before there is a connection, and for each isolate before there is a request.

use std::hint::black_box;

use clawfront_core::bearer;
use clawfront_core::config::Config;
use clawfront_core::key::{KeyId, NewKey, SECRET_BYTES};
use clawfront_core::openai::chat::{self, Accepted, Entropy};
use clawfront_core::respond::Common;

use crate::Stage;
use crate::frames::NOW_MS;

/// As many as one secret of the platform holds.
const KEYS: u8 = 40;
/// In the middle.
const OURS: u8 = KEYS / 2;

const ENTROPY: Entropy = Entropy {
    run: [0xAA; 16],
    session: [0xBB; 16],
};

pub(crate) fn configuration() -> Stage {
    let keys: &str = Box::leak(client_keys().into_boxed_str());
    Box::new(move || Box::new(move || parse(black_box(keys)).clients.iter().count()))
}

pub(crate) fn right_key() -> Stage {
    let config = config();
    let header: &str = Box::leak(format!("Bearer {}", *key(OURS).plaintext).into_boxed_str());
    Box::new(move || {
        Box::new(move || {
            let client = bearer::admit(&config.clients, Some(black_box(header)), NOW_MS, None).expect("it is right");
            client.id.as_str().len()
        })
    })
}

pub(crate) fn wrong_key() -> Stage {
    let config = config();
    let wrong = NewKey::from_entropy(&id(OURS), &[0xA5; SECRET_BYTES]);
    let header: &str = Box::leak(format!("Bearer {}", *wrong.plaintext).into_boxed_str());
    Box::new(move || {
        Box::new(move || {
            let refused =
                bearer::admit(&config.clients, Some(black_box(header)), NOW_MS, None).expect_err("it is wrong");
            let (head, body) = common().refuse(&refused);
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

/// What a chat client sends: its first message, or all of a conversation.
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
    let client = config.clients.iter().nth(usize::from(OURS)).expect("there are 40");
    let request = chat::Request {
        body: body.as_bytes(),
        header: &|_| None,
        is_repeated: false,
    };
    chat::accept(&request, client, &config.aliases, &ENTROPY).expect("it can be done")
}

pub(crate) fn common() -> Common {
    Common {
        request_id: "req_0123456789abcdef0123456789abcdef".to_owned(),
        ..Common::default()
    }
}

/// That of a deployment, with a device.
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
        .map(|n| format!("{} {} agents=main,notes default=main rpm=30", id(n), key(n).hash))
        .collect();
    entries.join("\n")
}

fn key(n: u8) -> NewKey {
    NewKey::from_entropy(&id(n), &[n + 1; SECRET_BYTES])
}

fn id(n: u8) -> KeyId {
    KeyId::parse(&format!("key-{n:02}")).expect("it is an id")
}
