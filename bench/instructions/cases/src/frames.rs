//! Frames of a gateway. Source: OpenClaw 2026.9.6 (protocol 4) and 2026.3.13 (protocol 3),
//! recorded.

/// Our run id, as `keys::ENTROPY` makes it.
pub(crate) const RUN_ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER_RUN_ID: &str = "821ae037-862d-4663-b874-2c2f166e920a";
const SESSION_KEY: &str = "agent:main:clawfront:key-20:1795374174410";
const ITEM_ID: &str = "80979dac-5610-4ed0-88fd-77b04613b736:1";
pub(crate) const NOW_MS: u64 = 1_795_374_190_164;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    V3,
    V4,
}

use Protocol::{V3, V4};

impl Protocol {
    /// The id of our request `agent`: on protocol 4 we subscribe first.
    fn agent_id(self) -> u32 {
        match self {
            V3 => 2,
            V4 => 3,
        }
    }
}

/// Returns an answer with this number of deltas.
pub(crate) fn answer(deltas: usize) -> Vec<Delta> {
    let mut text = String::new();
    (0..deltas)
        .map(|nth| {
            let new = format!("{}w{nth}", if nth == 0 { "" } else { " " });
            text.push_str(&new);
            Delta {
                nth,
                text: text.clone(),
                new,
            }
        })
        .collect()
}

/// The data of the frames that the gateway sends for each new piece of text.
pub(crate) struct Delta {
    pub(crate) nth: usize,
    /// The whole text so far.
    text: String,
    new: String,
}

pub(crate) fn challenge(protocol: Protocol) -> String {
    let more = match protocol {
        V3 => "",
        V4 => r#","capabilities":["model-catalog-snapshot"]"#,
    };
    format!(
        r#"{{"type":"event","event":"connect.challenge","payload":{{"nonce":"87615eab-3225-45bf-832b-4632d9a6a79e","ts":{NOW_MS}{more}}}}}"#
    )
}

pub(crate) fn hello(protocol: Protocol) -> String {
    let (version, server, recorded, auth) = match protocol {
        V3 => (
            3,
            r#"{"version":"2026.3.13","connId":"4b1bff47-6287-47ae-bc68-6ab6a7aa68d0"}"#,
            include_str!("../../../../sim/src/recorded/hello-3.json"),
            "",
        ),
        V4 => (
            4,
            r#"{"version":"2026.9.6","connId":"1d56f363-6a21-4b35-a681-e8372c8a9c1f"}"#,
            include_str!("../../../../sim/src/recorded/hello-4.json"),
            r#""auth":{"method":"device-token","role":"operator","scopes":["operator.read","operator.write"]},"#,
        ),
    };
    let (parts, policy) = recorded
        .trim()
        .rsplit_once(r#""policy":"#)
        .expect("hello-ok has a policy");
    let parts = parts.strip_prefix('{').expect("hello-ok is an object");
    format!(
        r#"{{"type":"res","id":"1","ok":true,"payload":{{"type":"hello-ok","protocol":{version},"server":{server},{parts}{auth}"policy":{policy}}}"#
    )
}

pub(crate) fn accepted(protocol: Protocol) -> String {
    format!(
        r#"{{"type":"res","id":"{}","ok":true,"payload":{{"runId":"{RUN_ID}","status":"accepted","acceptedAt":{NOW_MS}}}}}"#,
        protocol.agent_id()
    )
}

/// `seq` counts the events of the connection.
pub(crate) fn agent_event(protocol: Protocol, delta: &Delta, seq: usize) -> String {
    event_of(RUN_ID, protocol, delta, seq)
}

pub(crate) fn foreign_event(protocol: Protocol, delta: &Delta, seq: usize) -> String {
    event_of(OTHER_RUN_ID, protocol, delta, seq)
}

fn event_of(
    run_id: &str,
    protocol: Protocol,
    Delta { nth, text, new }: &Delta,
    seq: usize,
) -> String {
    let (item, agent) = match protocol {
        V3 => (String::new(), ""),
        V4 => (format!(r#","itemId":"{ITEM_ID}""#), r#","agentId":"main""#),
    };
    format!(
        r#"{{"type":"event","event":"agent","payload":{{"runId":"{run_id}","stream":"assistant","data":{{"text":"{text}","delta":"{new}"{item}}},"sessionKey":"{SESSION_KEY}"{agent},"seq":{nth},"ts":{NOW_MS}}},"seq":{seq}}}"#
    )
}

/// The same delta again.
pub(crate) fn chat_event(
    protocol: Protocol,
    Delta { nth, text, new }: &Delta,
    seq: usize,
) -> String {
    let (agent, delta) = match protocol {
        V3 => ("", String::new()),
        V4 => (r#","agentId":"main""#, format!(r#","deltaText":"{new}""#)),
    };
    format!(
        r#"{{"type":"event","event":"chat","payload":{{"runId":"{RUN_ID}","sessionKey":"{SESSION_KEY}"{agent},"seq":{nth},"state":"delta"{delta},"message":{{"role":"assistant","content":[{{"type":"text","text":"{text}"}}],"timestamp":{NOW_MS}}}}},"seq":{seq}}}"#
    )
}

/// Returns the response that ends the run, after an answer with this number of deltas.
pub(crate) fn end(protocol: Protocol, deltas: usize) -> String {
    let recorded = match protocol {
        V3 => include_str!("../../../../sim/src/recorded/meta-3.json"),
        V4 => include_str!("../../../../sim/src/recorded/meta-4.json"),
    };
    let whole = |deltas| {
        answer(deltas)
            .pop()
            .map(|last| last.text)
            .unwrap_or_default()
    };
    let text = whole(deltas);
    // The response repeats its answer, which had 30 deltas.
    let meta = recorded.trim().replace(&whole(30), &text);
    format!(
        r#"{{"type":"res","id":"{}","ok":true,"payload":{{"runId":"{RUN_ID}","status":"ok","summary":"completed","result":{{"payloads":[{{"text":"{text}","mediaUrl":null}}],"meta":{meta}}}}}}}"#,
        protocol.agent_id()
    )
}
