//! Requests to the admin API, and the meaning of their refusals.

use std::time::Duration;

use clawfront_core::access::key::KeyId;
use serde_json::Value;
use zeroize::Zeroizing;

use super::address::{self, ADMIN_KEY};
use super::view::escaped;
use crate::connection::http::{Answered, Call, call};
use crate::connection::place::Place;
use crate::connection::stream::{Broken, Trust, connect, resolve, secure};
use crate::doctor::deployed::OWN_USER_AGENT;
use crate::outcome::{FAILED, MISTAKES, NOT_ADMITTED, NOT_FOUND, NOT_IN_FORCE, Problem, USAGE};

const API: &str = "/admin/v1";

/// The hub answers in milliseconds; its object may have to start first.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest answer that is read: 1000 keys have less than 2 MB.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Longest message of a peer that is printed.
const MAX_MESSAGE_CHARS: usize = 300;

/// The hub of a Worker, and the right to change it.
pub(super) struct Hub {
    pub(super) url: String,
    place: Place,
    trust: Trust,
    /// The value of `Authorization`.
    bearer: Zeroizing<String>,
}

/// A request without the wanted answer.
pub(super) enum Refused {
    /// The Worker has answered with an error.
    Answer {
        status: u16,
        code: String,
        param: String,
        message: String,
    },
    /// The answer is not the Worker's.
    Foreign(u16),
    /// Nothing was sent.
    NotSent(String),
    /// No whole answer came to a request that may have been carried out.
    Unknown(String),
}

impl Hub {
    /// Finds the Worker and the administrator's key. Nothing is sent.
    pub(super) fn open(worker: Option<&str>) -> Result<Self, Problem> {
        let address = address::find(worker)?;
        let place = Place::parse(&address.url)
            .ok_or_else(|| Problem::with(USAGE, "the Worker's address is not a URL"))?;
        Ok(Self {
            place,
            trust: Trust::new(None)?,
            bearer: Zeroizing::new(format!("Bearer {}", address.key.as_str())),
            url: address.url,
        })
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Refused> {
        self.send("GET", path, "").map_err(|refused| match refused {
            // A request that changes nothing can be made again.
            Refused::Unknown(why) => Refused::NotSent(why),
            other => other,
        })
    }

    /// Sends a change; a body of `null` is none.
    pub(super) fn change(&self, method: &str, path: &str, body: &Value) -> Result<Value, Refused> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(method, path, &body)
    }

    /// Asks for the Worker's version.
    pub(super) fn about(&self) -> Result<Value, Refused> {
        read(&self.request("GET", "/v1", "", &self.bearer)?)
    }

    /// Asks whether the gateway can be used. A gateway that cannot is an answer, too.
    pub(super) fn readiness(&self) -> Result<Value, Refused> {
        let answered = self.request("GET", "/readyz", "", &self.bearer)?;
        let body: Option<Value> = serde_json::from_slice(&answered.body).ok();
        match body {
            Some(body) if body.get("status").is_some_and(Value::is_string) => Ok(body),
            _ => match read(&answered) {
                Ok(_) => Err(Refused::Foreign(answered.status)),
                refused => refused,
            },
        }
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Result<Value, Refused> {
        read(&self.request(method, &format!("{API}{path}"), body, &self.bearer)?)
    }

    /// Asks as a client, whether its key is admitted.
    pub(super) fn admits(&self, key: &str) -> Result<bool, Refused> {
        let bearer = Zeroizing::new(format!("Bearer {key}"));
        match read(&self.request("GET", "/v1/key", "", &bearer)?) {
            Ok(_) => Ok(true),
            Err(Refused::Answer {
                status: 401 | 403, ..
            }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: &str,
        bearer: &str,
    ) -> Result<Answered, Refused> {
        let not_sent = |broken: Broken| Refused::NotSent(broken.detail);
        let addresses = resolve(&self.place).map_err(not_sent)?;
        let tcp = connect(&addresses).map_err(not_sent)?;
        let mut stream = secure(tcp, &self.place, &self.trust).map_err(not_sent)?;
        let request = Call {
            method,
            path: &format!("{}{path}", self.place.path.trim_end_matches('/')),
            fields: &[
                ("user-agent", OWN_USER_AGENT),
                ("accept", "application/json"),
                ("authorization", bearer),
            ],
            body,
            timeout: TIMEOUT,
            max_bytes: MAX_ANSWER_BYTES,
        };
        let answered = call(&mut stream, &self.place, &request);
        answered.map_err(|broken| Refused::Unknown(broken.detail))
    }
}

fn read(answered: &Answered) -> Result<Value, Refused> {
    let status = answered.status;
    let body: Option<Value> = serde_json::from_slice(&answered.body).ok();
    if (200..300).contains(&status) {
        return match body {
            Some(body) if body.get("object").is_some() => Ok(body),
            Some(_) => Err(Refused::Foreign(status)),
            None if !is_cut(&answered.body) => Err(Refused::Foreign(status)),
            None => Err(Refused::Unknown("the answer is cut short".to_owned())),
        };
    }
    let error = body.as_ref().and_then(|body| body.get("error"));
    let member = |name: &str| {
        let text = error.and_then(|error| error.get(name)?.as_str());
        let text = escaped(text.unwrap_or_default());
        text.chars().take(MAX_MESSAGE_CHARS).collect::<String>()
    };
    let code = member("code");
    if code.is_empty() {
        return Err(Refused::Foreign(status));
    }
    Err(Refused::Answer {
        status,
        code,
        param: member("param"),
        message: member("message"),
    })
}

/// Returns true if a body may be the beginning of an object.
fn is_cut(body: &[u8]) -> bool {
    body.first().is_none_or(|first| *first == b'{')
}

impl Refused {
    /// Returns the problem of a request that concerns a key.
    pub(super) fn problem(self, hub: &Hub, id: &KeyId) -> Problem {
        match self {
            Self::Answer { code, .. } if code == "key_not_found" => Problem::with(
                NOT_FOUND,
                format!(
                    "the hub at {} has no key {id}. Fix: see `clawfront keys list`; a key of \
                     CLIENT_KEYS needs --static",
                    hub.url
                ),
            ),
            Self::Unknown(why) => Problem::with(
                NOT_IN_FORCE,
                format!(
                    "{} may have changed {id}, but its answer did not arrive ({}). Fix: see \
                     `clawfront keys show {id}`",
                    hub.url,
                    escaped(&why)
                ),
            ),
            other => other.of_hub(hub),
        }
    }

    /// Returns the problem of a request that concerns no single key.
    pub(super) fn of_hub(self, hub: &Hub) -> Problem {
        let url = &hub.url;
        match self {
            Self::NotSent(why) | Self::Unknown(why) => {
                Problem::new(format!("{url} does not answer: {}", escaped(&why)))
            }
            Self::Foreign(status) => Problem::new(format!(
                "the server at {url} has no admin API (HTTP {status}). Fix: correct the address, \
                 or run `clawfront deploy`"
            )),
            Self::Answer {
                status,
                code,
                message,
                ..
            } => match (status, code.as_str()) {
                (401, _) => Problem::with(
                    NOT_ADMITTED,
                    format!("{url} refuses {ADMIN_KEY} (HTTP 401, {code}): {message}"),
                ),
                (403, "missing_scope") => Problem::with(
                    NOT_ADMITTED,
                    format!(
                        "{ADMIN_KEY} is not an administrator's key. Fix: `clawfront setup` makes \
                         one, with the scope admin"
                    ),
                ),
                (404, _) => Self::Foreign(status).of_hub(hub),
                (400, _) if message.contains("KEYS_SECRET") => Problem::with(
                    MISTAKES,
                    format!(
                        "{url}: {message} Fix: `clawfront setup` makes the secret, and `clawfront \
                         deploy` pushes it"
                    ),
                ),
                (400, _) => Problem::with(USAGE, message),
                _ => Problem::with(FAILED, format!("{url}: HTTP {status}, {code}: {message}")),
            },
        }
    }
}
