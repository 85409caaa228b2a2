//! The fuzz targets: functions of any bytes that panic when an invariant does not hold.
//!
//! `cargo test` runs them with the seeds and some thousand mutations of them (`main`), `cargo fuzz`
//! with the inputs that it finds (`fuzz/`).

use std::borrow::Cow;
use std::sync::LazyLock;

use clawfront_core::access::admit::Grants;
use clawfront_core::access::edit;
use clawfront_core::access::grant::Grant;
use clawfront_core::access::key::{KeyId, NewKey, SECRET_BYTES};
use clawfront_core::access::policy::SessionPolicy;
use clawfront_core::access::{bearer, key};
use clawfront_core::agent::AgentId;
use clawfront_core::exchange::{Exchange, Input, Outcome};
use clawfront_core::failure::Failure;
use clawfront_core::failure::diagnosis::{self, Diagnosis};
use clawfront_core::gateway::agent_list::Question;
use clawfront_core::gateway::pairing::Pairing;
use clawfront_core::gateway::upgrade;
use clawfront_core::http::head::ResponseMeta;
use clawfront_core::openai::chat::ChatWriter;
use clawfront_core::openai::error::ErrorResponse;
use clawfront_core::openai::models::Aliases;
use clawfront_core::openai::{Accepted, Delivery, Entropy, Request, Writer, chat, responses};
use clawfront_core::session::Session;
use clawfront_core::turn::{AgentChoice, Otherwise};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::replay::{RUN_ID, START_MS, Shown, exchange_of, feed, gateway};

pub(crate) const TARGETS: [&str; 5] = ["frames", "exchange", "requests", "keys", "sessions"];

/// Stands for text that must never be repeated: a prompt, a key, a value of an entry.
pub(crate) const SECRET: &str = "SECRETSECRET";

pub(crate) fn run(target: &str, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match target {
        "frames" => frames(&text),
        "exchange" => exchange(&text),
        "requests" => requests(&text),
        "keys" => keys(&text),
        "sessions" => sessions(&text),
        _ => panic!("there is no target {target}"),
    }
}

/// Sends any text as a frame, in every state: once, and then a second time.
fn frames(text: &str) {
    static STATES: LazyLock<Vec<Talk>> = LazyLock::new(|| {
        STATES_BY_SCRIPT
            .iter()
            .map(|script| Talk::of(script))
            .collect()
    });
    for state in STATES.iter() {
        let mut talk = state.clone();
        talk.frame(text);
        talk.frame(text);
        talk.end();
    }
    let credential = &gateway().credential;
    for lead in [&[][..], &[CHALLENGE], &[CHALLENGE, HELLO_4]] {
        let (mut pairing, mut question) = (Pairing::default(), Question::default());
        for frame in lead {
            // Their results are not checked here.
            let _ = pairing.receive(frame, credential);
            let _ = question.receive(frame, credential, &mut Vec::new());
        }
        let _ = pairing.receive(text, credential);
        let mut outbox = Vec::new();
        let _ = question.receive(text, credential, &mut outbox);
        assert!(outbox.len() <= 1);
    }
    for status in [200, 403, 530] {
        let response = ErrorResponse::of(&refused(status, text));
        assert!(response.status >= 500, "{response:?}");
    }
}

pub(crate) const CHALLENGE: &str =
    r#"{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1}}"#;
pub(crate) const HELLO_4: &str = r#"{"type":"res","id":"1","ok":true,"payload":{"protocol":4,"auth":{"scopes":["operator.read","operator.write"]}}}"#;
pub(crate) const HELLO_3: &str = r#"{"type":"res","id":"1","ok":true,"payload":{"protocol":3,"auth":{"scopes":["operator.read","operator.write"]}}}"#;
const ACCEPTED: &str = r#"{"type":"res","id":"@","ok":true,"payload":{"status":"accepted"}}"#;
const TEXT: &str = r#"{"type":"event","event":"agent","payload":{"runId":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stream":"assistant","data":{"text":"so","delta":"so","itemId":"i"}}}"#;
const YIELDED: &str = r#"{"type":"res","id":"@","ok":true,"payload":{"status":"ok","result":{"meta":{"yielded":true,"stopReason":"end_turn"}}}}"#;
const IN_FLIGHT: &str = r#"{"type":"res","id":"@","ok":true,"payload":{"status":"in_flight"}}"#;
const INVALID: &str = r#"{"type":"res","id":"@","ok":false,"error":{"code":"INVALID_REQUEST"}}"#;

/// The states of an exchange, by the frames that lead to them.
const STATES_BY_SCRIPT: [&[&str]; 16] = [
    &[""],
    &["", CHALLENGE],
    &["*", CHALLENGE, HELLO_4],
    &["", CHALLENGE, HELLO_4],
    &["", CHALLENGE, HELLO_3],
    &["", CHALLENGE, HELLO_4, INVALID],
    &["u", CHALLENGE, HELLO_4, ACCEPTED],
    &["", CHALLENGE, HELLO_3, ACCEPTED, TEXT],
    &["w", CHALLENGE, HELLO_4, ACCEPTED, TEXT],
    &["", CHALLENGE, HELLO_4, ACCEPTED, YIELDED],
    &["", CHALLENGE, HELLO_3, ACCEPTED, YIELDED],
    &["", CHALLENGE, HELLO_4, ACCEPTED, TEXT, "!close 1006"],
    &[
        "",
        CHALLENGE,
        HELLO_4,
        ACCEPTED,
        TEXT,
        "!close 1006",
        "!wake",
    ],
    &[
        "",
        CHALLENGE,
        HELLO_4,
        ACCEPTED,
        TEXT,
        "!close 1006",
        "!wake",
        CHALLENGE,
        HELLO_4,
    ],
    &[
        "",
        CHALLENGE,
        HELLO_4,
        ACCEPTED,
        TEXT,
        "!close 1006",
        "!wake",
        CHALLENGE,
        HELLO_4,
        IN_FLIGHT,
    ],
    &[
        "",
        CHALLENGE,
        HELLO_3,
        ACCEPTED,
        TEXT,
        "!close 1006",
        "!wake",
        CHALLENGE,
        HELLO_3,
        INVALID,
    ],
];

/// Runs a script, a line for each input; the first line has the options of the request.
fn exchange(text: &str) {
    let lines: Vec<&str> = text.split('\n').take(MAX_LINES).collect();
    Talk::of(&lines).end();
}

/// Longest script, in lines: longer scripts only repeat inputs.
const MAX_LINES: usize = 400;

/// Longest pause of a script, in milliseconds: more than a run may take.
const MAX_PAUSE_MS: u64 = 200_000_000;

/// Bytes that one input may add to the answer beyond the bytes received so far, which it may
/// repeat.
const MAX_ADDED_BYTES: usize = 4096;

/// Requests that one input may cause: the subscription, `agent`, and the abort of a run that fails.
const MAX_ADDED_FRAMES: usize = 4;

/// Parameters that a request for a run can have; a claim is checked by its exact parameters.
const RUN_PARAMS: [&str; 7] = [
    "agentId",
    "attachments",
    "channel",
    "extraSystemPrompt",
    "idempotencyKey",
    "message",
    "sessionKey",
];

/// Returns the parameters of a claim, which cannot start a run.
fn claim() -> Value {
    json!({ "agentId": "clawfront-nobody", "channel": "clawfront-nowhere", "idempotencyKey": RUN_ID, "message": "-" })
}

/// The parts that make a response final. Not a tree of values, because a tree has unused values,
/// which may be malformed.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    ok: bool,
    #[serde(borrow)]
    payload: Status<'a>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
}

/// An exchange, and its state as seen from outside.
#[derive(Clone)]
struct Talk {
    exchange: Exchange,
    shown: Shown,
    now_ms: u64,
    received_bytes: usize,
    is_whole: bool,
    /// At the end no connection can be made, instead of one without frames.
    is_unreachable: bool,
    has_left: bool,
    runs: usize,
    /// Ids of the requests for the run on the present connection, and of the last request.
    asked: Vec<String>,
    last_id: String,
}

impl Talk {
    fn of(lines: &[&str]) -> Self {
        let (options, lines) = lines.split_first().unwrap_or((&"", &[]));
        let mut talk = Self::new(options);
        for line in lines {
            talk.line(line);
        }
        talk
    }

    fn new(options: &str) -> Self {
        let has = |option| options.contains(option);
        let delivery = match (has('w'), has('u')) {
            (true, _) => Delivery::Whole,
            (false, include_usage) => Delivery::Stream { include_usage },
        };
        Self {
            exchange: fresh(delivery, has('*'), has('q'), has('f')),
            shown: Shown::default(),
            now_ms: START_MS,
            received_bytes: 0,
            is_whole: has('w'),
            is_unreachable: has('x'),
            has_left: false,
            runs: 0,
            asked: Vec::new(),
            last_id: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        self.now_ms += 1;
        let Some(input) = line.strip_prefix('!') else {
            return self.frame(line);
        };
        let (what, number) = input.split_once(' ').unwrap_or((input, ""));
        match what {
            "close" => self.give(Input::Closed {
                code: number.parse().unwrap_or(1006),
            }),
            "fail" => self.give(Input::Failed(Failure::GatewayUnreachable(
                Diagnosis::ConnectionFailed,
            ))),
            "refuse" => self.give(Input::Failed(refused(number.parse().unwrap_or(403), ""))),
            "leave" => {
                self.give(Input::HungUp);
                self.has_left = true;
            }
            "overrun" => self.give(Input::Overrun),
            "wake" => self.wait(MAX_PAUSE_MS),
            "after" => {
                let wanted_ms = number.parse::<u64>().unwrap_or_default().min(MAX_PAUSE_MS);
                let end_ms = self.now_ms + wanted_ms;
                self.now_ms = end_ms;
                self.tick();
            }
            _ => {}
        }
    }

    /// Sends a frame. `"@"` stands for the id of the last request for the run, `"?"` for the id of
    /// the last request.
    fn frame(&mut self, text: &str) {
        let mut text = Cow::Borrowed(text);
        for (placeholder, id) in [
            (r#""@""#, self.asked.last().unwrap_or(&self.last_id)),
            (r#""?""#, &self.last_id),
        ] {
            if text.contains(placeholder) {
                text = Cow::Owned(text.replace(placeholder, &format!("{id:?}")));
            }
        }
        self.received_bytes += text.len();
        let was_answered = matches!(self.exchange.outcome(), Outcome::Answered(_));
        let asked = self.asked.clone();
        self.give(Input::Frame(&text));
        if !was_answered && matches!(self.exchange.outcome(), Outcome::Answered(_)) {
            let last: Response<'_> = serde_json::from_str(&text).unwrap();
            let is_final = last.kind == "res" && last.ok && last.payload.status == "ok";
            assert!(is_final, "a success without a final response: {text}");
            assert!(
                asked.iter().any(|id| last.id == **id),
                "the success of another request: {text}"
            );
        }
    }

    fn give(&mut self, input: Input<'_>) {
        let is_frame = matches!(input, Input::Frame(_));
        let was_ended = self.shown.ended;
        let (body, frames, connects) = (
            self.shown.body.len(),
            self.shown.frames.len(),
            self.shown.connects,
        );
        feed(&mut self.exchange, input, self.now_ms, &mut self.shown);

        let is_pending = matches!(self.exchange.outcome(), Outcome::Pending);
        assert_eq!(is_pending, !self.shown.ended, "the end is reported at once");
        assert_eq!(
            is_pending,
            self.exchange.wake_at_ms().is_some(),
            "what goes on has a deadline"
        );
        if !is_frame && !was_ended {
            assert!(
                !matches!(self.exchange.outcome(), Outcome::Answered(_)),
                "only a frame reports success"
            );
        }
        let added = self.shown.body.len() - body;
        assert!(
            added <= MAX_ADDED_BYTES + 8 * self.received_bytes,
            "{added} bytes at once"
        );
        assert!(!self.has_left || added == 0, "bytes for a client that left");
        if self.shown.connects > connects {
            self.asked.clear();
        }
        let sent = self.shown.frames.split_off(frames);
        assert!(sent.len() <= MAX_ADDED_FRAMES, "{sent:?}");
        for frame in &sent {
            self.see(frame);
        }
    }

    /// Checks a request of ours.
    fn see(&mut self, frame: &str) {
        let request: Value = serde_json::from_str(frame).unwrap();
        let (params, method) = (&request["params"], request["method"].as_str().unwrap());
        request["id"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.last_id);
        match method {
            "connect" | "agents.list" => {}
            "agent" if *params == claim() => {
                assert_eq!(self.runs, 1, "a claim of what was never asked for");
                self.asked.push(self.last_id.clone());
            }
            "agent" if is_claim_of_continuation(params) => self.asked.push(self.last_id.clone()),
            "agent" => {
                self.runs += 1;
                assert_eq!(self.runs, 1, "a run is asked for once");
                check_run_params(params);
                self.asked.push(self.last_id.clone());
            }
            "agent.wait" | "chat.abort" => assert!(is_ours(&params["runId"]), "{params}"),
            "chat.history" => assert!(
                params["sessionKey"]
                    .as_str()
                    .unwrap()
                    .contains(":edge:phone:")
            ),
            "sessions.messages.subscribe" => {
                assert!(params["key"].as_str().unwrap().contains(":edge:phone:"));
            }
            _ => panic!("a request that nobody knows: {frame}"),
        }
    }

    /// Lets time pass until a deadline is due, `limit_ms` at most.
    fn wait(&mut self, limit_ms: u64) {
        let end_ms = self.now_ms + limit_ms;
        self.now_ms = self
            .exchange
            .wake_at_ms()
            .unwrap_or(self.now_ms)
            .clamp(self.now_ms, end_ms);
        self.tick();
    }

    /// Checks that a caller that wakes at the returned time does not spin.
    fn tick(&mut self) {
        for _ in 0..8 {
            self.give(Input::Tick);
            if self
                .exchange
                .wake_at_ms()
                .is_none_or(|wake_at_ms| wake_at_ms > self.now_ms)
            {
                return;
            }
        }
        panic!("what is due stays due: {:?}", self.exchange);
    }

    /// Sends nothing more: time alone must end the exchange, and its output must be whole.
    fn end(mut self) {
        for _ in 0..400 {
            if self.shown.ended {
                break;
            }
            let connects = self.shown.connects;
            self.wait(MAX_PAUSE_MS);
            if self.is_unreachable && self.shown.connects > connects {
                self.give(Input::Failed(Failure::GatewayUnreachable(
                    Diagnosis::ConnectionFailed,
                )));
            }
        }
        assert!(self.shown.ended, "it goes on forever: {:?}", self.exchange);
        let held = format!("{:?}", self.exchange).len();
        assert!(
            held <= 4 * MAX_ADDED_BYTES + 8 * self.received_bytes,
            "{held} bytes are held"
        );
        self.give(Input::Frame(TEXT));
        self.give(Input::Closed { code: 1000 });
        self.give(Input::Tick);
        self.give(Input::HungUp);
        self.check_body();
    }

    fn check_body(&self) {
        let body = &self.shown.body;
        assert!(
            !body.contains("device-token"),
            "the gateway's credential: {body}"
        );
        let is_answered = matches!(self.exchange.outcome(), Outcome::Answered(_));
        let has_hung_up = matches!(
            self.exchange.outcome(),
            Outcome::Failed(Failure::ClientClosedRequest)
        );
        assert!(!has_hung_up || self.has_left, "the client was there");
        if self
            .shown
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
        {
            assert!(!self.is_whole && self.shown.status() == 200);
            let ends = StreamEnds::of(body);
            let expected = match (has_hung_up, is_answered) {
                (true, _) => (0, 0, 0),
                (false, true) => (1, 0, 1),
                (false, false) => (0, 1, 1),
            };
            assert_eq!((ends.finishes, ends.errors, ends.dones), expected, "{body}");
        } else if has_hung_up {
            assert!(body.trim().is_empty(), "{body}");
        } else {
            let object: Value = serde_json::from_str(body).unwrap();
            assert!(
                !is_answered || (self.is_whole && self.shown.status() == 200),
                "{body}"
            );
            assert_eq!(
                object["choices"][0]["finish_reason"].is_string(),
                is_answered,
                "{body}"
            );
            assert_eq!(is_error(&object), !is_answered, "{body}");
        }
    }
}

/// Returns an exchange in its first state. Each is made once, because its keys take long to parse
/// and derive.
fn fresh(delivery: Delivery, any_agent: bool, is_quiet: bool, finishes: bool) -> Exchange {
    static FRESH: LazyLock<Vec<Exchange>> = LazyLock::new(|| {
        let forms = [
            Delivery::Stream {
                include_usage: false,
            },
            Delivery::Stream {
                include_usage: true,
            },
            Delivery::Whole,
        ];
        let mut fresh = Vec::new();
        for delivery in forms {
            for fields in 0..8 {
                let agents = if fields & 4 == 0 { "main" } else { "*" };
                let heartbeat = if fields & 2 == 0 { "on" } else { "off" };
                let on_disconnect = if fields & 1 == 0 { "abort" } else { "finish" };
                fresh.push(exchange_of(
                    delivery,
                    &format!("agents={agents} heartbeat={heartbeat} on_disconnect={on_disconnect}"),
                ));
            }
        }
        fresh
    });
    let delivery = match delivery {
        Delivery::Stream { include_usage } => usize::from(include_usage),
        Delivery::Whole => 2,
    };
    let fields = usize::from(any_agent) * 4 + usize::from(is_quiet) * 2 + usize::from(finishes);
    FRESH[delivery * 8 + fields].clone()
}

/// Returns true if a run is the requested one, or the gateway started it to continue the requested
/// one.
fn is_ours(run_id: &Value) -> bool {
    let id = run_id.as_str().unwrap();
    id == RUN_ID || id.starts_with("announce:")
}

/// Returns true if the request is a claim of a continuation, which cannot start a run, either.
fn is_claim_of_continuation(params: &Value) -> bool {
    let mut claim = claim();
    claim["idempotencyKey"] = params["idempotencyKey"].clone();
    *params == claim
        && params["idempotencyKey"]
            .as_str()
            .unwrap()
            .starts_with("announce:")
}

fn check_run_params(params: &Value) {
    let params = params.as_object().unwrap();
    for name in params.keys() {
        assert!(
            RUN_PARAMS.contains(&name.as_str()),
            "{name} is not on our list"
        );
    }
    assert!(
        params
            .get("channel")
            .is_none_or(|channel| channel == "webchat")
    );
}

/// The contents of an event stream.
#[derive(Default)]
struct StreamEnds {
    finishes: usize,
    errors: usize,
    dones: usize,
}

impl StreamEnds {
    fn of(body: &str) -> Self {
        let mut ends = Self::default();
        assert!(body.is_empty() || body.ends_with('\n'), "{body}");
        let mut lines = body.lines();
        while let Some(line) = lines.next() {
            if line == ": ping" || line.starts_with(": waiting ") {
                continue;
            }
            assert_eq!(ends.dones, 0, "something behind the end: {body}");
            let data = line
                .strip_prefix("data: ")
                .unwrap_or_else(|| panic!("no line of an event: {line}"));
            assert_eq!(
                lines.next(),
                Some(""),
                "an event ends with a blank line: {body}"
            );
            if data == "[DONE]" {
                ends.dones += 1;
                continue;
            }
            let chunk: Value = serde_json::from_str(data).unwrap();
            let is_terminal = is_error(&chunk) || chunk["choices"][0]["finish_reason"].is_string();
            assert!(
                ends.finishes + ends.errors == 0 || chunk["usage"].is_object(),
                "something behind the end: {body}"
            );
            ends.errors += usize::from(is_error(&chunk));
            ends.finishes += usize::from(is_terminal && !is_error(&chunk));
        }
        ends
    }
}

/// Returns true if the value is OpenAI's error object, with its four fields.
fn is_error(value: &Value) -> bool {
    let error = &value["error"];
    if error.is_null() {
        return false;
    }
    let fields: Vec<&str> = error
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields, ["code", "message", "param", "type"], "{error}");
    true
}

/// Sends a request of keys of every kind: `name: value` lines, a blank line, and a body.
fn requests(text: &str) {
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
                let id = response.id("00ff");
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

fn check_accepted(accepted: Accepted, client: &Grant) {
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
    let is_named = matches!(turn.agent, AgentChoice::Named(_));
    let writer = ChatWriter::new(
        Delivery::Whole,
        "chatcmpl-00ff".to_owned(),
        accepted.model,
        1,
    );
    let mut exchange = Exchange::new(
        accepted.turn,
        Writer::Chat(writer),
        ResponseMeta::default(),
        client.streams,
        START_MS,
    );
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
        message = whole;
    }
    assert_eq!(asked["method"], "agent");
    check_run_params(&asked["params"]);
    assert_eq!(asked["params"]["message"], message);
    assert_eq!(asked["params"]["sessionKey"], key.as_str());
    assert_eq!(asked["params"]["agentId"], agent.as_str());
}

/// Checks the part after `agent:<agent>:` in a session's key.
fn check_session_name(name: &str, policy: SessionPolicy) {
    match policy {
        SessionPolicy::Own => {
            assert!(name.starts_with("edge:phone:"), "{name}");
            // The name has nothing that the gateway would fold, split or misinterpret.
            let is_plain =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-=~:".contains(&b);
            assert!(name.bytes().all(is_plain) && name.len() < 256, "{name}");
        }
        SessionPolicy::Any => {
            // Capitals hide no reserved name: the gateway ignores case.
            assert_eq!(name, name.to_ascii_lowercase());
            let reserved = ["cron:", "subagent:", "acp:"];
            assert!(
                !reserved.iter().any(|namespace| name.starts_with(namespace)),
                "{name}"
            );
        }
    }
}

/// Returns the failure of an upgrade whose response has this text in every part.
fn refused(status: u16, text: &str) -> Failure {
    upgrade::refused(&diagnosis::UpgradeResponse {
        status,
        location: text,
        content_type: text,
        body: text.as_bytes(),
    })
}

fn check_refused(failure: &Failure) {
    let response = ErrorResponse::of(failure);
    assert!((400..500).contains(&response.status), "{response:?}");
    assert!(
        !format!("{response:?}{:?}", failure.cause()).contains(SECRET),
        "{response:?}"
    );
}

/// Parses a value of `CLIENT_KEYS`. Each of its lines is presented as a key, too.
fn keys(text: &str) {
    let pieces: String = edit::pieces(text).collect();
    assert_eq!(pieces, text);
    let entries: Vec<&str> = edit::pieces(text).filter_map(edit::entry).collect();
    let (mut clients, mut problems) = (Grants::default(), Vec::new());
    clients.extend(text, &mut problems);
    assert_eq!(clients.iter().count() + problems.len(), entries.len());
    for problem in &problems {
        assert!(!problem.to_string().contains(SECRET), "{problem}");
    }
    for client in clients.iter() {
        assert!(
            client
                .default_agent
                .as_ref()
                .is_none_or(|agent| client.agents.allows(agent))
        );
        if let Some(label) = &client.label {
            let written = edit::write(
                &client.id,
                &phone().hash,
                [("agents", "main"), ("label", label.as_str())],
            );
            assert_eq!(
                one_client(&written).unwrap().label.as_ref(),
                Some(label),
                "{written}"
            );
        }
    }

    for presented in text.lines().chain([phone().plaintext.as_str()]) {
        for presented in [presented, presented.trim()] {
            if let Ok(client) = clients.admit(presented, START_MS, None) {
                assert_eq!(
                    *presented,
                    *phone().plaintext,
                    "nothing else is known of a hash"
                );
                assert_eq!(key::id_of(presented), Some(client.id.as_str()));
            }
        }
        if let Some(token) = bearer::token(presented) {
            assert!(token.bytes().all(|b| b.is_ascii_graphic()));
        }
        let headers = bearer::Headers {
            authorization: Some(presented.to_owned()),
            x_api_key: Some(presented.to_owned()),
            ..bearer::Headers::default()
        };
        if let Err(denied) = bearer::admit(&clients, &headers, START_MS, None) {
            assert_eq!(ErrorResponse::of(&denied).status, 401);
        }
    }
    for entry in entries {
        check_edits(entry);
    }
}

/// Checks that a valid entry is valid after every step of a rotation, and has the same meaning.
fn check_edits(entry: &str) {
    let new = NewKey::from_entropy(&KeyId::parse("phone").unwrap(), &[9; SECRET_BYTES]);
    let (rotated, finished) = (edit::rotate(entry, &new.hash), edit::finish(entry));
    let Some(before) = one_client(entry) else {
        return;
    };
    assert_ne!(rotated.is_some(), finished.is_some(), "{entry}");
    if entry.contains(&new.hash) {
        return;
    }
    let finished = rotated
        .as_ref()
        .map_or(finished, |rotated| edit::finish(rotated))
        .unwrap();
    for edited in rotated.iter().chain([&finished]) {
        let after = one_client(edited).unwrap_or_else(|| panic!("{entry:?} became {edited:?}"));
        let meaning = |client: &Grant| {
            let text = format!("{client:?}");
            text.split("secrets:").next().unwrap_or_default().to_owned()
        };
        assert_eq!(meaning(&before), meaning(&after), "{edited}");
    }
    if rotated.is_some() {
        assert!(
            finished.contains(&new.hash) && edit::finish(&finished).is_none(),
            "{finished}"
        );
    }
}

fn phone() -> &'static NewKey {
    static PHONE: LazyLock<NewKey> =
        LazyLock::new(|| NewKey::from_entropy(&KeyId::parse("phone").unwrap(), &[7; SECRET_BYTES]));
    &PHONE
}

/// Returns the client of an entry, if the entry is valid.
fn one_client(entry: &str) -> Option<Grant> {
    let (mut clients, mut problems) = (Grants::default(), Vec::new());
    clients.extend(entry, &mut problems);
    clients
        .iter()
        .next()
        .filter(|_| problems.is_empty())
        .cloned()
}

/// Checks two names, separated by the first line break. As sessions of every kind they are equal
/// only if they must be.
fn sessions(text: &str) {
    let (one, other) = text.split_once('\n').unwrap_or((text, text));
    let main = AgentId::parse("main").unwrap();
    let named = |key_id: &str, name: &str| {
        let key_id = KeyId::parse(key_id).unwrap();
        let sessions = [
            Session::named(&key_id, SessionPolicy::Own, name),
            Session::of_user(&key_id, name),
            Session::of_conversation(&key_id, "x-session-id", name),
            Session::of_conversation(&key_id, "x-openwebui-chat-id", name),
        ];
        sessions.map(|session| session.ok().map(|session| session.key(&main)))
    };
    let mine = named("phone", one);
    for key in mine.iter().flatten() {
        check_session_name(
            key.as_str().strip_prefix("agent:main:").unwrap(),
            SessionPolicy::Own,
        );
    }
    for (key_id, name) in [
        ("phone", one),
        ("phone", other),
        ("phone-2", other),
        ("phon", other),
        ("bot", one),
    ] {
        for (i, left) in mine.iter().enumerate() {
            for (j, right) in named(key_id, name).iter().enumerate() {
                if let (Some(left), Some(right)) = (left, right) {
                    assert_eq!(
                        left == right,
                        i == j && key_id == "phone" && one == name,
                        "{one:?} {name:?}"
                    );
                }
            }
        }
    }
    let phone = KeyId::parse("phone").unwrap();
    if let Ok(session) = Session::named(&phone, SessionPolicy::Any, one) {
        let agent = session.agent().unwrap_or(&main);
        let key = session.key(&main);
        let name = key.as_str().strip_prefix(&format!("agent:{agent}:"));
        check_session_name(
            name.unwrap_or_else(|| panic!("{key:?}")),
            SessionPolicy::Any,
        );
    }
}
