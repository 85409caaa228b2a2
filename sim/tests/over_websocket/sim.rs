//! Starts the program and connects to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream as StdTcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use clawfront_core::gateway::device::{DeviceKey, Proof};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Far longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const TOKEN: &str = "gateway-token";

/// A running simulator; it ends with this value.
pub(crate) struct Sim {
    child: Child,
    _stdin: ChildStdin,
    pub(crate) address: String,
}

impl Sim {
    pub(crate) fn start(protocol: u32, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_clawfront-sim"))
            .args([
                "--json",
                "--exit-with-stdin",
                "--token",
                TOKEN,
                "--protocol",
                &protocol.to_string(),
            ])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["protocol"], json!(protocol));
        let address = ready["url"]
            .as_str()
            .unwrap()
            .strip_prefix("ws://")
            .unwrap()
            .to_owned();
        Self {
            child,
            _stdin: stdin,
            address,
        }
    }

    pub(crate) async fn open(
        &self,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, tungstenite::Error> {
        let mut request = format!("ws://{}/", self.address)
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (stream, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Socket {
            stream,
            closed: None,
            next_id: 1,
        })
    }

    /// A connection with the shared token, and with a device where the version needs one for
    /// scopes.
    pub(crate) async fn client(&self, caps: &[&str]) -> Socket {
        self.client_of(&device(1), caps).await
    }

    pub(crate) async fn client_of(&self, device: &DeviceKey, caps: &[&str]) -> Socket {
        let mut socket = self.open(&[]).await.unwrap();
        let connect = Connect {
            caps,
            device: Some(device),
            ..Connect::backend()
        };
        socket.connect(connect).await.unwrap();
        socket
    }

    pub(crate) fn journal(&self) -> Value {
        serde_json::from_str(&self.http("GET", "/sim/journal", "").1).unwrap()
    }

    /// Status and body of a plain HTTP request.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = StdTcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\nconnection: \
             close\r\n\r\n{body}",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A device key, always the same for the same number.
pub(crate) fn device(number: u8) -> DeviceKey {
    DeviceKey::from_seed(&[number; 32])
}

/// The description that a client sends of itself.
#[derive(Clone)]
pub(crate) struct Connect<'a> {
    pub(crate) id: &'a str,
    pub(crate) mode: &'a str,
    pub(crate) role: &'a str,
    pub(crate) platform: &'a str,
    pub(crate) scopes: &'a [&'a str],
    pub(crate) caps: &'a [&'a str],
    pub(crate) auth: Value,
    pub(crate) device: Option<&'a DeviceKey>,
    pub(crate) protocols: [u32; 2],
    /// Changes the parameters before they are sent.
    pub(crate) alter: fn(&mut Value),
    /// Moves `signedAt` by this number of milliseconds.
    pub(crate) skew_ms: i64,
}

impl Connect<'_> {
    pub(crate) fn backend() -> Self {
        Self {
            id: "gateway-client",
            mode: "backend",
            role: "operator",
            platform: "cloudflare-workers",
            scopes: &["operator.read", "operator.write"],
            caps: &[],
            auth: json!({ "token": TOKEN }),
            device: None,
            protocols: [3, 4],
            alter: |_| {},
            skew_ms: 0,
        }
    }

    pub(crate) fn cli() -> Self {
        Self {
            id: "cli",
            mode: "cli",
            ..Self::backend()
        }
    }

    fn params(&self, challenge: &Value) -> Value {
        let mut params = json!({
            "minProtocol": self.protocols[0],
            "maxProtocol": self.protocols[1],
            "client": { "id": self.id, "version": "0.0.1", "platform": self.platform, "mode": self.mode },
            "role": self.role,
            "scopes": self.scopes,
            "caps": self.caps,
            "auth": self.auth,
        });
        if let Some(device) = self.device {
            let signed_at_ms = challenge["ts"]
                .as_u64()
                .unwrap()
                .checked_add_signed(self.skew_ms)
                .unwrap();
            let nonce = challenge["nonce"].as_str().unwrap();
            let token = self.auth["token"]
                .as_str()
                .or(self.auth["deviceToken"].as_str())
                .unwrap_or("");
            let proof = Proof {
                device_id: &device.device_id(),
                client_id: self.id,
                client_mode: self.mode,
                role: self.role,
                scopes: self.scopes,
                signed_at_ms,
                token,
                nonce,
                platform: self.platform,
                device_family: "",
            };
            let signature = device.sign(&proof.payload());
            params["device"] = json!({
                "id": device.device_id(), "publicKey": device.public_key(), "signature": signature,
                "signedAt": signed_at_ms, "nonce": nonce,
            });
        }
        (self.alter)(&mut params);
        params
    }
}

/// The refusal of a connection.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) error: Value,
    pub(crate) close: Option<(u16, String)>,
}

pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) closed: Option<(u16, String)>,
    next_id: u32,
}

impl Socket {
    /// The handshake; gives the payload of hello-ok.
    pub(crate) async fn connect(&mut self, connect: Connect<'_>) -> Result<Value, Refused> {
        let challenge = self.next().await.unwrap();
        assert_eq!(challenge["event"], "connect.challenge");
        self.send(&json!({ "type": "req", "id": "connect-1", "method": "connect", "params": connect.params(&challenge["payload"]) })).await;
        let answer = self.next().await.unwrap_or_default();
        if answer["ok"] == json!(true) {
            return Ok(answer["payload"].clone());
        }
        assert!(self.next().await.is_none());
        Err(Refused {
            error: answer["error"].clone(),
            close: self.closed.clone(),
        })
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_text(frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn close(&mut self) {
        self.stream.close(None).await.unwrap();
        while self.next().await.is_some() {}
    }

    /// The next text frame, as a string if it is not JSON; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            let message = timeout(PATIENCE, self.stream.next())
                .await
                .unwrap_or_else(|_| panic!("nothing came"));
            match message {
                Some(Ok(Message::Text(text))) => {
                    return Some(
                        serde_json::from_str(&text).unwrap_or_else(|_| json!(text.as_str())),
                    );
                }
                Some(Ok(Message::Close(frame))) => {
                    self.closed =
                        frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Sends a request and gives its id.
    pub(crate) async fn request(&mut self, method: &str, params: &Value) -> String {
        let id = format!("r{}", self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.send(&json!({ "type": "req", "id": id, "method": method, "params": params }))
            .await;
        id
    }

    /// Sends a request and gives its next response; other frames are passed over.
    pub(crate) async fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params).await;
        self.until(|frame| frame["id"] == json!(id))
            .await
            .pop()
            .unwrap()
    }

    /// Returns all frames up to the one that `last` accepts.
    pub(crate) async fn until(&mut self, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            let done = last(&frame);
            frames.push(frame);
            if done {
                return frames;
            }
        }
        panic!("the connection ended first; it sent {frames:#?}");
    }

    /// Runs the main agent; all frames from the acceptance to the last response.
    pub(crate) async fn run(&mut self, message: &str) -> Vec<Value> {
        let id = self.request("agent", &agent(message)).await;
        self.until(|frame| {
            frame["id"] == json!(id) && frame["payload"]["status"] != json!("accepted")
        })
        .await
    }
}

/// Parameters of `agent`: the idempotency key and the session are named after the message.
pub(crate) fn agent(message: &str) -> Value {
    json!({ "message": message, "agentId": "main", "sessionKey": format!("agent:main:{message}"), "idempotencyKey": format!("run of {message}") })
}

/// The text of the last chat event of a run.
pub(crate) fn chat_text(frames: &[Value]) -> String {
    let last = frames
        .iter()
        .rfind(|frame| frame["event"] == "chat")
        .unwrap();
    last["payload"]["message"]["content"][0]["text"]
        .as_str()
        .unwrap_or("")
        .to_owned()
}
