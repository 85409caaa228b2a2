//! Carries out what an exchange says: between the gateway's socket, the client's response, and the clock.
//!
//! Everything is a plain closure that calls [`Relay::handle`]: no stream and no future per message, and the bytes of one turn leave
//! in one piece. The closures hold the relay and the relay holds them; the end of the exchange takes them apart.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use clawfront_core::config::Config;
use clawfront_core::error::Failure;
use clawfront_core::exchange::{Exchange, Input, Outcome, Output};
use clawfront_core::log::Line;
use clawfront_core::repeat::Hearing;
use clawfront_core::respond::{Common, Head};
use js_sys::{Function, Object, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    AbortSignal, ByteLengthQueuingStrategy, CloseEvent, Event, EventTarget, QueuingStrategyInit, ReadableStream,
    ReadableStreamDefaultController,
};
use worker::WebSocket;
use worker::js_sys::futures::{JsFuture, spawn_local};

use crate::frames::Frames;
use crate::lifeline::Lifeline;
use crate::limits::Slot;
use crate::listener::{Deferred, Listener};
use crate::socket::Socket;
use crate::{now_ms, respond, upgrade};

/// What is kept for a client that has not read it, in bytes, and what comes with one frame beyond that.
const MAX_BUFFERED_BYTES: u32 = 1024 * 1024;

/// Bytes of the body that leave although more may come in the same turn.
const FLUSH_BYTES: usize = 16 * 1024;

/// Close code of a socket that failed without a close frame (RFC 6455 section 7.4.1).
const ABNORMAL_CLOSURE: u16 = 1006;

/// One exchange at work.
#[derive(Clone)]
pub(crate) struct Relay(Rc<RefCell<Inner>>);

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that happened, independent of the others"
)]
struct Inner {
    exchange: Exchange,
    config: Rc<Config>,
    line: Line,
    /// Given back at the end.
    slot: Option<Slot>,
    /// Its share in the run, which others may hear, too.
    hearing: Option<Hearing>,
    output: Output,
    socket: Option<Socket>,
    /// Counts the connections: what comes of any but the last is dropped.
    connection: u32,
    /// Of the response's body, once the response began.
    body: Option<ReadableStreamDefaultController>,
    /// Bytes of the body that have not left yet: to pass one on costs as much as all else that is done for a delta, so what a burst
    /// brings within a millisecond leaves together.
    gathered: Vec<u8>,
    /// When bytes left last.
    flushed_ms: u64,
    /// Lets what is gathered leave in the next turn.
    flush: Option<Flush>,
    response: Deferred,
    responded: bool,
    ended: Deferred,
    timer: Option<Timer>,
    /// What listens to the client.
    listeners: Vec<Listener>,
    /// For the case of a panic.
    lifeline: Lifeline,
    /// The lifeline knows how to stop the run.
    has_last_words: bool,
    /// Another connection is to be made.
    connects: bool,
    over: bool,
}

/// Why the client was not shown what was to be shown.
enum Unshown {
    /// It has not read what is there.
    Full,
    Refused,
}

impl From<worker::Error> for Unshown {
    fn from(_: worker::Error) -> Self {
        Self::Refused
    }
}

impl From<JsValue> for Unshown {
    fn from(_: JsValue) -> Self {
        Self::Refused
    }
}

/// A timer of 0 ms that is set again and again.
struct Flush {
    id: Option<i32>,
    function: Function,
    _callback: Closure<dyn FnMut()>,
}

struct Timer {
    id: i32,
    at_ms: u64,
    _callback: Closure<dyn FnMut()>,
}

impl Relay {
    pub(crate) fn new(exchange: Exchange, config: Rc<Config>, line: Line, (slot, hearing): (Slot, Hearing)) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            exchange,
            config,
            lifeline: Lifeline::new(&line.request_id),
            has_last_words: false,
            line,
            slot: Some(slot),
            hearing: Some(hearing),
            output: Output::default(),
            socket: None,
            connection: 0,
            body: None,
            gathered: Vec::new(),
            flushed_ms: 0,
            flush: None,
            response: Deferred::new(),
            responded: false,
            ended: Deferred::new(),
            timer: None,
            listeners: Vec::new(),
            connects: false,
            over: false,
        })))
    }

    /// The response, once it begins. Of a client that left before, it is one that nobody reads.
    pub(crate) fn response(&self) -> impl Future<Output = worker::Result<web_sys::Response>> + 'static {
        let response = JsFuture::from(self.0.borrow().response.promise.clone());
        async move { Ok(response.await?.dyn_into()?) }
    }

    /// When all is done: the body is complete or given up, the gateway's socket is closed.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + 'static {
        let ended = JsFuture::from(self.0.borrow().ended.promise.clone());
        async move {
            // It is only ever resolved.
            let _ = ended.await;
        }
    }

    /// Watches for the client to hang up. The runtime tells only with the compatibility flag `enable_request_signal`.
    pub(crate) fn watch(&self, signal: &AbortSignal) {
        if signal.aborted() {
            self.handle(Input::HungUp);
            return;
        }
        let relay = self.clone();
        let mut inner = self.0.borrow_mut();
        let listener = Listener::new(signal, "abort", &inner.lifeline, move |_: Event| {
            relay.handle(Input::HungUp);
        });
        inner.listeners.extend(listener);
    }

    /// Connects to the gateway; all that follows comes by itself.
    pub(crate) async fn connect(&self) {
        let (config, connection) = {
            let mut inner = self.0.borrow_mut();
            if inner.over {
                return;
            }
            inner.connection = inner.connection.wrapping_add(1);
            (Rc::clone(&inner.config), inner.connection)
        };
        let opened = upgrade::open(&config.gateway).await;
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
        inner.lifeline.set_socket(socket.as_ref());
        let relay = self.clone();
        let frames = Rc::new(Frames::new(&inner.exchange));
        let source = Rc::clone(&frames);
        let filter = |handler: &Function| source.filter(handler);
        let message = Listener::filtered(target, "message", &inner.lifeline, filter, move |_: Event| {
            frames.with(|frame, skipped| {
                #[cfg(feature = "panics")]
                crate::panics::look(crate::panics::AT_FRAME, frame.as_bytes());
                relay.turn(|inner, now_ms| {
                    inner.exchange.skip(skipped);
                    inner.step(Input::Frame(frame), now_ms);
                    frames.select(&inner.exchange);
                    inner.perform(now_ms)
                });
            });
        });
        let relay = self.clone();
        let close = Listener::new(target, "close", &inner.lifeline, move |event: CloseEvent| {
            relay.handle(Input::Closed { code: event.code() });
        });
        let relay = self.clone();
        let error = Listener::new(target, "error", &inner.lifeline, move |_: Event| {
            relay.handle(Input::Closed { code: ABNORMAL_CLOSURE });
        });
        let accepted = socket.accept();
        let listeners = [message, close, error].into_iter().flatten().collect();
        inner.socket = Some(Socket { socket, listeners });
        drop(inner);
        if accepted.is_err() {
            self.handle(Input::Closed { code: ABNORMAL_CLOSURE });
        }
        self.set_timer();
    }

    /// Lets the exchange take what happened, and carries out what it says.
    fn handle(&self, input: Input<'_>) {
        self.turn(|inner, now_ms| {
            inner.step(input, now_ms);
            inner.perform(now_ms)
        });
    }

    /// One turn, and all that follows from it.
    fn turn(&self, act: impl FnOnce(&mut Inner, u64) -> Result<(), Unshown>) {
        let mut inner = self.0.borrow_mut();
        if inner.over {
            return;
        }
        let now_ms = now_ms();
        let unshown = match act(&mut inner, now_ms) {
            Ok(()) => None,
            Err(Unshown::Full) => Some(Input::Overrun),
            // The body takes no more: the client is gone.
            Err(Unshown::Refused) => Some(Input::HungUp),
        };
        if let Some(input) = unshown {
            inner.step(input, now_ms);
            let _ = inner.perform(now_ms);
        }
        if inner.over {
            let listeners = std::mem::take(&mut inner.listeners);
            let timers = (inner.timer.take(), inner.flush.take());
            let socket = inner.socket.take();
            drop(inner);
            // Outside the borrow: among them is the closure that called.
            drop((listeners, timers, socket));
            return;
        }
        let given_up = std::mem::take(&mut inner.connects).then(|| inner.socket.take());
        if !inner.gathered.is_empty() {
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
            let callback: Closure<dyn FnMut()> = Closure::new(move || {
                relay.turn(|inner, now_ms| {
                    if let Some(flush) = &mut inner.flush {
                        flush.id = None;
                    }
                    inner.flush(now_ms, true)
                });
            });
            Flush {
                id: None,
                function: inner.lifeline.guard(callback.as_ref()),
                _callback: callback,
            }
        });
        if flush.id.is_none() {
            flush.id = global()
                .set_timeout_with_callback_and_timeout_and_arguments_0(&flush.function, 0)
                .ok();
        }
    }

    /// Sees to it that the exchange is woken in time. A timer that comes early only looks at the clock, so one is kept as long as it
    /// is not late: deadlines mostly move away.
    fn set_timer(&self) {
        let mut inner = self.0.borrow_mut();
        let Some(wake_at_ms) = inner.exchange.wake_at_ms() else {
            return;
        };
        if inner.timer.as_ref().is_some_and(|timer| timer.at_ms <= wake_at_ms) {
            return;
        }
        inner.timer = None;
        let relay = self.clone();
        let callback: Closure<dyn FnMut()> = Closure::new(move || {
            // Taken first, so that the next one is set whatever happens; it lives until this call is over.
            let timer = relay.0.borrow_mut().timer.take();
            relay.handle(Input::Tick);
            drop(timer);
        });
        let delay_ms = i32::try_from(wake_at_ms.saturating_sub(now_ms())).unwrap_or(i32::MAX);
        let id = global()
            .set_timeout_with_callback_and_timeout_and_arguments_0(&inner.lifeline.guard(callback.as_ref()), delay_ms)
            .unwrap_or_default();
        inner.lifeline.set_timer(id);
        inner.timer = Some(Timer {
            id,
            at_ms: wake_at_ms,
            _callback: callback,
        });
    }
}

impl Inner {
    fn step(&mut self, input: Input<'_>, now_ms: u64) {
        if let Some(slot) = &self.slot {
            slot.touch(now_ms);
        }
        if let Some(hearing) = &self.hearing {
            self.exchange.share(hearing.is_shared());
        }
        self.exchange
            .handle(input, &self.config.gateway, now_ms, &mut self.output);
        if !self.has_last_words
            && let Some(frames) = self.exchange.last_words()
        {
            self.has_last_words = true;
            self.lifeline.set_last_words(frames);
        }
    }

    fn is_awaited(&self, connection: u32) -> bool {
        !self.over && self.connection == connection
    }

    /// Carries out the output.
    fn perform(&mut self, now_ms: u64) -> Result<(), Unshown> {
        let mut output = std::mem::take(&mut self.output);
        if let Some(Socket { socket, .. }) = &self.socket {
            for frame in &output.frames {
                // One that cannot be sent is followed by the socket's close event.
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

    fn show(&mut self, output: &mut Output, now_ms: u64) -> Result<(), Unshown> {
        if (output.head.is_some() || !output.body.is_empty()) && self.line.first_byte_ms.is_none() {
            self.line.first_byte_ms = Some(now_ms.saturating_sub(self.line.time_ms));
        }
        if let Some(mut head) = output.head.take() {
            head.after_ms(now_ms.saturating_sub(self.line.time_ms));
            let response = if output.ended {
                respond::whole(&head, &output.body)?
            } else {
                self.begin(&head)?
            };
            self.response.resolve(&response);
            self.responded = true;
            if output.ended {
                return Ok(());
            }
        }
        if self.body.is_some() && !output.body.is_empty() {
            self.gathered.extend_from_slice(&output.body);
            // What comes alone leaves at once.
            if output.ended || self.flushed_ms != now_ms || self.gathered.len() >= FLUSH_BYTES {
                self.flush(now_ms, !output.ended)?;
            }
        }
        if output.ended
            && let Some(body) = &self.body
        {
            body.close()?;
        }
        Ok(())
    }

    /// Lets what is gathered leave. `more`: the answer goes on, so that its client has to have read what was there.
    fn flush(&mut self, now_ms: u64, more: bool) -> Result<(), Unshown> {
        if let Some(body) = self.body.as_ref().filter(|_| !self.gathered.is_empty()) {
            if more && body.desired_size().is_some_and(|left_bytes| left_bytes <= 0.0) {
                return Err(Unshown::Full);
            }
            body.enqueue_with_chunk(&Uint8Array::from(self.gathered.as_slice()))?;
            self.gathered.clear();
            self.flushed_ms = now_ms;
        }
        Ok(())
    }

    /// Begins a response whose body follows.
    fn begin(&mut self, head: &Head) -> Result<web_sys::Response, JsValue> {
        // `start` is called before the constructor returns.
        let controller = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&controller);
        let start: Closure<dyn FnMut(ReadableStreamDefaultController)> =
            Closure::new(move |started| *slot.borrow_mut() = Some(started));
        let source = Object::new();
        Reflect::set(&source, &"start".into(), start.as_ref())?;
        // Counts bytes rather than chunks.
        let strategy = ByteLengthQueuingStrategy::new(&QueuingStrategyInit::new(f64::from(MAX_BUFFERED_BYTES)))?;
        let stream = ReadableStream::new_with_underlying_source_and_strategy(&source, strategy.unchecked_ref())?;
        self.body = controller.take();
        if let Some(body) = &self.body {
            self.lifeline.set_body(body);
        }
        Ok(respond::stream(head, &stream)?)
    }

    fn end(&mut self) {
        self.over = true;
        self.body = None;
        self.slot = None;
        if let Some(hearing) = self.hearing.take() {
            let has_left = matches!(self.exchange.outcome(), Outcome::Failed(Failure::HungUp));
            hearing.end(self.exchange.may_have_started(), has_left, now_ms());
        }
        if !self.responded {
            // The promise must not stay open: to the runtime that would look like a Worker that hangs.
            let (head, body) = Common::default().refuse(&Failure::HungUp);
            if let Ok(response) = respond::whole(&head, &body) {
                self.response.resolve(&response);
            }
        }
        self.line.exchanged(&self.exchange);
        self.line.duration_ms = now_ms().saturating_sub(self.line.time_ms);
        worker::console_log!("{}", self.line.to_json());
        self.ended.resolve(&JsValue::UNDEFINED);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        global().clear_timeout_with_handle(self.id);
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            global().clear_timeout_with_handle(id);
        }
    }
}

fn global() -> web_sys::WorkerGlobalScope {
    js_sys::global().unchecked_into()
}
