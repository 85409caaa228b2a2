//! A hub that keeps its runs, and is made again from their rows.

use clawfront_core::access::key::KeyId;
use clawfront_core::access::usage::{Day, Usage};
use clawfront_core::account::Account;
use clawfront_core::exchange::Exchange;
use clawfront_core::hub::Hub;
use clawfront_core::kept::Kept;
use clawfront_core::openai::Entropy;
use clawfront_core::repeat::{Fingerprint, Receiver, Requests};

use crate::replay::exchange_retried;
use crate::shared::{Client, IDLE_MS, STREAM, Shared};

/// The fields of keys, which differ in what happens to a run without its client.
pub(crate) const FIELDS: [&str; 2] = ["agents=main", "agents=main on_disconnect=finish"];

/// The key of a run: each has its own, so that its usage is the run's.
pub(crate) fn key_of(number: usize) -> KeyId {
    KeyId::parse(&format!("key-{number}")).unwrap()
}

fn fingerprint(number: usize) -> Fingerprint {
    Fingerprint::of(&[], std::iter::empty(), number.to_string().as_bytes())
}

impl Shared {
    /// Begins the exchange of a request that the hub remembers: an attempt with this number.
    /// Returns the client's place, or `None` if the request is refused.
    pub(crate) fn attempt(&mut self, number: usize, attempt: u32, fields: &str) -> Option<usize> {
        let (key, fingerprint) = (key_of(number), fingerprint(number));
        let earlier = self
            .memory
            .recall(&key, &fingerprint, attempt, self.now_ms)
            .ok()?;
        let is_repeated = earlier.is_some();
        if attempt > 0 && !is_repeated {
            // The hub has forgotten the request: it would be another one.
            return None;
        }
        let (entropy, receiver) = earlier.unwrap_or_else(|| {
            let run = [u8::try_from(number).unwrap(); 16];
            let entropy = Entropy { run, session: run };
            let memory = &mut self.memory;
            let receiver = memory.remember(&key, fingerprint, attempt, entropy, self.now_ms);
            (entropy, receiver)
        });
        let mut exchange = exchange_retried(entropy.run, is_repeated, STREAM, fields);
        exchange.set_key(key.clone());
        let run = format!("{number:02x}").repeat(16);
        Some(self.open(exchange, &key, receiver, run, self.now_ms))
    }

    pub(crate) fn open(
        &mut self,
        exchange: Exchange,
        key: &KeyId,
        receiver: Receiver,
        run: String,
        since_ms: u64,
    ) -> usize {
        let account = Account::begin(&mut self.usage, key, &run, &receiver, since_ms);
        let id = self.hub.begin(exchange, Some(receiver), self.now_ms);
        let mut client = Client::new(id, run);
        client.account = Some((key.clone(), account));
        self.clients.push(client);
        self.settle();
        self.clients.len() - 1
    }

    /// Resets the hub: everything is gone except the rows. The next hub adopts its runs.
    pub(crate) fn reset(&mut self) {
        self.reset_with(Hub::new(IDLE_MS));
    }

    /// Does the same with this next hub.
    pub(crate) fn reset_with(&mut self, hub: Hub) {
        self.clients.clear();
        self.hub = hub;
        self.requests.clear();
        self.memory = Requests::default();
        self.usage = Usage::default();
        for (key, row) in &self.storage.usage {
            self.usage.load(KeyId::parse(key).unwrap(), Some(row));
        }
        for (run, row) in self.storage.runs.clone() {
            let line = format!("{run}\t{row}");
            let kept = Kept::read(&line).unwrap();
            let receiver = self.memory.restore(&kept).unwrap();
            if kept.is_going() {
                let (exchange, key) = Exchange::adopt(&kept, self.now_ms).unwrap();
                let place = self.open(exchange, &key, receiver, run, kept.asked_ms);
                self.clients[place].has_ended = true;
            }
        }
    }

    /// Returns the usage of the run's key.
    pub(crate) fn usage_of(&self, number: usize) -> Day {
        self.usage.today(&key_of(number), self.now_ms)
    }
}
