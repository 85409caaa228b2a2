//! The endpoint `POST /v1/responses`: its requests are read, its answers are written.

mod echo;
mod id;
mod item;
mod object;
mod request;
mod writer;

pub use echo::Echo;
pub use request::{AcceptedResponse, accept};
pub use writer::{Ids, ResponseFields, ResponsesWriter};
