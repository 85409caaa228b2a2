//! A hub with several clients, and the gateway's side of its connection.

use std::collections::BTreeMap;

use clawfront_core::access::key::KeyId;
use clawfront_core::access::usage::Usage;
use clawfront_core::account::{Account, Change};
use clawfront_core::agent::AgentList;
use clawfront_core::exchange::Exchange;
use clawfront_core::failure::Failure;
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::gateway::endpoint::Request;
use clawfront_core::hub::{ExchangeId, Hub, Input, Orders};
use clawfront_core::openai::Delivery;
use clawfront_core::repeat::Requests;
use serde_json::{Value, json};

use crate::replay::{Record, START_MS, exchange_with, gateway, take_orders};
use crate::scenario::{CHALLENGE, HELLO};

pub(crate) const STREAM: Delivery = Delivery::Stream {
    include_usage: false,
};
pub(crate) const IDLE_MS: u64 = 300_000;
pub(crate) const UNREACHABLE: Failure = Failure::GatewayUnreachable(Diagnosis::ConnectionFailed);

/// A hub, its output, and the time.
pub(crate) struct Shared {
    pub(crate) hub: Hub,
    pub(crate) now_ms: u64,
    /// The requests that the gateway has not answered.
    pub(crate) requests: Vec<Value>,
    /// The requests for the gateway's HTTP endpoint.
    pub(crate) asked: Vec<(ExchangeId, Request)>,
    pub(crate) clients: Vec<Client>,
    pub(crate) connects: usize,
    pub(crate) disconnects: usize,
    pub(crate) answers: Vec<Result<AgentList, Failure>>,
    pub(crate) memory: Requests,
    pub(crate) usage: Usage,
    pub(crate) storage: Storage,
}

/// The rows that outlive the hub: of runs by their ids, and of usage by key.
#[derive(Default)]
pub(crate) struct Storage {
    pub(crate) runs: BTreeMap<String, String>,
    pub(crate) usage: BTreeMap<String, String>,
}

/// A client of the hub.
pub(crate) struct Client {
    pub(crate) id: ExchangeId,
    pub(crate) run: String,
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) record: Record,
    pub(crate) has_ended: bool,
    /// Set if the hub keeps its run.
    pub(crate) account: Option<(KeyId, Account)>,
}

impl Client {
    pub(crate) fn new(id: ExchangeId, run: String) -> Self {
        Self {
            id,
            run,
            status: 0,
            body: String::new(),
            record: Record::default(),
            has_ended: false,
            account: None,
        }
    }
}

impl Shared {
    pub(crate) fn new(idle_ms: u64) -> Self {
        Self {
            hub: Hub::new(idle_ms),
            now_ms: START_MS,
            requests: Vec::new(),
            asked: Vec::new(),
            clients: Vec::new(),
            connects: 0,
            disconnects: 0,
            answers: Vec::new(),
            memory: Requests::default(),
            usage: Usage::default(),
            storage: Storage::default(),
        }
    }

    /// A hub whose connection is ready.
    pub(crate) fn connected() -> Self {
        let mut shared = Self::new(IDLE_MS);
        shared.ask_agents();
        shared.shake_hands();
        shared.respond("agents.list", &json!({ "agents": [] }));
        shared.requests.clear();
        shared.answers.clear();
        shared
    }

    pub(crate) fn exchange(number: usize, headers: &[(&str, &str)]) -> Exchange {
        let hi = r#"{"model":"openclaw","messages":[{"role":"user","content":"hi"}]}"#;
        let number = u8::try_from(number).unwrap();
        exchange_with([number; 16], hi, headers, STREAM, "agents=main")
    }

    /// Begins an exchange of this run; returns the client's place.
    pub(crate) fn begin(&mut self, number: usize) -> usize {
        self.begin_with(number, &[])
    }

    pub(crate) fn begin_with(&mut self, number: usize, headers: &[(&str, &str)]) -> usize {
        let exchange = Self::exchange(number, headers);
        self.add(exchange, format!("{number:02x}").repeat(16))
    }

    /// Begins this exchange.
    pub(crate) fn add(&mut self, exchange: Exchange, run: String) -> usize {
        let id = self.hub.begin(exchange, None, self.now_ms);
        self.clients.push(Client::new(id, run));
        self.settle();
        self.clients.len() - 1
    }

    pub(crate) fn ask_agents(&mut self) {
        self.hub.ask_agents(self.now_ms);
        self.settle();
    }

    pub(crate) fn give(&mut self, input: Input<'_>) {
        self.hub.handle(input, gateway(), self.now_ms);
        self.settle();
    }

    pub(crate) fn frame(&mut self, text: &str) {
        self.give(Input::Frame { text, skipped: 0 });
    }

    pub(crate) fn shake_hands(&mut self) {
        self.frame(CHALLENGE);
        let server = r#""protocol":4,"server":{"bootId":"one"}"#;
        self.frame(&HELLO.replace(r#""protocol":4"#, server));
    }

    /// Passes time, and gives the hub every tick that is due.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while let Some(at_ms) = self.hub.wake_at_ms().filter(|at_ms| *at_ms <= until_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.give(Input::Tick);
        }
        self.now_ms = until_ms;
    }

    pub(crate) fn settle(&mut self) {
        while let Some((id, exchange, output)) = self.hub.next_output() {
            let client = self.clients.iter_mut().find(|client| client.id == id);
            let client = client.unwrap();
            let is_gone = client.has_ended;
            client.record.store(output);
            let request = output.request.take();
            self.asked.extend(request.map(|request| (id, request)));
            assert!(
                !is_gone || client.account.is_some(),
                "an output after the end"
            );
            if let Some((key, account)) = &client.account {
                if let Some(row) = account.row(exchange) {
                    self.storage.write(&self.usage, key, account.run(), row);
                }
                if output.ended {
                    account.end(exchange);
                }
                if output.ended && exchange.goes_on() {
                    client.has_ended = true;
                    output.clear();
                    self.hub.follow(id);
                    continue;
                }
            }
            if is_gone {
                output.head = None;
                output.body.clear();
            }
            if let Some(head) = output.head.take() {
                client.status = head.status;
            }
            client.body += std::str::from_utf8(&output.body).unwrap();
            client.has_ended |= output.ended;
            let (has_ended, end) = (output.ended, exchange.end());
            output.clear();
            if has_ended {
                let (_, receiver) = self.hub.remove(id, self.now_ms).unwrap();
                assert!(self.hub.exchange(id).is_none());
                if let Some(receiver) = receiver {
                    receiver.end(end, self.now_ms);
                }
                if let Some((key, account)) = client.account.take() {
                    match account.leave(&mut self.usage, self.now_ms) {
                        Change::None => {}
                        Change::Write(row) => {
                            self.storage.write(&self.usage, &key, account.run(), row);
                        }
                        Change::Delete => {
                            self.storage.runs.remove(account.run());
                        }
                    }
                }
            }
        }
        let Orders {
            frames,
            disconnect,
            connect,
            ..
        } = take_orders(&mut self.hub, self.now_ms);
        let frames = frames
            .iter()
            .map(|frame| serde_json::from_str(frame).unwrap());
        self.requests.extend(frames);
        self.disconnects += usize::from(disconnect);
        self.connects += usize::from(connect);
        if disconnect || connect {
            self.requests.clear();
        }
        self.answers.extend(self.hub.take_answer());
    }

    pub(crate) fn methods(&self) -> Vec<&str> {
        let methods = self.requests.iter();
        methods
            .map(|request| request["method"].as_str().unwrap())
            .collect()
    }

    /// Takes the first request for this method.
    pub(crate) fn take(&mut self, method: &str) -> Value {
        let place = self
            .requests
            .iter()
            .position(|request| request["method"] == method);
        self.requests
            .remove(place.unwrap_or_else(|| panic!("{method}: {:?}", self.methods())))
    }

    /// Answers the first request for this method.
    pub(crate) fn respond(&mut self, method: &str, payload: &Value) {
        let id = self.take(method)["id"].clone();
        let response = json!({ "type": "res", "id": id, "ok": true, "payload": payload });
        self.frame(&response.to_string());
    }

    /// Sends a text of the client's run.
    pub(crate) fn say(&mut self, client: usize, text: &str) {
        let event = json!({ "type": "event", "event": "agent", "payload": {
            "runId": self.clients[client].run, "stream": "assistant",
            "data": { "text": text, "delta": text, "itemId": text } } });
        self.frame(&event.to_string());
    }

    pub(crate) fn outcome(&self, client: usize) -> (u16, &str, bool) {
        let Client {
            status,
            body,
            has_ended,
            ..
        } = &self.clients[client];
        (*status, body.as_str(), *has_ended)
    }
}

impl Storage {
    /// Writes both rows, as the hub does in one turn.
    fn write(&mut self, usage: &Usage, key: &KeyId, run: &str, row: String) {
        self.runs.insert(run.to_owned(), row);
        if let Some(row) = usage.row(key) {
            self.usage.insert(key.to_string(), row);
        }
    }
}

pub(crate) fn accepted() -> Value {
    json!({ "status": "accepted" })
}

pub(crate) fn ended(text: &str) -> Value {
    json!({ "status": "ok", "result": { "payloads": [{ "text": text }], "meta": {} } })
}
