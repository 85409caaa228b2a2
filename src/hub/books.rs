//! The hub's memory.

use std::cell::RefCell;
use std::rc::Rc;

use clawfront_core::access::quota::Counts;
use clawfront_core::agent_cache::AgentCache;
use clawfront_core::repeat::Requests;

use crate::hub::store::Store;

/// The state that the requests of the hub share. Source: these requests. It is gone with the
/// object, except for the store: the platform may reset the object at any time.
pub(crate) struct Books {
    pub(crate) store: Store,
    counts: RefCell<Counts>,
    requests: RefCell<Requests>,
    /// Source: the gateway's `agents.list`.
    agents: RefCell<AgentCache>,
}

impl Books {
    /// Makes the memory of an object that has just been made.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            counts: RefCell::default(),
            requests: RefCell::default(),
            agents: RefCell::default(),
        }
    }

    pub(crate) fn counts<T>(&self, use_counts: impl FnOnce(&mut Counts) -> T) -> T {
        use_counts(&mut self.counts.borrow_mut())
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
