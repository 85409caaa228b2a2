//! Everything Clawfront decides without I/O.
//!
//! No clock, no randomness, no sockets: they come in as arguments, so every path can be tested natively and replayed.

pub mod agent;
pub mod bearer;
pub mod config;
pub mod error;
pub mod exchange;
pub mod gateway;
pub mod key;
pub mod limit;
pub mod log;
pub mod openai;
pub mod origin;
pub mod repeat;
pub mod respond;
pub mod route;
pub mod secret;
pub mod session;
pub mod sse;
pub mod turn;
