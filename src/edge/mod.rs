//! The edge: the first steps of a request. It keeps no state that matters, and reads no body and no
//! stream.

mod admit;
mod forward;
mod serve;

pub(crate) use serve::serve;
