//! Functions that the runtime calls later.

use std::pin::Pin;
use std::task::{Context, Poll};

use js_sys::Function;
use js_sys::futures::JsFuture;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};

use crate::runtime::clock::now_ms;
use crate::runtime::listener::Deferred;
use crate::runtime::panic_guard::PanicGuard;

/// A function that the runtime calls. A panic in it ends the requests of the hub.
pub(crate) struct Callback {
    pub(crate) function: Function,
    _closure: Closure<dyn FnMut()>,
}

impl Callback {
    pub(crate) fn new(panic_guard: &PanicGuard, call: impl FnMut() + 'static) -> Self {
        let closure: Closure<dyn FnMut()> = Closure::new(call);
        Self {
            function: panic_guard.guard(closure.as_ref()),
            _closure: closure,
        }
    }
}

/// A timer of 0 ms that is set repeatedly.
pub(crate) struct Flush {
    id: Option<i32>,
    callback: Callback,
}

impl Flush {
    pub(crate) fn new(callback: Callback) -> Self {
        Self { id: None, callback }
    }

    /// Sets the timer, unless it is set.
    pub(crate) fn set(&mut self) {
        if self.id.is_none() {
            self.id = set_timeout(&self.callback.function, 0);
        }
    }

    /// Records that the timer has called.
    pub(crate) fn called(&mut self) {
        self.id = None;
    }
}

/// A timer that is set once.
pub(crate) struct Timer {
    id: i32,
    pub(crate) at_ms: u64,
    _callback: Callback,
}

impl Timer {
    pub(crate) fn at(at_ms: u64, callback: Callback) -> Self {
        let delay_ms = i32::try_from(at_ms.saturating_sub(now_ms())).unwrap_or(i32::MAX);
        let id = set_timeout(&callback.function, delay_ms).unwrap_or_default();
        Self {
            id,
            at_ms,
            _callback: callback,
        }
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

/// A future that is ready after some time. Its timer ends when it is dropped.
pub(crate) struct Delay {
    id: Option<i32>,
    deferred: Deferred,
    over: JsFuture,
}

impl Delay {
    pub(crate) fn of(delay_ms: u64) -> Self {
        let deferred = Deferred::new();
        let delay_ms = i32::try_from(delay_ms).unwrap_or(i32::MAX);
        let resolve = deferred.resolve.as_ref();
        Self {
            id: resolve.and_then(|resolve| set_timeout(resolve, delay_ms)),
            over: JsFuture::from(deferred.promise.clone()),
            deferred,
        }
    }
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.over).poll(context).map(drop)
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            global().clear_timeout_with_handle(id);
        }
        // The closures that wait for the promise are freed when it is resolved.
        self.deferred.resolve(&JsValue::UNDEFINED);
    }
}

fn set_timeout(function: &Function, delay_ms: i32) -> Option<i32> {
    global()
        .set_timeout_with_callback_and_timeout_and_arguments_0(function, delay_ms)
        .ok()
}

fn global() -> web_sys::WorkerGlobalScope {
    js_sys::global().unchecked_into()
}
