//! The runs that the object's former self left: each is followed to its end, or stopped if its
//! client does not come back.

use std::rc::Rc;

use clawfront_core::config::Config;
use clawfront_core::exchange::Exchange;
use clawfront_core::kept::{Facts, Kept};
use clawfront_core::log::LogLine;
use clawfront_core::openai::responses::{ResponsesWriter, Stored};

use crate::hub::common::Common;
use crate::hub::relay::{Keep, Relay};
use crate::hub::slot::Slot;
use crate::runtime::clock::now_ms;

/// Reads the rows of the object's former self, once: before the first request, because it may be a
/// retry.
#[inline(never)]
pub(crate) fn adopt(config: &Rc<Config>, common: &Common) {
    if !common.begin_adoption() {
        return;
    }
    let has_panicked = common.store.take_panic();
    let going = common.store.going_responses();
    let mut going: Vec<(&str, &str)> = going
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    for line in common.store.runs().lines() {
        let mut kept = Kept::read(line);
        let is_over = |kept: &&mut Kept<'_>| has_panicked || kept.facts.has(Facts::AT_ENDPOINT);
        if let Some(kept) = kept.as_mut().filter(|kept| kept.is_going()).filter(is_over) {
            // Given up at once: what the run sends may be the cause, and would be again. A run at
            // the endpoint ended with its request.
            kept.left_ms = 1;
        }
        if !kept.is_some_and(|kept| restore(&kept, &mut going, config, common)) {
            // A row that only another version can read.
            let run = line.split('\t').next();
            common.store.forget_run(run.unwrap_or_default());
        }
    }
    for (run, name) in going {
        lose(run, name, config, common);
    }
}

/// Remembers the request of a run, and follows the run if it may be going. Returns false if the row
/// cannot be read.
fn restore(
    kept: &Kept<'_>,
    going: &mut Vec<(&str, &str)>,
    config: &Rc<Config>,
    common: &Common,
) -> bool {
    let Some(receiver) = common.requests(|requests| requests.restore(kept)) else {
        return false;
    };
    if !kept.is_going() {
        return true;
    }
    let Some((mut exchange, key)) = Exchange::adopt(kept, now_ms()) else {
        return false;
    };
    let mut listed = config.clients.iter();
    exchange.expire_at(match listed.find(|client| client.id == key) {
        Some(client) => client.expires_ms(),
        None => common.ends_of_hub_ms(&key),
    });
    let slot = Slot::adopt(&key, kept, &receiver, common);
    let line = LogLine {
        time_ms: kept.first_ms,
        key: Some(kept.key.to_owned()),
        run: Some(kept.run.to_owned()),
        ..LogLine::default()
    };
    let relay = Relay::adopted(Rc::clone(config), line, slot);
    if let Some(index) = going.iter().position(|(run, _)| *run == kept.run)
        && let Some((_, name)) = going.get(index)
        && let Some(response) = Response::find(name, common)
        && let Some(writer) = response.writer().filter(|_| response.can_go_on())
    {
        going.swap_remove(index);
        let blocks = common.store.blocks(response.name);
        exchange.continue_response(writer, blocks, response.events.len());
        relay.keep(Some(Keep {
            key: kept.key.to_owned(),
            name: response.name.to_owned(),
            input: String::new(),
            time_ms: config.store_ms,
        }));
    }
    common.link(config).begin(exchange, receiver, relay);
    true
}

/// A response that was going.
struct Response<'a> {
    name: &'a str,
    row: String,
    object: String,
    events: String,
}

impl<'a> Response<'a> {
    fn find(name: &'a str, common: &Common) -> Option<Self> {
        let store = &common.store;
        Some(Self {
            name,
            row: store.response(name)?,
            object: store.text(name, "object"),
            events: store.text(name, "events"),
        })
    }

    /// Returns false for a call, because the row does not have the function.
    fn can_go_on(&self) -> bool {
        Stored::read(&self.row).is_some_and(|stored| !stored.is_call)
    }

    fn writer(&self) -> Option<ResponsesWriter> {
        Stored::read(&self.row)?.writer(&self.object, &self.events)
    }
}

/// Ends a response whose run is not known.
fn lose(run: &str, name: &str, config: &Rc<Config>, common: &Common) {
    let store = &common.store;
    let lost = Response::find(name, common).and_then(|response| {
        let until_ms = now_ms().saturating_add(config.store_ms);
        let lost = response.writer()?.lose(until_ms, run)?;
        let number = store.blocks(name);
        // A stream without events had too many.
        if number > 0 {
            store.keep_block(name, number, Some(&lost.events)).ok()?;
        }
        store
            .keep_response(name, &lost.row, run, &lost.object, None)
            .ok()
    });
    if lost.is_none() {
        store.forget_response(name);
        store.forget_going(run);
    }
}
