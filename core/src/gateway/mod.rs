//! The OpenClaw gateway's WebSocket agent API. Knows nothing of OpenAI.

mod answer;
pub mod credential;
pub mod device;
pub mod diagnosis;
pub(crate) mod frame;
pub(crate) mod link;
pub mod pairing;
mod prefix;
mod progress;
pub mod refusal;
pub mod roster;
pub(crate) mod run;
pub mod skim;
pub mod upgrade;
