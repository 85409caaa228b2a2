//! Exchanges as a whole: recorded and made-up connections in, bytes and frames out.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "tests count what they fed in"
)]

// An integration test is all test; with the attribute clippy knows it.
#[cfg(test)]
mod adopt;
#[cfg(test)]
mod again;
#[cfg(test)]
mod background;
#[cfg(test)]
mod books;
#[cfg(test)]
mod branch;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod continuation;
#[cfg(test)]
mod endpoint;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod hub;
#[cfg(test)]
mod interleaved;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod linger;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod media;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod question;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod reconnection;
#[cfg(test)]
mod recorded_resets;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod reread;
#[cfg(test)]
mod resets;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod signature;
#[cfg(test)]
mod speech;
#[cfg(test)]
mod states;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod texts;
#[cfg(test)]
mod transcripts;
#[cfg(test)]
mod user_question;
