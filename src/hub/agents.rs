//! The gateway's agents: fetches the list when the hub's cache requires it.

use std::time::Duration;

use clawfront_core::agent::AgentList;
use clawfront_core::agent_cache::{FETCH_MS, Known, POLL_MS, Step};
use clawfront_core::config::Gateway;
use clawfront_core::failure::Failure;
use clawfront_core::gateway::agent_list::Question;
use worker::Delay;

use crate::hub::books::Books;
use crate::hub::talk::{Event, talk_with};
use crate::runtime::clock::now_ms;

/// Returns the gateway's agents, and fetches the list if that is due.
pub(crate) async fn known(gateway: &Gateway, books: &Books) -> Known {
    loop {
        match books.agents(|cache| cache.next(now_ms())) {
            Step::Use(known) => return known,
            Step::Poll => Delay::from(Duration::from_millis(POLL_MS)).await,
            Step::Fetch => return fetch(gateway, books).await,
        }
    }
}

/// Fetches the gateway's list to learn its state, unless the last fetch was a moment ago.
pub(crate) async fn check(gateway: &Gateway, books: &Books) {
    loop {
        match books.agents(|cache| cache.next_check(now_ms())) {
            Step::Use(()) => return,
            Step::Poll => Delay::from(Duration::from_millis(POLL_MS)).await,
            Step::Fetch => {
                fetch(gateway, books).await;
                return;
            }
        }
    }
}

async fn fetch(gateway: &Gateway, books: &Books) -> Known {
    fetch_after(Vec::new(), gateway, books).await
}

/// Sends these frames, and fetches the list, which shows that the gateway has received them.
pub(crate) async fn fetch_after(first: Vec<String>, gateway: &Gateway, books: &Books) -> Known {
    let result = ask(first, gateway).await;
    books.agents(|cache| cache.record(result, now_ms()))
}

/// Connects to the gateway and requests the list, within the limit of a fetch.
async fn ask(first: Vec<String>, gateway: &Gateway) -> Result<AgentList, Failure> {
    let mut question = Question::after(first);
    let credential = gateway.credential.clone();
    talk_with(
        gateway,
        Duration::from_millis(FETCH_MS),
        move |event, outbox| match event {
            Event::Frame(frame) => question.receive(frame, &credential, outbox),
            Event::Closed(code) => Err(question.closed(*code)),
        },
    )
    .await
}
