//! The gateway's frames, read from the runtime in one piece and only if the exchange needs them:
//! `frames.js`. wasm-bindgen copies its own strings character by character, which was the largest
//! single cost of a streamed delta.

use std::cell::{Cell, RefCell};

use clawfront_core::exchange::Exchange;
use clawfront_core::gateway::peek::{AGENT, CHAT};
use js_sys::Function;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/src/runtime/frames.js")]
extern "C" {
    #[wasm_bindgen(js_name = Frames)]
    type Source;

    #[wasm_bindgen(constructor, js_class = "Frames")]
    fn new(chat: &str, agent: &str, run: &str) -> Source;

    #[wasm_bindgen(method)]
    fn filter(this: &Source, handler: &Function) -> Function;

    #[wasm_bindgen(method, setter, js_name = needsChat)]
    fn set_needs_chat(this: &Source, needs_chat: bool);

    #[wasm_bindgen(method, setter, js_name = run)]
    fn set_run(this: &Source, run: &str);

    #[wasm_bindgen(method, js_name = takeSkipped)]
    fn take_skipped(this: &Source) -> u32;

    #[wasm_bindgen(method)]
    fn write(this: &Source, room: &mut [u8]) -> i32;
}

/// Large enough for nearly every frame.
const ROOM_BYTES: usize = 64 * 1024;

/// A larger buffer is freed after its frame.
const MAX_KEPT_BYTES: usize = 1024 * 1024;

thread_local! {
    /// The buffer that frames are read into. Nothing in it is kept from one frame to the next.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The frames of one connection.
pub(crate) struct Frames {
    source: Source,
    /// The last value that was set on the source.
    needs_chat: Cell<bool>,
    /// The prefix of the run ids that the source passes on.
    run: RefCell<String>,
}

impl Frames {
    /// Makes the filter for the frames that this exchange needs.
    pub(crate) fn new(exchange: &Exchange) -> Self {
        let frames = Self {
            source: Source::new(CHAT, AGENT, exchange.event_filter()),
            needs_chat: Cell::new(true),
            run: RefCell::new(exchange.event_filter().to_owned()),
        };
        frames.select(exchange);
        frames
    }

    /// Skips the frames that the exchange does not need, from the next one on.
    pub(crate) fn select(&self, exchange: &Exchange) {
        let needs_chat = exchange.needs_chat();
        if self.needs_chat.replace(needs_chat) != needs_chat {
            self.source.set_needs_chat(needs_chat);
        }
        let run = exchange.event_filter();
        if *self.run.borrow() != run {
            self.source.set_run(run);
            run.clone_into(&mut self.run.borrow_mut());
        }
    }

    /// Returns a handler of messages that calls `handler` with the frames that are needed.
    pub(crate) fn filter(&self, handler: &Function) -> Function {
        self.source.filter(handler)
    }

    /// Calls `read` with the present frame and the number of events that were skipped before it.
    pub(crate) fn with(&self, read: impl FnOnce(&str, u32)) {
        let mut room = ROOM.take();
        if room.is_empty() {
            room.resize(ROOM_BYTES, 0);
        }
        let mut len = self.source.write(&mut room);
        // The first call does not reserve for the worst case, because for a large frame that is
        // three times the usual need.
        for _ in 0..2 {
            if len < 0 {
                room.resize(usize::try_from(len.unsigned_abs()).unwrap_or(ROOM_BYTES), 0);
                len = self.source.write(&mut room);
            }
        }
        let text = usize::try_from(len).ok().and_then(|len| room.get(..len));
        if let Some(text) = text
            .filter(|text| !text.is_empty())
            .and_then(|text| std::str::from_utf8(text).ok())
        {
            read(text, self.source.take_skipped());
        }
        if room.len() <= MAX_KEPT_BYTES {
            ROOM.set(room);
        }
    }
}
