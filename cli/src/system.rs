//! The parts of the system that commands use: clock, randomness, environment, standard error.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::outcome::Problem;

/// Prints a line while a command runs, because its end may be minutes away.
pub(crate) fn progress(message: &str) {
    // Nothing can be shown once standard error is closed.
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Shows what a command has made, on standard output and at once: it is shown nowhere else.
pub(crate) fn show(text: &str) -> Result<(), Problem> {
    let mut stdout = std::io::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Problem::new(format!("standard output cannot be written: {error}")))
}

pub(crate) fn now_ms() -> Result<u64, Problem> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    since
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .ok_or_else(|| Problem::new("this machine's clock is before 1970. Fix: set the clock"))
}

/// Returns bytes from the operating system's secure source.
pub(crate) fn entropy<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Problem::new(format!("no randomness from the system: {error}")))?;
    Ok(bytes)
}

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}
