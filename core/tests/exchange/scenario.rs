//! An exchange in the state that a test is about, with a gateway of protocol 4.

use clawfront_core::openai::Delivery;

use serde_json::Value;

use crate::replay::{
    Alone, Input, START_MS, Shown, exchange_asked, exchange_of, feed, out_of_reach,
};

pub(crate) const CHALLENGE: &str =
    r#"{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1}}"#;
pub(crate) const HELLO: &str = r#"{"type":"res","id":"1","ok":true,"payload":{"protocol":4,"auth":{"scopes":["operator.read","operator.write"]}}}"#;
pub(crate) const ACCEPTED: &str =
    r#"{"type":"res","id":"3","ok":true,"payload":{"status":"accepted"}}"#;

/// An exchange, its output, and the time.
#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) exchange: Alone,
    pub(crate) shown: Shown,
    now_ms: u64,
}

impl Scenario {
    /// The connection is open, and no frame was received.
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self::of_key(delivery, "agents=main")
    }

    /// Does the same for a key with these fields.
    pub(crate) fn of_key(delivery: Delivery, fields: &str) -> Self {
        Self::of(exchange_of(delivery, fields))
    }

    /// Does the same for a request with this body and these headers, for a whole answer.
    pub(crate) fn of_request(body: &str, headers: &[(&str, &str)]) -> Self {
        Self::of(exchange_asked(
            body,
            headers,
            Delivery::Whole,
            "agents=main",
        ))
    }

    pub(crate) fn of(exchange: Alone) -> Self {
        Self {
            exchange,
            shown: Shown::default(),
            now_ms: START_MS,
        }
    }

    /// The key expires at this time, from the start.
    pub(crate) fn expiring(self, after_ms: u64) -> Self {
        let mut exchange = (*self.exchange).clone();
        exchange.expire_at(Some(START_MS + after_ms));
        Self::of(Alone::new(exchange))
    }

    /// The handshake is complete, and the run was requested, unless something else is requested
    /// before.
    pub(crate) fn requested(self) -> Self {
        self.with(CHALLENGE).with(HELLO)
    }

    /// Does the same with a gateway of this protocol.
    pub(crate) fn requested_of(self, protocol: u8) -> Self {
        let hello = HELLO.replace(r#""protocol":4"#, &format!(r#""protocol":{protocol}"#));
        self.with(CHALLENGE).with(&hello)
    }

    /// The gateway accepted the run.
    pub(crate) fn accepted(self) -> Self {
        self.requested().with(ACCEPTED)
    }

    /// The connection was lost after that. The output starts again.
    pub(crate) fn lost(self) -> Self {
        let mut lost = self.accepted();
        lost.give(Input::Closed { code: 1012 });
        lost.shown.body.clear();
        lost.shown.frames.clear();
        lost
    }

    /// The gateway sent this frame, too.
    pub(crate) fn with(mut self, frame: &str) -> Self {
        self.frame(frame);
        self
    }

    /// Sets the time, from the start. Nothing happens before the next input.
    pub(crate) fn at_ms(&mut self, after_ms: u64) -> &mut Self {
        self.now_ms = START_MS + after_ms;
        self
    }

    pub(crate) fn frame(&mut self, frame: &str) {
        self.give(Input::Frame(frame));
    }

    pub(crate) fn tick(&mut self) {
        self.give(Input::Tick);
    }

    pub(crate) fn give(&mut self, input: Input<'_>) {
        feed(&mut self.exchange, input, self.now_ms, &mut self.shown);
    }

    /// Returns the time of the next deadline, from the start.
    pub(crate) fn wake_at_ms(&self) -> Option<u64> {
        self.exchange.wake_at_ms().map(|at_ms| at_ms - START_MS)
    }

    /// Checks that nothing happens a millisecond early. Returns the body, which was empty before
    /// that time, and starts it again.
    pub(crate) fn due(&mut self, after_ms: u64) -> String {
        assert_eq!(self.wake_at_ms(), Some(after_ms));
        self.at_ms(after_ms - 1).tick();
        assert_eq!(self.shown.body, "");
        self.at_ms(after_ms).tick();
        std::mem::take(&mut self.shown.body)
    }

    /// Lets time pass until another connection is requested, or the exchange ends. Returns that
    /// time, from the start.
    pub(crate) fn next_attempt(&mut self) -> u64 {
        let before = self.shown.connects;
        loop {
            let after_ms = self.wake_at_ms().unwrap();
            self.at_ms(after_ms).tick();
            if self.shown.connects > before || self.shown.ended {
                return after_ms;
            }
        }
    }

    /// Lets time pass until the exchange gives up; no connection can be made.
    pub(crate) fn out_of_reach(&mut self) {
        out_of_reach(&mut self.exchange, &mut self.shown);
    }

    /// Returns the last request to the gateway.
    pub(crate) fn last_request(&self) -> Value {
        serde_json::from_str(self.shown.frames.last().unwrap()).unwrap()
    }

    /// Returns the method of the last request to the gateway.
    pub(crate) fn last_method(&self) -> String {
        self.shown.methods().pop().unwrap_or_default()
    }
}
