//! The hub: the Durable Object that answers every admitted request of a deployment, so that its
//! counts are exact and a repeated request is recognised, wherever it arrives.

mod admin;
mod adopt;
mod agents;
mod attempt;
mod body;
mod books;
mod common;
mod files;
mod link;
mod models;
mod object;
mod relay;
mod responses;
mod run;
mod serve;
mod slot;
mod speech;
mod store;

pub use object::Hub;
