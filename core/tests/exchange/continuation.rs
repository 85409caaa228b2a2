//! Runs whose agent waits for its sub-agents (`sessions_yield`), from recordings of both versions.
//!
//! The recorded client followed nothing: the answers to our questions about the continuation are
//! made up, in the recorded shapes.

use clawfront_core::exchange::{Exchange, Input};
use clawfront_core::openai::Delivery;

use crate::replay::{Recorded, START_MS, Shown, exchange_of, feed, recording, step};

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

/// An exchange in the middle of a recording.
#[derive(Clone)]
struct Scene {
    exchange: Exchange,
    shown: Shown,
    rest: Vec<Recorded>,
    now_ms: u64,
    answer: &'static str,
}

impl Scene {
    /// Begins with the frame after the final response of the run that yielded.
    fn yielded(nth: usize, delivery: Delivery, fields: &str) -> Self {
        let (name, session, answer) = CASES[nth];
        let mut scene = Self {
            exchange: exchange_of(delivery, fields),
            shown: Shown::default(),
            rest: recording(name, 0),
            now_ms: START_MS,
            answer,
        };
        scene.play_until(|scene| scene.exchange.session().is_some());
        let ours = scene.exchange.session().unwrap().as_str().to_owned();
        for item in &mut scene.rest {
            if let Recorded::Frame(frame) = item {
                *frame = frame.replace(session, &ours);
            }
        }
        scene.play_until(|scene| {
            scene
                .shown
                .methods()
                .last()
                .is_some_and(|method| method == "chat.history")
        });
        scene
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
        feed(
            &mut self.exchange,
            Input::Frame(&frame),
            self.now_ms,
            &mut self.shown,
        );
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
        let mut scene = Scene::yielded(nth, STREAM, "agents=main");
        assert!(
            !scene.shown.ended && scene.text().is_empty(),
            "{}",
            scene.shown.body
        );
        assert!(
            scene.shown.body.contains(": waiting for sub-agents\n"),
            "{}",
            scene.shown.body
        );
        scene.answer("chat.history", r#"{"messages":[]}"#);
        let rest = scene.rest.len();
        scene.play_until(|scene| scene.rest.is_empty() || scene.text().len() > 3);
        assert!(
            scene.rest.len() < rest && !scene.rest.is_empty(),
            "streamed as it comes"
        );
        scene.play_until(|scene| scene.rest.is_empty());
        assert!(!scene.shown.ended);
        let (_, _, wait) = scene.asked();
        assert!(
            wait["runId"].as_str().unwrap().starts_with("announce:"),
            "{wait}"
        );
        scene.finish();
        assert!(
            scene.shown.ended && scene.text() == scene.answer,
            "{}",
            scene.shown.body
        );
        assert!(scene.shown.body.contains(r#""finish_reason":"stop""#));
        // 10 tokens of the run that yielded, 5 of its continuation.
        assert!(
            scene.shown.body.contains(r#""completion_tokens":15"#),
            "{}",
            scene.shown.body
        );
        let asked = scene
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
        let mut scene = Scene::yielded(nth, Delivery::Whole, "agents=main");
        scene.answer("chat.history", r#"{"messages":[]}"#);
        scene.play_until(|scene| scene.rest.is_empty());
        scene.finish();
        assert_eq!(scene.shown.status(), 200);
        let answer = format!(r#""content":"{}""#, scene.answer);
        assert!(scene.shown.body.contains(&answer), "{}", scene.shown.body);
    }
}

#[test]
fn a_continuation_that_ran_while_there_was_no_connection_is_found_again() {
    for (nth, (recorded, ..)) in CASES.iter().enumerate() {
        let mut scene = Scene::yielded(nth, STREAM, "agents=main");
        scene.answer("chat.history", r#"{"messages":[]}"#);
        let name = scene
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
        feed(
            &mut scene.exchange,
            Input::Closed { code: 1006 },
            scene.now_ms,
            &mut scene.shown,
        );
        let wake_ms = scene.exchange.wake_at_ms().unwrap();
        feed(&mut scene.exchange, Input::Tick, wake_ms, &mut scene.shown);
        scene.now_ms = wake_ms;
        for item in &handshake {
            step(&mut scene.exchange, item, wake_ms, &mut scene.shown);
        }
        let (child, run) = name.rsplit_once(':').unwrap();
        let child = child.strip_prefix("v1:").unwrap_or_default();
        let spawned = format!(
            r#"{{\"status\":\"accepted\",\"childSessionKey\":\"{child}\",\"runId\":\"{run}\"}}"#
        );
        let rows = format!(
            r#"{{"messages":[{{"role":"user","content":"hi"}},{{"role":"toolResult","content":[{{"type":"text","text":"{spawned}"}}],"__openclaw":{{"runId":"{}"}}}},{{"role":"user","content":"OpenClaw runtime context (internal):"}},{{"role":"assistant","__openclaw":{{"runId":"announce:{name}"}}}}]}}"#,
            crate::replay::RUN_ID
        );
        scene.answer("chat.history", &rows);
        let (_, method, claim) = scene.asked();
        assert_eq!(
            (method.as_str(), claim["idempotencyKey"].as_str().unwrap()),
            ("agent", &*format!("announce:{name}"))
        );
        assert_eq!(claim["agentId"], "clawfront-nobody");
        let text = scene.answer;
        scene.answer(
            "agent",
            &format!(r#"{{"status":"ok","result":{{"payloads":[{{"text":"{text}"}}],"meta":{{"agentMeta":{{"assistantTurns":1}}}}}}}}"#),
        );
        assert!(
            scene.shown.ended && scene.text() == scene.answer,
            "{}",
            scene.shown.body
        );
    }
}

#[test]
fn a_client_that_leaves_stops_the_continuation() {
    for nth in 0..2 {
        let mut scene = Scene::yielded(nth, STREAM, "agents=main");
        scene.answer("chat.history", r#"{"messages":[]}"#);
        scene.play_until(|scene| scene.text().len() > 3);
        feed(
            &mut scene.exchange,
            Input::HungUp,
            scene.now_ms,
            &mut scene.shown,
        );
        let (_, method, abort) = scene.asked();
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
        let mut scene = Scene::yielded(nth, STREAM, "agents=main");
        let yielded_ms = scene.now_ms;
        let tick = r#"{"type":"event","event":"tick","payload":{}}"#;
        while !scene.shown.ended {
            if scene.asked().1 == "chat.history" {
                scene.answer("chat.history", r#"{"messages":[]}"#);
            }
            if scene.shown.ended {
                break;
            }
            feed(
                &mut scene.exchange,
                Input::Frame(tick),
                scene.now_ms,
                &mut scene.shown,
            );
            scene.now_ms = scene.exchange.wake_at_ms().unwrap();
            let frames = scene.shown.frames.len();
            feed(
                &mut scene.exchange,
                Input::Tick,
                scene.now_ms,
                &mut scene.shown,
            );
            if scene.shown.frames.len() == frames {
                continue;
            }
            assert_eq!(scene.asked().1, "chat.history");
        }
        let waited_s = (scene.now_ms - yielded_ms) / 1000;
        assert!((limit_s..limit_s + 30).contains(&waited_s), "{waited_s}");
        assert!(
            scene.shown.body.contains(r#""code":"answer_lost""#),
            "{}",
            scene.shown.body
        );
    }
}

#[test]
fn a_sub_agent_that_runs_is_waited_for() {
    let mut scene = Scene::yielded(0, STREAM, "agents=main");
    let end_ms = scene.now_ms + 3_600_000;
    let tick = r#"{"type":"event","event":"tick","payload":{}}"#;
    while scene.now_ms < end_ms {
        if scene.asked().1 == "chat.history" && !scene.shown.ended {
            let (id, _, _) = scene.asked();
            let frame = format!(
                r#"{{"type":"res","id":"{id}","ok":true,"payload":{{"messages":[],"sessionInfo":{{"hasActiveSubagentRun":true}}}}}}"#
            );
            feed(
                &mut scene.exchange,
                Input::Frame(&frame),
                scene.now_ms,
                &mut scene.shown,
            );
        }
        feed(
            &mut scene.exchange,
            Input::Frame(tick),
            scene.now_ms,
            &mut scene.shown,
        );
        scene.now_ms = scene.exchange.wake_at_ms().unwrap();
        feed(
            &mut scene.exchange,
            Input::Tick,
            scene.now_ms,
            &mut scene.shown,
        );
    }
    assert!(!scene.shown.ended, "{}", scene.shown.body);
}

#[test]
fn the_continuation_of_another_session_or_another_turn_is_not_followed() {
    let mut scene = Scene::yielded(0, STREAM, "agents=main");
    scene.answer("chat.history", r#"{"messages":[]}"#);
    let session = scene.exchange.session().unwrap().as_str().to_owned();
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
        let frames = scene.shown.frames.len();
        feed(
            &mut scene.exchange,
            Input::Frame(&frame),
            scene.now_ms,
            &mut scene.shown,
        );
        assert_eq!(
            (scene.shown.frames.len(), scene.text()),
            (frames, String::new()),
            "{id}"
        );
    }
}

#[test]
fn heartbeats_go_on_during_the_wait_and_words_of_ours_need_leave() {
    let quiet = Scene::yielded(0, STREAM, "agents=main heartbeat=off");
    assert!(
        !quiet.shown.body.contains("waiting"),
        "{}",
        quiet.shown.body
    );
    let mut scene = Scene::yielded(0, STREAM, "agents=main");
    scene.answer("chat.history", r#"{"messages":[]}"#);
    scene.now_ms = scene.exchange.wake_at_ms().unwrap();
    feed(
        &mut scene.exchange,
        Input::Tick,
        scene.now_ms,
        &mut scene.shown,
    );
    assert!(
        scene.shown.body.ends_with(": ping\n"),
        "{}",
        scene.shown.body
    );
}
