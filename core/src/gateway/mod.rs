//! The OpenClaw gateway's WebSocket agent API. It does not know OpenAI.

pub(crate) mod agent_list;
pub mod agent_question;
pub(crate) mod answer;
pub(crate) mod client_identity;
pub mod credential;
pub mod device;
pub mod endpoint;
pub mod exposure;
pub(crate) mod frame;
mod handshake;
pub(crate) mod link;
mod media;
pub mod media_route;
mod memory;
pub mod pairing;
pub mod peek;
pub(crate) mod prefix;
mod progress;
pub mod refusal;
pub(crate) mod run;
pub(crate) mod speech;
mod stored;
pub mod upgrade;
mod user_question;
