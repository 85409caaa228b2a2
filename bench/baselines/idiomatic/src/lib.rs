//! Does the same job as the Worker, in the usual style of workers-rs: a stream of events, a tree of
//! values for each frame, a formatted string for each delta.

use async_stream::stream;
use clawfront_core::gateway::device::{DeviceKey, Proof};
use futures_util::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use worker::{
    Context, Date, Env, Error, Request, Response, Result, Url, WebSocket, WebsocketEvent, event,
};

const SCOPES: [&str; 2] = ["operator.read", "operator.write"];

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, _: Context) -> Result<Response> {
    match request.path().as_str() {
        "/healthz" => return Response::ok("ok"),
        "/v1/chat/completions" => {}
        _ => return failure(404, "unknown_url"),
    }
    if !admits(&request, &env)? {
        return failure(401, "invalid_api_key");
    }
    let body: Value = request.json().await?;
    let message = body["messages"]
        .as_array()
        .and_then(|messages| messages.last())
        .and_then(|message| message["content"].as_str())
        .unwrap_or_default()
        .to_owned();
    let model = body["model"].as_str().unwrap_or_default().to_owned();
    let socket = WebSocket::connect(Url::parse(&env.var("GATEWAY_URL")?.to_string())?).await?;
    socket.accept()?;

    let run_id = format!("{:016x}{:016x}", random()?, random()?);
    let session_key = format!("agent:main:bench:{run_id}");
    let id = format!("chatcmpl-{run_id}");
    let created = Date::now().as_millis() / 1_000;
    let chunk = move |delta: Value, finish_reason: Value| {
        let chunk = json!({
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
        });
        format!("data: {chunk}\n\n").into_bytes()
    };
    let body = stream! {
        let mut events = socket.events()?;
        while let Some(event) = events.next().await {
            let WebsocketEvent::Message(message_event) = event? else { break };
            let frame: Value = serde_json::from_str(&message_event.text().unwrap_or_default())?;
            let payload = &frame["payload"];
            match (frame["event"].as_str(), frame["id"].as_str()) {
                (Some("connect.challenge"), _) => socket.send_with_str(connect(&env, payload)?.to_string())?,
                (_, Some("connect")) => {
                    if payload["protocol"] == 4 {
                        let params = json!({ "key": session_key, "agentId": "main" });
                        socket.send_with_str(call("subscribe", "sessions.messages.subscribe", params).to_string())?;
                    }
                    let params = json!({ "message": message, "agentId": "main", "sessionKey": session_key, "idempotencyKey": run_id });
                    socket.send_with_str(call("agent", "agent", params).to_string())?;
                }
                (_, Some("agent")) if payload["status"] == "accepted" => {
                    yield Ok::<_, Error>(chunk(json!({ "role": "assistant", "content": "" }), Value::Null));
                }
                (_, Some("agent")) => {
                    if payload["status"] == "ok" {
                        yield Ok(chunk(json!({}), json!("stop")));
                    } else {
                        yield Ok(format!("data: {}\n\n", json!({ "error": { "code": "run_failed" } })).into_bytes());
                    }
                    yield Ok(b"data: [DONE]\n\n".to_vec());
                    break;
                }
                (Some("agent"), _) if payload["runId"] == run_id.as_str() && payload["stream"] == "assistant" => {
                    if let Some(delta) = payload["data"]["delta"].as_str() {
                        yield Ok(chunk(json!({ "content": delta }), Value::Null));
                    }
                }
                _ => {}
            }
        }
        drop(events);
        socket.close(Some(1000), Some(""))?;
    };
    let mut response = Response::from_stream(Box::pin(body))?;
    response.headers_mut().set("content-type", "text/event-stream")?;
    Ok(response)
}

fn admits(request: &Request, env: &Env) -> Result<bool> {
    let header = request.headers().get("authorization")?.unwrap_or_default();
    let key = header.strip_prefix("Bearer ").unwrap_or_default();
    let hash: String = Sha256::digest(key.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(env.var("CLIENT_KEYS")?.to_string().contains(&format!("sha256:{hash}")))
}

fn connect(env: &Env, challenge: &Value) -> Result<Value> {
    let device = DeviceKey::parse(&env.var("DEVICE_KEY")?.to_string()).ok_or("DEVICE_KEY is malformed")?;
    let token = env.var("GATEWAY_TOKEN")?.to_string();
    let nonce = challenge["nonce"].as_str().unwrap_or_default();
    let signed_at_ms = challenge["ts"].as_u64().unwrap_or_default();
    device.derive_public_key();
    let proof = Proof {
        device_id: &device.device_id(),
        client_id: "gateway-client",
        client_mode: "backend",
        role: "operator",
        scopes: &SCOPES,
        signed_at_ms,
        token: &token,
        nonce,
        platform: "cloudflare-workers",
        device_family: "",
    };
    let signature = device.sign(&proof.payload());
    Ok(call(
        "connect",
        "connect",
        json!({
            "minProtocol": 3,
            "maxProtocol": 4,
            "client": { "id": "gateway-client", "version": "1", "platform": "cloudflare-workers", "mode": "backend" },
            "role": "operator",
            "scopes": SCOPES,
            "caps": ["tool-events", "session-scoped-events"],
            "auth": { "token": token },
            "device": {
                "id": device.device_id(),
                "publicKey": device.public_key(),
                "signature": signature,
                "signedAt": signed_at_ms,
                "nonce": nonce,
            },
            "userAgent": "bench",
        }),
    ))
}

fn call(id: &str, method: &str, params: Value) -> Value {
    json!({ "type": "req", "id": id, "method": method, "params": params })
}

fn random() -> Result<u64> {
    getrandom::u64().map_err(|error| Error::RustError(error.to_string()))
}

fn failure(status: u16, code: &str) -> Result<Response> {
    let error = json!({ "error": { "message": code, "type": "invalid_request_error", "param": null, "code": code } });
    Ok(Response::from_json(&error)?.with_status(status))
}
