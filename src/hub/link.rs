//! The hub's connection to the gateway: its socket, its frames and its clock.
//!
//! Every handler is a plain closure that calls [`Link::handle`]: there is no stream and no future
//! per message, and the bytes of one turn are sent in one piece. The closures hold the link and the
//! link holds them; the object holds both to its end.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use clawfront_core::access::key::KeyId;
use clawfront_core::agent::AgentList;
use clawfront_core::config::Config;
use clawfront_core::exchange::Exchange;
use clawfront_core::failure::Failure;
use clawfront_core::gateway::endpoint::{Event, Request};
use clawfront_core::hub::{Audio, ExchangeId, Hub, Input, Orders, POLL_MS};
use clawfront_core::repeat::Receiver;
use js_sys::Function;
use wasm_bindgen::JsValue;
use web_sys::{CloseEvent, EventTarget};
use worker::js_sys::futures::{JsFuture, spawn_local};

use crate::hub::books::Shared;
use crate::hub::relay::{Relay, WriteError};
use crate::runtime::clock::now_ms;
use crate::runtime::endpoint::Asked;
use crate::runtime::frames::Frames;
use crate::runtime::listener::{Deferred, Listener};
use crate::runtime::panic_guard::{self, PanicGuard};
use crate::runtime::signer::Signer;
use crate::runtime::socket::{Socket, WebSocket};
use crate::runtime::timer::{Callback, Delay, Flush, Timer};
use crate::runtime::upgrade;

/// Close code of a socket that failed without a close frame (RFC 6455 section 7.4.1).
const ABNORMAL_CLOSURE: u16 = 1006;

/// Interval between two marks that the clients' places are in use, in milliseconds. A mark for
/// every frame would cost more than it helps.
const TOUCH_MS: u64 = 10_000;

/// The failure if the runtime does not sign.
const UNSIGNED: Failure = Failure::Bug("the runtime did not sign for the device");

/// A timer that is later than this is not coming, in milliseconds.
const LATE_MS: u64 = 1_000;

/// The hub's connection, and the clients that share it.
#[derive(Clone)]
pub(crate) struct Link(Rc<Inner>);

struct Inner {
    config: Rc<Config>,
    books: Shared,
    hub: RefCell<Hub>,
    relays: RefCell<Vec<Relay>>,
    socket: RefCell<Option<Socket>>,
    /// Counts the connections: events of all but the last are dropped.
    connection: Cell<u32>,
    /// Made with the first connection, if there is a device.
    signer: OnceCell<Signer>,
    frames: Rc<Frames>,
    timer: RefCell<Option<Timer>>,
    /// Sends the gathered bytes in the next turn.
    flush: RefCell<Option<Flush>>,
    touched_ms: Cell<u64>,
    /// The requests to the gateway's HTTP endpoint.
    asked: RefCell<Vec<(ExchangeId, Asked)>>,
    /// Resolved with the next answer of the gateway about its agents.
    answered: RefCell<Option<Deferred>>,
    /// The last answer.
    answer: RefCell<Option<Result<AgentList, Failure>>>,
    /// Resets the object after a panic.
    panic_guard: PanicGuard,
}

impl Link {
    pub(crate) fn new(config: Rc<Config>, books: Shared) -> Self {
        Self(Rc::new(Inner {
            hub: RefCell::new(Hub::new(config.link_idle_ms).with_max_runs(config.gateway_runs)),
            config,
            books,
            relays: RefCell::default(),
            socket: RefCell::default(),
            connection: Cell::default(),
            signer: OnceCell::default(),
            frames: Rc::new(Frames::new()),
            timer: RefCell::default(),
            flush: RefCell::default(),
            touched_ms: Cell::default(),
            asked: RefCell::default(),
            answered: RefCell::default(),
            answer: RefCell::default(),
            panic_guard: PanicGuard::of_object(),
        }))
    }

    /// Begins an exchange, whose output goes to `relay`.
    pub(crate) fn begin(&self, exchange: Exchange, receiver: Receiver, relay: Relay) {
        let now_ms = now_ms();
        let id = self
            .0
            .hub
            .borrow_mut()
            .begin(exchange, Some(receiver), now_ms);
        relay.set_id(id);
        self.0.relays.borrow_mut().push(relay);
        self.settle(now_ms);
    }

    /// Ends the exchanges of a key at this time, because it is valid until then.
    pub(crate) fn expire(&self, key: &KeyId, ends_ms: Option<u64>) {
        for relay in &*self.0.relays.borrow() {
            if let Some(id) = relay.id().filter(|_| relay.is_of_key(key)) {
                self.0.hub.borrow_mut().expire(id, ends_ms);
            }
        }
        self.handle(Input::Tick);
    }

    /// Has no response of a key stored that is going, because the key is deleted. Its run may end
    /// later, and another key may have its name then.
    pub(crate) fn keep_none_of(&self, key: &KeyId) {
        for relay in &*self.0.relays.borrow() {
            if relay.is_of_key(key) {
                relay.keep(None);
            }
        }
    }

    /// Returns the runs, as an administrator sees them.
    pub(crate) fn runs(&self) -> String {
        self.0.hub.borrow().runs(&self.0.config.log_key)
    }

    /// Returns the id of a run's key, if the run can be stopped.
    pub(crate) fn stoppable_key(&self, run: &str) -> Result<String, Failure> {
        self.0
            .hub
            .borrow()
            .stoppable_key(run)
            .map(ToString::to_string)
    }

    /// Returns the client's side of a response that is going, by its name in the storage.
    pub(crate) fn relay_of(&self, name: &str) -> Option<Relay> {
        let relays = self.0.relays.borrow();
        relays
            .iter()
            .find(|relay| relay.is_stored_as(name))
            .cloned()
    }

    /// Asks for the gateway's agents: one request does at a time.
    pub(crate) async fn ask_agents(&self) -> Result<AgentList, Failure> {
        let now_ms = now_ms();
        let promise = {
            let mut answered = self.0.answered.borrow_mut();
            answered.get_or_insert_with(Deferred::new).promise.clone()
        };
        self.0.hub.borrow_mut().ask_agents(now_ms);
        self.settle(now_ms);
        let _ = JsFuture::from(promise).await;
        self.0.answer.take().unwrap_or(Err(Failure::InternalError))
    }

    /// Returns the gateway's speech of a text.
    pub(crate) async fn speak(&self, key: &KeyId, text: String) -> Result<Audio, Failure> {
        let begun_ms = now_ms();
        let id = self.0.hub.borrow_mut().speak(key, text, begun_ms)?;
        self.settle(begun_ms);
        loop {
            Delay::of(POLL_MS).await;
            let end = self.0.hub.borrow_mut().take_spoken(id, now_ms());
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Gives an event to the hub, and carries out what follows.
    pub(crate) fn handle(&self, input: Input<'_>) {
        let now_ms = now_ms();
        self.give(input, now_ms);
        self.settle(now_ms);
    }

    fn give(&self, input: Input<'_>, now_ms: u64) {
        let gateway = &self.0.config.gateway;
        self.0.hub.borrow_mut().handle(input, gateway, now_ms);
    }

    /// Carries out everything that the hub has put out.
    fn settle(&self, now_ms: u64) {
        while self.perform_next(now_ms) {}
        let orders = self.0.hub.borrow_mut().take_orders();
        self.carry_out(&orders);
        let hub = &mut *self.0.hub.borrow_mut();
        if hub.take_filter_change() {
            self.0.frames.select(hub.filters());
        }
        if let Some(answer) = hub.take_answer() {
            self.0.answer.replace(Some(answer));
            if let Some(answered) = self.0.answered.take() {
                answered.resolve(&JsValue::UNDEFINED);
            }
        }
        let wake_at_ms = hub.wake_at_ms();
        self.touch(now_ms);
        self.flush_later();
        self.set_timer(wake_at_ms, now_ms);
    }

    /// Carries out the output of one exchange. Returns false if none has any.
    fn perform_next(&self, now_ms: u64) -> bool {
        let mut hub = self.0.hub.borrow_mut();
        let Some((id, exchange, output)) = hub.next_output() else {
            return false;
        };
        let relays = self.0.relays.borrow();
        let relay = relays.iter().find(|relay| relay.is_of(id)).cloned();
        drop(relays);
        let performed = match &relay {
            Some(relay) => relay.perform(exchange, output, now_ms),
            None => Ok(()),
        };
        let has_ended = output.ended;
        if let Some(request) = output.request.take() {
            self.ask(id, &request, exchange.key());
        }
        output.clear();
        drop(hub);
        match (performed, relay) {
            (_, Some(relay)) if has_ended => self.end(id, &relay, now_ms),
            (Err(error), _) => self.give(failed(id, &error), now_ms),
            _ => {}
        }
        true
    }

    fn end(&self, id: ExchangeId, relay: &Relay, now_ms: u64) {
        let mut hub = self.0.hub.borrow_mut();
        let Some(exchange) = hub.exchange(id) else {
            return;
        };
        relay.end(exchange);
        let end = exchange.end();
        if exchange.goes_on() {
            hub.follow(id);
            return;
        }
        let receiver = hub.remove(id, now_ms).and_then(|(_, receiver)| receiver);
        drop(hub);
        if let Some(receiver) = receiver {
            receiver.end(end, now_ms);
        }
        let mut asked = self.0.asked.borrow_mut();
        let ended = asked.iter().position(|(of, _)| *of == id);
        let ended = ended.map(|index| asked.swap_remove(index));
        drop(asked);
        // Outside the borrow: it may hold the closure that called.
        drop(ended);
        self.0.relays.borrow_mut().retain(|other| !other.is_of(id));
    }

    /// Sends the request of an exchange to the gateway's HTTP endpoint, once its row is stored.
    fn ask(&self, id: ExchangeId, request: &Request, key: Option<&KeyId>) {
        let gateway = &self.0.config.gateway;
        let (Some(identity), Some(key)) = (&gateway.endpoint, key) else {
            return;
        };
        let link = self.clone();
        let take = move |event: Event<'_>| link.handle(Input::Endpoint(id, event));
        let (guard, stored) = (&self.0.panic_guard, self.0.books.store.stored());
        let asked = Asked::send(
            request,
            gateway,
            identity,
            key.as_str(),
            &stored,
            guard,
            take,
        );
        self.0.asked.borrow_mut().push((id, asked));
    }

    fn carry_out(&self, orders: &Orders) {
        if let Some(Socket { raw, .. }) = &*self.0.socket.borrow() {
            for frame in &orders.frames {
                self.0.books.store.send(raw, frame);
            }
        }
        if orders.disconnect || orders.connect {
            let number = self.0.connection.get().wrapping_add(1);
            self.0.connection.set(number);
            panic_guard::set_link(None);
            // Outside the borrow: among its listeners is the closure that called.
            let socket = self.0.socket.take();
            if let Some(socket) = socket {
                self.0.books.store.close(&socket.hand_on());
            }
        }
        if let Some(text) = &orders.sign {
            let (link, connection) = (self.clone(), self.0.connection.get());
            let text = text.clone();
            spawn_local(async move { link.sign(&text, connection).await });
        }
        if orders.connect {
            let (link, connection) = (self.clone(), self.0.connection.get());
            spawn_local(async move { link.connect(connection).await });
        }
    }

    /// Connects to the gateway. The socket's events drive everything after that.
    async fn connect(&self, connection: u32) {
        let gateway = &self.0.config.gateway;
        let opened = upgrade::open(gateway, upgrade::CONNECT_TIMEOUT).await;
        if let Some(device) = &gateway.credential.device
            && self.0.signer.get().is_none()
            && let Some(signer) = Signer::of(device).await
        {
            let _ = self.0.signer.set(signer);
        }
        if self.0.connection.get() == connection {
            match opened {
                Ok(socket) => self.attach(socket),
                Err(failure) => self.handle(Input::Failed(failure)),
            }
        } else if let Ok(socket) = opened {
            // Meanwhile the hub gave this connection up.
            let _ = socket.accept();
            drop(Socket::new(socket, Vec::new()));
        }
    }

    /// Signs the gateway's challenge on this connection.
    async fn sign(&self, text: &str, connection: u32) {
        let signature = match self.0.signer.get() {
            Some(signer) => signer.signature(text).await,
            None => None,
        };
        if self.0.connection.get() != connection {
            return;
        }
        match signature {
            Some(signature) => self.handle(Input::Signed(&signature)),
            None => self.handle(Input::Failed(UNSIGNED)),
        }
    }

    fn attach(&self, socket: WebSocket) {
        let target: &EventTarget = &socket;
        let guard = &self.0.panic_guard;
        panic_guard::set_link(Some(&socket));
        let (link, frames) = (self.clone(), Rc::clone(&self.0.frames));
        let filter = |handler: &Function| self.0.frames.filter(handler);
        let message = Listener::filtered(
            target,
            "message",
            guard,
            filter,
            move |_: web_sys::Event| {
                frames.with(|text, skipped| {
                    #[cfg(feature = "panics")]
                    crate::runtime::panics::look(crate::runtime::panics::AT_FRAME, text.as_bytes());
                    link.handle(Input::Frame { text, skipped });
                });
            },
        );
        let link = self.clone();
        let close = Listener::new(target, "close", guard, move |event: CloseEvent| {
            link.handle(Input::Closed { code: event.code() });
        });
        let link = self.clone();
        let error = Listener::new(target, "error", guard, move |_: web_sys::Event| {
            link.handle(Input::Closed {
                code: ABNORMAL_CLOSURE,
            });
        });
        let accepted = socket.accept();
        let listeners = [message, close, error].into_iter().flatten().collect();
        self.0.socket.replace(Some(Socket::new(socket, listeners)));
        if accepted.is_err() {
            self.handle(Input::Closed {
                code: ABNORMAL_CLOSURE,
            });
        }
    }

    /// Marks the clients' places as used.
    fn touch(&self, now_ms: u64) {
        if now_ms >= self.0.touched_ms.get().saturating_add(TOUCH_MS) {
            self.0.touched_ms.set(now_ms);
            for relay in &*self.0.relays.borrow() {
                relay.touch(now_ms);
            }
        }
    }

    fn flush_later(&self) {
        if !self.0.relays.borrow().iter().any(Relay::awaits_flush) {
            return;
        }
        let mut flush = self.0.flush.borrow_mut();
        let flush = flush.get_or_insert_with(|| {
            let link = self.clone();
            Flush::new(Callback::new(&self.0.panic_guard, move || link.flush()))
        });
        flush.set();
    }

    fn flush(&self) {
        if let Some(flush) = &mut *self.0.flush.borrow_mut() {
            flush.called();
        }
        let now_ms = now_ms();
        let relays = self.0.relays.borrow().clone();
        for relay in relays {
            if let (Err(error), Some(id)) = (relay.flush(now_ms), relay.id()) {
                self.give(failed(id, &error), now_ms);
            }
        }
        self.settle(now_ms);
    }

    /// Sets the timer that wakes the hub. A timer that is early only checks the clock, so it is
    /// kept unless it is late: most deadlines move to a later time.
    fn set_timer(&self, wake_at_ms: Option<u64>, now_ms: u64) {
        let mut timer = self.0.timer.borrow_mut();
        let Some(wake_at_ms) = wake_at_ms else {
            return;
        };
        if timer.as_ref().is_some_and(|timer| {
            timer.at_ms <= wake_at_ms && now_ms < timer.at_ms.saturating_add(LATE_MS)
        }) {
            return;
        }
        let link = self.clone();
        let callback = Callback::new(&self.0.panic_guard, move || {
            // Taken first, so that the next timer is set in every case. It lives until this call is
            // over.
            let timer = link.0.timer.take();
            link.handle(Input::Tick);
            drop(timer);
        });
        *timer = Some(Timer::at(wake_at_ms, callback));
    }
}

/// Returns the event for bytes that could not be written to the client.
fn failed(id: ExchangeId, error: &WriteError) -> Input<'static> {
    match error {
        WriteError::Full => Input::Overrun(id),
        // The body accepts no more bytes, because the client has left.
        WriteError::Refused => Input::HungUp(id),
        WriteError::Unkept => Input::Cancelled(id),
    }
}
