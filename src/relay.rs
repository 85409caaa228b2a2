//! Carries out what an exchange says: between the gateway's socket, the client's response, and the clock.
//!
//! Everything is a plain closure that calls [`Relay::handle`]: no stream and no future per message, and the bytes of one turn leave
//! in one piece. The closures hold the relay and the relay holds them; the end of the exchange takes them apart.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use clawfront_core::config::Config;
use clawfront_core::error::Failure;
use clawfront_core::exchange::{Exchange, Input, Output};
use clawfront_core::log::Line;
use clawfront_core::respond::{Common, Head};
use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    AbortSignal, CloseEvent, Event, EventTarget, MessageEvent, ReadableStream, ReadableStreamDefaultController,
};
use worker::WebSocket;
use worker::js_sys::futures::JsFuture;

use crate::limits::Slot;
use crate::listener::{Deferred, Listener};
use crate::{now_ms, respond, upgrade};

/// Sent when we close the gateway's socket: a normal closure (RFC 6455 section 7.4.1).
const NORMAL_CLOSURE: u16 = 1000;

/// Close code of a socket that failed without a close frame (RFC 6455 section 7.4.1).
const ABNORMAL_CLOSURE: u16 = 1006;

/// One exchange at work.
#[derive(Clone)]
pub(crate) struct Relay(Rc<RefCell<Inner>>);

struct Inner {
    exchange: Exchange,
    config: Rc<Config>,
    line: Line,
    /// Of the key's concurrent runs.
    slot: Option<Slot>,
    output: Output,
    socket: Option<WebSocket>,
    /// Of the response's body, once the response began.
    body: Option<ReadableStreamDefaultController>,
    response: Deferred,
    responded: bool,
    ended: Deferred,
    timer: Option<Timer>,
    listeners: Vec<Listener>,
    over: bool,
}

struct Timer {
    id: i32,
    at_ms: u64,
    _callback: Closure<dyn FnMut()>,
}

impl Relay {
    pub(crate) fn new(exchange: Exchange, config: Rc<Config>, line: Line, slot: Slot) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            exchange,
            config,
            line,
            slot: Some(slot),
            output: Output::default(),
            socket: None,
            body: None,
            response: Deferred::new(),
            responded: false,
            ended: Deferred::new(),
            timer: None,
            listeners: Vec::new(),
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
        self.listen(signal, "abort", move |_: Event| relay.handle(Input::HungUp));
    }

    /// Connects to the gateway; all that follows comes by itself.
    pub(crate) async fn connect(&self) {
        if self.0.borrow().over {
            return;
        }
        let config = Rc::clone(&self.0.borrow().config);
        match upgrade::open(&config.gateway).await {
            Ok(socket) => self.attach(socket),
            Err(failure) => self.handle(Input::Failed(failure)),
        }
    }

    fn attach(&self, socket: WebSocket) {
        if self.0.borrow().over {
            // The client left while the connection was made.
            let _ = socket.accept();
            let _ = socket.close(Some(NORMAL_CLOSURE), None::<&str>);
            return;
        }
        let target: &EventTarget = socket.as_ref().unchecked_ref();
        let relay = self.clone();
        self.listen(target, "message", move |event: MessageEvent| {
            // The protocol has text frames only.
            if let Some(frame) = event.data().as_string() {
                relay.handle(Input::Frame(&frame));
            }
        });
        let relay = self.clone();
        self.listen(target, "close", move |event: CloseEvent| {
            relay.handle(Input::Closed { code: event.code() });
        });
        let relay = self.clone();
        self.listen(target, "error", move |_: Event| {
            relay.handle(Input::Closed { code: ABNORMAL_CLOSURE });
        });
        let accepted = socket.accept();
        self.0.borrow_mut().socket = Some(socket);
        if accepted.is_err() {
            self.handle(Input::Closed { code: ABNORMAL_CLOSURE });
        }
        self.set_timer();
    }

    /// Lets the exchange take what happened, and carries out what it says.
    fn handle(&self, input: Input<'_>) {
        let mut inner = self.0.borrow_mut();
        if inner.over {
            return;
        }
        inner.step(input);
        if !inner.over && inner.perform().is_err() {
            // The body takes no more: the client is gone.
            inner.step(Input::HungUp);
            let _ = inner.perform();
        }
        if inner.over {
            let listeners = std::mem::take(&mut inner.listeners);
            let timer = inner.timer.take();
            drop(inner);
            // Outside the borrow: among them is the closure that called.
            drop((listeners, timer));
        } else {
            drop(inner);
            self.set_timer();
        }
    }

    fn listen<E: wasm_bindgen::convert::FromWasmAbi + 'static>(
        &self,
        target: &EventTarget,
        event: &'static str,
        handle: impl FnMut(E) + 'static,
    ) {
        let listener = Listener::new(target, event, handle);
        self.0.borrow_mut().listeners.extend(listener);
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
            .set_timeout_with_callback_and_timeout_and_arguments_0(callback.as_ref().unchecked_ref(), delay_ms)
            .unwrap_or_default();
        inner.timer = Some(Timer {
            id,
            at_ms: wake_at_ms,
            _callback: callback,
        });
    }
}

impl Inner {
    fn step(&mut self, input: Input<'_>) {
        let now_ms = now_ms();
        self.exchange
            .handle(input, &self.config.gateway, now_ms, &mut self.output);
    }

    /// Carries out the output. An error means that the client's side takes no more.
    fn perform(&mut self) -> Result<(), JsValue> {
        let mut output = std::mem::take(&mut self.output);
        if let Some(socket) = &self.socket {
            for frame in &output.frames {
                // One that cannot be sent is followed by the socket's close event.
                let _ = socket.send_with_str(frame);
            }
        }
        let shown = self.show(&mut output);
        let ended = output.ended;
        output.clear();
        self.output = output;
        if ended {
            self.end();
        }
        shown
    }

    fn show(&mut self, output: &mut Output) -> Result<(), JsValue> {
        if (output.head.is_some() || !output.body.is_empty()) && self.line.first_byte_ms.is_none() {
            self.line.first_byte_ms = Some(now_ms().saturating_sub(self.line.time_ms));
        }
        if let Some(head) = output.head.take() {
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
        if let Some(body) = &self.body {
            if !output.body.is_empty() {
                body.enqueue_with_chunk(&Uint8Array::from(output.body.as_slice()))?;
            }
            if output.ended {
                body.close()?;
            }
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
        let stream = ReadableStream::new_with_underlying_source(&source)?;
        self.body = controller.take();
        Ok(respond::stream(head, &stream)?)
    }

    fn end(&mut self) {
        self.over = true;
        self.slot = None;
        self.body = None;
        if let Some(socket) = self.socket.take() {
            // The runtime does not close it when the client leaves.
            let _ = socket.close(Some(NORMAL_CLOSURE), None::<&str>);
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

fn global() -> web_sys::WorkerGlobalScope {
    js_sys::global().unchecked_into()
}
