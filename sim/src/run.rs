//! Runs: their data, their steps, and their ends.

pub(crate) mod account;
pub(crate) mod context;
pub(crate) mod failure;
pub(crate) mod outcome;
pub(crate) mod record;
pub(crate) mod task;
