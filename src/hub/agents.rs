//! The gateway's agents: fetches the list when the hub's cache requires it.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use clawfront_core::agent::AgentList;
use clawfront_core::agent_cache::{FETCH_MS, Known, POLL_MS, Step};
use clawfront_core::config::Gateway;
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::failure::{Deadline, Failure};
use clawfront_core::gateway::agent_list::Question;
use futures_util::future::{Either, select};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CloseEvent, EventTarget, MessageEvent};
use worker::Delay;
use worker::js_sys::futures::JsFuture;

use crate::hub::books::Books;
use crate::runtime::clock::now_ms;
use crate::runtime::listener::{Deferred, Listener};
use crate::runtime::panic_guard::PanicGuard;
use crate::runtime::socket::Socket;
use crate::runtime::upgrade;

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
    let result = ask(gateway).await;
    books.agents(|cache| cache.record(result, now_ms()))
}

/// Connects to the gateway and requests the list, within the limit of a fetch.
async fn ask(gateway: &Gateway) -> Result<AgentList, Failure> {
    let until_ms = now_ms().saturating_add(FETCH_MS);
    let opened = upgrade::open(gateway, Duration::from_millis(FETCH_MS)).await;
    let socket = Socket::new(opened.map_err(|failure| match failure {
        Failure::TimedOut(_) => Failure::TimedOut(Deadline::Handshake),
        other => other,
    })?);
    let left = Duration::from_millis(until_ms.saturating_sub(now_ms()));
    match select(pin!(question(socket, gateway)), Delay::from(left)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Failure::TimedOut(Deadline::Handshake)),
    }
}

/// Requests the list over a socket, and returns when the list or a failure has arrived.
async fn question(mut socket: Socket, gateway: &Gateway) -> Result<AgentList, Failure> {
    let panic_guard = PanicGuard::new("");
    panic_guard.set_socket(socket.socket.as_ref());
    let outcome: Rc<RefCell<Option<Result<AgentList, Failure>>>> = Rc::default();
    let done = Rc::new(Deferred::new());
    let question = Rc::new(RefCell::new(Question::default()));
    let target: EventTarget = AsRef::<web_sys::WebSocket>::as_ref(&socket.socket)
        .clone()
        .unchecked_into();

    let finish = {
        let (outcome, done) = (Rc::clone(&outcome), Rc::clone(&done));
        move |result| {
            outcome.borrow_mut().get_or_insert(result);
            done.resolve(&JsValue::UNDEFINED);
        }
    };
    let on_message = {
        let (socket, credential, finish) = (
            socket.socket.clone(),
            gateway.credential.clone(),
            finish.clone(),
        );
        let question = Rc::clone(&question);
        move |event: MessageEvent| {
            let Some(frame) = event.data().as_string() else {
                return;
            };
            let mut outbox = Vec::new();
            let received = question
                .borrow_mut()
                .receive(&frame, &credential, &mut outbox);
            match received {
                Ok(Some(known)) => finish(Ok(known)),
                Ok(None) => {
                    for frame in outbox {
                        // If it cannot be sent, the socket's close event follows.
                        let _ = socket.send_with_str(frame);
                    }
                }
                Err(failure) => finish(Err(failure)),
            }
        }
    };
    let on_close = move |event: CloseEvent| {
        let closed = question.borrow().closed(event.code());
        finish(Err(closed));
    };
    socket
        .listeners
        .extend(Listener::new(&target, "message", &panic_guard, on_message));
    socket
        .listeners
        .extend(Listener::new(&target, "close", &panic_guard, on_close));
    socket.socket.accept().map_err(|_| broken())?;
    // The promise is never rejected.
    let _ = JsFuture::from(done.promise.clone()).await;
    outcome.take().unwrap_or_else(|| Err(broken()))
}

fn broken() -> Failure {
    Failure::GatewayUnreachable(Diagnosis::ConnectionFailed)
}
