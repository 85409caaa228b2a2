//! Behaviour of runs that no single recording shows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::sim::{Sim, Socket, agent, chat_text};

#[tokio::test]
async fn a_text_arrives_exactly() {
    // "Grüße, 🦀🦀 Welt\n\n" as base64url of its UTF-8.
    let message = "[[fake text=R3LDvMOfZSwg8J-mgPCfpoAgV2VsdAoK delay=0]]";
    for protocol in [3, 4] {
        let sim = Sim::start(protocol, &["--pacing-ms", "0"]);
        let frames = sim.client(&[]).await.run(message).await;
        assert_eq!(chat_text(&frames), "Grüße, 🦀🦀 Welt\n\n");
        let agent_text: String = assistants(&frames)
            .map(|data| data["delta"].as_str().unwrap())
            .collect();
        assert_eq!(agent_text, "Grüße, 🦀🦀 Welt\n\n");
        assert_eq!(
            frames.last().unwrap()["payload"]["result"]["payloads"][0]["text"],
            "Grüße, 🦀🦀 Welt\n\n"
        );
    }
}

#[tokio::test]
async fn an_echo_has_the_received_parameters() {
    let sim = Sim::start(4, &[]);
    let mut params = agent("[[fake echo=1 delay=0]]");
    params["extraSystemPrompt"] = json!("Be brief.");
    params["attachments"] = json!([{ "type": "image", "mimeType": "image/png", "fileName": "a.png", "content": "data:image/png;base64,AAECAw==" }]);
    let mut client = sim.client(&[]).await;
    client.request("agent", &params).await;
    let frames = client
        .until(|frame| frame["payload"]["status"] == "ok")
        .await;
    let echo: Value = serde_json::from_str(&chat_text(&frames)).unwrap();
    assert_eq!(
        echo,
        json!({
            "message": "[[fake echo=1 delay=0]]", "extraSystemPrompt": "Be brief.", "agentId": "main",
            "sessionKey": "agent:main:[[fake echo=1 delay=0]]", "thinking": null, "timeout": null, "attachmentCount": 1,
            "attachments": [{ "type": "image", "mimeType": "image/png", "fileName": "a.png", "bytes": 4 }],
        })
    );
}

#[tokio::test]
async fn parameters_are_refused_as_measured() {
    for (protocol, change, expected) in [
        (
            4,
            json!({ "agentId": "nope", "sessionKey": null }),
            "invalid agent params: unknown agent id \"nope\"",
        ),
        (
            4,
            json!({ "idempotencyKey": null }),
            "invalid agent params: must have required property 'idempotencyKey'",
        ),
        (
            4,
            json!({ "message": "" }),
            "invalid agent params: at /message: must not have fewer than 1 characters",
        ),
        (
            3,
            json!({ "message": "" }),
            "invalid agent params: at /message: must NOT have fewer than 1 characters",
        ),
        (
            4,
            json!({ "foo": 1 }),
            "invalid agent params: at root: unexpected property 'foo'",
        ),
        (
            4,
            json!({ "model": "m" }),
            "provider/model overrides are not authorized for this caller.",
        ),
        (
            3,
            json!({ "model": "m" }),
            "invalid agent params: at root: unexpected property 'model'",
        ),
        (
            4,
            json!({ "message": "[[fake nonsense=1]]" }),
            "invalid agent params: clawfront-sim directive: unknown word \"nonsense=1\"",
        ),
    ] {
        let sim = Sim::start(protocol, &[]);
        let mut params = agent("x");
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                params.as_object_mut().unwrap().remove(name);
            } else {
                params[name] = value.clone();
            }
        }
        let answer = sim.client(&[]).await.call("agent", &params).await;
        assert_eq!(
            answer["error"],
            json!({ "code": "INVALID_REQUEST", "message": expected })
        );
    }
}

#[tokio::test]
async fn frames_that_are_no_requests_are_answered_or_ignored() {
    let sim = Sim::start(4, &[]);
    let mut client = sim.client(&[]).await;
    for text in [
        r#"{"type":"req","method":"health"}"#,
        "not json",
        r#"{"type":"req","id":"x1","method":"health","extra":1}"#,
    ] {
        client.send_text(text.to_owned()).await;
    }
    let answers = client.until(|frame| frame["id"] == "x1").await;
    let messages: Vec<_> = answers
        .iter()
        .map(|frame| {
            (
                frame["id"].as_str().unwrap(),
                frame["error"]["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        messages,
        [
            (
                "invalid",
                "invalid request frame: must have required property 'id'"
            ),
            (
                "x1",
                "invalid request frame: at root: unexpected property 'extra'"
            ),
        ]
    );
}

#[tokio::test]
async fn a_thinking_level_that_the_model_lacks_fails_the_run() {
    let sim = Sim::start(4, &[]);
    let mut params = agent("x");
    params["thinking"] = json!("high");
    let mut client = sim.client(&[]).await;
    client.request("agent", &params).await;
    let last = client
        .until(|frame| frame["payload"]["status"] == "error")
        .await
        .pop()
        .unwrap();
    assert_eq!(
        last["error"]["message"],
        "Thinking level \"high\" is not supported for fake/fake-1. Use one of: off."
    );
}

#[tokio::test]
async fn the_demo_answer_names_the_way_to_a_real_gateway() {
    let sim = Sim::start(4, &[]);
    let text = chat_text(&sim.client(&[]).await.run("Hello!").await);
    assert!(
        text.contains("GATEWAY_URL") && text.contains("npm start -- --openclaw"),
        "{text}"
    );
}

#[tokio::test]
async fn a_retraction_contradicts_the_sent_text() {
    for protocol in [3, 4] {
        let sim = Sim::start(protocol, &["--pacing-ms", "0"]);
        let frames = sim
            .client(&[])
            .await
            .run("[[fake deltas=3 delay=0 retract=2]]")
            .await;
        let retraction = assistants(&frames)
            .find(|data| data["text"] == "On second thought:")
            .unwrap();
        assert_eq!(
            retraction["replace"],
            if protocol == 4 {
                json!(true)
            } else {
                Value::Null
            }
        );
        assert_eq!(chat_text(&frames), "On second thought: w2");
    }
}

#[tokio::test]
async fn a_lost_socket_of_the_starter_does_not_end_the_run() {
    for protocol in [3, 4] {
        let sim = Sim::start(protocol, &["--pacing-ms", "0"]);
        for (message, close) in [
            (
                "[[fake deltas=4 delay=0 close=1012 after=2]]",
                Some((1012, String::new())),
            ),
            ("[[fake deltas=4 delay=0 drop=2]]", None),
        ] {
            let mut client = sim.client(&[]).await;
            client.request("agent", &agent(message)).await;
            let frames = rest(&mut client).await;
            assert_eq!(client.closed, close);
            assert_eq!(assistants(&frames).count(), 2);
            let waited = sim
                .client(&[])
                .await
                .call(
                    "agent.wait",
                    &json!({ "runId": format!("run of {message}") }),
                )
                .await;
            assert_eq!(waited["payload"]["status"], "ok");
        }
    }
}

#[tokio::test]
async fn noise_comes_between_the_deltas() {
    for protocol in [3, 4] {
        let sim = Sim::start(protocol, &["--pacing-ms", "0"]);
        let frames = sim
            .client(&[])
            .await
            .run("[[fake deltas=6 delay=0 foreign=2 unknown=1 garbage=1]]")
            .await;
        assert!(frames.contains(&json!("this is not { JSON")));
        assert_eq!(
            frames
                .iter()
                .filter(|frame| frame["payload"]["sessionKey"] == "agent:main:somebody-else")
                .count(),
            12
        );
        assert_eq!(
            frames
                .iter()
                .filter(|frame| frame["event"] == "sim.unknown")
                .count(),
            6
        );
        assert!(
            frames
                .iter()
                .any(|frame| frame["payload"]["stream"] == "sim_unknown")
        );
        assert!(assistants(&frames).any(|data| data["simSurplus"].is_object()));
    }
}

#[tokio::test]
async fn a_run_may_end_without_its_last_response() {
    let sim = Sim::start(4, &[]);
    let mut client = sim.client(&[]).await;
    client
        .request("agent", &agent("[[fake deltas=1 nofinal=1]]"))
        .await;
    client
        .until(|frame| frame["payload"]["state"] == "final")
        .await;
    client
        .until(|frame| frame["payload"]["task"]["status"] == "completed")
        .await;
    // The next response on the connection is that of another request.
    client
        .send(&json!({ "type": "req", "id": "next", "method": "health" }))
        .await;
    assert_eq!(
        client
            .until(|frame| frame["type"] == "res")
            .await
            .pop()
            .unwrap()["id"],
        "next"
    );
}

#[tokio::test]
async fn a_draining_gateway_takes_no_run() {
    let sim = Sim::start(4, &[]);
    let answer = sim
        .client(&[])
        .await
        .call("agent", &agent("[[fake draining=1]]"))
        .await;
    assert_eq!(
        answer["error"],
        json!({ "code": "UNAVAILABLE", "message": "Gateway is draining; new tasks are not accepted" })
    );
}

#[tokio::test]
async fn a_run_that_takes_too_long_ends_as_in_each_version() {
    for (protocol, status) in [(3, "ok"), (4, "timeout")] {
        let sim = Sim::start(protocol, &[]);
        let last = sim
            .client(&[])
            .await
            .run("[[fake deltas=1 timeoutrun=1]]")
            .await
            .pop()
            .unwrap();
        assert_eq!(
            (
                &last["payload"]["status"],
                &last["payload"]["result"]["meta"]["aborted"]
            ),
            (&json!(status), &json!(true))
        );
    }
}

#[tokio::test]
async fn an_abort_arrives_of_a_client_that_is_gone() {
    const CLIENTS: usize = 5;
    let sim = Sim::start(4, &[]);
    for client in 0..CLIENTS {
        let mut socket = sim.client(&[]).await;
        let params = agent(&format!("{client} [[fake bulk=1000 delay=5]]"));
        socket.request("agent", &params).await;
        socket
            .until(|frame| frame["payload"]["stream"] == "assistant")
            .await;
        // The simulator waits to write until the system resets the connection of a client that has
        // not read everything.
        sleep(Duration::from_millis(500)).await;
        let abort =
            json!({ "sessionKey": params["sessionKey"], "runId": params["idempotencyKey"] });
        socket.request("chat.abort", &abort).await;
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    let ended = || {
        let runs = sim.journal()["runs"].as_array().unwrap().clone();
        runs.iter().filter(|run| run["ended"] == "aborted").count()
    };
    while ended() < CLIENTS && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ended(), CLIENTS);
}

fn assistants(frames: &[Value]) -> impl Iterator<Item = &Value> {
    let own = frames
        .iter()
        .filter(|frame| frame["payload"]["stream"] == "assistant");
    own.filter(|frame| frame["payload"]["sessionKey"] != "agent:main:somebody-else")
        .map(|frame| &frame["payload"]["data"])
}

async fn rest(client: &mut Socket) -> Vec<Value> {
    let mut frames = Vec::new();
    while let Some(frame) = client.next().await {
        frames.push(frame);
    }
    frames
}
