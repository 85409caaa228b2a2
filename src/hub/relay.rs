//! One client of the hub: its response, its place, and its line in the log.

mod body;
mod keep;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use clawfront_core::access::key::KeyId;
use clawfront_core::config::Config;
use clawfront_core::exchange::{Exchange, Output};
use clawfront_core::failure::Failure;
use clawfront_core::file::Linked;
use clawfront_core::http::head::ResponseMeta;
use clawfront_core::http::route::Api;
use clawfront_core::hub::ExchangeId;
use clawfront_core::log::LogLine;
use clawfront_core::openai::error::refuse;
use js_sys::Promise;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortSignal, Event};
use worker::js_sys::futures::JsFuture;

use crate::hub::slot::Slot;
use crate::runtime::clock::now_ms;
use crate::runtime::listener::{Deferred, Listener};
use crate::runtime::panic_guard::PanicGuard;
use crate::runtime::response;
use crate::runtime::timer::Callback;

use body::Body;
pub(crate) use body::WriteError;
pub(crate) use keep::Keep;
use keep::Unkept;

/// The client's side of one exchange.
#[derive(Clone)]
pub(crate) struct Relay(Rc<Client>);

struct Client {
    /// Known once the exchange has begun.
    id: Cell<Option<ExchangeId>>,
    response: Deferred,
    /// Ends the request after a panic.
    panic_guard: PanicGuard,
    inner: RefCell<Inner>,
}

struct Inner {
    config: Rc<Config>,
    line: LogLine,
    slot: Slot,
    /// The response's body, once it has begun.
    body: Option<Body>,
    /// Set while the response is to be stored.
    keep: Option<Keep>,
    /// Resolved with the end of the exchange.
    waiters: Vec<Deferred>,
    responded: bool,
    /// The listener for the client's hang-up.
    listener: Option<Listener>,
    /// The body's own event of a hang-up: it comes with a write, as a rule before the signal's.
    cancelled: Option<Callback>,
    /// The id of the run that is kept in the storage.
    kept_run: String,
    /// The request seems to have started that run.
    has_started_run: bool,
    logged: Logged,
}

/// The last line about the request in the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Logged {
    Nothing,
    /// The beginning of the run.
    Begin,
    /// The end of the request.
    End,
}

impl Relay {
    pub(crate) fn new(config: Rc<Config>, line: LogLine, slot: Slot) -> Self {
        Self(Rc::new(Client {
            id: Cell::new(None),
            response: Deferred::new(),
            panic_guard: PanicGuard::new(&line.request_id),
            inner: RefCell::new(Inner {
                config,
                line,
                slot,
                body: None,
                keep: None,
                waiters: Vec::new(),
                responded: false,
                listener: None,
                cancelled: None,
                kept_run: String::new(),
                has_started_run: false,
                logged: Logged::Nothing,
            }),
        }))
    }

    /// Makes the side of a run that an earlier hub requested: it has no client.
    pub(crate) fn adopted(config: Rc<Config>, line: LogLine, slot: Slot) -> Self {
        let relay = Self::new(config, line, slot);
        relay.0.inner.borrow_mut().logged = Logged::Begin;
        relay
    }

    /// Returns the response once it begins. If the client left before, it is a response that is
    /// never read.
    pub(crate) fn response(
        &self,
    ) -> impl Future<Output = Result<web_sys::Response, JsValue>> + 'static {
        let response = JsFuture::from(self.0.response.promise.clone());
        async move { response.await?.dyn_into() }
    }

    /// Calls `hang_up` if the client hangs up. The runtime signals it only with the compatibility
    /// flag `enable_request_signal`.
    pub(crate) fn watch(
        &self,
        signal: &AbortSignal,
        hang_up: impl Fn(ExchangeId) + Clone + 'static,
    ) {
        let client = Rc::downgrade(&self.0);
        let hang_up = move || {
            if let Some(id) = client.upgrade().and_then(|client| client.id.get()) {
                hang_up(id);
            }
        };
        let guard = &self.0.panic_guard;
        let mut inner = self.0.inner.borrow_mut();
        inner.cancelled = Some(Callback::new(guard, hang_up.clone()));
        inner.listener = Listener::new(signal, "abort", guard, move |_: Event| hang_up());
    }

    /// Records the number of the exchange.
    pub(crate) fn set_id(&self, id: ExchangeId) {
        self.0.id.set(Some(id));
    }

    pub(crate) fn id(&self) -> Option<ExchangeId> {
        self.0.id.get()
    }

    pub(crate) fn is_of(&self, id: ExchangeId) -> bool {
        self.0.id.get() == Some(id)
    }

    /// Returns true if the client has this key.
    pub(crate) fn is_of_key(&self, key: &KeyId) -> bool {
        self.0.inner.borrow().line.key.as_deref() == Some(key.as_str())
    }

    /// Has the response stored.
    pub(crate) fn keep(&self, keep: Option<Keep>) {
        self.0.inner.borrow_mut().keep = keep;
    }

    /// Returns true if the response is going, and is stored with this name.
    pub(crate) fn is_stored_as(&self, name: &str) -> bool {
        let inner = self.0.inner.borrow();
        inner.keep.as_ref().is_some_and(|keep| keep.name == name)
    }

    /// Returns a promise that is resolved with the end of the exchange.
    pub(crate) fn ended(&self) -> Promise {
        let waiter = Deferred::new();
        let promise = waiter.promise.clone();
        self.0.inner.borrow_mut().waiters.push(waiter);
        promise
    }

    /// Records that the exchange is still going.
    pub(crate) fn touch(&self, now_ms: u64) {
        self.0.inner.borrow().slot.touch(now_ms);
    }

    /// Carries out the exchange's output.
    pub(crate) fn perform(
        &self,
        exchange: &Exchange,
        output: &mut Output,
        now_ms: u64,
    ) -> Result<(), WriteError> {
        let mut inner = self.0.inner.borrow_mut();
        let begins = output.head.is_some();
        inner.note(exchange, begins, &self.0.panic_guard, now_ms);
        if exchange.is_adopted() && !exchange.is_in_background() {
            return Ok(());
        }
        inner.keep_files(output, now_ms);
        inner.keep(exchange, output, &self.0.response, now_ms)?;
        inner.show(exchange, output, &self.0.response, now_ms)
    }

    pub(crate) fn awaits_flush(&self) -> bool {
        let inner = self.0.inner.borrow();
        inner.body.as_ref().is_some_and(Body::awaits_flush)
    }

    /// Sends the bytes that the body has gathered.
    pub(crate) fn flush(&self, now_ms: u64) -> Result<(), WriteError> {
        let mut inner = self.0.inner.borrow_mut();
        inner
            .body
            .as_mut()
            .map_or(Ok(()), |body| body.flush(now_ms))
    }

    /// Ends the client's side of an exchange that has ended.
    pub(crate) fn end(&self, exchange: &Exchange) {
        let mut inner = self.0.inner.borrow_mut();
        inner.slot.end_run(exchange);
        for waiter in inner.waiters.drain(..) {
            waiter.resolve(&JsValue::UNDEFINED);
        }
        if std::mem::replace(&mut inner.logged, Logged::End) == Logged::End {
            // The client left before, and the run went on.
            return;
        }
        if !inner.responded {
            // The promise must not stay open: the runtime would take that for a Worker that hangs.
            let (head, body) = refuse(&ResponseMeta::default(), &Failure::ClientClosedRequest);
            if let Ok(response) = response::whole(&head, &body) {
                self.0.response.resolve(&response);
            }
        }
        self.0.panic_guard.release();
        let ended = (
            inner.body.take(),
            inner.listener.take(),
            inner.cancelled.take(),
        );
        let Inner { line, config, .. } = &mut *inner;
        line.exchanged(exchange, &config.log_key);
        line.duration_ms = now_ms().saturating_sub(line.time_ms);
        web_sys::console::log_1(&line.to_json().into());
        drop(inner);
        // Outside the borrow: among them may be the closure that called.
        drop(ended);
    }
}

impl Inner {
    /// Records the run's progress.
    fn note(&mut self, exchange: &Exchange, begins: bool, panic_guard: &PanicGuard, now_ms: u64) {
        if !exchange.may_have_started() {
            return;
        }
        if !exchange.keeps_request() {
            self.slot.release_body();
        }
        let is_other_run = self.kept_run != exchange.running_id();
        let has_started_run = exchange.has_started_run();
        if is_other_run
            || self.has_started_run != has_started_run
            || (begins && exchange.names_session())
        {
            self.has_started_run = has_started_run;
            self.slot.keep_run(exchange);
        }
        if is_other_run {
            exchange.running_id().clone_into(&mut self.kept_run);
            panic_guard.set_abort_frame(exchange.abort_frame());
        }
        if self.logged == Logged::Nothing && exchange.is_accepted() {
            self.logged = Logged::Begin;
            // The run was accepted: from here on the log line has content.
            let mut line = self.line.begun(exchange, &self.config.log_key);
            line.duration_ms = now_ms.saturating_sub(line.time_ms);
            web_sys::console::log_1(&line.to_json().into());
        }
    }

    /// Stores the files whose links are about to be sent.
    fn keep_files(&mut self, output: &mut Output, now_ms: u64) {
        let until_ms = now_ms.saturating_add(self.config.store_ms).to_string();
        for Linked { id, row } in output.files.drain(..) {
            let row = [&until_ms, "\t", &row].concat();
            if self.slot.store().keep_file(&id, &row).is_err() {
                self.line.cause = Some("storage: a file was not stored".to_owned());
            }
        }
    }

    /// Stores the progress of a response that is kept.
    fn keep(
        &mut self,
        exchange: &Exchange,
        output: &mut Output,
        deferred: &Deferred,
        now_ms: u64,
    ) -> Result<(), WriteError> {
        let Some(keep) = &mut self.keep else {
            return Ok(());
        };
        let is_new = keep.name.is_empty();
        match keep.store(self.slot.store(), exchange, output, now_ms) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(_) if !is_new || !exchange.is_in_background() || output.ended => {
                self.line.cause = Some("storage: a response was not stored".to_owned());
            }
            // Nobody could ask for the response.
            Err(reason) => {
                let failure = match reason {
                    Unkept::Storage => Failure::HubLost,
                    Unkept::Taken => Failure::RunInProgress,
                };
                let meta = ResponseMeta {
                    api: Api::Responses,
                    ..ResponseMeta::default()
                };
                let (head, body) = refuse(&meta, &failure);
                let response = response::whole(&head, &body)?;
                deferred.resolve(&response);
                self.responded = true;
                self.keep = None;
                output.clear();
                return Err(WriteError::Unkept);
            }
        }
        self.keep = None;
        Ok(())
    }

    fn show(
        &mut self,
        exchange: &Exchange,
        output: &mut Output,
        deferred: &Deferred,
        now_ms: u64,
    ) -> Result<(), WriteError> {
        if (output.head.is_some() || !output.body.is_empty()) && self.line.first_byte_ms.is_none() {
            self.line.first_byte_ms = Some(now_ms.saturating_sub(self.line.time_ms));
        }
        if let Some(mut head) = output.head.take() {
            head.after_ms(now_ms.saturating_sub(self.line.time_ms));
            let response = if output.ended || output.answered {
                response::whole(&head, &output.body)?
            } else {
                let cancelled = self.cancelled.as_ref().map(|callback| &callback.function);
                let (body, response) = Body::begin(&head, cancelled)?;
                self.body = Some(body);
                response
            };
            deferred.resolve(&response);
            self.responded = true;
            if output.ended || output.answered {
                return Ok(());
            }
        }
        let written = match &mut self.body {
            Some(body) if output.ended || output.answered => body.end(&output.body, now_ms),
            Some(body) if !output.body.is_empty() => body.write(&output.body, now_ms),
            _ => Ok(()),
        };
        if output.answered || (written.is_err() && exchange.is_in_background()) {
            // The exchange goes on without it.
            if let Some(body) = self.body.take().filter(|_| written.is_err()) {
                body.break_off();
            }
            return Ok(());
        }
        written
    }
}
