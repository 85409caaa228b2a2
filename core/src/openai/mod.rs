//! The OpenAI API as clients speak it. Knows nothing of the gateway.

pub mod chat;
mod completion;
pub mod depth;
mod image;
mod prompt;

pub(crate) use completion::write_error;
pub use completion::{Completion, Form};
