//! The hub's memory.

use std::cell::RefCell;
use std::rc::Rc;

use clawfront_core::access::quota::Counts;
use clawfront_core::agent_cache::AgentCache;
use clawfront_core::repeat::Requests;

/// The state that the requests of the hub share. Source: these requests. It is gone with the
/// object: the platform may reset it at any time.
#[derive(Default)]
pub(crate) struct Books {
    counts: RefCell<Counts>,
    requests: RefCell<Requests>,
    /// Source: the gateway's `agents.list`.
    agents: RefCell<AgentCache>,
}

impl Books {
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
