//! The endpoints of stored responses: `/v1/responses/{id}` and below.

use std::rc::Rc;

use clawfront_core::access::grant::Grant;
use clawfront_core::config::Config;
use clawfront_core::failure::Failure;
use clawfront_core::http::route::Action;
use clawfront_core::http::url;
use clawfront_core::hub::Input;
use clawfront_core::openai::Writer;
use clawfront_core::openai::responses::{
    Events, Keeping, Stored, deleted, expired_event, input_items, unstored_events,
};
use futures_util::future::select;
use js_sys::futures::JsFuture;
use web_sys::Request;

use crate::context::{Rejection, RequestContext};
use crate::hub::common::Common;
use crate::runtime::timer::Delay;

/// Time in which the end of a response that is cancelled is awaited, in milliseconds. A run that
/// cannot be reached takes as long. Source: Azure's contract for `POST …/cancel`.
const CANCEL_MS: u64 = 10_000;

/// Longest id of a response, in bytes: ours have less.
const MAX_ID_BYTES: usize = 128;

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// The texts of a stored response.
const OBJECT: &str = "object";
const INPUT: &str = "input";

/// A stored response of the client.
struct Found<'a> {
    name: String,
    row: String,
    client: &'a Grant,
    config: &'a Rc<Config>,
    common: &'a Common,
    context: &'a mut RequestContext,
}

/// Answers a request about a stored response.
pub(crate) async fn answer(
    request: &Request,
    id: &str,
    action: Action,
    config: &Rc<Config>,
    client: &Grant,
    common: &Common,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    let found = Found::find(id, config, client, common, context);
    let mut found = found.ok_or(Failure::ResponseNotFound)?;
    let url = request.url();
    let query = url::query(&url).unwrap_or_default();
    match action {
        Action::InputItems => {
            let page = input_items(&found.text(INPUT), query)?;
            found.reply(&page)
        }
        Action::Cancel => found.cancel().await,
        Action::Itself if request.method() == "DELETE" => {
            if found.stored()?.is_going() {
                return Err(Failure::invalid(
                    "response_id",
                    "Cannot delete an in-flight response.",
                )
                .into());
            }
            common.store.forget_response(&found.name);
            found.reply(&deleted(id))
        }
        Action::Itself => match found.stored()?.events_wanted(query)? {
            // The runtime sends no head before the body of such a response has ended.
            Some(_) if request.method() == "HEAD" => {
                let head = found.context.meta.stream();
                Ok(found.context.answer(head, &[])?)
            }
            Some(events) => found.stream(events),
            None => found.object(),
        },
    }
}

/// Returns the response to a request whose response is in the background already.
pub(crate) fn begun(
    writer: &Writer,
    config: &Rc<Config>,
    client: &Grant,
    common: &Common,
    context: &mut RequestContext,
) -> Result<Option<web_sys::Response>, Rejection> {
    for id in writer.background_ids() {
        if let Some(mut found) = Found::find(id, config, client, common, context) {
            return match found.stored()?.events_wanted("stream=true") {
                Ok(Some(events)) => found.stream(events).map(Some),
                _ => found.object().map(Some),
            };
        }
    }
    Ok(None)
}

impl<'a> Found<'a> {
    fn find(
        id: &str,
        config: &'a Rc<Config>,
        client: &'a Grant,
        common: &'a Common,
        context: &'a mut RequestContext,
    ) -> Option<Self> {
        let is_id = id.len() <= MAX_ID_BYTES
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let name = [client.id.as_str(), ":", id].concat();
        let row = is_id.then(|| common.store.response(&name)).flatten()?;
        Some(Self {
            name,
            row,
            client,
            config,
            common,
            context,
        })
    }

    /// Reads the row. A row of another version is no response.
    fn stored(&self) -> Result<Stored<'_>, Failure> {
        Stored::read(&self.row).ok_or(Failure::ResponseNotFound)
    }

    fn text(&self, kind: &str) -> String {
        self.common.store.text(&self.name, kind)
    }

    fn reply(&mut self, body: &[u8]) -> Result<web_sys::Response, Rejection> {
        let head = self.context.meta.json();
        Ok(self.context.answer(head, body)?)
    }

    fn object(&mut self) -> Result<web_sys::Response, Rejection> {
        let object = self.text(OBJECT);
        self.reply(object.as_bytes())
    }

    /// Sends the events that are wanted, and those that follow.
    fn stream(&mut self, events: Events) -> Result<web_sys::Response, Rejection> {
        let store = &self.common.store;
        if store.blocks(&self.name) == 0 {
            return Err(unstored_events().into());
        }
        let is_going = self.stored()?.is_going();
        // The last event of a stream that has ended may be large, and its number does not count.
        let last = is_going.then(|| store.last_event(&self.name)).flatten();
        let last = events.after(last, is_going)?;
        let key_ends_s = self
            .common
            .ends_ms(self.client)
            .and_then(|ends_ms| ends_ms.div_ceil(SECOND_MS).try_into().ok());
        let events = store.events(&self.name, last, &expired_event(), key_ends_s);
        let head = self.context.meta.stream();
        Ok(self.context.answer_stream(head, &events)?)
    }

    async fn cancel(&mut self) -> Result<web_sys::Response, Rejection> {
        let stored = self.stored()?;
        if stored.keeping != Keeping::Background {
            return Err(
                Failure::invalid("response_id", "Cannot cancel a synchronous response.").into(),
            );
        }
        let link = self.common.link(self.config);
        let relay = stored.is_going().then(|| link.relay_of(&self.name));
        if let Some(relay) = relay.flatten()
            && let Some(id) = relay.id()
        {
            let ended = JsFuture::from(relay.ended());
            link.handle(Input::Cancelled(id));
            select(ended, Delay::of(CANCEL_MS)).await;
        }
        self.object()
    }
}
