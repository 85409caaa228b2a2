//! A response that is stored, and its rows.

use clawfront_core::exchange::{Exchange, Output, Progress};

use crate::hub::store::Store;

/// A response that is to be stored, or is.
pub(crate) struct Keep {
    /// The id of its key.
    pub(crate) key: String,
    /// Its name in the storage, once it is there.
    pub(crate) name: String,
    /// The items of its input, one in each line, until they are stored.
    pub(crate) input: String,
    /// Time for which it is kept after its end.
    pub(crate) time_ms: u64,
}

/// The reason why a response in the background cannot go on.
pub(crate) enum Unkept {
    /// The storage took nothing.
    Storage,
    /// Another request has the response. Its events have other numbers.
    Taken,
}

impl Keep {
    fn is_stored(&self) -> bool {
        !self.name.is_empty()
    }

    /// Stores the response's progress and its events. Returns false if nothing of it is stored from
    /// here on.
    pub(super) fn store(
        &mut self,
        store: &Store,
        exchange: &Exchange,
        output: &mut Output,
        now_ms: u64,
    ) -> Result<bool, Unkept> {
        let until_ms = match &output.progress {
            Some(Progress::Ended(_)) => now_ms.saturating_add(self.time_ms),
            _ => 0,
        };
        if output.progress.is_none() && output.blocks.is_empty() {
            return Ok(true);
        }
        let Some((id, row)) = exchange.stored(until_ms) else {
            return Ok(false);
        };
        let is_new = !self.is_stored();
        let name = [&self.key, ":", id].concat();
        if is_new && store.response(&name).is_some() {
            let is_stream = exchange.is_in_background() && !output.answered;
            return if is_stream {
                Err(Unkept::Taken)
            } else {
                Ok(false)
            };
        }
        let progress = output.progress.take();
        if let Some(Progress::Begun(object) | Progress::Ended(object)) = &progress {
            let input = std::mem::take(&mut self.input);
            let run = exchange.run_id();
            store
                .keep_response(&name, &row, run, object, is_new.then_some(&*input))
                .map_err(|_| Unkept::Storage)?;
            self.name = name;
        }
        for block in output.blocks.drain(..) {
            store
                .keep_block(&self.name, block.number, block.events.as_deref())
                .map_err(|_| Unkept::Storage)?;
        }
        Ok(until_ms == 0)
    }
}
