//! A gateway that keeps its own books of four runs, and a hub in front of it that is reset.

use std::collections::BTreeMap;

use clawfront_core::access::usage::Counter;
use clawfront_core::hub::Input;
use serde_json::{Value, json};

use crate::kept::FIELDS;
use crate::scenario::{CHALLENGE, HELLO};
use crate::shared::{IDLE_MS, Shared};

/// Runs, each of a request of its own.
pub(crate) const RUNS: usize = 4;

/// Time for which a gateway remembers the end of a run.
const REMEMBERED_MS: u64 = 300_000;

/// Prompt tokens of each run.
const TOKENS: u64 = 7;

/// One step of a random history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A client sends its request, or sends it again.
    Attempt {
        number: usize,
    },
    HangUp {
        nth: usize,
    },
    /// The hub is reset, and made again from its rows.
    Reset,
    Connect,
    Close,
    /// The gateway answers its oldest requests.
    Answer {
        count: usize,
    },
    /// A run ends.
    Finish {
        number: usize,
    },
    /// The gateway is restarted. Its sessions outlive that.
    Restart,
    Pass {
        ms: u64,
    },
}

/// The gateway's own books.
#[derive(Default)]
struct Gateway {
    runs: BTreeMap<String, Run>,
    boots: usize,
    connections: usize,
    is_connected: bool,
}

#[derive(Default)]
struct Run {
    started: usize,
    is_remembered: bool,
    ended_ms: Option<u64>,
    is_aborted: bool,
    session: String,
    /// The request that started it, and its connection.
    asked_by: (usize, Value),
}

impl Run {
    fn end(&mut self, is_aborted: bool, now_ms: u64) {
        if self.ended_ms.is_none() {
            self.ended_ms = Some(now_ms);
            self.is_aborted = is_aborted;
        }
    }

    fn payload(&self) -> Value {
        if self.ended_ms.is_none() {
            return json!({ "status": "in_flight" });
        }
        let meta = json!({ "agentMeta": { "usage": { "input": TOKENS, "output": 1 } } });
        let result = json!({ "payloads": [{ "text": "hi" }], "meta": meta });
        let status = if self.is_aborted { "timeout" } else { "ok" };
        json!({ "status": status, "result": result })
    }
}

impl Gateway {
    fn connect(&mut self, shared: &mut Shared) {
        shared.frame(CHALLENGE);
        if shared.methods() != ["connect"] {
            return;
        }
        self.connections += 1;
        self.is_connected = true;
        shared.requests.clear();
        let server = format!(r#""protocol":4,"server":{{"bootId":"{}"}}"#, self.boots);
        shared.frame(&HELLO.replace(r#""protocol":4"#, &server));
    }

    fn answer(&mut self, shared: &mut Shared) {
        if !self.is_connected || shared.requests.is_empty() {
            return;
        }
        let request = shared.requests.remove(0);
        let params = &request["params"];
        let text = |name: &str| params[name].as_str().unwrap_or_default().to_owned();
        let connection = self.connections;
        let now_ms = shared.now_ms;
        let result = match request["method"].as_str().unwrap() {
            "agent" => {
                let is_claim = params["agentId"] == "clawfront-nobody";
                let run = self.runs.entry(text("idempotencyKey")).or_default();
                let is_over = |ended_ms: u64| now_ms >= ended_ms + REMEMBERED_MS;
                run.is_remembered &= !run.ended_ms.is_some_and(is_over);
                if run.is_remembered {
                    Ok(run.payload())
                } else if is_claim {
                    Err("INVALID_REQUEST")
                } else {
                    run.started += 1;
                    run.is_remembered = true;
                    run.session = text("sessionKey");
                    run.asked_by = (connection, request["id"].clone());
                    Ok(json!({ "status": "accepted" }))
                }
            }
            "agent.wait" => {
                let run = self.runs.get(&text("runId"));
                let ended_ms = run
                    .filter(|run| run.is_remembered)
                    .and_then(|run| run.ended_ms);
                Ok(match ended_ms {
                    Some(ended_ms) => json!({ "status": "ok", "endedAt": ended_ms }),
                    None => json!({ "status": "timeout" }),
                })
            }
            "chat.abort" => {
                let run = text("runId");
                self.finish(shared, &run, true);
                Ok(json!({ "ok": true }))
            }
            "sessions.get" => {
                let key = text("key");
                let found = self.runs.iter().find(|(_, run)| run.session == key);
                let rows = found.map(|(id, run)| {
                    let mut rows = vec![json!({
                        "role": "user", "content": "hi", "idempotencyKey": format!("{id}:user"),
                    })];
                    if run.ended_ms.is_some() && !run.is_aborted {
                        rows.push(json!({
                            "role": "assistant", "stopReason": "stop",
                            "content": [{ "type": "text", "text": "hi" }],
                        }));
                    }
                    rows
                });
                Ok(json!({ "messages": rows.unwrap_or_default() }))
            }
            _ => Ok(json!({ "subscribed": true })),
        };
        let id = request["id"].clone();
        let response = match result {
            Ok(payload) => json!({ "type": "res", "id": id, "ok": true, "payload": payload }),
            Err(code) => json!({ "type": "res", "id": id, "ok": false, "error": { "code": code } }),
        };
        shared.frame(&response.to_string());
    }

    /// Ends a run. Its final response goes to the connection that started it.
    fn finish(&mut self, shared: &mut Shared, id: &str, is_aborted: bool) {
        let Some(run) = self.runs.get_mut(id).filter(|run| run.started > 0) else {
            return;
        };
        if run.ended_ms.is_some() {
            return;
        }
        run.end(is_aborted, shared.now_ms);
        let (connection, request) = run.asked_by.clone();
        if self.is_connected && connection == self.connections {
            let payload = run.payload();
            let response = json!({ "type": "res", "id": request, "ok": true, "payload": payload });
            shared.frame(&response.to_string());
        }
    }

    fn restart(&mut self, shared: &mut Shared) {
        self.boots += 1;
        for run in self.runs.values_mut() {
            run.is_remembered = false;
            run.end(true, shared.now_ms);
        }
        shared.give(Input::Closed { code: 1012 });
    }
}

fn run_of(number: usize) -> String {
    format!("{number:02x}").repeat(16)
}

/// A hub with its gateway, and what has happened to them.
pub(crate) struct History {
    shared: Shared,
    gateway: Gateway,
    attempts: [u32; RUNS + 1],
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            shared: Shared::new(IDLE_MS),
            gateway: Gateway::default(),
            attempts: [0; RUNS + 1],
        }
    }

    /// Takes a step, after which no run may have been started twice.
    pub(crate) fn step(&mut self, step: Step) {
        let Self {
            shared,
            gateway,
            attempts,
        } = self;
        let before = (shared.connects, shared.disconnects);
        match step {
            Step::Attempt { number } => {
                let fields = FIELDS[number % FIELDS.len()];
                if shared.attempt(number, attempts[number], fields).is_some() {
                    attempts[number] += 1;
                }
            }
            Step::HangUp { nth } if nth < shared.clients.len() => {
                let id = shared.clients[nth].id;
                if !shared.clients[nth].has_ended {
                    shared.give(Input::HungUp(id));
                }
            }
            Step::Reset => {
                shared.reset();
                gateway.is_connected = false;
            }
            Step::Connect if !gateway.is_connected => gateway.connect(shared),
            Step::Close => shared.give(Input::Closed { code: 1006 }),
            Step::Answer { count } => {
                for _ in 0..count {
                    gateway.answer(shared);
                }
            }
            Step::Finish { number } => gateway.finish(shared, &run_of(number), false),
            Step::Restart => gateway.restart(shared),
            Step::Pass { ms } => shared.pass_ms(ms),
            _ => {}
        }
        if before != (shared.connects, shared.disconnects) {
            gateway.is_connected = false;
        }
        for (id, run) in &gateway.runs {
            assert!(run.started <= 1, "{id} was started {} times", run.started);
        }
    }

    /// In the end the gateway answers everything, and every run ends: once in the books of each.
    pub(crate) fn end(mut self) {
        let Self {
            shared, gateway, ..
        } = &mut self;
        for _ in 0..2_000 {
            for number in 1..=RUNS {
                gateway.finish(shared, &run_of(number), false);
            }
            let before = (shared.connects, shared.disconnects);
            if !gateway.is_connected {
                gateway.connect(shared);
            }
            while gateway.is_connected && !shared.requests.is_empty() {
                gateway.answer(shared);
            }
            let Some(at_ms) = shared.hub.wake_at_ms() else {
                break;
            };
            shared.now_ms = shared.now_ms.max(at_ms);
            shared.give(Input::Tick);
            if before != (shared.connects, shared.disconnects) {
                gateway.is_connected = false;
            }
        }
        assert!(shared.clients.iter().all(|client| client.account.is_none()));
        for number in 1..=RUNS {
            let run = gateway.runs.get(&run_of(number));
            let started = run.map_or(0, |run| run.started);
            assert!(started <= 1);
            let usage = shared.usage_of(number);
            let counted = usage.get(Counter::Runs);
            assert!(counted <= 1, "{number} was counted {counted} times");
            assert!(
                counted >= u64::try_from(started).unwrap(),
                "{number} was not counted"
            );
            let (answers, tokens) = (usage.get(Counter::Answers), usage.get(Counter::InputTokens));
            assert!(
                answers == 0 || tokens == TOKENS || tokens == 0,
                "{tokens} tokens"
            );
            if let Some(row) = shared.storage.runs.get(&run_of(number)) {
                assert!(
                    !row.starts_with("0\t"),
                    "the row is that of a run that is going"
                );
            }
        }
    }
}
