//! The OpenAI API as clients speak it. Knows nothing of the gateway.

mod body;
pub mod chat;
mod completion;
mod depth;
mod format;
mod image;
pub mod models;
mod prompt;
mod rendition;
mod response;
pub mod responses;
mod task;

pub(crate) use completion::write_error;
pub use completion::{Completion, Form};
pub use rendition::Rendition;
pub use response::Response;
