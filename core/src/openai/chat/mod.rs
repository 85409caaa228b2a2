//! The endpoint `POST /v1/chat/completions`: its requests are read, its answers are written.

mod request;
mod writer;

pub use request::accept;
pub use writer::{ChatWriter, ID_PREFIX};
