//! The handshake matrices that were recorded on the running gateways.

use clawfront_core::gateway::device::DeviceKey;
use serde_json::{Value, json};

use crate::sim::{Connect, Refused, Sim, Socket, TOKEN, device};

const RECORDED_3: &str = include_str!("../transcripts/3-handshake.jsonl");
const RECORDED_4: &str = include_str!("../transcripts/4-handshake.jsonl");

const ALL_SCOPES: &[&str] = &[
    "operator.admin",
    "operator.read",
    "operator.write",
    "operator.approvals",
    "operator.pairing",
];

#[tokio::test]
async fn protocol_3_admits_and_refuses_as_recorded() {
    compare(3, RECORDED_3).await;
}

#[tokio::test]
async fn protocol_4_admits_and_refuses_as_recorded() {
    compare(4, RECORDED_4).await;
}

/// Connects from another host, as a tunnel shows it.
async fn from_afar(sim: &Sim, connect: Connect<'_>) -> Result<Value, Refused> {
    sim.open(&[("x-forwarded-for", "203.0.113.7")])
        .await
        .unwrap()
        .connect(connect)
        .await
}

/// Returns the connect of a device with its own token.
fn with_token<'a>(key: &'a DeviceKey, token: &str) -> Connect<'a> {
    Connect {
        device: Some(key),
        auth: json!({ "deviceToken": token }),
        ..Connect::backend()
    }
}

/// Approves a request for a pairing.
fn approve(sim: &Sim, request_id: &Value) {
    let order = json!({ "requestId": request_id }).to_string();
    assert_eq!(sim.http("POST", "/sim/approve", &order).0, 200);
}

/// Pairs a remote device and returns its token.
async fn pair(sim: &Sim, key: &DeviceKey) -> String {
    let with_secret = Connect {
        device: Some(key),
        ..Connect::backend()
    };
    let refused = from_afar(sim, with_secret.clone()).await.unwrap_err();
    approve(sim, &refused.error["details"]["requestId"]);
    let hello = from_afar(sim, with_secret).await.unwrap();
    hello["auth"]["deviceToken"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_remote_device_waits_for_its_approval_and_then_needs_no_secret() {
    for protocol in [3, 4] {
        let sim = Sim::start(protocol, &[]);
        let key = device(7);
        let with_secret = Connect {
            device: Some(&key),
            ..Connect::backend()
        };

        let refused = from_afar(&sim, with_secret.clone()).await.unwrap_err();
        assert_eq!(refused.error["code"], "NOT_PAIRED");
        assert_eq!(refused.error["details"]["code"], "PAIRING_REQUIRED");
        let request_id = &refused.error["details"]["requestId"];
        let again = from_afar(&sim, with_secret.clone()).await.unwrap_err();
        assert_eq!(
            again.error["details"]["requestId"], *request_id,
            "asking again makes no new request"
        );

        approve(&sim, request_id);
        let hello = from_afar(&sim, with_secret).await.unwrap();
        let token = hello["auth"]["deviceToken"].as_str().unwrap().to_owned();
        assert_eq!(token.len(), 43);

        for field in ["deviceToken", "token"] {
            let mut auth = json!({});
            auth[field] = json!(token);
            let alone = Connect {
                device: Some(&key),
                auth,
                ..Connect::backend()
            };
            let hello = from_afar(&sim, alone).await.unwrap();
            assert_eq!(
                hello["auth"]["scopes"],
                json!(["operator.read", "operator.write"])
            );
            assert_eq!(hello["auth"]["deviceToken"], json!(token));
        }
    }
}

#[tokio::test]
async fn a_device_token_is_bound_to_scopes_and_platform_until_it_is_revoked() {
    for protocol in [3, 4] {
        let sim = Sim::start(protocol, &[]);
        let key = device(7);
        let token = pair(&sim, &key).await;

        let wrong = with_token(&key, &"x".repeat(43));
        assert_eq!(
            code(from_afar(&sim, wrong).await),
            "AUTH_DEVICE_TOKEN_MISMATCH"
        );

        let more = Connect {
            scopes: ALL_SCOPES,
            ..with_token(&key, &token)
        };
        let expected = if protocol == 4 {
            "AUTH_SCOPE_MISMATCH"
        } else {
            "AUTH_DEVICE_TOKEN_MISMATCH"
        };
        assert_eq!(code(from_afar(&sim, more).await), expected);

        let moved = Connect {
            platform: "elsewhere",
            ..with_token(&key, &token)
        };
        let refused = from_afar(&sim, moved).await.unwrap_err();
        assert_eq!(refused.error["details"]["reason"], "metadata-upgrade");

        let order = json!({ "deviceId": key.device_id() }).to_string();
        assert_eq!(sim.http("POST", "/sim/revoke", &order).0, 200);
        assert_eq!(
            code(from_afar(&sim, with_token(&key, &token)).await),
            "AUTH_DEVICE_TOKEN_MISMATCH"
        );
    }
}

#[tokio::test]
async fn the_command_line_on_the_host_is_paired_at_once_even_if_all_others_count_as_remote() {
    let sim = Sim::start(4, &["--require-device"]);
    let (host, worker) = (device(1), device(2));
    let hello = sim
        .open(&[])
        .await
        .unwrap()
        .connect(Connect {
            device: Some(&host),
            ..Connect::cli()
        })
        .await
        .unwrap();
    let token = &hello["auth"]["deviceToken"];
    let by_token = Connect {
        device: Some(&host),
        auth: json!({ "deviceToken": token }),
        ..Connect::backend()
    };
    let hello = sim
        .open(&[])
        .await
        .unwrap()
        .connect(by_token)
        .await
        .unwrap();
    assert_eq!(hello["auth"]["method"], "device-token");

    let unknown = Connect {
        device: Some(&worker),
        ..Connect::backend()
    };
    assert_eq!(
        code(sim.open(&[]).await.unwrap().connect(unknown).await),
        "PAIRING_REQUIRED"
    );
    let hello = sim
        .open(&[])
        .await
        .unwrap()
        .connect(Connect::backend())
        .await
        .unwrap();
    assert_eq!(hello["auth"]["scopes"], json!([]));
}

#[tokio::test]
async fn hello_ok_has_the_size_of_the_real_one() {
    for (protocol, bytes) in [(3, 7_000..9_000), (4, 16_000..19_000)] {
        let sim = Sim::start(protocol, &[]);
        let hello = sim
            .open(&[])
            .await
            .unwrap()
            .connect(Connect::backend())
            .await
            .unwrap();
        assert!(
            bytes.contains(&hello.to_string().len()),
            "{}",
            hello.to_string().len()
        );
        assert_eq!(hello["policy"]["maxPayload"], json!(26_214_400));
    }
}

#[tokio::test]
async fn a_first_frame_that_is_not_connect_ends_the_connection() {
    for protocol in [3, 4] {
        let sim = Sim::start(protocol, &[]);
        for (first, answered, close) in [
            (
                json!({ "type": "req", "id": "1", "method": "health" }).to_string(),
                true,
                (1008, "invalid handshake: first request must be connect"),
            ),
            (
                json!({ "hello": 1 }).to_string(),
                false,
                (1008, "invalid request frame"),
            ),
            ("not json".to_owned(), false, (1000, "")),
            (format!("\"{}\"", "x".repeat(65_536)), false, (1009, "")),
        ] {
            let mut socket = sim.open(&[]).await.unwrap();
            socket.next().await.unwrap();
            socket.send_text(first).await;
            assert_eq!(socket.next().await.is_some(), answered);
            while socket.next().await.is_some() {}
            assert_eq!(socket.closed, Some((close.0, close.1.to_owned())));
        }
    }
}

async fn compare(protocol: u32, recorded: &str) {
    let sim = Sim::start(protocol, &[]);
    for row in recorded.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        let name = row["name"].as_str().unwrap();
        let key = device(
            name.bytes()
                .fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte)),
        );
        let (headers, connect) = situation(name, &key, &sim.address);
        let mut socket = sim
            .open(
                &headers
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect::<Vec<_>>(),
            )
            .await
            .unwrap();
        match socket.connect(connect).await {
            Ok(hello) => {
                assert_eq!(row["ok"], json!(true), "{name}: was let in");
                assert_eq!(
                    opaque(hello["auth"].clone()),
                    opaque(row["auth"].clone()),
                    "{name}"
                );
                assert_eq!(hello["protocol"], row["protocol"], "{name}");
                compare_rights(&mut socket, &row).await;
            }
            Err(refused) => {
                assert_eq!(
                    row["ok"],
                    json!(false),
                    "{name}: was refused with {refused:?}"
                );
                assert_eq!(
                    opaque(refused.error),
                    opaque(row["error"].clone()),
                    "{name}"
                );
                let (code, reason) = refused.close.unwrap();
                assert_eq!(
                    (json!(code), json!(reason)),
                    (row["close"]["code"].clone(), row["close"]["reason"].clone()),
                    "{name}"
                );
            }
        }
    }
}

/// Compares the rights of the connection.
async fn compare_rights(socket: &mut Socket, row: &Value) {
    let name = &row["name"];
    for (method, params) in [
        ("agents.list", json!({})),
        ("agent.wait", json!({ "runId": "nope", "timeoutMs": 0 })),
        ("sessions.delete", json!({ "key": "agent:main:nope" })),
    ] {
        // With operator.admin the gateway deletes; that is not simulated.
        if method == "sessions.delete" && row[method] == "ok" {
            continue;
        }
        let answer = socket.call(method, &params).await;
        let error = &answer["error"];
        let outcome = if answer["ok"] == json!(true) {
            "ok".to_owned()
        } else {
            format!(
                "{}: {}",
                error["code"].as_str().unwrap(),
                error["message"].as_str().unwrap()
            )
        };
        assert_eq!(json!(outcome), row[method], "{name}: {method}");
        assert_eq!(
            error["details"],
            row[format!("{method}.details")],
            "{name}: {method}"
        );
    }
}

type Headers = Vec<(&'static str, String)>;

/// Returns the headers and the connect that the probe sent under this name.
fn situation<'a>(name: &str, key: &'a DeviceKey, address: &str) -> (Headers, Connect<'a>) {
    (headers_of(name, address), connect_of(name, key))
}

fn headers_of(name: &str, address: &str) -> Headers {
    let has = |part: &str| name.contains(part);
    let mut headers = Headers::new();
    if has("Host: gw.example.com") {
        headers.push(("host", "gw.example.com".to_owned()));
    }
    if has("Origin: https://evil.example") {
        headers.push(("origin", "https://evil.example".to_owned()));
    }
    if has("Origin: http://127.0.0.1:PORT") {
        headers.push(("origin", format!("http://{address}")));
    }
    if has("x-openclaw-scopes") {
        headers.push(("x-openclaw-scopes", "operator.read".to_owned()));
    }
    for (part, header, value) in [
        ("X-Forwarded-For", "x-forwarded-for", "203.0.113.7"),
        ("CF tunnel headers", "x-forwarded-for", "203.0.113.7"),
        ("CF-Connecting-IP only", "cf-connecting-ip", "203.0.113.7"),
        ("Forwarded header only", "forwarded", "for=203.0.113.7"),
        ("X-Real-IP only", "x-real-ip", "203.0.113.7"),
        ("X-Forwarded-Proto only", "x-forwarded-proto", "https"),
        (
            "X-Forwarded-Host only",
            "x-forwarded-host",
            "gw.example.com",
        ),
    ] {
        if has(part) {
            headers.push((header, value.to_owned()));
        }
    }
    headers
}

fn connect_of<'a>(name: &str, key: &'a DeviceKey) -> Connect<'a> {
    let has = |part: &str| name.contains(part);
    let mut connect = Connect::backend();
    for (part, id, mode) in [
        ("cli/cli", "cli", "cli"),
        (", cli,", "cli", "cli"),
        ("test/test", "test", "test"),
        ("probe/probe", "openclaw-probe", "probe"),
        ("webchat/webchat", "webchat", "webchat"),
        ("control-ui/ui", "openclaw-control-ui", "ui"),
        ("mode ui", "gateway-client", "ui"),
        ("unknown client.id", "nobody", "backend"),
        ("unknown client.mode", "gateway-client", "operator"),
    ] {
        if has(part) {
            (connect.id, connect.mode) = (id, mode);
        }
    }
    if has("NEW device") || has("device: ") {
        connect.device = Some(key);
    }
    if has("no auth") {
        connect.auth = json!({});
    }
    if has("wrong token") {
        connect.auth = json!({ "token": "wrong" });
    }
    if has("secret in auth.password") {
        connect.auth = json!({ "password": TOKEN });
    }
    if has("ALL scopes") {
        connect.scopes = ALL_SCOPES;
    }
    for (part, role) in [("role banana", "banana"), ("role worker", "worker")] {
        if has(part) {
            connect.role = role;
        }
    }
    if has("role node") {
        (connect.role, connect.scopes) = ("node", &[]);
    }
    for (part, protocols) in [
        ("[3,3]", [3, 3]),
        ("[4,4]", [4, 4]),
        ("[1,2]", [1, 2]),
        ("[5,9]", [5, 9]),
    ] {
        if has(part) {
            connect.protocols = protocols;
        }
    }
    for (part, skew_ms) in [("signedAt -10min", -600_000), ("signedAt +119s", 119_000)] {
        if has(part) {
            connect.skew_ms = skew_ms;
        }
    }
    if let Some((_, alter)) = ALTERATIONS.iter().find(|(part, _)| has(part)) {
        connect.alter = *alter;
    }
    connect
}

/// Changes of the parameters after they were signed.
const ALTERATIONS: [(&str, Alteration); 7] = [
    ("unknown extra connect param", |params| {
        params["foo"] = json!(1);
    }),
    ("missing client.platform", |params| {
        remove(&mut params["client"], "platform");
    }),
    ("no scopes field", |params| remove(params, "scopes")),
    ("wrong nonce", |params| {
        params["device"]["nonce"] = json!("wrong");
    }),
    ("bad signature", |params| {
        params["device"]["signature"] = json!("A".repeat(86));
    }),
    ("id mismatch", |params| {
        params["device"]["id"] = json!("0".repeat(64));
    }),
    ("missing nonce", |params| {
        remove(&mut params["device"], "nonce");
    }),
];

type Alteration = fn(&mut Value);

fn remove(object: &mut Value, name: &str) {
    object.as_object_mut().unwrap().remove(name);
}

/// Replaces the values that differ every time.
fn opaque(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        for name in ["deviceToken", "recoveryScope", "issuedAtMs", "requestId"] {
            if let Some(value) = object.get_mut(name) {
                *value = json!("…");
            }
        }
        for value in object.values_mut() {
            *value = opaque(value.take());
        }
    }
    value
}

fn code(result: Result<Value, Refused>) -> Value {
    result.unwrap_err().error["details"]["code"].clone()
}
