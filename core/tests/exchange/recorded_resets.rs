//! Recorded runs of real gateways whose hub is reset after any frame. The next hub has nothing but
//! the rows, and is reset once more after any of its own requests was answered.

use std::collections::{BTreeMap, BTreeSet};

use clawfront_core::access::usage::Counter;
use clawfront_core::hub::Input;
use serde_json::{Value, json};

use crate::kept::FIELDS;
use crate::replay::{RUN_ID, Recorded, recording};
use crate::scenario::CHALLENGE;
use crate::shared::{IDLE_MS, Shared, UNREACHABLE, ended};
use crate::transcripts::RUNS;

/// The run of the recordings.
const NUMBER: usize = 0xAA;

/// Most steps of the time after the last reset.
const MAX_STEPS: usize = 2_000;

/// The state of the run when the next hub asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It has ended as it was recorded.
    Ended,
    /// It goes on, and ends as it was recorded.
    Going,
    /// The gateway was restarted: its sessions are all that it knows.
    Restarted,
    /// No gateway is reached any more.
    Away,
}

const FATES: [Fate; 4] = [Fate::Ended, Fate::Going, Fate::Restarted, Fate::Away];

/// A recorded run.
struct Run {
    frames: Vec<Recorded>,
    hello: Option<Value>,
    /// The gateway's last response to the request for it.
    last: Option<Value>,
    /// The gateway has it.
    is_accepted: bool,
    /// It was started by this request.
    is_own: bool,
    /// The texts of its items.
    texts: Vec<(String, String)>,
    /// How the stream of its client ends if nothing is reset.
    end: End,
}

/// The part of the run that a gateway knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knows {
    Nothing,
    /// The message, in its session.
    Message,
    Run,
}

/// A gateway that has the run.
struct Gateway<'a> {
    run: &'a Run,
    fate: Fate,
    knows: Knows,
    /// The recorded frames that were sent.
    sent: usize,
    is_aborted: bool,
    is_connected: bool,
    /// The connections that were made, or refused.
    connections: usize,
    /// The times that it started the run.
    starts: usize,
}

/// Most answers of the gateway before the second reset.
const MAX_ANSWERS: usize = 6;

/// How a client's stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Answer {
        text: String,
        finish: String,
    },
    Failure,
    /// It is not in the recording.
    Unknown,
}

impl End {
    /// Returns the paragraphs of the answer, in any order.
    fn paragraphs(&self) -> BTreeSet<&str> {
        match self {
            Self::Answer { text, .. } => text.split("\n\n").collect(),
            Self::Failure | Self::Unknown => BTreeSet::new(),
        }
    }
}

fn end_of(body: &str) -> End {
    let (mut text, mut finish) = (String::new(), None);
    for event in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let Ok(event) = serde_json::from_str::<Value>(event) else {
            continue;
        };
        let choice = &event["choices"][0];
        text += choice["delta"]["content"].as_str().unwrap_or_default();
        finish = choice["finish_reason"]
            .as_str()
            .map(str::to_owned)
            .or(finish);
    }
    match finish {
        Some(finish) => End::Answer { text, finish },
        None if body.contains(r#"{"error":"#) => End::Failure,
        None => End::Unknown,
    }
}

impl Run {
    fn is_v4(&self) -> bool {
        let hello = self.hello.as_ref();
        hello.is_none_or(|hello| hello["payload"]["protocol"] == 4)
    }

    fn read(name: &str, nth: usize) -> Self {
        let frames = recording(name, nth);
        let (mut hello, mut last) = (None, None);
        let (mut is_accepted, mut is_own) = (false, false);
        let mut texts: Vec<(String, String)> = Vec::new();
        for item in &frames {
            let Recorded::Frame(text) = item else {
                continue;
            };
            let frame: Value = serde_json::from_str(text).unwrap();
            if frame["payload"]["type"] == "hello-ok" {
                hello = Some(frame);
            } else if frame["type"] == "res" && (frame["id"] == "2" || frame["id"] == "3") {
                is_accepted |= frame["ok"] == true;
                is_own |= frame["payload"]["status"] == "accepted";
                last = Some(frame);
            } else if frame["payload"]["runId"] == RUN_ID
                && frame["payload"]["stream"] == "assistant"
            {
                let data = &frame["payload"]["data"];
                let [item, text] = ["itemId", "text"].map(|name| data[name].as_str());
                let item = item.unwrap_or_default();
                if texts.last().is_none_or(|(last, _)| last != item) {
                    texts.push((item.to_owned(), String::new()));
                }
                if let (Some((_, last)), Some(text)) = (texts.last_mut(), text) {
                    text.clone_into(last);
                }
            }
        }
        // The end of some runs is not in their recordings.
        let is_open = |last: &&mut Value| {
            let status = &last["payload"]["status"];
            status == "accepted" || status == "in_flight"
        };
        if let Some(last) = last.as_mut().filter(is_open) {
            last["payload"] = ended("hi");
        }
        let mut shared = Shared::new(IDLE_MS);
        let run = Self {
            frames,
            hello,
            last,
            is_accepted,
            is_own,
            texts,
            end: End::Unknown,
        };
        let mut gateway = Gateway::new(&run, Fate::Ended);
        let client = shared.attempt(NUMBER, 0, FIELDS[0]).unwrap();
        for _ in &run.frames {
            gateway.send_next(&mut shared, true);
        }
        let end = end_of(&shared.clients[client].body);
        Self { end, ..run }
    }
}

impl<'a> Gateway<'a> {
    fn new(run: &'a Run, fate: Fate) -> Self {
        Self {
            run,
            fate,
            knows: Knows::Nothing,
            sent: 0,
            is_aborted: false,
            is_connected: false,
            connections: 0,
            starts: 0,
        }
    }

    /// Sends the next recorded frame.
    fn send_next(&mut self, shared: &mut Shared, is_of_this_connection: bool) {
        let Some(item) = self.run.frames.get(self.sent) else {
            return;
        };
        self.sent += 1;
        shared.now_ms += 1;
        match item {
            Recorded::Closed(code) if is_of_this_connection => {
                shared.give(Input::Closed { code: *code });
            }
            Recorded::Closed(_) => {}
            Recorded::Frame(text) => {
                if is_of_this_connection || !text.contains(r#""type":"res""#) {
                    shared.frame(text);
                }
            }
        }
    }

    fn connect(&mut self, shared: &mut Shared) {
        self.connections = shared.connects;
        let hello = self.run.hello.as_ref().filter(|_| self.fate != Fate::Away);
        let Some(mut hello) = hello.cloned() else {
            shared.give(Input::Failed(UNREACHABLE));
            return;
        };
        shared.frame(CHALLENGE);
        if shared.methods() != ["connect"] {
            return;
        }
        shared.requests.clear();
        // A gateway that was restarted is another process.
        if self.fate == Fate::Restarted && hello["payload"]["server"]["bootId"].is_string() {
            hello["payload"]["server"]["bootId"] = "another".into();
        }
        self.is_connected = true;
        shared.frame(&hello.to_string());
    }

    fn has_ended(&self) -> bool {
        self.is_aborted || self.fate != Fate::Going || self.sent >= self.run.frames.len()
    }

    /// Answers the oldest request.
    fn answer(&mut self, shared: &mut Shared) {
        let request = shared.requests.remove(0);
        let params = &request["params"];
        let method = request["method"].as_str().unwrap();
        let is_claim = params["agentId"] == "clawfront-nobody";
        let is_known = self.knows == Knows::Run;
        let mut response = match method {
            "agent" if is_claim && !is_known => json!({
                "ok": false, "error": { "code": "INVALID_REQUEST", "message": "unknown agent" },
            }),
            "agent" if is_known && self.is_aborted => json!({
                "ok": true, "payload": { "runId": RUN_ID, "status": "timeout", "result": {
                    "payloads": [], "meta": { "aborted": true } } },
            }),
            "agent" if is_known && !self.has_ended() => json!({
                "ok": true, "payload": { "runId": RUN_ID, "status": "in_flight" },
            }),
            "agent" => {
                if !is_known && self.run.is_accepted {
                    self.knows = Knows::Run;
                    self.starts += 1;
                }
                self.run.last.clone().unwrap()
            }
            "agent.wait" => {
                let payload = if is_known && self.has_ended() {
                    json!({ "runId": RUN_ID, "status": "ok", "endedAt": shared.now_ms })
                } else {
                    json!({ "runId": RUN_ID, "status": "timeout" })
                };
                json!({ "ok": true, "payload": payload })
            }
            "chat.abort" => {
                self.is_aborted |= !self.has_ended();
                json!({ "ok": true, "payload": { "ok": true } })
            }
            "sessions.get" | "chat.history" => {
                json!({ "ok": true, "payload": { "messages": self.rows() } })
            }
            "agents.list" => json!({ "ok": true, "payload": { "agents": [{ "id": "main" }] } }),
            _ => json!({ "ok": true, "payload": { "subscribed": true } }),
        };
        response["type"] = "res".into();
        response["id"] = request["id"].clone();
        shared.frame(&response.to_string());
    }

    /// Returns the rows of the session: the gateway writes the answer when the run has ended.
    fn rows(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        if self.knows != Knows::Nothing {
            rows.push(json!({
                "role": "user", "content": "hi", "idempotencyKey": format!("{RUN_ID}:user"),
            }));
        }
        if let End::Answer { finish, .. } = &self.run.end
            && self.knows == Knows::Run
            && !self.is_aborted
            && self.has_ended()
        {
            for (_, text) in &self.run.texts {
                rows.push(json!({
                    "role": "assistant", "stopReason": "toolUse",
                    "content": [{ "type": "text", "text": text }],
                }));
            }
            rows.push(json!({ "role": "assistant", "stopReason": finish, "content": [] }));
        }
        rows
    }
}

/// Replays a recording, and resets the hub: after `cut` frames, and again after the next hub had
/// `answers` answers. Returns if the run was asked for before that, and how the retry's stream ended,
/// if the hub took the retry.
fn reset_at(
    run: &Run,
    (cut, answers): (usize, usize),
    fields: &str,
    fate: Fate,
    place: &str,
) -> (bool, Option<End>) {
    let mut shared = Shared::new(IDLE_MS);
    let mut gateway = Gateway::new(run, fate);
    shared.attempt(NUMBER, 0, fields).unwrap();
    for _ in 0..cut {
        gateway.send_next(&mut shared, true);
    }
    gateway.connections = shared.connects;
    let is_asked = shared.methods().contains(&"agent");
    if is_asked && run.is_accepted {
        assert!(shared.storage.runs.contains_key(RUN_ID), "{place}: no row");
        gateway.starts += 1;
        gateway.knows = match fate {
            Fate::Restarted => Knows::Message,
            _ => Knows::Run,
        };
    }
    shared.reset();
    let mut retry = shared.attempt(NUMBER, 1, fields);
    let mut left = answers;
    let mut is_reset_again = false;
    for _ in 0..MAX_STEPS {
        if left == 0 && !is_reset_again {
            shared.reset();
            (is_reset_again, gateway.is_connected) = (true, false);
            retry = shared.attempt(NUMBER, 2, fields);
        }
        let disconnects = shared.disconnects;
        if gateway.connections < shared.connects {
            gateway.connect(&mut shared);
        } else if gateway.is_connected && !shared.requests.is_empty() {
            gateway.answer(&mut shared);
            left = left.saturating_sub(1);
        } else if fate == Fate::Going
            && gateway.knows == Knows::Run
            && gateway.sent < run.frames.len()
        {
            gateway.send_next(&mut shared, false);
        } else if let Some(at_ms) = shared.hub.wake_at_ms() {
            shared.now_ms = shared.now_ms.max(at_ms);
            shared.give(Input::Tick);
        } else {
            break;
        }
        if disconnects != shared.disconnects {
            gateway.is_connected = false;
        }
    }
    assert_eq!(shared.hub.wake_at_ms(), None, "{place}: it goes on forever");
    assert!(
        shared
            .clients
            .iter()
            .all(|client| client.has_ended && client.account.is_none()),
        "{place}: an exchange does not end"
    );
    let row = shared.storage.runs.get(RUN_ID);
    assert!(
        row.is_none_or(|row| !row.starts_with("0\t")),
        "{place}: the row is that of a run that is going"
    );
    let usage = shared.usage_of(NUMBER);
    let counted = usage.get(Counter::Runs);
    assert!(counted <= 1, "{place}: counted {counted} times");
    if gateway.starts > 0 && run.is_own {
        assert_eq!(counted, 1, "{place}: not counted");
    }
    // A gateway of protocol 3 that was restarted remembers no run.
    let most = if fate == Fate::Restarted && !run.is_v4() {
        2
    } else {
        1
    };
    assert!(
        gateway.starts <= most,
        "{place}: started {} times",
        gateway.starts
    );
    let ends = [Counter::Answers, Counter::Stopped, Counter::OtherFailures];
    let outcomes: BTreeMap<&str, u64> = Counter::ALL
        .iter()
        .filter(|counter| usage.get(**counter) > 0)
        .map(|counter| (counter.name(), usage.get(*counter)))
        .collect();
    assert!(
        ends.iter().map(|end| usage.get(*end)).sum::<u64>() <= 1,
        "{place}: {outcomes:?}"
    );
    let end = retry.map(|client| end_of(&shared.clients[client].body));
    (is_asked, end)
}

/// Checks how the retry's stream ended.
fn check(run: &Run, fate: Fate, is_asked: bool, end: &End, place: &str) {
    match (fate, &run.end) {
        // The run is started again on protocol 3, and where it was not asked for.
        (Fate::Restarted, _) if !run.is_v4() || !is_asked => {}
        (Fate::Restarted | Fate::Away, _) => assert_eq!(*end, End::Failure, "{place}"),
        (_, End::Unknown) => {}
        // Protocol 3 does not say which of several texts are of a failed attempt.
        (_, End::Answer { text, .. }) if !run.is_v4() && text.contains("\n\n") => {
            assert!(*end == run.end || *end == End::Failure, "{place}");
        }
        // The rows have a message that a tool sent, and it looks like an answer.
        (_, expected) if place.contains("message_tool") => {
            let is_whole = end.paragraphs() == expected.paragraphs();
            assert!(*end == End::Failure || is_whole, "{place}");
        }
        (_, expected) => assert_eq!(end, expected, "{place}"),
    }
}

fn check_all(version: &str, fewest: usize) {
    let (mut cells, mut retries) = (0, 0);
    for (name, nth, _) in RUNS.iter().filter(|(name, ..)| name.starts_with(version)) {
        let run = Run::read(name, *nth);
        for cut in 0..=run.frames.len() {
            for (index, fate) in FATES.into_iter().enumerate() {
                let turn = cut + index;
                let fields = FIELDS[turn % FIELDS.len()];
                let answers = turn / FIELDS.len() % MAX_ANSWERS;
                let place =
                    format!("{name}, {fields}, {fate:?}, after {cut} frames and {answers} answers");
                let (is_asked, end) = reset_at(&run, (cut, answers), fields, fate, &place);
                cells += 1;
                if let Some(end) = end {
                    retries += 1;
                    check(&run, fate, is_asked, &end, &place);
                }
            }
        }
    }
    assert!(cells > fewest && retries > fewest, "{cells}, {retries}");
}

#[test]
fn every_recorded_run_of_protocol_4_survives_a_reset_after_any_frame() {
    check_all("latest", 3_500);
}

#[test]
fn every_recorded_run_of_protocol_3_survives_a_reset_after_any_frame() {
    check_all("march", 2_000);
}
