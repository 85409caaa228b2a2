//! The runs that the object's former self left: each is followed to its end, or stopped if its
//! client does not come back.

use std::rc::Rc;

use clawfront_core::config::Config;
use clawfront_core::exchange::Exchange;
use clawfront_core::kept::Kept;
use clawfront_core::log::LogLine;

use crate::hub::common::Common;
use crate::hub::relay::Relay;
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
    for line in common.store.runs().lines() {
        let mut kept = Kept::read(line);
        if let Some(kept) = kept.as_mut().filter(|kept| has_panicked && kept.is_going()) {
            // Given up at once: what the run sends may be the cause, and would be again.
            kept.left_ms = 1;
        }
        if !kept.is_some_and(|kept| restore(&kept, config, common)) {
            // A row that only another version can read.
            let run = line.split('\t').next();
            common.store.forget_run(run.unwrap_or_default());
        }
    }
}

/// Remembers the request of a run, and follows the run if it may be going. Returns false if the row
/// cannot be read.
fn restore(kept: &Kept<'_>, config: &Rc<Config>, common: &Common) -> bool {
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
    common.link(config).begin(exchange, receiver, relay);
    true
}
