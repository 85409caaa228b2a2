//! The gateway's socket, for as long as somebody holds it.

use worker::WebSocket;

use crate::listener::Listener;

/// Sent when we close the gateway's socket: a normal closure (RFC 6455 section 7.4.1).
const NORMAL_CLOSURE: u16 = 1000;

/// A socket and what listens to it. It is closed when it is dropped: the runtime would leave it open.
pub(crate) struct Socket {
    pub(crate) socket: WebSocket,
    /// Dropped before the socket is closed: its close is nobody's news.
    pub(crate) listeners: Vec<Listener>,
}

impl Socket {
    /// One that nobody listens to yet.
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
        // On one that is closed already it has no effect.
        let _ = self.socket.close(Some(NORMAL_CLOSURE), None::<&str>);
    }
}
