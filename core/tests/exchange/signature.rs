//! The device's signature, which the caller makes: nothing is sent before it, and one that comes
//! too late answers no other challenge.

use clawfront_core::failure::Failure;
use clawfront_core::hub::{Hub, Input};
use serde_json::Value;

use crate::replay::{START_MS, gateway};
use crate::scenario::{CHALLENGE, HELLO};
use crate::shared::{IDLE_MS, Shared};

const SIGNATURE: &str = "the-signature";

/// Returns a hub with a client, whose connection has brought the challenge, and the text to sign.
fn challenged() -> (Hub, String) {
    let mut hub = Hub::new(IDLE_MS);
    hub.begin(Shared::exchange(1, &[]), None, START_MS);
    assert!(hub.take_orders().connect);
    give(&mut hub, CHALLENGE);
    let orders = hub.take_orders();
    assert!(orders.frames.is_empty(), "{orders:?}");
    (hub, orders.sign.unwrap())
}

fn give(hub: &mut Hub, text: &str) {
    hub.handle(Input::Frame { text, skipped: 0 }, gateway(), START_MS);
}

/// Returns the frames that are sent after the signature.
fn sign(hub: &mut Hub) -> Vec<Value> {
    hub.handle(Input::Signed(SIGNATURE), gateway(), START_MS);
    let frames = hub.take_orders().frames;
    let frames = frames.iter();
    frames
        .map(|frame| serde_json::from_str(frame).unwrap())
        .collect()
}

#[test]
fn connect_carries_the_signature_of_the_challenge() {
    let (mut hub, text) = challenged();
    let key = gateway().credential.device.as_ref().unwrap();
    let id = key.device_id();
    let scopes = "operator.read,operator.write";
    assert_eq!(
        text,
        format!(
            "v3|{id}|gateway-client|backend|operator|{scopes}|1|device-token|n|cloudflare-workers|"
        )
    );
    let frames = sign(&mut hub);
    assert_eq!((frames.len(), &frames[0]["method"]), (1, &"connect".into()));
    let device = &frames[0]["params"]["device"];
    assert_eq!(device["id"], id);
    assert_eq!(device["publicKey"], key.public_key());
    assert_eq!(device["signature"], SIGNATURE);
    assert_eq!(
        (&device["nonce"], &device["signedAt"]),
        (&"n".into(), &1.into())
    );
    assert!(sign(&mut hub).is_empty(), "it is sent once");
    give(&mut hub, HELLO);
    assert!(!hub.take_orders().frames.is_empty());
}

#[test]
fn a_second_challenge_and_a_hello_before_the_signature_are_ignored() {
    let (mut hub, _) = challenged();
    give(&mut hub, &CHALLENGE.replace(r#""n""#, r#""m""#));
    give(&mut hub, HELLO);
    let orders = hub.take_orders();
    assert!(orders.sign.is_none() && orders.frames.is_empty() && !orders.disconnect);
    assert_eq!(sign(&mut hub)[0]["params"]["device"]["nonce"], "n");
}

#[test]
fn a_signature_after_the_loss_of_its_connection_is_ignored() {
    let (mut hub, _) = challenged();
    hub.handle(Input::Closed { code: 1013 }, gateway(), START_MS);
    assert!(hub.take_orders().disconnect);
    assert!(sign(&mut hub).is_empty());
    // The next connection has a challenge of its own.
    hub.handle(Input::Tick, gateway(), START_MS + 1_000);
    assert!(hub.take_orders().connect);
    assert!(sign(&mut hub).is_empty());
}

#[test]
fn a_challenge_that_cannot_be_signed_fails_the_attempt() {
    let bug = Failure::Bug("not signed");
    let (mut hub, _) = challenged();
    hub.ask_agents(START_MS);
    hub.handle(Input::Failed(bug.clone()), gateway(), START_MS);
    assert_eq!(hub.take_answer(), Some(Err(bug)));
    let orders = hub.take_orders();
    assert!(orders.disconnect && orders.frames.is_empty());
    let (_, _, output) = hub.next_output().unwrap();
    assert!(output.ended);
    assert_eq!(output.head.as_ref().unwrap().status, 500);
}
