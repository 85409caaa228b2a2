//! Runs compared frame by frame with runs recorded on the running gateways: the order of the
//! frames, and the fields of each.
//!
//! The recorded frames are trimmed: without ticks, presence, tasks and
//! `result.meta.systemPromptReport`, and with one frame of each kind for a stretch of text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::sim::{Sim, agent};

/// The report of a tool depends on the tool.
const LEFT_OUT: [&str; 2] = [
    "payload.data.partialResult.",
    "payload.data.result.details.",
];

macro_rules! recorded {
    ($($name:ident: $protocol:literal $file:literal $message:literal,)*) => {$(
        #[tokio::test]
        async fn $name() {
            compare($protocol, include_str!(concat!("../transcripts/", $file, ".jsonl")), $message).await;
        }
    )*};
}

recorded! {
    protocol_3_sends_an_answer_as_recorded: 3 "3-basic" "[[fake deltas=3 delay=5]]",
    protocol_3_sends_a_tool_as_recorded: 3 "3-tool" "[[fake deltas=4 delay=5 tool=exec]]",
    protocol_3_sends_a_refusal_as_recorded: 3 "3-err400" "[[fake error=400]]",
    protocol_3_sends_an_error_in_the_stream_as_recorded: 3 "3-streamerror" "[[fake deltas=6 delay=5 streamerror=3]]",
    protocol_3_sends_an_empty_answer_as_recorded: 3 "3-empty" "[[fake empty=1]]",
    protocol_3_sends_a_cut_answer_as_recorded: 3 "3-finish-length" "[[fake deltas=3 finish=length]]",
    protocol_3_sends_a_retry_as_recorded: 3 "3-retry" "[[fake deltas=6 delay=5 retry=1 cut=3]]",
    protocol_4_sends_an_answer_as_recorded: 4 "4-basic" "[[fake deltas=3 delay=5]]",
    protocol_4_sends_a_tool_as_recorded: 4 "4-tool" "[[fake deltas=4 delay=5 tool=exec]]",
    protocol_4_sends_a_refusal_as_recorded: 4 "4-err400" "[[fake error=400]]",
    protocol_4_sends_an_error_in_the_stream_as_recorded: 4 "4-streamerror" "[[fake deltas=6 delay=5 streamerror=3]]",
    protocol_4_sends_an_empty_answer_as_recorded: 4 "4-empty" "[[fake empty=1]]",
    protocol_4_sends_a_cut_answer_as_recorded: 4 "4-finish-length" "[[fake deltas=3 finish=length]]",
    protocol_4_sends_a_retry_as_recorded: 4 "4-retry" "[[fake deltas=6 delay=5 retry=1 cut=3]]",
    protocol_4_sends_thoughts_as_recorded: 4 "4-thinking" "[[fake deltas=4 delay=5 reasoning=6]]",
}

#[tokio::test]
async fn protocol_4_sends_an_abort_as_recorded() {
    let sim = Sim::start(4, &[]);
    let mut client = sim.client(&["tool-events"]).await;
    let params = agent("[[fake stall=3]]");
    let id = client.request("agent", &params).await;
    let mut frames = client.until(|frame| frame["event"] == "chat").await;
    let abort = json!({ "sessionKey": params["sessionKey"], "runId": params["idempotencyKey"] });
    client.request("chat.abort", &abort).await;
    frames.extend(client.until(|frame| frame["id"] == json!(id)).await);
    assert_same_shape(
        &lines(include_str!("../transcripts/4-abort.jsonl")),
        &frames,
    );
}

async fn compare(protocol: u32, recorded: &str, message: &str) {
    let sim = Sim::start(protocol, &[]);
    let mut client = sim.client(&["tool-events"]).await;
    let frames = client.run(message).await;
    assert_same_shape(&lines(recorded), &frames);
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The recording may end early, but the simulated run continues.
fn assert_same_shape(recorded: &[Value], simulated: &[Value]) {
    let simulated = as_far_as(recorded, simulated);
    assert_eq!(order(simulated), order(recorded));

    let (expected, simulated) = (fields(recorded), fields(simulated));
    for (kind, fields) in expected {
        let simulated = simulated.get(&kind).cloned().unwrap_or_default();
        let missing: Vec<_> = fields.difference(&simulated).collect();
        let surplus: Vec<_> = simulated.difference(&fields).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "{kind}: missing {missing:?}, surplus {surplus:?}"
        );
    }
}

/// Returns the frames up to the one that corresponds to the last recorded one.
fn as_far_as<'a>(recorded: &[Value], simulated: &'a [Value]) -> &'a [Value] {
    let last = kind(recorded.last().unwrap());
    let count = recorded.iter().filter(|frame| kind(frame) == last).count();
    let (end, _) = simulated
        .iter()
        .enumerate()
        .filter(|(_, frame)| kind(frame) == last)
        .nth(count.wrapping_sub(1))
        .unwrap();
    &simulated[..=end]
}

/// Returns the kinds of the frames in their order. The time at which a text is sent varies. So
/// consecutive text frames count as one, and the copies in `chat` as none. The model's thoughts,
/// tokens and first words may come in any order.
fn order(frames: &[Value]) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    let thinks = frames
        .iter()
        .any(|frame| frame["payload"]["stream"] == "thinking");
    for frame in frames {
        let kind = kind(frame);
        let unordered = thinks && (kind == "agent assistant" || kind == "agent usage");
        let same_stretch = kind == "agent assistant" && kinds.last() == Some(&kind);
        if !(unordered || same_stretch || kind == "task" || kind == "chat delta") {
            kinds.push(kind);
        }
    }
    // Thoughts also come in several frames, and a tool may report more than once.
    kinds.dedup_by(|next, before| next == before && next.starts_with("agent t"));
    kinds
}

/// The fields of each kind of frame.
fn fields(frames: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for frame in frames {
        collect("", frame, fields.entry(kind(frame)).or_default());
    }
    for paths in fields.values_mut() {
        paths.retain(|path| {
            !path.contains("systemPromptReport")
                && !LEFT_OUT.iter().any(|prefix| path.starts_with(prefix))
        });
    }
    fields
}

fn collect(path: &str, value: &Value, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => object
            .iter()
            .for_each(|(name, value)| collect(&format!("{path}{name}."), value, paths)),
        Value::Array(items) => items
            .iter()
            .for_each(|value| collect(&format!("{path}[]."), value, paths)),
        _ => {
            paths.insert(path.to_owned());
        }
    }
}

fn kind(frame: &Value) -> String {
    let payload = &frame["payload"];
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let replaces = payload["replace"] == json!(true) || payload["data"]["replace"] == json!(true);
    let mut kind = match frame["event"].as_str() {
        Some("agent") => {
            let data = &payload["data"];
            // "The model is called" and "the model is no longer called" are two kinds.
            let model = if data["phase"] == "model" && data["model"].is_null() {
                "none"
            } else {
                ""
            };
            format!(
                "agent {} {} {}{model}",
                text(&payload["stream"]),
                text(&data["kind"]),
                text(&data["phase"])
            )
        }
        Some("chat") => format!("chat {}", text(&payload["state"])),
        Some(event) => event.to_owned(),
        None => format!("response {}", text(&payload["status"])),
    };
    if replaces {
        kind.push_str(" replace");
    }
    kind.split_whitespace().collect::<Vec<_>>().join(" ")
}
