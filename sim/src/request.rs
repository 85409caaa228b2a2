//! A request frame, the client that sends it, and the way its response takes.

use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::frames::{ErrorShape, Outgoing, Protocol, Reply};
use crate::methods;
use crate::schema::{Kind, Schema, optional, required};

/// A request frame; `traceparent` is not in protocol 3.
pub(crate) const REQUEST_FRAME: Schema = Schema(&[
    required("type", Kind::OneOf(&["req"])),
    required("id", Kind::NonEmptyText),
    required("method", Kind::NonEmptyText),
    optional("params", Kind::Any),
    optional("traceparent", Kind::Text),
]);

/// The client of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) connection: u64,
    pub(crate) role: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) device: Option<String>,
    pub(crate) outbox: UnboundedSender<Outgoing>,
}

/// A request frame.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) params: Value,
    pub(crate) traceparent: Option<String>,
}

/// The way of a response to its request.
#[derive(Debug, Clone)]
pub(crate) struct Responder {
    id: String,
    outbox: UnboundedSender<Outgoing>,
}

impl Client {
    pub(crate) fn holds(&self, scope: &str) -> bool {
        methods::holds(&self.scopes, scope)
    }

    pub(crate) fn responder(&self, id: &str) -> Responder {
        Responder {
            id: id.to_owned(),
            outbox: self.outbox.clone(),
        }
    }
}

impl Request {
    /// A frame that passed [`REQUEST_FRAME`].
    pub(crate) fn of(mut frame: Value) -> Option<Self> {
        let mut text = |name: &str| {
            frame
                .get_mut(name)
                .map(Value::take)
                .and_then(|text| text.as_str().map(str::to_owned))
        };
        let (id, method, traceparent) = (text("id")?, text("method")?, text("traceparent"));
        let params = frame
            .get_mut("params")
            .map_or_else(|| json!({}), Value::take);
        Some(Self {
            id,
            method,
            params,
            traceparent,
        })
    }
}

impl Responder {
    /// Returns the way of responses that nobody waits for.
    pub(crate) fn nowhere() -> Self {
        Self {
            id: String::new(),
            outbox: mpsc::unbounded_channel().0,
        }
    }

    pub(crate) fn answer(&self, reply: &Reply) {
        // If the connection is closed, the response is dropped.
        drop(self.outbox.send(Outgoing::Text(reply.frame(&self.id))));
    }

    pub(crate) fn refuse(&self, error: ErrorShape) {
        self.answer(&Reply::error(error));
    }
}

/// Checks the parameters of `method`.
pub(crate) fn check(
    schema: &Schema,
    method: &str,
    params: &Value,
    protocol: Protocol,
) -> Result<(), ErrorShape> {
    schema.check(params, protocol).map_err(|violation| {
        ErrorShape::invalid_request(format!("invalid {method} params: {violation}"))
    })
}
