//! Handlers of events, and a promise kept from within one.

use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use web_sys::EventTarget;

use crate::lifeline::Lifeline;

/// A handler that is removed from its target when it is dropped.
pub(crate) struct Listener {
    target: EventTarget,
    event: &'static str,
    function: Function,
    _handler: Box<dyn std::any::Any>,
}

impl Listener {
    /// `None` where the target takes no handler: it is being closed. What fails in it, or comes after its instance is gone, ends the request.
    pub(crate) fn new<E: wasm_bindgen::convert::FromWasmAbi + 'static>(
        target: &EventTarget,
        event: &'static str,
        lifeline: &Lifeline,
        handle: impl FnMut(E) + 'static,
    ) -> Option<Self> {
        Self::filtered(target, event, lifeline, Function::clone, handle)
    }

    /// One that is called by what `filter` makes of it.
    pub(crate) fn filtered<E: wasm_bindgen::convert::FromWasmAbi + 'static>(
        target: &EventTarget,
        event: &'static str,
        lifeline: &Lifeline,
        filter: impl FnOnce(&Function) -> Function,
        handle: impl FnMut(E) + 'static,
    ) -> Option<Self> {
        let handler: Closure<dyn FnMut(E)> = Closure::new(handle);
        let function = filter(&lifeline.guard(handler.as_ref()));
        target.add_event_listener_with_callback(event, &function).ok()?;
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

/// A promise and the function that keeps it.
pub(crate) struct Deferred {
    pub(crate) promise: Promise,
    resolve: Option<Function>,
}

impl Deferred {
    pub(crate) fn new() -> Self {
        let mut kept = None;
        // It is called before the constructor returns.
        let promise = Promise::new(&mut |resolve, _| kept = Some(resolve));
        Self { promise, resolve: kept }
    }

    /// Only the first call counts.
    pub(crate) fn resolve(&self, value: &JsValue) {
        if let Some(resolve) = &self.resolve {
            let _ = resolve.call1(&JsValue::UNDEFINED, value);
        }
    }
}
