//! The gateway's socket, which is open until its value is dropped.

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::runtime::listener::Listener;

#[wasm_bindgen]
extern "C" {
    /// The runtime's WebSocket. It has no events until it is accepted.
    #[wasm_bindgen(extends = web_sys::WebSocket)]
    pub(crate) type WebSocket;

    #[wasm_bindgen(method, catch)]
    pub(crate) fn accept(this: &WebSocket) -> Result<(), JsValue>;
}

/// Sent when we close the gateway's socket: a normal closure (RFC 6455 section 7.4.1).
const NORMAL_CLOSURE: u16 = 1000;

/// A socket and its listeners. It is closed when it is dropped, because the runtime would leave it
/// open.
pub(crate) struct Socket {
    pub(crate) raw: WebSocket,
    /// Dropped before the socket is closed, so that no listener receives our own close.
    pub(crate) listeners: Vec<Listener>,
    is_handed_on: bool,
}

impl Socket {
    /// Wraps a socket with these listeners.
    pub(crate) fn new(raw: WebSocket, listeners: Vec<Listener>) -> Self {
        Self {
            raw,
            listeners,
            is_handed_on: false,
        }
    }

    /// Returns the socket without listeners, for the caller to close.
    pub(crate) fn hand_on(mut self) -> web_sys::WebSocket {
        self.is_handed_on = true;
        self.raw.clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.listeners.clear();
        if !self.is_handed_on {
            // This has no effect on a socket that is already closed.
            let _ = self.raw.close_with_code(NORMAL_CLOSURE);
        }
    }
}
