//! HTTP without OpenAI's shapes: paths, heads, content codings, request bodies and event streams.

pub mod coding;
pub mod head;
pub mod route;
pub mod sse;
pub mod upload;
