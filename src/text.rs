//! The text of a WebSocket's message, from the runtime in one piece: `text.js`. wasm-bindgen's own strings come character by character,
//! which was the largest single cost of a streamed delta.

use std::cell::RefCell;

use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::MessageEvent;

#[wasm_bindgen(module = "/src/text.js")]
extern "C" {
    fn write(event: &MessageEvent, room: &mut [u8]) -> i32;
}

/// Takes nearly every frame.
const ROOM_BYTES: usize = 64 * 1024;

/// What a large frame took is given back.
const MAX_KEPT_BYTES: usize = 1024 * 1024;

thread_local! {
    /// Where texts are read to: nothing is kept in it from one to the next.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `read` with the message's text, if it has one.
pub(crate) fn with(event: &MessageEvent, read: impl FnOnce(&str)) {
    let mut room = ROOM.take();
    if room.is_empty() {
        room.resize(ROOM_BYTES, 0);
    }
    let mut len = write(event, &mut room);
    // Not at once what anything takes: of a large frame that is three times what it mostly takes.
    for _ in 0..2 {
        if len < 0 {
            room.resize(usize::try_from(len.unsigned_abs()).unwrap_or(ROOM_BYTES), 0);
            len = write(event, &mut room);
        }
    }
    let text = usize::try_from(len).ok().and_then(|len| room.get(..len));
    if let Some(text) = text
        .filter(|text| !text.is_empty())
        .and_then(|text| std::str::from_utf8(text).ok())
    {
        read(text);
    }
    if room.len() <= MAX_KEPT_BYTES {
        ROOM.set(room);
    }
}
