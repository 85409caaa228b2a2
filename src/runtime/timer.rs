//! Functions that the runtime calls later.

use js_sys::Function;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use crate::runtime::clock::now_ms;
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

fn set_timeout(function: &Function, delay_ms: i32) -> Option<i32> {
    global()
        .set_timeout_with_callback_and_timeout_and_arguments_0(function, delay_ms)
        .ok()
}

fn global() -> web_sys::WorkerGlobalScope {
    js_sys::global().unchecked_into()
}
