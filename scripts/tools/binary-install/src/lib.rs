//! Replaces the crate of this name, which worker-build lists and does not use.
