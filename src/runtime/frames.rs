//! The gateway's frames, read from the runtime in one piece and only if an exchange needs them:
//! `frames.js`. wasm-bindgen copies its own strings character by character, which was the largest
//! single cost of a streamed delta.

use std::cell::RefCell;

use clawfront_core::gateway::peek::{AGENT, CHAT};
use js_sys::Function;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/src/runtime/frames.js")]
extern "C" {
    #[wasm_bindgen(js_name = Frames)]
    type Source;

    #[wasm_bindgen(constructor, js_class = "Frames")]
    fn new(chat: &str, agent: &str) -> Source;

    #[wasm_bindgen(method)]
    fn filter(this: &Source, handler: &Function) -> Function;

    #[wasm_bindgen(method)]
    fn select(this: &Source, agents: Vec<String>, chats: Vec<String>);

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

/// The frames of a connection.
pub(crate) struct Frames(Source);

impl Frames {
    /// Makes a filter that passes on no event of any run.
    pub(crate) fn new() -> Self {
        Self(Source::new(CHAT, AGENT))
    }

    /// Passes on the events of these runs only, from the next frame on: the beginnings of their
    /// ids, and true if the event `chat` is needed too.
    pub(crate) fn select<'a>(&self, filters: impl Iterator<Item = (&'a str, bool)>) {
        let (mut agents, mut chats) = (Vec::new(), Vec::new());
        for (filter, needs_chat) in filters {
            agents.push(filter.to_owned());
            if needs_chat {
                chats.push(filter.to_owned());
            }
        }
        self.0.select(agents, chats);
    }

    /// Returns a handler of messages that calls `handler` with the frames that are needed.
    pub(crate) fn filter(&self, handler: &Function) -> Function {
        self.0.filter(handler)
    }

    /// Calls `read` with the present frame and the number of events that were skipped before it.
    pub(crate) fn with(&self, read: impl FnOnce(&str, u32)) {
        let mut room = ROOM.take();
        if room.is_empty() {
            room.resize(ROOM_BYTES, 0);
        }
        let mut len = self.0.write(&mut room);
        // The first call does not reserve for the worst case, because for a large frame that is
        // three times the usual need.
        for _ in 0..2 {
            if len < 0 {
                room.resize(usize::try_from(len.unsigned_abs()).unwrap_or(ROOM_BYTES), 0);
                len = self.0.write(&mut room);
            }
        }
        let text = usize::try_from(len).ok().and_then(|len| room.get(..len));
        if let Some(text) = text
            .filter(|text| !text.is_empty())
            .and_then(|text| std::str::from_utf8(text).ok())
        {
            read(text, self.0.take_skipped());
        }
        if room.len() <= MAX_KEPT_BYTES {
            ROOM.set(room);
        }
    }
}
