//! The target `exchange`: a script of inputs, a line for each; the first line has the options of the
//! request.

use std::borrow::Cow;

use clawfront_core::exchange::Outcome;
use clawfront_core::failure::Failure;
use clawfront_core::failure::diagnosis::{self, Diagnosis};
use clawfront_core::gateway::upgrade;
use clawfront_core::openai::Delivery;
use serde::Deserialize;
use serde_json::Value;

use crate::replay::{Alone, Input, START_MS, Shown, exchange_of, feed};

use super::frames::TEXT;
use super::gateway_request::{check_run_params, claim, is_claim_of_continuation, is_ours};
use super::stream_ends::{StreamEnds, is_error};

/// Runs a script.
pub(super) fn run(text: &str) {
    let lines: Vec<&str> = text.split('\n').take(MAX_LINES).collect();
    Scripted::of(&lines).end();
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

/// An exchange that a script drives, and its state as seen from outside.
#[derive(Clone)]
pub(super) struct Scripted {
    exchange: Alone,
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

impl Scripted {
    pub(super) fn of(lines: &[&str]) -> Self {
        let (options, lines) = lines.split_first().unwrap_or((&"", &[]));
        let mut scripted = Self::new(options);
        for line in lines {
            scripted.line(line);
        }
        scripted
    }

    fn new(options: &str) -> Self {
        let has = |option| options.contains(option);
        let delivery = match (has('w'), has('u')) {
            (true, _) => Delivery::Whole,
            (false, include_usage) => Delivery::Stream { include_usage },
        };
        Self {
            exchange: fresh(delivery, options),
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
    pub(super) fn frame(&mut self, text: &str) {
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
            "sessions.messages.subscribe" | "sessions.get" => {
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
    pub(super) fn end(mut self) {
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
fn fresh(delivery: Delivery, options: &str) -> Alone {
    thread_local!(static FRESH: Vec<Alone> = {
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
    let field = |option, bit| if options.contains(option) { bit } else { 0 };
    let fields = field('*', 4) + field('q', 2) + field('f', 1);
    FRESH.with(|fresh| fresh[delivery * 8 + fields].clone())
}

/// Returns the failure of an upgrade whose response has this text in every part.
pub(super) fn refused(status: u16, text: &str) -> Failure {
    upgrade::refused(&diagnosis::UpgradeResponse {
        status,
        location: text,
        content_type: text,
        body: text.as_bytes(),
    })
}
