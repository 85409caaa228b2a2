//! The head of every response, and the whole of those that are errors.

use crate::error::{Failure, Reply};
use crate::openai::write_error;

/// Status and headers of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
}

/// What all responses to one request carry.
#[derive(Debug, Clone)]
pub struct Common {
    /// `x-request-id`, also in the log.
    pub request_id: String,
    /// `x-clawfront-ignored`: parameters that were sent and had no effect.
    pub ignored: Vec<&'static str>,
}

impl Common {
    /// The head of a stream of server-sent events.
    pub(crate) fn stream(&self) -> Head {
        let mut head = self.head(200, "text/event-stream; charset=utf-8");
        head.headers.extend([
            // Each keeps one kind of proxy from holding back what was sent: caches, nginx, and whatever compresses.
            ("cache-control", "no-cache, no-transform".to_owned()),
            ("x-accel-buffering", "no".to_owned()),
            ("content-encoding", "identity".to_owned()),
        ]);
        head
    }

    /// The head of one JSON object.
    pub(crate) fn json(&self) -> Head {
        let mut head = self.head(200, "application/json");
        head.headers.push(("cache-control", "no-store".to_owned()));
        head
    }

    /// The head of an error. `may_repeat` is false once a run may have started, and where repeating cannot help: the official
    /// SDKs then do not send the request again by themselves.
    pub(crate) fn error(&self, reply: &Reply, may_repeat: bool) -> Head {
        let mut head = self.head(reply.status, "application/json");
        head.headers.push(("cache-control", "no-store".to_owned()));
        if let Some(seconds) = reply.retry_after_s {
            head.headers.push(("retry-after", seconds.to_string()));
        }
        if let Some(allow) = reply.allow {
            head.headers.push(("allow", allow.to_owned()));
        }
        if reply.status == 401 {
            // RFC 6750 section 3.
            head.headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        if !may_repeat {
            head.headers.push(("x-should-retry", "false".to_owned()));
        }
        head
    }

    fn head(&self, status: u16, content_type: &str) -> Head {
        let mut headers = vec![
            ("content-type", content_type.to_owned()),
            ("x-request-id", self.request_id.clone()),
        ];
        if !self.ignored.is_empty() {
            headers.push(("x-clawfront-ignored", self.ignored.join(", ")));
        }
        Head { status, headers }
    }
}

/// The response to a request that failed before there was a run.
pub fn refuse(failure: &Failure, request_id: &str) -> (Head, Vec<u8>) {
    let common = Common {
        request_id: request_id.to_owned(),
        ignored: Vec::new(),
    };
    let reply = failure.reply();
    let mut body = Vec::new();
    write_error(&reply.body, &mut body);
    (common.error(&reply, !failure.is_permanent()), body)
}
