//! The endpoint `POST /v1/responses`: its requests are read, its answers are written.

mod echo;
mod fields;
mod id;
mod input;
mod item;
mod object;
mod request;
mod resume;
mod stored;
mod writer;

pub use echo::Echo;
pub use object::Keeping;
pub use request::{AcceptedResponse, accept};
pub use stored::{Events, Stored, deleted, expired_event, input_items, unstored_events};
pub use writer::{Ids, ResponseFields, ResponsesWriter};
