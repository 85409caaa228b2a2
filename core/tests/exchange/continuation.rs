//! Runs whose agent waits for its sub-agents (`sessions_yield`), from recordings of both versions.
//!
//! The recorded client followed nothing: the answers to our questions about the continuation are
//! made up, in the recorded shapes.

use clawfront_core::openai::Delivery;

use crate::replay::{Alone, Input, Recorded, START_MS, Shown, exchange_of, feed, recording, step};

const STREAM: Delivery = Delivery::Stream {
    include_usage: true,
};

/// A recording, the session of its client, and the answer.
const CASES: [(&str, &str, &str); 3] = [
    (
        "latest-yield",
        "agent:main:clawfront:spawnyield:vofx1j",
        "After yield: got it.",
    ),
    (
        "latest-yield_two",
        "agent:main:clawfront:y2:fgmvhd",
        "After both.",
    ),
    (
        "march-yield",
        "agent:main:clawfront:b2-y:634ocb",
        "After yield: child said so.",
    ),
];

/// An exchange in the middle of a recording, whose run waits for its sub-agents.
#[derive(Clone)]
struct YieldedRun {
    exchange: Alone,
    shown: Shown,
    rest: Vec<Recorded>,
    now_ms: u64,
    answer: &'static str,
}

impl YieldedRun {
    /// Begins with the frame after the final response of the run that yielded.
    fn new(nth: usize, delivery: Delivery, fields: &str) -> Self {
        let (name, session, answer) = CASES[nth];
        let mut run = Self {
            exchange: exchange_of(delivery, fields),
            shown: Shown::default(),
            rest: recording(name, 0),
            now_ms: START_MS,
            answer,
        };
        run.play_until(|run| run.exchange.session().is_some());
        let ours = run.exchange.session().unwrap().as_str().to_owned();
        for item in &mut run.rest {
            if let Recorded::Frame(frame) = item {
                *frame = frame.replace(session, &ours);
            }
        }
        run.play_until(|run| {
            run.shown
                .methods()
                .last()
                .is_some_and(|method| method == "chat.history")
        });
        run
    }

    fn play_until(&mut self, is_there: impl Fn(&Self) -> bool) {
        while !is_there(self) {
            let item = self.rest.remove(0);
            self.now_ms += 1;
            step(&mut self.exchange, &item, self.now_ms, &mut self.shown);
        }
    }

    /// Returns the id and the parameters of the last request.
    fn asked(&self) -> (String, String, serde_json::Value) {
        let frame: serde_json::Value =
            serde_json::from_str(self.shown.frames.last().unwrap()).unwrap();
        (
            frame["id"].as_str().unwrap().to_owned(),
            frame["method"].as_str().unwrap().to_owned(),
            frame["params"].clone(),
        )
    }

    fn answer(&mut self, method: &str, payload: &str) {
        let (id, asked, _) = self.asked();
        assert_eq!(asked, method);
        let frame = format!(r#"{{"type":"res","id":"{id}","ok":true,"payload":{payload}}}"#);
        self.now_ms += 1;
        self.give(Input::Frame(&frame));
    }

    fn give(&mut self, input: Input<'_>) {
        feed(&mut self.exchange, input, self.now_ms, &mut self.shown);
    }

    fn finish(&mut self) {
        self.answer("agent.wait", r#"{"status":"ok","endedAt":1}"#);
        let text = self.answer;
        self.answer(
            "agent",
            &format!(
                r#"{{"status":"ok","result":{{"payloads":[{{"text":"{text}"}}],"meta":{{"stopReason":"stop","agentMeta":{{"usage":{{"input":900,"output":5,"cacheRead":100}},"assistantTurns":1}}}}}}}}"#
            ),
        );
    }

    fn text(&self) -> String {
        let chunks = self
            .shown
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        let chunks =
            chunks.filter_map(|chunk| serde_json::from_str::<serde_json::Value>(chunk).ok());
        chunks
            .filter_map(|chunk| {
                chunk["choices"][0]["delta"]["content"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect()
    }
}

#[test]
fn the_answer_is_the_continuations_and_usage_adds_up() {
    for nth in 0..CASES.len() {
        let mut run = YieldedRun::new(nth, STREAM, "agents=main");
        assert!(
            !run.shown.ended && run.text().is_empty(),
            "{}",
            run.shown.body
        );
        assert!(
            run.shown.body.contains(": waiting for sub-agents\n"),
            "{}",
            run.shown.body
        );
        run.answer("chat.history", r#"{"messages":[]}"#);
        let rest = run.rest.len();
        run.play_until(|run| run.rest.is_empty() || run.text().len() > 3);
        assert!(
            run.rest.len() < rest && !run.rest.is_empty(),
            "streamed as it comes"
        );
        run.play_until(|run| run.rest.is_empty());
        assert!(!run.shown.ended);
        let (_, _, wait) = run.asked();
        assert!(
            wait["runId"].as_str().unwrap().starts_with("announce:"),
            "{wait}"
        );
        run.finish();
        assert!(
            run.shown.ended && run.text() == run.answer,
            "{}",
            run.shown.body
        );
        assert!(run.shown.body.contains(r#""finish_reason":"stop""#));
        // 10 tokens of the run that yielded, 5 of its continuation.
        assert!(
            run.shown.body.contains(r#""completion_tokens":15"#),
            "{}",
            run.shown.body
        );
        let asked = run
            .shown
            .frames
            .iter()
            .filter(|frame| frame.contains(r#""message":"hi""#));
        assert_eq!(asked.count(), 1);
    }
}

#[test]
fn a_whole_answer_waits_for_the_continuation() {
    for nth in 0..CASES.len() {
        let mut run = YieldedRun::new(nth, Delivery::Whole, "agents=main");
        run.answer("chat.history", r#"{"messages":[]}"#);
        run.play_until(|run| run.rest.is_empty());
        run.finish();
        assert_eq!(run.shown.status(), 200);
        let answer = format!(r#""content":"{}""#, run.answer);
        assert!(run.shown.body.contains(&answer), "{}", run.shown.body);
    }
}

#[test]
fn a_continuation_that_ran_while_there_was_no_connection_is_found_again() {
    for (nth, (recorded, ..)) in CASES.iter().enumerate() {
        let mut run = YieldedRun::new(nth, STREAM, "agents=main");
        run.answer("chat.history", r#"{"messages":[]}"#);
        let name = run
            .rest
            .iter()
            .find_map(|item| match item {
                Recorded::Frame(frame) => frame
                    .split_once(r#""runId":"announce:"#)
                    .map(|(_, rest)| rest.split('"').next()),
                Recorded::Closed(_) => None,
            })
            .flatten()
            .unwrap()
            .to_owned();
        let handshake: Vec<Recorded> = recording(recorded, 0).into_iter().take(2).collect();
        run.give(Input::Closed { code: 1006 });
        let wake_ms = run.exchange.wake_at_ms().unwrap();
        feed(&mut run.exchange, Input::Tick, wake_ms, &mut run.shown);
        run.now_ms = wake_ms;
        for item in &handshake {
            step(&mut run.exchange, item, wake_ms, &mut run.shown);
        }
        let (child, run_id) = name.rsplit_once(':').unwrap();
        let child = child.strip_prefix("v1:").unwrap_or_default();
        let spawned = format!(
            r#"{{\"status\":\"accepted\",\"childSessionKey\":\"{child}\",\"runId\":\"{run_id}\"}}"#
        );
        let rows = format!(
            r#"{{"messages":[{{"role":"user","content":"hi"}},{{"role":"toolResult","content":[{{"type":"text","text":"{spawned}"}}],"__openclaw":{{"runId":"{}"}}}},{{"role":"user","content":"OpenClaw runtime context (internal):"}},{{"role":"assistant","__openclaw":{{"runId":"announce:{name}"}}}}]}}"#,
            crate::replay::RUN_ID
        );
        run.answer("chat.history", &rows);
        let (_, method, claim) = run.asked();
        assert_eq!(
            (method.as_str(), claim["idempotencyKey"].as_str().unwrap()),
            ("agent", &*format!("announce:{name}"))
        );
        assert_eq!(claim["agentId"], "clawfront-nobody");
        let text = run.answer;
        run.answer(
            "agent",
            &format!(r#"{{"status":"ok","result":{{"payloads":[{{"text":"{text}"}}],"meta":{{"agentMeta":{{"assistantTurns":1}}}}}}}}"#),
        );
        assert!(
            run.shown.ended && run.text() == run.answer,
            "{}",
            run.shown.body
        );
    }
}

#[test]
fn a_client_that_leaves_stops_the_continuation() {
    for nth in 0..2 {
        let mut run = YieldedRun::new(nth, STREAM, "agents=main");
        run.answer("chat.history", r#"{"messages":[]}"#);
        run.play_until(|run| run.text().len() > 3);
        run.give(Input::HungUp);
        let (_, method, abort) = run.asked();
        assert_eq!(method, "chat.abort");
        assert!(
            abort["runId"]
                .as_str()
                .unwrap()
                .starts_with("announce:requester-settle:main:"),
            "{abort}"
        );
    }
}

#[test]
fn a_continuation_that_never_comes_is_an_error_in_time() {
    for (nth, limit_s) in [(0, 200), (2, 900)] {
        let mut run = YieldedRun::new(nth, STREAM, "agents=main");
        let yielded_ms = run.now_ms;
        let tick = r#"{"type":"event","event":"tick","payload":{}}"#;
        while !run.shown.ended {
            if run.asked().1 == "chat.history" {
                run.answer("chat.history", r#"{"messages":[]}"#);
            }
            if run.shown.ended {
                break;
            }
            run.give(Input::Frame(tick));
            run.now_ms = run.exchange.wake_at_ms().unwrap();
            let frames = run.shown.frames.len();
            run.give(Input::Tick);
            if run.shown.frames.len() == frames {
                continue;
            }
            assert_eq!(run.asked().1, "chat.history");
        }
        let waited_s = (run.now_ms - yielded_ms) / 1000;
        assert!((limit_s..limit_s + 30).contains(&waited_s), "{waited_s}");
        assert!(
            run.shown.body.contains(r#""code":"answer_lost""#),
            "{}",
            run.shown.body
        );
    }
}

#[test]
fn a_sub_agent_that_runs_is_waited_for() {
    let mut run = YieldedRun::new(0, STREAM, "agents=main");
    let end_ms = run.now_ms + 3_600_000;
    let tick = r#"{"type":"event","event":"tick","payload":{}}"#;
    while run.now_ms < end_ms {
        if run.asked().1 == "chat.history" && !run.shown.ended {
            let (id, _, _) = run.asked();
            let frame = format!(
                r#"{{"type":"res","id":"{id}","ok":true,"payload":{{"messages":[],"sessionInfo":{{"hasActiveSubagentRun":true}}}}}}"#
            );
            run.give(Input::Frame(&frame));
        }
        run.give(Input::Frame(tick));
        run.now_ms = run.exchange.wake_at_ms().unwrap();
        run.give(Input::Tick);
    }
    assert!(!run.shown.ended, "{}", run.shown.body);
}

#[test]
fn the_continuation_of_another_session_or_another_turn_is_not_followed() {
    let mut run = YieldedRun::new(0, STREAM, "agents=main");
    run.answer("chat.history", r#"{"messages":[]}"#);
    let session = run.exchange.session().unwrap().as_str().to_owned();
    for id in [
        "announce:requester-settle:main:agent:main:other:1b062021-3040-4abb-b3d0-ad178a487cfb:\
         yield-1"
            .to_owned(),
        format!(
            "announce:requester-settle:main:{session}:00000000-0000-0000-0000-000000000000:yield-1"
        ),
        format!("announce:v1:{session}:1b062021-3040-4abb-b3d0-ad178a487cfb"),
    ] {
        let frame = format!(
            r#"{{"type":"event","event":"agent","payload":{{"runId":"{id}","stream":"assistant","data":{{"text":"wrong","delta":"wrong","itemId":"i"}},"sessionKey":"{session}"}}}}"#
        );
        let frames = run.shown.frames.len();
        run.give(Input::Frame(&frame));
        assert_eq!(
            (run.shown.frames.len(), run.text()),
            (frames, String::new()),
            "{id}"
        );
    }
}

#[test]
fn heartbeats_go_on_during_the_wait_and_words_of_ours_need_leave() {
    let quiet = YieldedRun::new(0, STREAM, "agents=main heartbeat=off");
    assert!(
        !quiet.shown.body.contains("waiting"),
        "{}",
        quiet.shown.body
    );
    let mut run = YieldedRun::new(0, STREAM, "agents=main");
    run.answer("chat.history", r#"{"messages":[]}"#);
    run.now_ms = run.exchange.wake_at_ms().unwrap();
    run.give(Input::Tick);
    assert!(run.shown.body.ends_with(": ping\n"), "{}", run.shown.body);
}
