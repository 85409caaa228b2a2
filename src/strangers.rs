//! The counts of this isolate for requests without a valid key.

use std::cell::RefCell;

use clawfront_core::access::throttle::Throttle;

thread_local! {
    /// Source: this isolate's requests. Never stale; it ends with the isolate, which knows nothing
    /// of other isolates.
    static THROTTLE: RefCell<Throttle> = RefCell::new(Throttle::default());
}

pub(crate) fn with<T>(use_throttle: impl FnOnce(&mut Throttle) -> T) -> T {
    THROTTLE.with_borrow_mut(use_throttle)
}
