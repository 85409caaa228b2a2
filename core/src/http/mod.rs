//! HTTP without OpenAI's shapes: addresses, paths, heads, content codings, request bodies and event
//! streams.

pub mod coding;
pub mod head;
pub mod route;
pub mod sse;
pub mod upload;
pub mod url;
