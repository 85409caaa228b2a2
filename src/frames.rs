//! The gateway's frames, from the runtime in one piece, and only those that are of interest: `frames.js`. wasm-bindgen's own strings come
//! character by character, which was the largest single cost of a streamed delta.

use std::cell::{Cell, RefCell};

use clawfront_core::exchange::Exchange;
use clawfront_core::gateway::skim::{AGENT, CHAT};
use js_sys::Function;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/src/frames.js")]
extern "C" {
    #[wasm_bindgen(js_name = Frames)]
    type Source;

    #[wasm_bindgen(constructor, js_class = "Frames")]
    fn new(chat: &str, agent: &str, run: &str) -> Source;

    #[wasm_bindgen(method)]
    fn filter(this: &Source, handler: &Function) -> Function;

    #[wasm_bindgen(method, setter, js_name = needsChat)]
    fn set_needs_chat(this: &Source, needs_chat: bool);

    #[wasm_bindgen(method, js_name = takeSkipped)]
    fn take_skipped(this: &Source) -> u32;

    #[wasm_bindgen(method)]
    fn write(this: &Source, room: &mut [u8]) -> i32;
}

/// Takes nearly every frame.
const ROOM_BYTES: usize = 64 * 1024;

/// What a large frame took is given back.
const MAX_KEPT_BYTES: usize = 1024 * 1024;

thread_local! {
    /// Where frames are read to: nothing is kept in it from one to the next.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The frames of one connection.
pub(crate) struct Frames {
    source: Source,
    /// What the source was told.
    needs_chat: Cell<bool>,
}

impl Frames {
    /// Those that are of interest to this exchange.
    pub(crate) fn new(exchange: &Exchange) -> Self {
        let frames = Self {
            source: Source::new(CHAT, AGENT, exchange.run_id()),
            needs_chat: Cell::new(true),
        };
        frames.select(exchange);
        frames
    }

    /// Skips what the exchange does not need, from the next frame on.
    pub(crate) fn select(&self, exchange: &Exchange) {
        let needs_chat = exchange.needs_chat();
        if self.needs_chat.replace(needs_chat) != needs_chat {
            self.source.set_needs_chat(needs_chat);
        }
    }

    /// A handler of messages that has `handler` called with those that are of interest.
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
        // Not at once what anything takes: of a large frame that is three times what it mostly takes.
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
