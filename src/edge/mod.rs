//! The edge: the steps of a request, in order. Keeps no state that matters.

mod admit;
mod agents;
mod context;
mod models;
mod run;
mod serve;

pub(crate) use serve::serve;
