//! The gateway's HTTP endpoint, at which agents call the tools of clients, asked as the Worker asks
//! it. No request starts a run.

use clawfront_core::access::key::KeyId;
use clawfront_core::access::policy::ToolPolicy;
use clawfront_core::agent::AgentId;
use clawfront_core::config::{Config, Gateway};
use clawfront_core::failure::Failure;
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::gateway::endpoint::{Identity, PATH, Request, Response, refusal};
use clawfront_core::gateway::upgrade::Headers;
use serde::Deserialize;

use super::check::{State, Subject};
use super::gateway::Walked;
use super::report::Report;
use super::text::list;
use crate::address::why_private;
use crate::connection::http::{Answered, post};
use crate::connection::place::Place;
use crate::connection::stream::{Broken, Trust, connect, resolve, secure};

/// The id of the key in whose name the endpoint is asked.
const KEY: &str = "doctor";

/// The first protocol whose gateways run the tools of clients. Source: OpenClaw 2026.3.13 and
/// 2026.9.6, measured.
const FIRST_PROTOCOL: u32 = 4;

const AS_DOCUMENTED: &str = "as docs/client-tools.md has it";

/// Compares the keys with the setting, where the endpoint is not to be asked.
pub(super) fn compare(report: &mut Report, config: &Config) {
    if config.gateway.endpoint.is_some() {
        return;
    }
    let keys = keys(config);
    if keys.is_empty() {
        report.not_checked(
            Subject::Tools,
            "GATEWAY_HTTP is not set, so no agent calls the tools of a client",
        );
        return;
    }
    report.wrong(
        Subject::Tools,
        State::Warning,
        format!(
            "GATEWAY_HTTP is not set, so a request with tools is a 400 for {}, with tools=run",
            list(keys)
        ),
        format!("set GATEWAY_HTTP {AS_DOCUMENTED}, or take tools=run out of these entries"),
    );
}

/// Returns the ids of the keys whose requests with tools go to the endpoint.
fn keys(config: &Config) -> Vec<&KeyId> {
    let clients = config.clients.iter();
    let clients = clients.filter(|client| client.tools == ToolPolicy::Run);
    clients.map(|client| &client.id).collect()
}

/// Asks the endpoint, if `GATEWAY_HTTP` is set.
pub(super) fn examine(report: &mut Report, config: &Config, trust: &Trust, walked: &Walked) {
    let Some(identity) = &config.gateway.endpoint else {
        return;
    };
    if walked.protocol.is_none_or(|number| number < FIRST_PROTOCOL) {
        report.wrong(
            Subject::Tools,
            State::Problem,
            "GATEWAY_HTTP is set, but an OpenClaw of protocol 3 does not call the tools of clients",
            "update the gateway to OpenClaw 2026.9, or remove GATEWAY_HTTP",
        );
        return;
    }
    let mut agents = walked.agents.default_agent.iter();
    let agent = agents.next().or(walked.agents.agents.first());
    let Some(asking) = agent.and_then(|agent| Asking::of(&config.gateway, agent, trust)) else {
        report.not_checked(Subject::Tools, "the gateway has no agent to ask for");
        return;
    };
    let own = &config.gateway.headers;
    if let Err((failure, detail)) = asking.ask(own, Some(identity)) {
        report.failed(Subject::Tools, &failure, &detail);
        return;
    }
    let unused = if keys(config).is_empty() {
        "; no key of CLIENT_KEYS has tools=run"
    } else {
        ""
    };
    match identity {
        Identity::SharedToken(_) => report.wrong(
            Subject::Tools,
            State::Warning,
            format!(
                "the endpoint takes GATEWAY_TOKEN, so each run with tools has all rights of the \
                 gateway's owner{unused}"
            ),
            format!(
                "set GATEWAY_HTTP=trusted-proxy {AS_DOCUMENTED}, unless every key with tools=run \
                 is your own"
            ),
        ),
        Identity::TrustedProxy { .. } => match asking.open_to(own, identity) {
            Some(Open { message, fix }) => {
                report.wrong(Subject::Tools, State::Problem, message, fix);
            }
            None => report.ok(
                Subject::Tools,
                format!("the endpoint takes the user of a key, and nobody without one{unused}"),
            ),
        },
    }
}

/// A way for strangers to the endpoint.
struct Open {
    message: &'static str,
    fix: &'static str,
}

/// The requests to the endpoint of one gateway, in the name of one agent.
struct Asking<'a> {
    place: Place,
    /// The path of the endpoint, below that of the gateway.
    path: String,
    is_public: bool,
    request: Request,
    body: String,
    trust: &'a Trust,
}

impl<'a> Asking<'a> {
    fn of(gateway: &Gateway, agent: &AgentId, trust: &'a Trust) -> Option<Self> {
        let place = Place::parse(&gateway.url)?;
        let request = Request::without_message(agent, &KeyId::parse(KEY)?);
        Some(Self {
            path: [place.path.trim_end_matches('/'), PATH].concat(),
            place,
            is_public: why_private(&gateway.url).is_none(),
            body: String::from_utf8(request.body.clone()).ok()?,
            request,
            trust,
        })
    }

    /// Asks the endpoint. A failure comes with the system's message.
    fn ask(&self, own: &Headers, identity: Option<&Identity>) -> Result<(), (Failure, String)> {
        let headers = self.request.headers(own, identity, KEY);
        let answered = self
            .send(&fields(&headers))
            .map_err(|broken| (Failure::GatewayUnreachable(broken.diagnosis), broken.detail))?;
        match failure_of(&answered) {
            None => Ok(()),
            Some(failure) => Err((failure, format!("HTTP {}", answered.status))),
        }
    }

    fn send(&self, fields: &[(&str, &str)]) -> Result<Answered, Broken> {
        let tcp = connect(&resolve(&self.place)?)?;
        let mut stream = secure(tcp, &self.place, self.trust)?;
        post(&mut stream, &self.place, &self.path, fields, &self.body)
    }

    /// Returns the way by which requests of others are let in. One that gets no answer is not.
    fn open_to(&self, own: &Headers, identity: &Identity) -> Option<Open> {
        if self.ask(own, None).is_ok() {
            return Some(Open {
                message: "the endpoint takes a request that names no user, so everybody who reaches \
                          the gateway's address is let in",
                fix: "set gateway.auth as docs/client-tools.md has it, and let no proxy name a \
                      user by itself",
            });
        }
        if own.is_empty() && self.is_public {
            return Some(Open {
                message: "nothing protects the address of GATEWAY_URL: everybody can name a user \
                          there, and become the gateway's owner",
                fix: "let Cloudflare Access or the proxy refuse everybody else, and set \
                      ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET, or GATEWAY_HEADERS",
            });
        }
        if !own.is_empty() && self.ask(&Headers::new(), Some(identity)).is_ok() {
            return Some(Open {
                message: "the endpoint takes a request without the headers of ACCESS_CLIENT_ID \
                          and GATEWAY_HEADERS: everybody can name a user there, and become the \
                          gateway's owner",
                fix: "let Cloudflare Access or the proxy refuse every request without them, also \
                      those of POST /v1/chat/completions",
            });
        }
        None
    }
}

/// Pairs names with values; the last value of a name counts, as in the Worker.
fn fields(headers: &[String]) -> Vec<(&str, &str)> {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    let (pairs, _) = headers.as_chunks::<2>();
    for [name, value] in pairs {
        fields.retain(|(known, _)| known != name);
        fields.push((name, value));
    }
    fields
}

/// Returns the failure that the response means; none if only the message was missing. Then the
/// endpoint is on, and has let the sender in.
fn failure_of(answered: &Answered) -> Option<Failure> {
    let response = Response {
        refusal: answered.as_response(),
        retry_after_s: answered.header("retry-after").parse().ok(),
    };
    match answered.status {
        400 => {
            let refused: Option<Refused<'_>> = serde_json::from_slice(&answered.body).ok();
            let is_let_in = refused.is_some_and(|refused| refused.error.kind == INVALID_REQUEST);
            (!is_let_in).then_some(Failure::NotAGateway {
                status: answered.status,
                diagnosis: Diagnosis::NotAGateway,
            })
        }
        // A gateway refuses a request without a message.
        200 if answered.header("content-type").starts_with(EVENT_STREAM) => {
            Some(Failure::NotAGateway {
                status: answered.status,
                diagnosis: Diagnosis::NotAGateway,
            })
        }
        _ => Some(refusal(&response)),
    }
}

const EVENT_STREAM: &str = "text/event-stream";

/// The type of an error about a field of the request. Source: OpenClaw 2026.9.6, measured.
const INVALID_REQUEST: &str = "invalid_request_error";

/// The body of a refusal.
#[derive(Deserialize)]
struct Refused<'a> {
    #[serde(borrow)]
    error: ErrorBody<'a>,
}

#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawfront_core::gateway::upgrade::header_value;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn the_last_value_of_a_header_counts() {
        let headers = ["a", "1", "b", "2", "a", "3"].map(str::to_owned);
        assert_eq!(fields(&headers), [("b", "2"), ("a", "3")]);
    }

    fn cause(status: u16, content_type: &str, body: &str) -> Option<&'static str> {
        let answered = Answered::new(status, &[("content-type", content_type)], body);
        failure_of(&answered).map(|failure| failure.diagnosis().map_or("none", Diagnosis::code))
    }

    #[test]
    fn only_a_gateways_complaint_about_the_message_means_that_the_sender_is_let_in() {
        const JSON: &str = "application/json";
        let error = |kind| format!(r#"{{"error":{{"message":"…","type":"{kind}"}}}}"#);
        assert_eq!(cause(400, JSON, &error("invalid_request_error")), None);
        for (status, content_type, body, code) in [
            (400, JSON, error("other"), "not_a_gateway"),
            (400, "text/html", "Bad Request".to_owned(), "not_a_gateway"),
            (
                200,
                "text/event-stream; charset=utf-8",
                "data: {\"model\":\"openclaw\"}\n\n".to_owned(),
                "not_a_gateway",
            ),
            (200, "text/html", "<title>".to_owned(), "html_page"),
            (401, JSON, error("unauthorized"), "http_endpoint_identity"),
            (403, JSON, error("forbidden"), "http_endpoint_identity"),
            (
                403,
                JSON,
                error("proxy_attribution_required"),
                "proxy_attribution_required",
            ),
            (404, JSON, String::new(), "http_endpoint_off"),
            (405, "text/plain", String::new(), "http_endpoint_off"),
            (302, JSON, String::new(), "redirected"),
            (503, JSON, String::new(), "origin_down"),
        ] {
            assert_eq!(cause(status, content_type, &body), Some(code), "{status}");
        }
    }

    /// Returns the way by which an endpoint is open that takes requests with these words.
    fn open(is_public: bool, own: &Headers, needed: &'static [&'static str]) -> Option<Open> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut buffer = [0; 4096];
                while !head.ends_with(b"\"messages\":[]}") {
                    match stream.read(&mut buffer).unwrap() {
                        0 => break,
                        count => head.extend_from_slice(&buffer[..count]),
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let body = r#"{"error":{"type":"invalid_request_error"}}"#;
                let status = if needed.iter().all(|words| head.contains(words)) {
                    "400 Bad Request"
                } else {
                    "401 Unauthorized"
                };
                let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let trust = Trust::new(None).ok().unwrap();
        let place = Place::parse(&url).unwrap();
        let key = KeyId::parse(KEY).unwrap();
        let request = Request::without_message(&AgentId::parse("main").unwrap(), &key);
        let asking = Asking {
            place,
            path: PATH.to_owned(),
            is_public,
            body: String::from_utf8(request.body.clone()).unwrap(),
            request,
            trust: &trust,
        };
        let identity = Identity::TrustedProxy {
            user_header: "x-forwarded-user".to_owned(),
        };
        assert!(asking.ask(own, Some(&identity)).is_ok());
        asking.open_to(own, &identity)
    }

    #[test]
    fn an_endpoint_is_open_unless_it_wants_a_user_and_its_address_a_header() {
        const USER: &str = "x-forwarded-user: key-doctor";
        const TUNNEL: &str = "x-tunnel: 1";
        let none = Headers::new();
        let own = vec![("x-tunnel".to_owned(), header_value("1").unwrap())];
        for (is_public, own, needed, words) in [
            (false, &none, &[USER][..], None),
            (true, &none, &[USER], Some("nothing protects")),
            (false, &none, &[], Some("names no user")),
            (true, &own, &[USER, TUNNEL], None),
            (true, &own, &[USER], Some("without the headers")),
            (true, &own, &[TUNNEL], Some("names no user")),
        ] {
            let open = open(is_public, own, needed).map(|open| open.message);
            match (open, words) {
                (Some(message), Some(words)) => assert!(message.contains(words), "{message}"),
                (open, words) => assert_eq!(open, words),
            }
        }
    }
}
