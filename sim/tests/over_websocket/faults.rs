//! Faults at the upgrade and in the handshake, and the control API.

use std::process::Command;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::sim::{Connect, Sim, device};

#[tokio::test]
async fn a_fault_at_the_upgrade_is_an_http_response() {
    for (fault, status) in [
        ("proxy-attribution", 403),
        ("access-302", 302),
        ("html-200", 200),
        ("not-found-404", 404),
        ("upgrade-426", 426),
        ("status-503", 503),
    ] {
        let sim = Sim::start(4, &["--fault", fault]);
        match sim.open(&[]).await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), status, "{fault}"),
            other => panic!("{fault}: {:?}", other.err()),
        }
    }
}

#[tokio::test]
async fn a_counted_fault_ends_by_itself() {
    let sim = Sim::start(4, &[]);
    assert_eq!(
        sim.http("POST", "/sim/fault", r#"{"fault":"status-503","count":1}"#)
            .0,
        200
    );
    assert!(sim.open(&[]).await.is_err());
    assert!(sim.open(&[]).await.is_ok());
    assert_eq!(
        sim.http("POST", "/sim/fault", r#"{"fault":"nonsense"}"#).0,
        400
    );
}

#[tokio::test]
async fn a_fault_in_the_handshake_is_worded_as_the_gateway_words_it() {
    for (fault, code, close) in [
        ("startup", json!({ "reason": "startup-sidecars" }), 1013),
        ("protocol-mismatch", Value::Null, 1002),
        ("auth-rate-limited", Value::Null, 1008),
    ] {
        let sim = Sim::start(4, &["--fault", fault]);
        let refused = sim
            .open(&[])
            .await
            .unwrap()
            .connect(Connect::backend())
            .await
            .unwrap_err();
        if !code.is_null() {
            assert_eq!(refused.error["details"], code);
            assert_eq!(refused.error["retryAfterMs"], json!(500));
        }
        assert_eq!(refused.close.unwrap().0, close, "{fault}");
    }
}

#[tokio::test]
async fn the_startup_state_ends_after_its_time() {
    let sim = Sim::start(4, &["--startup-ms", "300"]);
    let refused = sim
        .open(&[])
        .await
        .unwrap()
        .connect(Connect::backend())
        .await
        .unwrap_err();
    assert_eq!(refused.error["code"], "UNAVAILABLE");
    while sim
        .open(&[])
        .await
        .unwrap()
        .connect(Connect::backend())
        .await
        .is_err()
    {}
}

#[tokio::test]
async fn scopes_can_be_more_or_less_than_was_asked_for() {
    for (fault, scopes) in [
        (
            "wide-scopes",
            json!(["operator.read", "operator.write", "operator.admin"]),
        ),
        ("no-write-scope", json!(["operator.read"])),
    ] {
        let sim = Sim::start(4, &["--fault", fault]);
        let hello = sim
            .open(&[])
            .await
            .unwrap()
            .connect(Connect::backend())
            .await
            .unwrap();
        assert_eq!(hello["auth"]["scopes"], scopes);
    }
}

#[tokio::test]
async fn silence_and_an_early_close_end_the_connection() {
    let sim = Sim::start(4, &["--fault", "close-before-challenge"]);
    let mut socket = sim.open(&[]).await.unwrap();
    assert!(socket.next().await.is_none());
    assert_eq!(socket.closed.unwrap().0, 1011);

    // Protocol 3 gives up after three seconds.
    for fault in ["no-challenge", "no-hello"] {
        let sim = Sim::start(3, &["--fault", fault]);
        let mut socket = sim.open(&[]).await.unwrap();
        if fault == "no-hello" {
            assert!(
                socket
                    .connect(Connect::backend())
                    .await
                    .unwrap_err()
                    .error
                    .is_null()
            );
        } else {
            assert!(socket.next().await.is_none());
        }
        assert_eq!(socket.closed, Some((1000, String::new())));
    }
}

#[tokio::test]
async fn ticks_come_as_often_as_they_are_asked_for() {
    let sim = Sim::start(4, &["--tick-ms", "20"]);
    let mut client = sim.client(&[]).await;
    let tick = client
        .until(|frame| frame["event"] == "tick")
        .await
        .pop()
        .unwrap();
    assert!(tick["payload"]["ts"].is_u64() && tick["seq"].is_u64());
}

#[tokio::test]
async fn a_reset_forgets_the_journal_and_keeps_the_paired_devices() {
    let sim = Sim::start(4, &[]);
    let key = device(3);
    let connect = Connect {
        device: Some(&key),
        ..Connect::cli()
    };
    sim.open(&[]).await.unwrap().connect(connect).await.unwrap();
    assert_eq!(sim.http("POST", "/sim/reset", "").0, 200);
    let journal = sim.journal();
    assert_eq!(
        (&journal["connections"], &journal["frames"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(
        journal["pairing"]["devices"][0]["deviceId"],
        json!(key.device_id())
    );
}

#[tokio::test]
async fn a_reset_ends_what_still_runs() {
    let sim = Sim::start(3, &[]);
    let mut client = sim.client(&[]).await;
    client
        .call("agent", &crate::sim::agent("[[fake stall=0]]"))
        .await;
    sim.http("POST", "/sim/reset", "");
    let frames = client.run("[[fake stall=0]] [[fake deltas=1]]").await;
    assert_eq!(frames.last().unwrap()["payload"]["status"], "ok");
}

#[test]
fn only_loopback_addresses_are_listened_on() {
    let output = Command::new(env!("CARGO_BIN_EXE_clawfront-sim"))
        .args(["--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("0.0.0.0 is not a loopback address")
    );
}
