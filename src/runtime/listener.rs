//! Handlers of events, and a promise that is resolved from within one.

use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use web_sys::EventTarget;

use crate::runtime::panic_guard::PanicGuard;

/// A handler that is removed from its target when it is dropped.
pub(crate) struct Listener {
    target: EventTarget,
    event: &'static str,
    function: Function,
    _handler: Box<dyn std::any::Any>,
}

impl Listener {
    /// Adds a handler. `None` if the target takes no handler because it is being closed. A panic in
    /// the handler, or an event after its instance has ended, ends the request.
    pub(crate) fn new<E: wasm_bindgen::convert::FromWasmAbi + 'static>(
        target: &EventTarget,
        event: &'static str,
        panic_guard: &PanicGuard,
        handle: impl FnMut(E) + 'static,
    ) -> Option<Self> {
        Self::filtered(target, event, panic_guard, Function::clone, handle)
    }

    /// Adds a handler that receives the output of `filter`.
    pub(crate) fn filtered<E: wasm_bindgen::convert::FromWasmAbi + 'static>(
        target: &EventTarget,
        event: &'static str,
        panic_guard: &PanicGuard,
        filter: impl FnOnce(&Function) -> Function,
        handle: impl FnMut(E) + 'static,
    ) -> Option<Self> {
        let handler: Closure<dyn FnMut(E)> = Closure::new(handle);
        let function = filter(&panic_guard.guard(handler.as_ref()));
        target
            .add_event_listener_with_callback(event, &function)
            .ok()?;
        Some(Self {
            target: target.clone(),
            event,
            function,
            _handler: Box::new(handler),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self
            .target
            .remove_event_listener_with_callback(self.event, &self.function);
    }
}

/// A promise and the function that resolves it.
pub(crate) struct Deferred {
    pub(crate) promise: Promise,
    pub(crate) resolve: Option<Function>,
}

impl Deferred {
    pub(crate) fn new() -> Self {
        let mut kept = None;
        // It is called before the constructor returns.
        let promise = Promise::new(&mut |resolve, _| kept = Some(resolve));
        Self {
            promise,
            resolve: kept,
        }
    }

    /// Only the first call counts.
    pub(crate) fn resolve(&self, value: &JsValue) {
        if let Some(resolve) = &self.resolve {
            let _ = resolve.call1(&JsValue::UNDEFINED, value);
        }
    }
}
