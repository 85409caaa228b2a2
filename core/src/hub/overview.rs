//! The runs of the hub, as an administrator sees and stops them.

use crate::access::key::KeyId;
use crate::agent::AgentId;
use crate::exchange::{self, Exchange};
use crate::failure::Failure;
use crate::log_key::LogKey;

use super::{Entry, Hub};

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

impl Hub {
    /// Returns the runs as JSON objects with commas between them. A run that several requests share
    /// is one object. All texts are ids and words of ours.
    #[inline(never)]
    pub fn runs(&self, log_key: &LogKey) -> String {
        let mut out = String::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let run = entry.exchange.run_id();
            let mut earlier = self.entries.iter().take(index);
            if !earlier.any(|earlier| earlier.exchange.run_id() == run) {
                self.write(entry, log_key, &mut out);
            }
        }
        out
    }

    fn write(&self, entry: &Entry, log_key: &LogKey, out: &mut String) {
        let exchange = &entry.exchange;
        let sharing = self.of_run(exchange.run_id());
        let clients = sharing.filter(|exchange| exchange.has_client()).count();
        let session = exchange.session();
        let session = session.map(|session| log_key.of_session(session.as_str()));
        let can_stop = if self.can_be_stopped(exchange.run_id()) {
            "true"
        } else {
            "false"
        };
        let texts = [
            ("id", Some(exchange.run_id())),
            ("key", exchange.key().map(KeyId::as_str)),
            ("agent", exchange.agent().map(AgentId::as_str)),
            ("session", session.as_deref()),
            ("state", Some(exchange.state().name())),
        ];
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(r#"{"object":"run""#);
        for (name, text) in texts {
            let quote = if text.is_some() { "\"" } else { "" };
            for part in [",\"", name, "\":", quote, text.unwrap_or("null"), quote] {
                out.push_str(part);
            }
        }
        let created_s = (exchange.since_ms(entry.began_ms) / SECOND_MS).to_string();
        for (name, value) in [
            ("created_at", created_s.as_str()),
            ("clients", &clients.to_string()),
            ("can_be_stopped", can_stop),
        ] {
            for part in [",\"", name, "\":", value] {
                out.push_str(part);
            }
        }
        out.push('}');
    }

    /// Returns the key of a run, if the run can be stopped.
    pub fn stoppable_key(&self, run: &str) -> Result<&str, Failure> {
        let exchange = self.of_run(run).next().ok_or(Failure::RunNotFound)?;
        if !self.can_be_stopped(run) {
            return Err(Failure::InvalidRequest {
                param: None,
                message: "The gateway has protocol 3, which cannot stop a run that has begun."
                    .into(),
            });
        }
        Ok(exchange.key().map_or("", KeyId::as_str))
    }

    pub(super) fn stop(&mut self, run: &str, now_ms: u64) {
        for index in 0..self.entries.len() {
            let entry = self.entries.get(index);
            if entry.is_some_and(|entry| entry.exchange.run_id() == run) {
                self.give(index, exchange::Input::Stopped, now_ms);
            }
        }
    }

    /// Returns true if all exchanges of the run can be stopped: one of them may not know yet that
    /// the gateway has it.
    fn can_be_stopped(&self, run: &str) -> bool {
        self.of_run(run).all(Exchange::can_be_stopped)
    }

    fn of_run(&self, run: &str) -> impl Iterator<Item = &Exchange> {
        let exchanges = self.entries.iter().map(|entry| &entry.exchange);
        exchanges.filter(move |exchange| exchange.run_id() == run)
    }
}
