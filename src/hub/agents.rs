//! The gateway's agents: fetches the list when the hub's cache requires it.

use std::rc::Rc;

use clawfront_core::agent_cache::{Known, POLL_MS, Step};
use clawfront_core::config::Config;

use crate::hub::common::Common;
use crate::runtime::clock::now_ms;
use crate::runtime::timer::Delay;

/// Returns the gateway's agents, and fetches the list if that is due.
pub(crate) async fn known(config: &Rc<Config>, common: &Common) -> Known {
    loop {
        match common.agents(|cache| cache.next(now_ms())) {
            Step::Use(known) => return known,
            Step::Poll => Delay::of(POLL_MS).await,
            Step::Fetch => return fetch(config, common).await,
        }
    }
}

/// Fetches the gateway's list to learn its state, unless the last fetch was a moment ago.
pub(crate) async fn check(config: &Rc<Config>, common: &Common) {
    loop {
        match common.agents(|cache| cache.next_check(now_ms())) {
            Step::Use(()) => return,
            Step::Poll => Delay::of(POLL_MS).await,
            Step::Fetch => {
                fetch(config, common).await;
                return;
            }
        }
    }
}

/// Fetches the list.
async fn fetch(config: &Rc<Config>, common: &Common) -> Known {
    let result = common.link(config).ask_agents().await;
    common.agents(|cache| cache.record(result, now_ms()))
}
