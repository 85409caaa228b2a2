//! The OpenAI API of clients, without knowledge of the gateway.

mod accept;
mod blank;
mod body;
pub mod chat;
mod delivery;
mod effort;
pub mod error;
pub(crate) mod file;
mod forced;
mod format;
pub(crate) mod image;
pub(crate) mod json;
mod loggable;
mod lost;
mod message;
pub mod models;
mod naming;
mod prompt;
mod request;
pub mod responses;
pub mod speech;
pub(crate) mod stop;
#[cfg(test)]
mod testing;
mod tools;
mod ui_task;
mod writer;

pub use accept::Accepted;
pub use delivery::Delivery;
pub use forced::ForcedCall;
pub use loggable::{asked_model, loggable};
pub use lost::lost_body;
pub use request::{Entropy, MAX_BODY_BYTES, Request};
pub use stop::Stop;
pub use writer::Writer;
