//! A connection to a server, step by step, so that each step can fail with its own diagnosis:
//! address, TCP, TLS, upgrade.

pub(crate) mod http;
pub(crate) mod place;
pub(crate) mod stream;
