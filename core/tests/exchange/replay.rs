//! Drives an exchange with a recorded connection.
//!
//! A recording has the ids that its own client chose: the frames of the run that is replayed get
//! ours instead.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::LazyLock;

use clawfront_core::access::proof::KeysSecret;
use clawfront_core::config::{Config, Gateway};
use clawfront_core::exchange::{Exchange, Outcome, Output, Progress};
use clawfront_core::failure::Failure;
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::file::Links;
use clawfront_core::gateway::peek::{AGENT, CHAT};
use clawfront_core::http::head::{Head, ResponseMeta};
use clawfront_core::hub::{self, ExchangeId, Hub, Orders};
use clawfront_core::openai::chat::ChatWriter;
use clawfront_core::openai::{self, Delivery, Entropy, Writer, chat};
use serde_json::Value;

pub(crate) const REQUEST_ID: &str = "00ff";
const RUN_ENTROPY: [u8; 16] = [0xAA; 16];
pub(crate) const RUN_ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const CREATED_S: u64 = 1_795_374_174;
pub(crate) const START_MS: u64 = 1_795_374_174_000;

/// Time for which a hub keeps its connection in these tests.
const IDLE_MS: u64 = 300_000;

/// An event for a hub with one exchange.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    Frame(&'a str),
    Closed {
        code: u16,
    },
    Failed(Failure),
    HungUp,
    Cancelled,
    /// An administrator stops the run.
    Stopped,
    Overrun,
    Tick,
}

/// A hub with one exchange, whose connection is being made.
#[derive(Debug, Clone)]
pub(crate) struct Alone {
    hub: Hub,
    id: ExchangeId,
    skipped: u32,
}

impl Alone {
    pub(crate) fn new(exchange: Exchange) -> Self {
        let mut hub = Hub::new(IDLE_MS);
        let id = hub.begin(exchange, None, START_MS);
        assert!(hub.take_orders().connect);
        Self {
            hub,
            id,
            skipped: 0,
        }
    }

    /// Returns the time at which the exchange has to be woken; `None` once it has ended.
    pub(crate) fn wake_at_ms(&self) -> Option<u64> {
        let is_pending = matches!(self.outcome(), Outcome::Pending);
        self.hub.wake_at_ms().filter(|_| is_pending)
    }

    /// Counts an event that is not passed on.
    pub(crate) fn skip(&mut self) {
        self.skipped += 1;
    }

    fn handle(&mut self, input: Input<'_>, now_ms: u64) -> Output {
        let was_pending = matches!(self.outcome(), Outcome::Pending);
        self.give(input, now_ms);
        let output = self.hub.next_output().map(|(_, _, output)| output);
        let mut output = output.map(std::mem::take).unwrap_or_default();
        let orders = take_orders(&mut self.hub, now_ms);
        // The hub goes on without the exchange.
        if was_pending {
            output.frames = orders.frames;
            output.connect = orders.connect;
        }
        output
    }

    /// Gives the hub an input. The output stays where it is.
    pub(crate) fn give(&mut self, input: Input<'_>, now_ms: u64) {
        let run = self.run_id().to_owned();
        let input = match input {
            Input::Frame(text) => hub::Input::Frame {
                text,
                skipped: std::mem::take(&mut self.skipped),
            },
            Input::Closed { code } => hub::Input::Closed { code },
            Input::Failed(failure) => hub::Input::Failed(failure),
            Input::HungUp => hub::Input::HungUp(self.id),
            Input::Cancelled => hub::Input::Cancelled(self.id),
            Input::Stopped => hub::Input::Stopped(&run),
            Input::Overrun => hub::Input::Overrun(self.id),
            Input::Tick => hub::Input::Tick,
        };
        self.hub.handle(input, gateway(), now_ms);
    }
}

/// Takes the hub's orders, and signs for the device.
pub(crate) fn take_orders(hub: &mut Hub, now_ms: u64) -> Orders {
    let orders = hub.take_orders();
    let Some(payload) = orders.sign else {
        return orders;
    };
    let device = gateway().credential.device.as_ref().unwrap();
    let signature = device.sign(&payload);
    hub.handle(hub::Input::Signed(&signature), gateway(), now_ms);
    hub.take_orders()
}

impl std::ops::Deref for Alone {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        self.hub.exchange(self.id).unwrap()
    }
}

/// One frame that a gateway sent, or its closing of the connection.
#[derive(Clone, Debug)]
pub(crate) enum Recorded {
    Frame(String),
    Closed(u16),
}

/// The storage of a response that is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) progress: Vec<Progress>,
    pub(crate) blocks: BTreeMap<u32, String>,
    /// The number of writes that had a block.
    pub(crate) writes: usize,
    /// The number of blocks without events.
    pub(crate) cuts: usize,
}

impl Record {
    /// Stores the part of an output that is stored.
    pub(crate) fn store(&mut self, output: &mut Output) {
        self.progress.extend(output.progress.take());
        for block in output.blocks.drain(..) {
            self.writes += 1;
            if let Some(events) = block.events {
                self.blocks.insert(block.number, events);
            } else {
                self.cuts += 1;
                self.blocks.clear();
            }
        }
    }

    /// Returns the events that are stored.
    pub(crate) fn events(&self) -> String {
        self.blocks.values().map(String::as_str).collect()
    }

    /// Returns the object with which the response has ended.
    pub(crate) fn ended(&self) -> Option<&str> {
        let mut ends = self.progress.iter().filter_map(|progress| match progress {
            Progress::Begun(_) => None,
            Progress::Ended(object) => Some(object.as_str()),
        });
        let end = ends.next();
        assert_eq!(ends.next(), None, "a second end");
        end
    }
}

/// The complete output of an exchange.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    pub(crate) head: Option<Head>,
    pub(crate) body: String,
    pub(crate) frames: Vec<String>,
    /// The number of requests for another connection.
    pub(crate) connects: usize,
    pub(crate) record: Record,
    /// The body is complete.
    pub(crate) answered: bool,
    pub(crate) ended: bool,
}

impl Shown {
    pub(crate) fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.status)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = &self.head.as_ref()?.headers;
        headers
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Adds an output.
    fn add(&mut self, mut out: Output) {
        if self.ended {
            assert!(
                out.frames.is_empty()
                    && out.head.is_none()
                    && out.body.is_empty()
                    && out.progress.is_none()
                    && out.blocks.is_empty()
                    && !out.connect
                    && !out.ended,
                "something came after the end: {out:?}"
            );
        }
        self.record.store(&mut out);
        assert!(
            out.body.is_empty() || !self.answered,
            "a body after its end"
        );
        if let Some(head) = out.head {
            assert!(self.head.is_none(), "a second head");
            self.head = Some(head);
        }
        assert!(
            out.body.is_empty() || self.head.is_some(),
            "a body without a head"
        );
        self.body.push_str(&String::from_utf8(out.body).unwrap());
        self.frames.extend(out.frames);
        self.connects += usize::from(out.connect);
        self.answered |= out.answered;
        self.ended |= out.ended;
    }

    /// Returns the methods of the requests that were sent to the gateway.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.frames
            .iter()
            .map(|frame| {
                let frame: Value = serde_json::from_str(frame).unwrap();
                frame["method"].as_str().unwrap().to_owned()
            })
            .collect()
    }
}

/// Returns the recording of that name, cut to the handshake and its `nth` run (from 0), with our
/// ids.
pub(crate) fn recording(name: &str, nth: usize) -> Vec<Recorded> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/transcripts/{name}.jsonl"));
    let text = fs::read_to_string(path).unwrap();
    let rows: Vec<(&str, Value)> = text
        .lines()
        .map(|line| (line, serde_json::from_str::<Value>(line).unwrap()))
        .filter(|(_, row)| row["dir"].is_string())
        .collect();
    let requests: Vec<&Value> = rows
        .iter()
        .filter(|(_, row)| row["dir"] == "out" && row["frame"]["method"] == "agent")
        .map(|(_, row)| &row["frame"])
        .collect();
    let request = requests.get(nth);
    let protocol = rows
        .iter()
        .find_map(|(_, row)| row["frame"]["payload"]["protocol"].as_u64())
        .unwrap_or(4);
    // `connect`, then on protocol 4 the subscription, then `agent`.
    let our_agent_id = if protocol == 4 { "3" } else { "2" };
    let mut connects = 0;
    let mut recorded = Vec::new();
    for (line, row) in &rows {
        if row["frame"]["event"] == "connect.challenge" {
            connects += 1;
            if connects > 1 {
                break;
            }
        }
        if row["dir"] == "close" {
            let code = row["frame"]["code"].as_u64().unwrap();
            recorded.push(Recorded::Closed(u16::try_from(code).unwrap()));
            break;
        }
        if row["dir"] != "in" {
            continue;
        }
        recorded.push(Recorded::Frame(with_our_ids(
            line,
            &row["frame"],
            request.copied(),
            our_agent_id,
        )));
    }
    recorded
}

/// Returns the frame in a line of a recording, with the ids of our requests and of our run in place
/// of those of the recorded `request`.
fn with_our_ids(line: &str, frame: &Value, request: Option<&Value>, our_agent_id: &str) -> String {
    // Events stay as the gateway wrote them, because the order of their members identifies them.
    let mut text = line
        .split_once(r#""frame":"#)
        .and_then(|(_, rest)| rest.strip_suffix('}'))
        .unwrap()
        .to_owned();
    if frame["type"] == "res" {
        let id = frame["id"].as_str().unwrap();
        let ours = if id == "connect-1" {
            "1".to_owned()
        } else if request.is_some_and(|request| request["id"] == id) {
            our_agent_id.to_owned()
        } else {
            format!("other-{id}")
        };
        let mut frame = frame.clone();
        frame["id"] = ours.into();
        text = frame.to_string();
    }
    match request.and_then(|request| request["params"]["idempotencyKey"].as_str()) {
        Some(run) => text.replace(run, RUN_ID),
        None => text,
    }
}

pub(crate) fn gateway() -> &'static Gateway {
    // Once: deriving a public key takes a while in an unoptimised build.
    static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| config("agents=main").gateway);
    &GATEWAY
}

pub(crate) fn config(fields: &str) -> Config {
    let keys = format!(
        "phone sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab {fields}"
    );
    Config::parse(|name| match name {
        "GATEWAY_URL" => Some("wss://gateway.test".to_owned()),
        "DEVICE_KEY" => Some("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE".to_owned()),
        "DEVICE_TOKEN" => Some("device-token".to_owned()),
        "CLIENT_KEYS" => Some(keys.clone()),
        _ => None,
    })
    .unwrap()
}

/// Returns the configuration with these fields. It is made once, because keys take long to derive.
fn config_of(fields: &str) -> Rc<Config> {
    thread_local!(static CONFIGS: RefCell<BTreeMap<String, Rc<Config>>> = RefCell::default());
    CONFIGS.with_borrow_mut(|configs| {
        let known = configs.entry(fields.to_owned());
        Rc::clone(known.or_insert_with(|| Rc::new(config(fields))))
    })
}

/// Returns an exchange for the user message `hi`, by a key with these fields.
pub(crate) fn exchange_of(delivery: Delivery, fields: &str) -> Alone {
    let hi = r#"{"model":"openclaw","messages":[{"role":"user","content":"hi"}]}"#;
    exchange_asked(hi, &[], delivery, fields)
}

/// Returns an exchange for a request of chat completions with these headers.
pub(crate) fn exchange_asked(
    body: &str,
    headers: &[(&str, &str)],
    delivery: Delivery,
    fields: &str,
) -> Alone {
    Alone::new(exchange_with(RUN_ENTROPY, body, headers, delivery, fields))
}

/// Does the same with a run of its own, before its hub exists.
pub(crate) fn exchange_with(
    run: [u8; 16],
    body: &str,
    headers: &[(&str, &str)],
    delivery: Delivery,
    fields: &str,
) -> Exchange {
    exchange_by(run, body, headers, false, (delivery, fields))
}

/// Returns an exchange for the user message `hi`, whose request is repeated or not.
pub(crate) fn exchange_retried(
    run: [u8; 16],
    is_repeated: bool,
    delivery: Delivery,
    fields: &str,
) -> Exchange {
    let hi = r#"{"model":"openclaw","messages":[{"role":"user","content":"hi"}]}"#;
    exchange_by(run, hi, &[], is_repeated, (delivery, fields))
}

fn exchange_by(
    run: [u8; 16],
    body: &str,
    headers: &[(&str, &str)],
    is_repeated: bool,
    (delivery, fields): (Delivery, &str),
) -> Exchange {
    let header = |name: &str| {
        let found = headers.iter().find(|(header, _)| *header == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let config = config_of(fields);
    let client = config
        .clients
        .admit(
            "claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh",
            START_MS,
            None,
        )
        .unwrap();
    let accepted = chat::accept(
        &openai::Request {
            body: body.as_bytes(),
            header: &header,
            caller: [0; 32],
            is_repeated,
        },
        client,
        &config.aliases,
        &Entropy {
            run,
            session: run.map(|byte| byte ^ 0x11),
        },
    )
    .unwrap();
    let writer = ChatWriter::new(
        delivery,
        "chatcmpl-00ff".to_owned(),
        accepted.model,
        CREATED_S,
    )
    .calling(accepted.call);
    let meta = ResponseMeta {
        request_id: REQUEST_ID.to_owned(),
        ..ResponseMeta::default()
    };
    let links = Links {
        secret: KeysSecret::parse("0123456789abcdef0123456789abcdef".to_owned()).unwrap(),
        origin: "https://clawfront.example".to_owned(),
        key: client.id.clone(),
        run: accepted.turn.run.as_str().to_owned(),
    };
    let answer = Writer::Chat(writer);
    let mut exchange = Exchange::new(accepted.turn, answer, meta, client.streams, START_MS);
    exchange.link_files(links);
    exchange
}

pub(crate) fn exchange(delivery: Delivery) -> Alone {
    exchange_of(delivery, "agents=main")
}

/// Gives the exchange one input and adds the output to `shown`; after the end there must be no
/// output.
pub(crate) fn feed(exchange: &mut Alone, input: Input<'_>, now_ms: u64, shown: &mut Shown) {
    if let Input::Frame(frame) = &input
        && is_surplus(exchange, frame)
    {
        exchange.skip();
        return;
    }
    feed_all(exchange, input, now_ms, shown);
}

/// Returns true if the Worker skips the frame, as `src/runtime/frames.js` does.
pub(crate) fn is_surplus(exchange: &Alone, frame: &str) -> bool {
    let (rest, is_chat) = match frame.strip_prefix(CHAT) {
        Some(rest) => (rest, true),
        None => match frame.strip_prefix(AGENT) {
            Some(rest) => (rest, false),
            None => return false,
        },
    };
    let is_read =
        |(filter, needs_chat): (&str, bool)| rest.starts_with(filter) && (needs_chat || !is_chat);
    let id = rest.split_once('"').map(|(id, _)| id);
    !exchange.hub.filters().any(is_read) && id.is_some_and(|id| !id.contains('\\'))
}

/// Does what [`feed`] does, without skipping any frame.
pub(crate) fn feed_all(exchange: &mut Alone, input: Input<'_>, now_ms: u64, shown: &mut Shown) {
    let out = exchange.handle(input, now_ms);
    shown.add(out);
}

/// Replays a recording, one millisecond a frame.
pub(crate) fn replay(delivery: Delivery, recorded: &[Recorded]) -> Shown {
    replay_to(exchange(delivery), recorded)
}

/// Replays a recording to the given exchange.
pub(crate) fn replay_to(mut exchange: Alone, recorded: &[Recorded]) -> Shown {
    let mut shown = Shown::default();
    for (index, item) in recorded.iter().enumerate() {
        step(&mut exchange, item, START_MS + index as u64, &mut shown);
    }
    if recorded
        .iter()
        .any(|item| matches!(item, Recorded::Closed(_)))
    {
        out_of_reach(&mut exchange, &mut shown);
    }
    shown
}

/// Lets time pass until the exchange gives up; no connection can be made.
pub(crate) fn out_of_reach(exchange: &mut Alone, shown: &mut Shown) {
    let mut connects = shown.connects;
    while let Some(now_ms) = exchange.wake_at_ms() {
        feed(exchange, Input::Tick, now_ms, shown);
        if shown.connects > connects {
            connects = shown.connects;
            feed(
                exchange,
                Input::Failed(Failure::GatewayUnreachable(Diagnosis::ConnectionFailed)),
                now_ms,
                shown,
            );
        }
    }
}

/// Replays one item.
pub(crate) fn step(exchange: &mut Alone, item: &Recorded, now_ms: u64, shown: &mut Shown) {
    match item {
        Recorded::Frame(frame) => feed(exchange, Input::Frame(frame), now_ms, shown),
        Recorded::Closed(code) => feed(exchange, Input::Closed { code: *code }, now_ms, shown),
    }
}
