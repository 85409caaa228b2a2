//! The context of one request: its response's common headers, and its line in the log.

use clawfront_core::failure::Failure;
use clawfront_core::http::head::{Head, ID_HEADER, REQUEST_ID_HEADER, ResponseMeta, request_id};
use clawfront_core::log::{self, LogLine};
use clawfront_core::openai::error::refuse;
use clawfront_core::turn::RunId;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Request;

use crate::runtime::clock::now_ms;
use crate::runtime::entropy::entropy;
use crate::runtime::response;

/// The state that the steps of a request share.
pub(crate) struct RequestContext {
    /// Unique; the client's own request id may repeat.
    pub(crate) id: String,
    pub(crate) meta: ResponseMeta,
    pub(crate) line: LogLine,
}

/// The reason why a request ends before its run.
pub(crate) enum Rejection {
    Failure(Failure),
    Runtime(JsValue),
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<JsValue> for Rejection {
    fn from(error: JsValue) -> Self {
        Self::Runtime(error)
    }
}

impl RequestContext {
    /// Begins the context of a request that has just arrived from a client.
    pub(crate) fn begin(request: &Request) -> Result<Self, JsValue> {
        Self::of(
            request,
            RunId::from_entropy(&entropy()?).as_str().to_owned(),
        )
    }

    /// Begins the context of a request that has just arrived from the edge.
    pub(crate) fn handed_on(request: &Request) -> Result<Self, JsValue> {
        let id = request.headers().get(ID_HEADER)?;
        Self::of(request, id.unwrap_or_default())
    }

    fn of(request: &Request, id: String) -> Result<Self, JsValue> {
        let request_id =
            request_id(request.headers().get(REQUEST_ID_HEADER)?).unwrap_or_else(|| id.clone());
        Ok(Self {
            id,
            line: LogLine {
                time_ms: now_ms(),
                request_id: request_id.clone(),
                method: Some(log::method(&request.method())),
                ..LogLine::default()
            },
            meta: ResponseMeta {
                request_id,
                ..ResponseMeta::default()
            },
        })
    }

    /// Makes and logs the response to a request that needs no run.
    pub(crate) fn answer(&mut self, head: Head, body: &[u8]) -> Result<web_sys::Response, JsValue> {
        self.line.status = head.status;
        self.line.end = "ok";
        self.log();
        self.whole(head, body)
    }

    /// Does the same with a body that follows.
    pub(crate) fn answer_stream(
        &mut self,
        mut head: Head,
        body: &web_sys::ReadableStream,
    ) -> Result<web_sys::Response, JsValue> {
        self.line.status = head.status;
        self.line.end = "ok";
        self.log();
        self.time(&mut head);
        response::stream(&head, body)
    }

    /// Makes a response with a complete body.
    pub(crate) fn whole(&self, mut head: Head, body: &[u8]) -> Result<web_sys::Response, JsValue> {
        self.time(&mut head);
        response::whole(&head, body)
    }

    /// Makes the response to a request that was rejected, and logs it if `may_log` lets it.
    pub(crate) fn reject(
        &mut self,
        rejection: Rejection,
        may_log: &dyn Fn(&mut LogLine) -> bool,
    ) -> Result<web_sys::Response, JsValue> {
        let failure = match rejection {
            Rejection::Failure(failure) => failure,
            Rejection::Runtime(error) => {
                self.line.cause = Some(text_of(&error));
                Failure::InternalError
            }
        };
        let (head, body) = refuse(&self.meta, &failure);
        let response = self.whole(head, &body);
        self.line.failed(&failure);
        if failure.is_logged() && may_log(&mut self.line) {
            self.log();
        }
        response
    }

    /// Puts the time that the request took so far into its response's head.
    pub(crate) fn time(&self, head: &mut Head) {
        head.after_ms(now_ms().saturating_sub(self.line.time_ms));
    }

    fn log(&mut self) {
        self.line.duration_ms = now_ms().saturating_sub(self.line.time_ms);
        web_sys::console::log_1(&self.line.to_json().into());
    }
}

/// Returns the text of an error that the runtime has thrown.
fn text_of(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => error.to_string().into(),
        None => error.as_string().unwrap_or_default(),
    }
}
