//! Runs that several requests or connections share.

use std::time::Duration;

use serde_json::json;

use crate::sim::{Connect, Sim, agent, chat_text, device};

#[tokio::test]
async fn a_used_idempotency_key_never_starts_a_second_run() {
    for (protocol, while_running) in [(3, "accepted"), (4, "in_flight")] {
        let sim = Sim::start(protocol, &[]);
        let mut client = sim.client(&[]).await;
        let params = agent("[[fake deltas=8 delay=20]]");
        let first = client.request("agent", &params).await;
        client.until(|frame| frame["id"] == json!(first)).await;
        assert_eq!(
            client.call("agent", &params).await["payload"]["status"],
            while_running
        );
        let last = client
            .until(|frame| frame["id"] == json!(first))
            .await
            .pop()
            .unwrap();

        let mut other_message = params.clone();
        other_message["message"] = json!("something else");
        let replay = client.call("agent", &other_message).await;
        assert_eq!(
            replay["payload"], last["payload"],
            "the last response is replayed, whatever the message"
        );
        assert_eq!(sim.journal()["runs"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_run_outlives_its_socket_and_another_connection_can_wait_for_it() {
    for protocol in [3, 4] {
        let sim = Sim::start(protocol, &[]);
        let params = agent("[[fake deltas=10 delay=10]]");
        let mut starter = sim.client(&[]).await;
        starter.call("agent", &params).await;
        starter.close().await;

        let mut other = sim.client(&[]).await;
        let waited = other
            .call("agent.wait", &json!({ "runId": params["idempotencyKey"] }))
            .await;
        assert_eq!(waited["payload"]["status"], "ok");
        assert_eq!(sim.journal()["runs"][0]["ended"], "ok");
        let closes = &sim.journal()["closes"];
        assert_eq!(closes[0]["by"], "client");
    }
}

#[tokio::test]
async fn runs_of_one_session_wait_for_each_other() {
    let sim = Sim::start(4, &[]);
    let mut client = sim.client(&[]).await;
    for key in ["first", "second"] {
        let params = json!({ "message": "[[fake deltas=3 delay=5]]", "agentId": "main", "sessionKey": "s", "idempotencyKey": key });
        client.request("agent", &params).await;
    }
    let frames = client
        .until(|frame| frame["payload"]["runId"] == "second" && frame["payload"]["status"] == "ok")
        .await;
    let of = |run: &str, phase: &str| {
        frames
            .iter()
            .position(|frame| {
                frame["payload"]["runId"] == run && frame["payload"]["data"]["phase"] == phase
            })
            .unwrap()
    };
    assert!(of("first", "end") < of("second", "start"));
}

#[tokio::test]
async fn only_the_same_device_aborts_and_any_of_its_connections_may() {
    let sim = Sim::start(4, &[]);
    let mut starter = sim.client(&[]).await;
    let params = agent("[[fake stall=2]]");
    let id = starter.request("agent", &params).await;
    starter.until(|frame| frame["event"] == "chat").await;

    let abort = json!({ "key": params["sessionKey"], "runId": params["idempotencyKey"] });
    let refused = sim
        .client_of(&device(2), &[])
        .await
        .call("sessions.abort", &abort)
        .await;
    assert_eq!(refused["error"]["message"], "unauthorized");
    let mut same_device = sim.client(&[]).await;
    let aborted = same_device.call("sessions.abort", &abort).await;
    assert_eq!(
        aborted["payload"],
        json!({ "ok": true, "abortedRunId": params["idempotencyKey"], "status": "aborted" })
    );
    let last = starter
        .until(|frame| frame["id"] == json!(id))
        .await
        .pop()
        .unwrap();
    assert_eq!(last["payload"]["summary"], "aborted");

    let run = &sim.journal()["runs"][0];
    assert_eq!(
        (&run["ended"], &run["abortedBy"]["method"]),
        (&json!("aborted"), &json!("sessions.abort"))
    );
    let waited = same_device
        .call("agent.wait", &json!({ "runId": params["idempotencyKey"] }))
        .await;
    assert_eq!(waited["payload"]["status"], "error");
}

#[tokio::test]
async fn a_run_that_waits_goes_on_when_it_is_resumed() {
    for protocol in [3, 4] {
        let sim = Sim::start(protocol, &[]);
        let mut client = sim.client(&[]).await;
        let params = agent("[[fake deltas=3 delay=0 stall=1 slowaccept=60000]]");
        client.request("agent", &params).await;
        while sim.journal()["runs"].as_array().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Once for the acceptance, and once for the silence.
        assert_eq!(sim.http("POST", "/sim/resume", "").0, 200);
        let frames = client.until(|frame| frame["event"] == "chat").await;
        assert_eq!(chat_text(&frames), "w0");
        assert_eq!(sim.http("POST", "/sim/resume", "").0, 200);
        let frames = client
            .until(|frame| frame["payload"]["status"] == "ok")
            .await;
        assert_eq!(
            frames.last().unwrap()["payload"]["result"]["payloads"][0]["text"],
            "w0 w1 w2"
        );
    }
}

#[tokio::test]
async fn protocol_3_aborts_no_agent_run() {
    let sim = Sim::start(3, &[]);
    let mut client = sim.client(&[]).await;
    let params = agent("[[fake stall=1]]");
    client.call("agent", &params).await;
    let abort = json!({ "sessionKey": params["sessionKey"], "runId": params["idempotencyKey"] });
    assert_eq!(
        client.call("chat.abort", &abort).await["payload"],
        json!({ "ok": true, "aborted": false, "runIds": [] })
    );
    assert_eq!(sim.journal()["runs"][0]["ended"], "running");
}

#[tokio::test]
async fn a_scoped_client_sees_only_what_it_subscribed_to_but_every_task() {
    let sim = Sim::start(4, &[]);
    let message = "[[fake deltas=2 delay=0]]";
    let mut blind = sim.client(&["session-scoped-events"]).await;
    let frames = blind.run(message).await;
    assert!(
        frames
            .iter()
            .all(|frame| frame["event"] != "agent" && frame["event"] != "chat")
    );
    assert!(frames.iter().any(|frame| frame["event"] == "task"));

    let mut subscriber = sim.client(&["session-scoped-events"]).await;
    let params = json!({ "key": "agent:main:S", "agentId": "main" });
    let answer = subscriber
        .call("sessions.messages.subscribe", &params)
        .await;
    assert_eq!(
        answer["payload"],
        json!({ "subscribed": true, "key": "agent:main:s" })
    );
    let mut run = agent(message);
    (run["sessionKey"], run["idempotencyKey"]) = (json!("agent:main:S"), json!("k"));
    subscriber.request("agent", &run).await;
    let frames = subscriber
        .until(|frame| frame["payload"]["status"] == "ok")
        .await;
    assert_eq!(chat_text(&frames), "w0 w1");
}

#[tokio::test]
async fn protocol_3_sends_every_event_to_every_connection() {
    let sim = Sim::start(3, &[]);
    // Without a device: no scopes at all.
    let mut client = sim.open(&[]).await.unwrap();
    client.connect(Connect::backend()).await.unwrap();
    sim.client(&[]).await.run("[[fake deltas=2 delay=0]]").await;
    let frames = client
        .until(|frame| frame["payload"]["state"] == "final")
        .await;
    assert_eq!(chat_text(&frames), "w0 w1");
}
