//! The events of a run. Each version of the protocol has its own: see [`v3`] and [`v4`].

pub(crate) mod interface;
pub(crate) mod noise;
mod paced;
mod payload;
mod tee;
mod v3;
mod v4;

use std::sync::Arc;

use crate::events::interface::Events;
use crate::events::tee::Tee;
use crate::frames::Protocol;
use crate::run::context::RunContext;

/// Returns the emitter for the gateway's protocol.
pub(crate) fn for_protocol(context: Arc<RunContext>) -> Box<dyn Events + Send> {
    match context.protocol() {
        Protocol::V3 => Box::new(v3::V3::new(context)),
        Protocol::V4 => Box::new(v4::V4::new(context)),
    }
}

/// Returns an emitter whose moments go to both, `first` before `second`.
pub(crate) fn both(
    first: Box<dyn Events + Send>,
    second: Box<dyn Events + Send>,
) -> Box<dyn Events + Send> {
    Box::new(Tee { first, second })
}
