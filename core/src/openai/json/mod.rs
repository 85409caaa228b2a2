//! Reads and writes JSON texts without knowing what they stand for.

pub(crate) mod bounds;
pub(super) mod digest;
pub(super) mod path;
pub(super) mod schema;
pub(super) mod text;
pub(super) mod write;
