//! The OpenAI API as clients speak it. Knows nothing of the gateway.

mod body;
pub mod chat;
mod completion;
mod depth;
mod image;
pub mod models;
mod prompt;
mod task;

pub(crate) use completion::write_error;
pub use completion::{Completion, Form};
