//! The platform: sockets, timers, bindings, bodies and responses, and the guard against panics. It
//! does not know the steps of a request.

pub(crate) mod bindings;
pub(crate) mod clock;
pub(crate) mod endpoint;
pub(crate) mod entropy;
pub(crate) mod frames;
pub(crate) mod headers;
pub(crate) mod inflate;
pub(crate) mod listener;
pub(crate) mod panic_guard;
#[cfg(feature = "panics")]
pub(crate) mod panics;
pub(crate) mod response;
pub(crate) mod signer;
pub(crate) mod socket;
pub(crate) mod timer;
pub(crate) mod upgrade;
