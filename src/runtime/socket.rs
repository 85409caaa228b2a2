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
    pub(crate) socket: WebSocket,
    /// Dropped before the socket is closed, so that no listener receives our own close.
    pub(crate) listeners: Vec<Listener>,
}

impl Socket {
    /// Wraps a socket without listeners.
    pub(crate) fn new(socket: WebSocket) -> Self {
        Self {
            socket,
            listeners: Vec::new(),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.listeners.clear();
        // This has no effect on a socket that is already closed.
        let _ = self.socket.close_with_code(NORMAL_CLOSURE);
    }
}
