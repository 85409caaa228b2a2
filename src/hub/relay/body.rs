//! The body of a response that is sent in pieces.

use std::cell::RefCell;
use std::rc::Rc;

use clawfront_core::http::head::Head;
use js_sys::{Function, Object, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    ByteLengthQueuingStrategy, QueuingStrategyInit, ReadableStream, ReadableStreamDefaultController,
};

use crate::runtime::response;

/// Most bytes that are kept for a client that has not read them yet; one frame may exceed it.
const MAX_BUFFERED_BYTES: u32 = 1024 * 1024;

/// Number of gathered bytes that are sent at once, although more may arrive in the same turn.
const FLUSH_BYTES: usize = 16 * 1024;

/// A body that has begun.
pub(super) struct Body {
    controller: ReadableStreamDefaultController,
    /// Bytes that are not sent yet. Passing on one piece costs as much as all other work for a
    /// delta. So the pieces that arrive within a millisecond are sent together.
    gathered: Vec<u8>,
    /// The time of the last flush.
    flushed_ms: u64,
    /// The client had not read the earlier bytes at the last flush.
    is_full: bool,
}

/// The reason why bytes could not be written to the client.
pub(crate) enum WriteError {
    /// The client has not read the earlier bytes.
    Full,
    Refused,
    /// The response could not be stored, so nobody could ask for it.
    Unkept,
}

impl From<JsValue> for WriteError {
    fn from(_: JsValue) -> Self {
        Self::Refused
    }
}

impl Body {
    /// Begins a response whose body follows. `cancelled` is called if its client hangs up.
    pub(super) fn begin(
        head: &Head,
        cancelled: Option<&Function>,
    ) -> Result<(Self, web_sys::Response), WriteError> {
        // `start` is called before the constructor returns.
        let controller = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&controller);
        let start: Closure<dyn FnMut(ReadableStreamDefaultController)> =
            Closure::new(move |started| *slot.borrow_mut() = Some(started));
        let source = Object::new();
        Reflect::set(&source, &"start".into(), start.as_ref())?;
        if let Some(cancelled) = cancelled {
            Reflect::set(&source, &"cancel".into(), cancelled)?;
        }
        // Counts bytes rather than chunks.
        let strategy = ByteLengthQueuingStrategy::new(&QueuingStrategyInit::new(f64::from(
            MAX_BUFFERED_BYTES,
        )))?;
        let stream = ReadableStream::new_with_underlying_source_and_strategy(
            &source,
            strategy.unchecked_ref(),
        )?;
        let body = Self {
            controller: controller.take().ok_or(WriteError::Refused)?,
            gathered: Vec::new(),
            flushed_ms: 0,
            is_full: false,
        };
        Ok((body, response::stream(head, &stream)?))
    }

    /// Returns true if bytes wait for [`Body::flush`]. While the client does not read, they wait for
    /// the next write.
    pub(super) fn awaits_flush(&self) -> bool {
        self.has_gathered() && !self.is_full
    }

    fn has_gathered(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// Adds bytes. Bytes that arrive alone are sent at once.
    pub(super) fn write(&mut self, bytes: &[u8], now_ms: u64) -> Result<(), WriteError> {
        self.gathered.extend_from_slice(bytes);
        self.is_full = false;
        if self.flushed_ms != now_ms || self.gathered.len() >= FLUSH_BYTES {
            self.flush(now_ms)?;
        }
        Ok(())
    }

    /// Sends the gathered bytes. The client must have read the earlier ones, because more follow.
    pub(super) fn flush(&mut self, now_ms: u64) -> Result<(), WriteError> {
        let left_bytes = self.controller.desired_size();
        if self.has_gathered() && left_bytes.is_some_and(|left_bytes| left_bytes <= 0.0) {
            self.is_full = true;
            return Err(WriteError::Full);
        }
        self.send(now_ms)
    }

    /// Adds the last bytes, and closes the body.
    pub(super) fn end(&mut self, bytes: &[u8], now_ms: u64) -> Result<(), WriteError> {
        self.gathered.extend_from_slice(bytes);
        self.send(now_ms)?;
        Ok(self.controller.close()?)
    }

    /// Breaks the body off after a write that failed. The runtime requires a reason.
    pub(super) fn break_off(&self) {
        self.controller.error_with_e(&JsValue::NULL);
    }

    fn send(&mut self, now_ms: u64) -> Result<(), WriteError> {
        if self.has_gathered() {
            self.controller
                .enqueue_with_chunk(&Uint8Array::from(self.gathered.as_slice()))?;
            self.gathered.clear();
            self.flushed_ms = now_ms;
        }
        Ok(())
    }
}
