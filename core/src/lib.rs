//! Everything Clawfront decides without I/O.
//!
//! No clock, no randomness, no sockets: they come in as arguments, so every path can be tested
//! natively and replayed.

pub mod access;
pub mod account;
pub mod admin;
pub mod agent;
pub mod agent_cache;
pub mod config;
#[cfg(test)]
mod documented;
pub mod exchange;
pub mod failure;
pub mod file;
pub mod gateway;
pub mod http;
pub mod hub;
pub mod kept;
pub mod log;
pub mod log_key;
pub mod openai;
mod parse;
pub mod repeat;
pub mod secret;
pub mod session;
pub mod turn;
