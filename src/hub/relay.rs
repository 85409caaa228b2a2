//! Carries out the outputs of an exchange, between the gateway's socket, the client's response, and
//! the clock.
//!
//! Every handler is a plain closure that calls [`Relay::handle`]: there is no stream and no future
//! per message, and the bytes of one turn are sent in one piece. The closures hold the relay and
//! the relay holds them; the end of the exchange breaks this circle.

mod body;
mod timer;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use clawfront_core::config::Config;
use clawfront_core::exchange::{Exchange, Input, Outcome, Output};
use clawfront_core::failure::Failure;
use clawfront_core::http::head::ResponseMeta;
use clawfront_core::log::LogLine;
use clawfront_core::openai::error::refuse;
use clawfront_core::repeat::Receiver;
use js_sys::Function;
use wasm_bindgen::JsCast;
use web_sys::{AbortSignal, CloseEvent, Event, EventTarget};
use worker::WebSocket;
use worker::js_sys::futures::{JsFuture, spawn_local};

use crate::hub::slot::Slot;
use crate::runtime::clock::now_ms;
use crate::runtime::frames::Frames;
use crate::runtime::listener::{Deferred, Listener};
use crate::runtime::panic_guard::PanicGuard;
use crate::runtime::socket::Socket;
use crate::runtime::{response, upgrade};

use body::{Body, WriteError};
use timer::{Callback, Flush, Timer};

/// Close code of a socket that failed without a close frame (RFC 6455 section 7.4.1).
const ABNORMAL_CLOSURE: u16 = 1006;

/// One exchange in progress.
#[derive(Clone)]
pub(crate) struct Relay(Rc<RefCell<Inner>>);

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that happened, independent of the others"
)]
struct Inner {
    exchange: Exchange,
    config: Rc<Config>,
    line: LogLine,
    /// Released at the end.
    slot: Option<Slot>,
    /// This exchange's share in the run. Other exchanges may also have one.
    receiver: Option<Receiver>,
    output: Output,
    socket: Option<Socket>,
    /// Counts the connections: events of all but the last are dropped.
    connection: u32,
    /// The response's body, once it has begun.
    body: Option<Body>,
    /// Sends the body's gathered bytes in the next turn.
    flush: Option<Flush>,
    response: Deferred,
    responded: bool,
    timer: Option<Timer>,
    /// Listeners for the client's events.
    listeners: Vec<Listener>,
    /// The body's own event of a hang-up: it comes with a write, as a rule before the signal's.
    cancelled: Option<Callback>,
    /// Ends the request after a panic.
    panic_guard: PanicGuard,
    /// The id of the run whose frames are kept that stop it.
    stoppable_run: String,
    /// The log has the line for the run's beginning.
    has_begun: bool,
    /// Another connection is due.
    connects: bool,
    over: bool,
}

/// The shares of an exchange in the hub's counts, released at its end.
pub(crate) struct Shares {
    pub(crate) slot: Slot,
    pub(crate) receiver: Receiver,
}

impl Relay {
    pub(crate) fn new(
        exchange: Exchange,
        config: Rc<Config>,
        line: LogLine,
        Shares { slot, receiver }: Shares,
    ) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            exchange,
            config,
            panic_guard: PanicGuard::new(&line.request_id),
            stoppable_run: String::new(),
            has_begun: false,
            line,
            slot: Some(slot),
            receiver: Some(receiver),
            output: Output::default(),
            socket: None,
            connection: 0,
            body: None,
            flush: None,
            response: Deferred::new(),
            responded: false,
            timer: None,
            listeners: Vec::new(),
            cancelled: None,
            connects: false,
            over: false,
        })))
    }

    /// Returns the response once it begins. If the client left before, it is a response that is
    /// never read.
    pub(crate) fn response(
        &self,
    ) -> impl Future<Output = worker::Result<web_sys::Response>> + 'static {
        let response = JsFuture::from(self.0.borrow().response.promise.clone());
        async move { Ok(response.await?.dyn_into()?) }
    }

    /// Watches for a hang-up of the client. The runtime signals it only with the compatibility flag
    /// `enable_request_signal`.
    pub(crate) fn watch(&self, signal: &AbortSignal) {
        if signal.aborted() {
            self.handle(Input::HungUp);
            return;
        }
        let relay = self.clone();
        let mut inner = self.0.borrow_mut();
        inner.cancelled = Some(Callback::new(&inner.panic_guard, move || {
            relay.handle(Input::HungUp);
        }));
        let relay = self.clone();
        let listener = Listener::new(signal, "abort", &inner.panic_guard, move |_: Event| {
            relay.handle(Input::HungUp);
        });
        inner.listeners.extend(listener);
    }

    /// Connects to the gateway. The socket's events drive everything after that.
    pub(crate) async fn connect(&self) {
        let (config, connection) = {
            let mut inner = self.0.borrow_mut();
            if inner.over {
                return;
            }
            inner.connection = inner.connection.wrapping_add(1);
            (Rc::clone(&inner.config), inner.connection)
        };
        let opened = upgrade::open(&config.gateway, upgrade::CONNECT_TIMEOUT).await;
        if self.0.borrow().is_awaited(connection) {
            match opened {
                Ok(socket) => self.attach(socket),
                Err(failure) => self.handle(Input::Failed(failure)),
            }
        } else if let Ok(socket) = opened {
            // Meanwhile the client left, or the exchange gave this connection up.
            let _ = socket.accept();
            drop(Socket::new(socket));
        }
    }

    fn attach(&self, socket: WebSocket) {
        let target: &EventTarget = socket.as_ref().unchecked_ref();
        let mut inner = self.0.borrow_mut();
        inner.panic_guard.set_socket(socket.as_ref());
        let relay = self.clone();
        let frames = Rc::new(Frames::new(&inner.exchange));
        let source = Rc::clone(&frames);
        let filter = |handler: &Function| source.filter(handler);
        let message = Listener::filtered(
            target,
            "message",
            &inner.panic_guard,
            filter,
            move |_: Event| {
                frames.with(|frame, skipped| {
                    #[cfg(feature = "panics")]
                    crate::runtime::panics::look(
                        crate::runtime::panics::AT_FRAME,
                        frame.as_bytes(),
                    );
                    relay.turn(|inner, now_ms| {
                        inner.exchange.skip(skipped);
                        inner.step(Input::Frame(frame), now_ms);
                        frames.select(&inner.exchange);
                        inner.perform(now_ms)
                    });
                });
            },
        );
        let relay = self.clone();
        let close = Listener::new(
            target,
            "close",
            &inner.panic_guard,
            move |event: CloseEvent| {
                relay.handle(Input::Closed { code: event.code() });
            },
        );
        let relay = self.clone();
        let error = Listener::new(target, "error", &inner.panic_guard, move |_: Event| {
            relay.handle(Input::Closed {
                code: ABNORMAL_CLOSURE,
            });
        });
        let accepted = socket.accept();
        let listeners = [message, close, error].into_iter().flatten().collect();
        inner.socket = Some(Socket { socket, listeners });
        drop(inner);
        if accepted.is_err() {
            self.handle(Input::Closed {
                code: ABNORMAL_CLOSURE,
            });
        }
        self.set_timer();
    }

    /// Gives an input to the exchange, and carries out its output.
    fn handle(&self, input: Input<'_>) {
        self.turn(|inner, now_ms| {
            inner.step(input, now_ms);
            inner.perform(now_ms)
        });
    }

    /// Runs one turn, and the turns that follow from it.
    fn turn(&self, act: impl FnOnce(&mut Inner, u64) -> Result<(), WriteError>) {
        let mut inner = self.0.borrow_mut();
        if inner.over {
            return;
        }
        let now_ms = now_ms();
        let failed = match act(&mut inner, now_ms) {
            Ok(()) => None,
            Err(WriteError::Full) => Some(Input::Overrun),
            // The body accepts no more bytes, because the client has left.
            Err(WriteError::Refused) => Some(Input::HungUp),
        };
        if let Some(input) = failed {
            inner.step(input, now_ms);
            let _ = inner.perform(now_ms);
        }
        if inner.over {
            let listeners = (std::mem::take(&mut inner.listeners), inner.cancelled.take());
            let timers = (inner.timer.take(), inner.flush.take());
            let socket = inner.socket.take();
            drop(inner);
            // Outside the borrow: among them is the closure that called.
            drop((listeners, timers, socket));
            return;
        }
        let given_up = std::mem::take(&mut inner.connects).then(|| inner.socket.take());
        if inner.body.as_ref().is_some_and(Body::has_gathered) {
            self.flush_later(&mut inner);
        }
        drop(inner);
        if let Some(socket) = given_up {
            drop(socket);
            let relay = self.clone();
            spawn_local(async move { relay.connect().await });
        }
        self.set_timer();
    }

    fn flush_later(&self, inner: &mut Inner) {
        let flush = inner.flush.get_or_insert_with(|| {
            let relay = self.clone();
            Flush::new(Callback::new(&inner.panic_guard, move || {
                relay.turn(|inner, now_ms| {
                    if let Some(flush) = &mut inner.flush {
                        flush.called();
                    }
                    inner
                        .body
                        .as_mut()
                        .map_or(Ok(()), |body| body.flush(now_ms))
                });
            }))
        });
        flush.set();
    }

    /// Sets the timer that wakes the exchange. A timer that is early only checks the clock, so it
    /// is kept unless it is late: most deadlines move to a later time.
    fn set_timer(&self) {
        let mut inner = self.0.borrow_mut();
        let Some(wake_at_ms) = inner.exchange.wake_at_ms() else {
            return;
        };
        if inner
            .timer
            .as_ref()
            .is_some_and(|timer| timer.at_ms <= wake_at_ms)
        {
            return;
        }
        inner.timer = None;
        let relay = self.clone();
        let callback = Callback::new(&inner.panic_guard, move || {
            // Taken first, so that the next timer is set in every case. It lives until this call is
            // over.
            let timer = relay.0.borrow_mut().timer.take();
            relay.handle(Input::Tick);
            drop(timer);
        });
        let timer = Timer::at(wake_at_ms, callback);
        inner.timer = Some(timer);
    }
}

impl Inner {
    fn step(&mut self, input: Input<'_>, now_ms: u64) {
        if let Some(slot) = &self.slot {
            slot.touch(now_ms);
        }
        if let Some(receiver) = &self.receiver {
            self.exchange.share(receiver.is_shared());
            if !receiver.may_name_session() {
                self.exchange.withhold_session();
            }
        }
        self.exchange
            .handle(input, &self.config.gateway, now_ms, &mut self.output);
        if let (Some(receiver), Some(_)) = (&self.receiver, &self.output.head) {
            receiver.named_session();
        }
        // Once the message was sent to the gateway, the exchange no longer holds it.
        if let Some(slot) = self
            .slot
            .as_ref()
            .filter(|_| self.exchange.may_have_started())
        {
            slot.release_body();
        }
        if self.exchange.may_have_started() && self.stoppable_run != self.exchange.running_id() {
            self.exchange
                .running_id()
                .clone_into(&mut self.stoppable_run);
            self.keep_abort_frames();
        }
        if !self.has_begun && self.exchange.is_accepted() {
            self.has_begun = true;
            // The run was accepted: from here on the log line has content.
            let mut line = self.line.begun(&self.exchange, &self.config.log_key);
            line.duration_ms = now_ms.saturating_sub(line.time_ms);
            worker::console_log!("{}", line.to_json());
        }
    }

    /// Keeps the frames that stop the run for the time when this exchange is gone. There are none
    /// if the run may go on without its client, or cannot be stopped.
    fn keep_abort_frames(&self) {
        let frames = self.exchange.abort_frames();
        if let Some(slot) = self.slot.as_ref().filter(|_| !frames.is_empty()) {
            slot.keep_run(frames.clone());
        }
        self.panic_guard.set_abort_frames(frames);
    }

    fn is_awaited(&self, connection: u32) -> bool {
        !self.over && self.connection == connection
    }

    /// Carries out the output.
    fn perform(&mut self, now_ms: u64) -> Result<(), WriteError> {
        let mut output = std::mem::take(&mut self.output);
        if let Some(Socket { socket, .. }) = &self.socket {
            for frame in &output.frames {
                // If it cannot be sent, the socket's close event follows.
                let _ = socket.send_with_str(frame);
            }
        }
        self.connects |= output.connect;
        let shown = self.show(&mut output, now_ms);
        let ended = output.ended;
        output.clear();
        self.output = output;
        if ended {
            self.end();
        }
        shown
    }

    fn show(&mut self, output: &mut Output, now_ms: u64) -> Result<(), WriteError> {
        if (output.head.is_some() || !output.body.is_empty()) && self.line.first_byte_ms.is_none() {
            self.line.first_byte_ms = Some(now_ms.saturating_sub(self.line.time_ms));
        }
        if let Some(mut head) = output.head.take() {
            head.after_ms(now_ms.saturating_sub(self.line.time_ms));
            let response = if output.ended {
                response::whole(&head, &output.body)?
            } else {
                let cancelled = self.cancelled.as_ref().map(|callback| &callback.function);
                let (body, response) = Body::begin(&head, cancelled)?;
                self.body = Some(body);
                response
            };
            self.response.resolve(&response);
            self.responded = true;
            if output.ended {
                return Ok(());
            }
        }
        match &mut self.body {
            Some(body) if output.ended => body.end(&output.body, now_ms),
            Some(body) if !output.body.is_empty() => body.write(&output.body, now_ms),
            _ => Ok(()),
        }
    }

    fn end(&mut self) {
        self.over = true;
        self.body = None;
        self.slot = None;
        if let Some(receiver) = self.receiver.take() {
            let has_left = matches!(
                self.exchange.outcome(),
                Outcome::Failed(Failure::ClientClosedRequest)
            );
            receiver.end(self.exchange.may_have_started(), has_left, now_ms());
        }
        if !self.responded {
            // The promise must not stay open: the runtime would take that for a Worker that hangs.
            let (head, body) = refuse(&ResponseMeta::default(), &Failure::ClientClosedRequest);
            if let Ok(response) = response::whole(&head, &body) {
                self.response.resolve(&response);
            }
        }
        self.panic_guard.release();
        self.line.exchanged(&self.exchange, &self.config.log_key);
        self.line.duration_ms = now_ms().saturating_sub(self.line.time_ms);
        worker::console_log!("{}", self.line.to_json());
    }
}
