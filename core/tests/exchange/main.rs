//! Exchanges as a whole: recorded and made-up connections in, bytes and frames out.

mod replay;
mod states;
mod transcripts;
