//! The hub: the Durable Object that answers every admitted request of a deployment, so that its
//! counts are exact and a repeated request is recognised, wherever it arrives.

mod agents;
mod attempt;
mod body;
mod books;
mod models;
mod object;
mod relay;
mod run;
mod serve;
mod slot;

pub use object::Hub;
