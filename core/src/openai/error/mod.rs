//! The response to a failure, in OpenAI's shape.
//!
//! It has the status, the headers and the body. The fault and its reason are data of
//! [`failure`](crate::failure).

mod phase;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Serialize;

use super::json::write::write_json;
use crate::failure::{Failure, RETRY_AFTER_S};
use crate::http::coding;
use crate::http::head::{Head, ResponseMeta};
use crate::http::route::Api;

use phase::{FINAL_STATUS, FINAL_TYPE, KEY_STATUS, RESPONSES_RETRY_STATUS};

pub use phase::Phase;
pub(crate) use phase::failed_response_code;

/// A response to a failure.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    pub status: u16,
    pub body: ErrorBody,
    pub retry_after_s: Option<u32>,
    pub allow: Option<&'static str>,
    /// True if the official SDKs may send the request again by themselves.
    pub may_repeat: bool,
}

/// OpenAI's error object. Clients expect all four fields, always.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    pub message: Cow<'static, str>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub param: Option<String>,
    pub code: &'static str,
}

impl ErrorResponse {
    /// Returns the response as the table has it. [`ErrorResponse::on`] returns the one that is
    /// sent.
    pub fn of(failure: &Failure) -> Self {
        let table::Entry {
            status,
            kind,
            message,
        } = table::entry(failure);
        let may_repeat = !failure.is_permanent();
        Self {
            status,
            body: ErrorBody {
                message,
                kind,
                param: match failure {
                    Failure::InvalidRequest { param, .. } => param.clone(),
                    Failure::ModelNotFound => Some("model".to_owned()),
                    _ => None,
                },
                code: failure.code(),
            },
            retry_after_s: match failure {
                Failure::GatewayUnavailable { retry_after_s, .. }
                | Failure::TooManyFailedAttempts { retry_after_s, .. }
                | Failure::ConcurrentRunsExceeded { retry_after_s, .. } => Some(*retry_after_s),
                Failure::RateLimitExceeded(allowance) => Some(allowance.reset_s),
                // The failure may be temporary, and no run was started.
                _ if status >= 500 && may_repeat => Some(RETRY_AFTER_S),
                _ => None,
            },
            allow: match failure {
                Failure::MethodNotAllowed { allow } => Some(allow),
                _ => None,
            },
            may_repeat,
        }
    }

    /// Returns the response that is sent on this API in this phase. Code and message are those of
    /// [`ErrorResponse::of`].
    pub fn on(failure: &Failure, api: Api, phase: Phase) -> Self {
        let mut response = Self::of(failure);
        // A key that is not valid starts no run, however often the request is sent.
        if response.status == KEY_STATUS {
            response.may_repeat = phase == Phase::BeforeRun;
            return response;
        }
        let is_server_error = response.status >= 500;
        if phase == Phase::RunMayHaveStarted
            || (is_server_error && api == Api::Responses && failure.is_permanent())
        {
            response.status = FINAL_STATUS;
            response.body.kind = FINAL_TYPE;
            response.retry_after_s = None;
        } else if is_server_error && api == Api::Responses {
            response.status = RESPONSES_RETRY_STATUS;
        }
        response.may_repeat = phase == Phase::BeforeRun && !failure.is_permanent();
        response
    }

    /// Returns the head of the response.
    pub(crate) fn head(&self, meta: &ResponseMeta) -> Head {
        let mut head = meta.json();
        head.status = self.status;
        if let Some(seconds) = self.retry_after_s {
            head.headers.push(("retry-after", seconds.to_string()));
        }
        if let Some(allow) = self.allow {
            head.headers.push(("allow", allow.to_owned()));
        }
        if self.status == 415 {
            // RFC 9110 section 12.5.3.
            head.headers
                .push(("accept-encoding", coding::ACCEPTED.to_owned()));
        }
        if self.status == 401 {
            // RFC 6750 section 3.
            head.headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        if !self.may_repeat {
            head.headers.push(("x-should-retry", "false".to_owned()));
        }
        head
    }
}

impl ErrorBody {
    /// Returns the body to send after the status 200 was sent.
    ///
    /// The message ends in type and code, because clients that keep nothing but the message still
    /// see the cause. litellm, and so aider, looks for the type in it: without it aider runs the
    /// agent nine times.
    #[must_use]
    pub fn in_body(self) -> Self {
        Self {
            message: format!("{} ({}: {})", self.message, self.kind, self.code).into(),
            ..self
        }
    }

    /// Writes `{"error":{…}}`, the body of every error.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"error":"#);
        write_json(out, self);
        out.push(b'}');
    }
}

/// Returns the response to a request that failed before its run is known to have started.
pub fn refuse(meta: &ResponseMeta, failure: &Failure) -> (Head, Vec<u8>) {
    let phase = if failure.is_of_run() {
        Phase::RunMayHaveStarted
    } else {
        Phase::BeforeRun
    };
    let response = ErrorResponse::on(failure, meta.api, phase);
    let mut body = Vec::new();
    response.body.write(&mut body);
    let head = match failure {
        Failure::RateLimitExceeded(allowance) => response.head(&ResponseMeta {
            allowance: Some(*allowance),
            ..meta.clone()
        }),
        _ => response.head(meta),
    };
    (head, body)
}
