//! A client of the simulated gateway's `POST /v1/chat/completions`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sim::Sim;

/// Far longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

/// The options of a gateway behind a trusted proxy.
pub(crate) const BEHIND_PROXY: [&str; 2] = ["--chat-completions", "trusted-proxy"];

/// The headers of the front.
pub(crate) const HEADERS: [(&str, &str); 6] = [
    ("x-forwarded-user", "key-phone"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-openclaw-scopes", "operator.read,operator.write"),
    ("x-openclaw-agent-id", "main"),
    ("x-openclaw-session-key", "agent:main:edge:phone"),
];

/// A response, as much of it as came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The bodies of the chunks of HTTP.
    pub(crate) writes: Vec<Vec<u8>>,
    /// The body has its proper end.
    pub(crate) is_complete: bool,
}

/// A request with one user message.
pub(crate) fn ask(message: &str) -> Value {
    json!({
        "model": "openclaw/main",
        "stream": true,
        "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": message }],
    })
}

/// A request with functions that take a city.
pub(crate) fn ask_with(tools: &[&str], message: &str) -> Value {
    let tools: Vec<_> = tools.iter().map(|name| function(name)).collect();
    let mut body = ask(message);
    body["tools"] = json!(tools);
    body
}

fn function(name: &str) -> Value {
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    json!({ "type": "function", "function": { "name": name, "parameters": parameters } })
}

/// Sends a request, and returns the connection.
pub(crate) fn send(sim: &Sim, headers: &[(&str, &str)], body: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(&sim.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.to_string();
    let lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let headers = lines.concat();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        sim.address,
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Sends a request with the headers of the front, and reads to the end.
pub(crate) fn complete(sim: &Sim, body: &Value) -> Answer {
    Answer::read(&mut send(sim, &HEADERS, body))
}

/// Reads until `text` has come.
pub(crate) fn read_until(stream: &mut TcpStream, text: &str) {
    let mut read = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&read).contains(text) {
        match stream.read(&mut buffer).unwrap() {
            0 => panic!("the connection ended before {text:?}"),
            count => read.extend_from_slice(&buffer[..count]),
        }
    }
}

impl Answer {
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset ends the response as an end of the connection does.
        drop(stream.read_to_end(&mut bytes));
        let blank = bytes
            .windows(4)
            .position(|part| part == b"\r\n\r\n")
            .unwrap();
        let (head, rest) = bytes.split_at(blank);
        let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
        let rest = &rest[4..];
        let (writes, is_complete) = if head.contains("transfer-encoding: chunked") {
            chunks(rest)
        } else {
            (vec![rest.to_vec()], true)
        };
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: writes.concat(),
            writes,
            is_complete,
        }
    }

    /// Reads the rest of a response, and returns whether it has its proper end.
    pub(crate) fn read_rest(stream: &mut TcpStream) -> bool {
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        bytes.ends_with(b"0\r\n\r\n")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The events' data; what is not JSON is a string.
    pub(crate) fn data(&self) -> Vec<Value> {
        self.text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
            .collect()
    }

    /// All text of the answer.
    pub(crate) fn content(&self) -> String {
        self.data()
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect()
    }

    /// The calls: name and pieces of the arguments.
    pub(crate) fn calls(&self) -> Vec<(String, Vec<String>)> {
        let mut calls = Vec::new();
        for chunk in self.data() {
            let call = &chunk["choices"][0]["delta"]["tool_calls"][0];
            let arguments = call["function"]["arguments"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if let Some(name) = call["function"]["name"].as_str() {
                assert_eq!(call["index"], json!(calls.len()));
                assert_eq!(call["id"].as_str().unwrap().len(), 9);
                calls.push((name.to_owned(), Vec::new()));
            } else if !call.is_null() {
                assert_eq!(call["index"], json!(calls.len().wrapping_sub(1)));
                calls.last_mut().unwrap().1.push(arguments);
            }
        }
        calls
    }

    pub(crate) fn finish(&self) -> Value {
        self.data()
            .iter()
            .map(|chunk| chunk["choices"][0]["finish_reason"].clone())
            .find(|reason| !reason.is_null())
            .unwrap_or_default()
    }

    pub(crate) fn error(&self) -> Value {
        self.data()
            .iter()
            .map(|chunk| chunk["error"].clone())
            .find(|error| !error.is_null())
            .unwrap_or_default()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.data().last() == Some(&json!("[DONE]"))
    }
}

/// The chunks of a body, and whether the last one came.
fn chunks(mut rest: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut chunks = Vec::new();
    while let Some(line) = rest.windows(2).position(|part| part == b"\r\n") {
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (chunks, true);
        }
        let (begin, end) = (
            line.wrapping_add(2),
            line.wrapping_add(2).wrapping_add(size),
        );
        if end > rest.len() {
            break;
        }
        chunks.push(rest[begin..end].to_vec());
        rest = rest.get(end.wrapping_add(2)..).unwrap_or_default();
    }
    (chunks, false)
}
