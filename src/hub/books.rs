//! The hub's memory.

use std::cell::RefCell;
use std::rc::Rc;

use clawfront_core::access::hub_key::HubKeys;
use clawfront_core::access::key::KeyId;
use clawfront_core::access::quota::Counts;
use clawfront_core::access::usage::LastUse;
use clawfront_core::agent_cache::AgentCache;
use clawfront_core::repeat::Requests;

use crate::hub::store::Store;
use crate::runtime::clock::now_ms;

/// The state that the requests of the hub share. Source: these requests, and the store: the
/// platform may reset the object at any time.
pub(crate) struct Books {
    pub(crate) store: Store,
    counts: RefCell<Counts>,
    /// Source: the store, which has every key.
    keys: RefCell<HubKeys>,
    requests: RefCell<Requests>,
    /// Source: the gateway's `agents.list`.
    agents: RefCell<AgentCache>,
}

impl Books {
    /// Makes the memory of an object that has just been made.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            keys: RefCell::new(HubKeys::read(&store.keys())),
            store,
            counts: RefCell::default(),
            requests: RefCell::default(),
            agents: RefCell::default(),
        }
    }

    pub(crate) fn counts<T>(&self, use_counts: impl FnOnce(&mut Counts) -> T) -> T {
        use_counts(&mut self.counts.borrow_mut())
    }

    /// Returns the counts, with the usage of this key.
    pub(crate) fn counts_of<T>(&self, key: &KeyId, use_counts: impl FnOnce(&mut Counts) -> T) -> T {
        if !self.counts(|counts| counts.usage.knows(key)) {
            let row = self.store.usage(key.as_str());
            self.counts(|counts| counts.usage.load(key.clone(), row.as_deref()));
        }
        self.counts(use_counts)
    }

    /// Records a use of the key.
    pub(crate) fn note_use(&self, key: &KeyId, last_use: LastUse) {
        if self.counts_of(key, |counts| counts.usage.note_use(key, last_use)) {
            self.keep_usage(key);
        }
    }

    /// Has the key's usage kept, so that it outlives the object.
    pub(crate) fn keep_usage(&self, key: &KeyId) {
        if let Some(row) = self.counts(|counts| counts.usage.row(key)) {
            self.store.keep_usage(key.as_str(), &row);
        }
    }

    /// Returns the rows of all keys' usage on these days, with what is not stored yet.
    pub(crate) fn usage_rows(&self, (from, until): (u64, u64)) -> String {
        for key in self.counts(|counts| counts.usage.keys_of(now_ms())) {
            self.keep_usage(&key);
        }
        let as_number = |day: u64| u32::try_from(day).unwrap_or(u32::MAX);
        self.store.usage_rows(as_number(from), as_number(until))
    }

    pub(crate) fn keys<T>(&self, use_keys: impl FnOnce(&mut HubKeys) -> T) -> T {
        use_keys(&mut self.keys.borrow_mut())
    }

    pub(crate) fn requests<T>(&self, use_requests: impl FnOnce(&mut Requests) -> T) -> T {
        use_requests(&mut self.requests.borrow_mut())
    }

    pub(crate) fn agents<T>(&self, use_agents: impl FnOnce(&mut AgentCache) -> T) -> T {
        use_agents(&mut self.agents.borrow_mut())
    }
}

/// The hub's memory, shared.
pub(crate) type Shared = Rc<Books>;
