//! Responses that are kept: the row of each in the hub's storage, and the answers to requests about
//! one.
//!
//! ```text
//!            `background`: accepted          its end
//!   no row ─────────────────────────▶ going ─────────▶ ended ──▶ no row
//!     │                                                  ▲          deleted, or its time is over
//!     └──────────────────────────────────────────────────┘
//!                          `store`: its end
//! ```
//!
//! Beside the row there are texts: the response's object, the items of its input, one in each line,
//! and the events of a stream in the background.
//!
//! Source of the shapes: OpenAI's API reference, "Responses", and the types of its SDK for Node.js
//! 7.57.0.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::echo::Echo;
use super::fields::Fields;
use super::object::Keeping;
use super::resume;
use super::writer::{Ids, ResponseFields, ResponsesWriter};
use crate::failure::Failure;
use crate::openai::delivery::Delivery;
use crate::openai::error::ErrorResponse;
use crate::openai::json::write::write_json;

/// Items of one page if the request gives no number, and the most that it can have.
const DEFAULT_ITEMS: usize = 20;
const MAX_ITEMS: usize = 100;

/// Begins the part of a response's object that a request alone decides.
const REST: &str = r#","metadata":"#;

/// The row of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The time until which the response is kept; 0 while it is going.
    pub until_ms: u64,
    pub keeping: Keeping,
    /// The response is a stream whose events are kept.
    pub is_stream: bool,
    /// The id of the run, as its client requested it.
    pub run: &'a str,
    /// The part of the items' ids that no other response has.
    pub items: &'a str,
    /// The answer becomes the call of a function, which the next hub does not know.
    pub is_call: bool,
}

/// The words of a row for both ways to keep a response.
const STORED: &str = "stored";
const BACKGROUND: &str = "background";
const STREAM: &str = "stream";
const CALL: &str = "call";

impl<'a> Stored<'a> {
    /// Reads a row. A row of another version is none.
    pub fn read(row: &'a str) -> Option<Self> {
        let mut fields = row.split('\t');
        let until_ms = fields.next()?.parse().ok()?;
        let (keeping, is_stream) = match fields.next()? {
            STORED => (Keeping::Stored, false),
            BACKGROUND => (Keeping::Background, false),
            STREAM => (Keeping::Background, true),
            _ => return None,
        };
        Some(Self {
            until_ms,
            keeping,
            is_stream,
            run: fields.next()?,
            items: fields.next()?,
            is_call: match fields.next()? {
                CALL => true,
                "" => false,
                _ => return None,
            },
        })
    }

    pub fn row(&self) -> String {
        let keeping = match self.keeping {
            Keeping::Background if self.is_stream => STREAM,
            Keeping::Background => BACKGROUND,
            _ => STORED,
        };
        let until_ms = self.until_ms.to_string();
        let call = if self.is_call { CALL } else { "" };
        [&until_ms, keeping, self.run, self.items, call].join("\t")
    }

    pub fn is_going(&self) -> bool {
        self.until_ms == 0
    }

    /// Makes the writer of a response that is going, from its object and the events that were
    /// written. `None` if one of them is missing.
    pub fn writer(&self, object: &str, events: &str) -> Option<ResponsesWriter> {
        let rest = object.split_once(REST)?.1;
        let fields = Fields::of(object)?;
        let ids = Ids {
            response: fields.id?.into_owned(),
            items: self.items.to_owned(),
        };
        let delivery = if self.is_stream {
            Delivery::Stream {
                include_usage: true,
            }
        } else {
            Delivery::Whole
        };
        let fields = ResponseFields {
            unnamed_ids: ids.clone(),
            branch_ids: None,
            ids,
            previous: fields.previous_response_id.map(Cow::into_owned),
            model: fields.model?.into_owned(),
            created_s: fields.created_at,
            echo: Echo::default(),
            keeping: self.keeping,
        };
        let state = resume::State::of(events)?;
        let rest = [REST, rest].concat();
        Some(ResponsesWriter::new(delivery, fields).resuming(state, rest))
    }

    /// Reads the query of a request for the response. Returns the events that are wanted, if any.
    pub fn events_wanted(&self, query: &str) -> Result<Option<Events>, Failure> {
        let mut after = None;
        let mut is_stream = false;
        for (name, value) in pairs(query) {
            match (&*name, &*value) {
                ("stream", "true") => is_stream = true,
                ("starting_after", number) => after = Some(number.parse::<i64>().ok()),
                _ => {}
            }
        }
        let refusal = match (is_stream, after) {
            (false, _) => return Ok(None),
            (true, _) if self.keeping != Keeping::Background => (
                "stream",
                "This response cannot be streamed because it was not created with background=true.",
            ),
            (true, _) if !self.is_stream => (
                "stream",
                "This response cannot be streamed because it was not created with stream=true.",
            ),
            (true, Some(None)) => ("starting_after", "starting_after must be an integer."),
            (true, after) => {
                // One that is negative is before all events.
                let last = after.flatten().map(|last| last.min(u32::MAX.into()));
                let last = last.and_then(|last| last.try_into().ok());
                return Ok(Some(Events { last }));
            }
        };
        Err(Failure::invalid(refusal.0, refusal.1))
    }
}

/// The events of a response that a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events {
    /// The number of the last event that the client has.
    last: Option<u32>,
}

impl Events {
    /// Returns the number of the event after which the wanted ones begin; `None`: all are wanted.
    /// Fails if the response is going, and the client has more events than the one with the number
    /// `last`.
    pub fn after(&self, last: Option<u32>, is_going: bool) -> Result<Option<u32>, Failure> {
        if is_going && self.last > last {
            return Err(Failure::invalid(
                "starting_after",
                "The response has no event with this number yet.",
            ));
        }
        Ok(self.last)
    }
}

/// Returns the failure for a stream whose events are not stored.
pub fn unstored_events() -> Failure {
    Failure::invalid(
        "stream",
        "The events of this response are not stored, because there were too many. Retrieve it \
         without `stream`.",
    )
}

/// Writes the event that ends a stream whose key is not valid any more.
pub fn expired_event() -> String {
    let error = ErrorResponse::of(&Failure::ApiKeyExpired).body.in_body();
    let mut out = Vec::new();
    ResponsesWriter::foreign_error(&error, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// The end of a response whose run is not known.
pub struct Lost {
    pub row: String,
    pub object: String,
    /// The last events; empty if it is not a stream, or if its events are not kept.
    pub events: String,
}

impl ResponsesWriter {
    /// Ends a response in the background whose run is not known: it is kept until `until_ms`.
    pub fn lose(mut self, until_ms: u64, run: &str) -> Option<Lost> {
        let error = ErrorResponse::of(&Failure::HubLost).body;
        let mut out = Vec::new();
        // The events of a stream that is too long are not kept, and these would be the first.
        let has_events = self.has_written();
        self.fail(&error, &mut out);
        let row = Stored {
            until_ms,
            keeping: self.keeping(),
            is_stream: self.is_stream(),
            run,
            items: self.items_id(),
            is_call: false,
        }
        .row();
        let object = self.take_ended()?;
        let events = if has_events {
            String::from_utf8(out).unwrap_or_default()
        } else {
            String::new()
        };
        Some(Lost {
            row,
            object,
            events,
        })
    }
}

/// Returns the pairs of a query.
fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let text = |part| percent_decode_str(part).decode_utf8_lossy();
    query.split('&').map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (text(name), text(value))
    })
}

/// Writes a page of the items of a response's input, one in each line.
pub fn input_items(items: &str, query: &str) -> Result<Vec<u8>, Failure> {
    let mut lines: Vec<&str> = items.lines().collect();
    let (mut limit, mut after, mut is_ascending) = (DEFAULT_ITEMS, None, false);
    for (name, value) in pairs(query) {
        match (&*name, &*value) {
            ("limit", number) => {
                limit = number
                    .parse()
                    .ok()
                    .filter(|number| (1..=MAX_ITEMS).contains(number))
                    .ok_or_else(|| {
                        Failure::invalid("limit", "limit must be a number from 1 to 100.")
                    })?;
            }
            ("order", "asc") => is_ascending = true,
            ("order", "desc") => is_ascending = false,
            ("order", _) => {
                return Err(Failure::invalid("order", "order must be `asc` or `desc`."));
            }
            ("after", _) => after = Some(value),
            _ => {}
        }
    }
    if !is_ascending {
        lines.reverse();
    }
    let mut rest = lines.as_slice();
    if let Some(after) = after {
        let place = lines.iter().position(|line| id_of(line) == after);
        let place = place
            .ok_or_else(|| Failure::invalid("after", "The input has no item with this id."))?;
        rest = lines.get(place.saturating_add(1)..).unwrap_or_default();
    }
    let page = rest.get(..limit).unwrap_or(rest);
    let mut out = br#"{"object":"list","data":["#.to_vec();
    out.extend_from_slice(page.join(",").as_bytes());
    for (name, line) in [
        (r#"],"first_id":"#, page.first()),
        (r#","last_id":"#, page.last()),
    ] {
        out.extend_from_slice(name.as_bytes());
        write_json(&mut out, &line.map(|line| id_of(line)));
    }
    out.extend_from_slice(br#","has_more":"#);
    write_json(&mut out, &(page.len() < rest.len()));
    out.push(b'}');
    Ok(out)
}

fn id_of(line: &str) -> Cow<'_, str> {
    let id = Fields::of(line).and_then(|item| item.id);
    id.unwrap_or_default()
}

/// Writes the answer to a request that deleted a response.
pub fn deleted(id: &str) -> Vec<u8> {
    let mut out = br#"{"id":"#.to_vec();
    write_json(&mut out, id);
    out.extend_from_slice(br#","object":"response.deleted","deleted":true}"#);
    out
}

#[cfg(test)]
mod tests;
