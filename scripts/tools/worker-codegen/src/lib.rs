//! Replaces the crate of this name: a further program of worker-build uses it, which is not built.
