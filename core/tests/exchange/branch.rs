//! A response that goes on from an earlier one of its session, although other turns followed it.

use clawfront_core::exchange::Exchange;
use clawfront_core::failure::Failure;
use clawfront_core::http::head::ResponseMeta;
use clawfront_core::hub::Hub;
use clawfront_core::openai::responses::{self, AcceptedResponse, ResponseFields, ResponsesWriter};
use clawfront_core::openai::{self, Entropy, Writer};
use clawfront_core::repeat::Fingerprint;
use serde_json::{Value, json};

use crate::kept::key_of;
use crate::replay::{Alone, Input, START_MS, config};
use crate::scenario::Scenario;
use crate::shared::{IDLE_MS, Shared, accepted, ended};

/// The session of the first response, and that of a branch.
const SESSION: &str = "agent:main:edge:phone:run:01010101010101010101010101010101";
const BRANCH: &str = "agent:main:edge:phone:run:02020202020202020202020202020202";
const FORK: &str = "agent:main:dashboard:529109a0-7aff-4b9d-b591-a53ba28a1d72";

/// Accepts a request whose run and session have this number.
pub(crate) fn accept(
    number: u8,
    body: &Value,
    headers: &[(&str, &str)],
    is_repeated: bool,
) -> AcceptedResponse {
    let header = |name: &str| {
        let found = headers.iter().find(|(header, _)| *header == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let config = config("agents=main sessions=any");
    let key = "claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh";
    let client = config.clients.admit(key, START_MS, None).unwrap();
    let body = body.to_string();
    let request = openai::Request {
        body: body.as_bytes(),
        header: &header,
        caller: [0; 32],
        is_repeated,
    };
    let entropy = Entropy {
        run: [number; 16],
        session: [number; 16],
    };
    responses::accept(&request, client, &config.aliases, &entropy).unwrap()
}

/// Returns the run's id of a request without a key, and the id of its response.
fn first(headers: &[(&str, &str)]) -> (String, String) {
    let body = json!({ "model": "openclaw", "input": "q1" });
    let first = accept(1, &body, headers, false);
    (
        first.accepted.turn.run.as_str().to_owned(),
        first.ids().response,
    )
}

/// A request that goes on from the first response, on protocol 4, and its gateway.
fn goes_on(headers: &[(&str, &str)], is_repeated: bool) -> Scenario {
    Scenario::of(Alone::new(exchange(2, headers, is_repeated))).requested()
}

/// A request that goes on from the first response.
fn exchange(number: u8, headers: &[(&str, &str)], is_repeated: bool) -> Exchange {
    let (_, previous) = first(headers);
    let body = json!({ "model": "openclaw", "input": "q3", "previous_response_id": previous,
        "stream": true });
    exchange_of(accept(number, &body, headers, is_repeated), "agents=main")
}

/// Returns the exchange of a request, by a key with these fields.
pub(crate) fn exchange_of(response: AcceptedResponse, fields: &str) -> Exchange {
    let client = config(fields);
    let client = client.clients.admit(
        "claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh",
        START_MS,
        None,
    );
    let delivery = response.accepted.delivery;
    let fields = ResponseFields {
        ids: response.ids(),
        unnamed_ids: response.unnamed_ids("00ff"),
        branch_ids: response.branch_ids(),
        previous: response.previous,
        model: response.accepted.model,
        created_s: START_MS / 1000,
        echo: response.echo,
        keeping: response.keeping,
    };
    Exchange::new(
        response.accepted.turn,
        Writer::Responses(ResponsesWriter::new(delivery, fields)),
        ResponseMeta::default(),
        client.unwrap().streams,
        START_MS,
    )
}

fn row(run: &str, id: &str, message: &str) -> Value {
    json!({ "role": "user", "content": message, "idempotencyKey": format!("{run}:user"),
        "__openclaw": { "id": id } })
}

fn answer(text: &str) -> Value {
    json!({ "role": "assistant", "content": text, "stopReason": "stop", "__openclaw": { "id": text } })
}

/// The rows of a session in which another turn followed the first one.
fn followed() -> Value {
    let (run, _) = first(&[]);
    json!([
        row(&run, "one", "q1"),
        answer("a1"),
        row("other", "two", "q2"),
        answer("a2")
    ])
}

impl Scenario {
    /// Answers the last request.
    fn answer(&mut self, payload: &Value) {
        self.respond(&json!({ "ok": true, "payload": payload }));
    }

    fn refuse(&mut self, code: &str) {
        self.respond(&json!({ "ok": false, "error": { "code": code, "message": "" } }));
    }

    fn respond(&mut self, result: &Value) {
        let mut frame = json!({ "type": "res", "id": self.last_request()["id"] });
        for (name, value) in result.as_object().unwrap() {
            frame[name] = value.clone();
        }
        self.frame(&frame.to_string());
    }

    fn rows(&mut self, rows: &Value) {
        self.answer(&json!({ "messages": rows }));
    }

    /// Returns the session of the last `agent`.
    fn session(&self) -> String {
        let frames = self.shown.frames.iter().rev();
        let mut requests = frames.map(|frame| serde_json::from_str::<Value>(frame).unwrap());
        let agent = requests.find(|request| request["method"] == "agent");
        agent.unwrap()["params"]["sessionKey"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Ends the run with this answer, and returns the body.
    fn ended(&mut self) -> String {
        let agent = self.shown.frames.iter().rev().find_map(|frame| {
            let request: Value = serde_json::from_str(frame).unwrap();
            (request["method"] == "agent").then(|| request["id"].as_str().unwrap().to_owned())
        });
        for payload in [
            json!({ "status": "accepted" }),
            json!({ "status": "ok", "result": { "payloads": [{ "text": "a3" }], "meta": {} } }),
        ] {
            let frame = json!({ "type": "res", "id": agent, "ok": true, "payload": payload });
            self.frame(&frame.to_string());
        }
        assert!(self.shown.ended);
        self.shown.body.clone()
    }
}

#[test]
fn a_response_that_nothing_followed_goes_on_in_its_session() {
    let (run, previous) = first(&[]);
    let mut scenario = goes_on(&[], false);
    assert_eq!(scenario.last_request()["params"]["limit"], 200);
    // A later text of a sub-agent is no turn of its own.
    scenario.rows(&json!([
        row(&run, "one", "q1"),
        answer("a1"),
        answer("late")
    ]));
    assert_eq!(scenario.session(), SESSION);
    let chain = previous.get(..45).unwrap();
    let body = scenario.ended();
    assert!(body.contains(chain), "{body}");
    assert_eq!(
        scenario.shown.header("x-clawfront-memory"),
        Some("continued")
    );
}

#[test]
fn a_response_that_others_followed_goes_on_in_a_copy_up_to_it() {
    let mut scenario = goes_on(&[], false);
    scenario.rows(&followed());
    let fork = scenario.last_request();
    assert_eq!(fork["method"], "sessions.fork");
    assert_eq!(
        fork["params"],
        json!({ "sessionKey": SESSION, "entryId": "two" })
    );
    scenario.answer(&json!({ "sessionKey": FORK, "editorText": "q2" }));
    let copy = scenario.last_request();
    assert_eq!(copy["method"], "sessions.create");
    assert_eq!(
        copy["params"],
        json!({ "key": BRANCH, "agentId": "main", "parentSessionKey": FORK, "fork": true,
            "idempotencyKey": format!("{}:branch", "02".repeat(16)) })
    );
    assert!(!scenario.exchange.may_have_started());
    let entry = json!({ "sessionId": "b", "forkSource": { "sessionKey": FORK, "sessionId": "a" } });
    scenario.answer(&json!({ "ok": true, "key": BRANCH, "sessionId": "b", "entry": entry }));
    assert_eq!(scenario.session(), BRANCH);
    let tidied: Vec<Value> = scenario
        .shown
        .frames
        .iter()
        .rev()
        .take(2)
        .map(|frame| serde_json::from_str(frame).unwrap())
        .collect();
    assert_eq!(
        tidied[1]["params"],
        json!({ "key": FORK, "archived": true, "expectedSessionId": "a" })
    );
    assert_eq!(
        tidied[0]["params"],
        json!({ "key": FORK, "archivedOnly": true, "deleteTranscript": true, "expectedSessionId": "a" })
    );
    let body = scenario.ended();
    // The response's id leads to the copy.
    let id = format!(r#""id":"resp_{}"#, "02".repeat(16));
    assert!(body.contains(&id), "{body}");
    assert_eq!(
        scenario.shown.header("x-clawfront-memory"),
        Some("branched")
    );
}

#[test]
fn a_stream_that_began_before_its_session_is_known_names_the_right_one() {
    let mut shared = Shared::new(IDLE_MS);
    shared.hub = Hub::new(IDLE_MS).with_max_runs(Some(1));
    let other = shared.begin(9);
    shared.shake_hands();
    // The client sees the hub's queue, before the session's rows are asked for.
    let waiting = shared.add(exchange(2, &[], false), "02".repeat(16));
    shared.pass_ms(6_000);
    let (status, body, _) = shared.outcome(waiting);
    assert_eq!(status, 200);
    assert!(body.starts_with(": ") && !body.contains("data"), "{body}");
    shared.respond("agent", &ended("done"));
    assert!(shared.outcome(other).2);
    shared.respond("sessions.get", &json!({ "messages": followed() }));
    shared.respond("sessions.fork", &json!({ "sessionKey": FORK }));
    shared.respond("sessions.create", &json!({ "entry": {} }));
    shared.respond("agent", &accepted());
    let (_, body, _) = shared.outcome(waiting);
    let created = body.find("event: response.created").unwrap();
    let id = format!(r#""id":"resp_{}"#, "02".repeat(16));
    assert!(body.get(created..).unwrap().contains(&id), "{body}");
    assert!(
        !body.contains(&format!(r#""id":"resp_{}"#, "01".repeat(16))),
        "{body}"
    );
}

#[test]
fn a_session_that_its_client_named_becomes_the_copy() {
    let headers = [("x-openclaw-session-key", "agent:main:edge:phone:trip")];
    let (run, _) = first(&headers);
    let rows = json!([
        row(&run, "one", "q1"),
        answer("a1"),
        row("other", "two", "q2")
    ]);
    let mut scenario = goes_on(&headers, false);
    scenario.rows(&rows);
    scenario.answer(&json!({ "sessionKey": FORK }));
    assert_eq!(
        scenario.last_request()["params"]["key"],
        "agent:main:edge:phone:trip"
    );
    scenario.answer(&json!({ "entry": {} }));
    assert_eq!(scenario.session(), "agent:main:edge:phone:trip");

    // One that others use stays as it is.
    let headers = [("x-openclaw-session-key", "agent:main:main")];
    let mut scenario = goes_on(&headers, false);
    scenario.rows(&rows);
    assert_eq!(scenario.session(), "agent:main:main");
    scenario.ended();
    assert_eq!(
        scenario.shown.header("x-clawfront-memory"),
        Some("unverified")
    );
}

#[test]
fn a_named_session_with_another_run_of_ours_is_not_replaced() {
    let headers = [("x-openclaw-session-key", "agent:main:edge:phone:trip")];
    let (run, _) = first(&headers);
    let before = json!([row(&run, "one", "q1"), answer("a1")]);
    let mut shared = Shared::connected();
    let going = shared.add(exchange(2, &headers, false), "02".repeat(16));
    shared.respond("sessions.get", &json!({ "messages": before }));
    shared.respond("agent", &accepted());
    let second = shared.add(exchange(3, &headers, false), "03".repeat(16));
    // The gateway has accepted the first run, and may not have begun it.
    let rows = json!([
        row(&run, "one", "q1"),
        answer("a1"),
        row("other", "two", "q2")
    ]);
    shared.respond("sessions.get", &json!({ "messages": rows }));
    let (status, body, has_ended) = shared.outcome(second);
    assert!(status == 503 && has_ended, "{body}");
    assert!(!shared.methods().contains(&"sessions.fork"));
    assert!(!shared.outcome(going).2);
}

#[test]
fn a_session_that_cannot_be_copied_starts_nothing() {
    let busy = |scenario: &mut Scenario| scenario.refuse("UNAVAILABLE");
    let mut forking = goes_on(&[], false);
    forking.rows(&followed());
    busy(&mut forking);
    let mut copying = goes_on(&[], false);
    copying.rows(&followed());
    copying.answer(&json!({ "sessionKey": FORK }));
    busy(&mut copying);
    for scenario in [forking, copying] {
        assert_eq!((scenario.shown.status(), scenario.shown.ended), (503, true));
        assert!(!scenario.shown.methods().contains(&"agent".to_owned()));
    }
    let mut unreadable = goes_on(&[], false);
    unreadable.rows(&followed());
    unreadable.answer(&json!({}));
    assert_eq!(unreadable.shown.status(), 502);
}

#[test]
fn a_run_that_an_earlier_attempt_began_in_its_copy_is_not_started_again() {
    let mut scenario = goes_on(&[], true);
    assert_eq!(scenario.last_request()["params"]["key"], BRANCH);
    let (run, _) = first(&[]);
    let own = "02".repeat(16);
    scenario.rows(&json!([
        row(&run, "one", "q1"),
        answer("a1"),
        row(&own, "three", "q3"),
        answer("a3")
    ]));
    let claim = scenario.last_request();
    assert_eq!(claim["params"]["agentId"], "clawfront-nobody");
    scenario.refuse("INVALID_REQUEST");
    assert!(scenario.shown.ended && scenario.shown.body.contains("a3"));
    assert!(scenario.shown.body.contains(&format!("resp_{own}")));

    // A copy without the run is complete: the run was not requested.
    let mut scenario = goes_on(&[], true);
    scenario.rows(&json!([row(&run, "one", "q1"), answer("a1")]));
    assert_eq!(scenario.session(), BRANCH);
    assert!(
        !scenario
            .shown
            .methods()
            .contains(&"sessions.fork".to_owned())
    );

    // Without that copy the session is looked at, as by a first attempt.
    let mut scenario = goes_on(&[], true);
    scenario.rows(&json!([]));
    assert_eq!(scenario.last_request()["params"]["key"], SESSION);
    scenario.rows(&followed());
    assert_eq!(scenario.last_method(), "sessions.fork");
    // While it is unknown whether the copy has the run, nothing is requested.
    let mut scenario = goes_on(&[], true);
    scenario.refuse("UNAVAILABLE");
    assert!(scenario.shown.ended && !scenario.exchange.may_have_started());
}

#[test]
fn a_connection_that_is_lost_on_the_way_to_a_copy_costs_nothing() {
    let mut scenario = goes_on(&[], false);
    scenario.rows(&followed());
    scenario.answer(&json!({ "sessionKey": FORK }));
    scenario.give(Input::Closed { code: 1006 });
    scenario.next_attempt();
    let mut scenario = scenario.requested();
    scenario.rows(&followed());
    // The first copy is known: the same request has one effect.
    let copy = scenario.last_request();
    assert_eq!(copy["method"], "sessions.create");
    assert_eq!(copy["params"]["parentSessionKey"], FORK);
    scenario.answer(&json!({ "entry": {} }));
    assert_eq!(scenario.session(), BRANCH);
    let body = scenario.ended();
    assert!(body.contains("response.completed"), "{body}");
}

#[test]
fn rows_that_do_not_show_the_response_are_said_to_be_unverified() {
    let mut scenario = goes_on(&[], false);
    scenario.rows(&json!([row("other", "two", "q2"), answer("a2")]));
    assert_eq!(scenario.session(), SESSION);
    scenario.ended();
    assert_eq!(
        scenario.shown.header("x-clawfront-memory"),
        Some("unverified")
    );
    // An empty session has lost the conversation.
    let mut scenario = goes_on(&[], false);
    scenario.rows(&json!([]));
    assert_eq!(scenario.shown.status(), 400);
    let outcome = scenario.exchange.outcome().clone();
    assert!(
        matches!(
            outcome,
            clawfront_core::exchange::Outcome::Failed(Failure::InvalidRequest { .. })
        ),
        "{outcome:?}"
    );
}

/// A request without a key only looks like a retry: two callers must not go on in one session.
#[test]
fn one_of_two_responses_of_a_run_names_its_session() {
    let mut shared = Shared::connected();
    let key = key_of(1);
    let body = json!({ "model": "openclaw", "input": "q1", "stream": true });
    let of_session = accept(1, &body, &[], false).ids().response;
    let entropy = Entropy {
        run: [1; 16],
        session: [1; 16],
    };
    let fingerprint = || Fingerprint::of(&[], std::iter::empty(), b"q1");
    let mut clients = Vec::new();
    for attempt in 0..2 {
        let earlier = shared
            .memory
            .recall(&key, &fingerprint(), attempt, START_MS);
        let (_, receiver) = earlier.unwrap().unwrap_or_else(|| {
            let memory = &mut shared.memory;
            let receiver = memory.remember(&key, fingerprint(), attempt, entropy, START_MS);
            (entropy, receiver)
        });
        let mut exchange = exchange_of(accept(1, &body, &[], attempt > 0), "agents=main");
        exchange.set_key(key.clone());
        clients.push(shared.open(exchange, &key, receiver, "01".repeat(16), START_MS));
    }
    shared.respond("agent", &accepted());
    shared.respond("sessions.get", &json!({ "messages": [] }));
    shared.respond("agent", &accepted());
    shared.say(clients[0], "hello");
    let names = clients
        .iter()
        .map(|client| shared.outcome(*client).1.contains(&of_session));
    assert_eq!(
        names.collect::<Vec<_>>(),
        [false, true],
        "the latest names it"
    );
    for client in clients {
        assert!(shared.outcome(client).1.contains("response.created"));
    }
}
