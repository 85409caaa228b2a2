//! Questions to a person at a terminal. After an invalid answer, the reason is printed and the
//! question is asked again.

use std::io::{IsTerminal as _, Write as _};

use zeroize::Zeroizing;

use crate::outcome::{Problem, USAGE};
use crate::system::progress;

/// Returns true if standard input is a terminal.
pub(crate) fn is_possible() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks until `check` accepts the answer.
pub(crate) fn until<T>(
    question: &str,
    mut check: impl FnMut(&str) -> Result<T, String>,
) -> Result<T, Problem> {
    loop {
        match check(&line(question)?) {
            Ok(answer) => return Ok(answer),
            Err(why) => progress(&format!("  {why}")),
        }
    }
}

/// Asks for a secret without showing it.
pub(crate) fn secret(question: &str) -> Result<Zeroizing<String>, Problem> {
    rpassword::prompt_password(question)
        .map(Zeroizing::new)
        .map_err(|error| Problem::new(format!("the secret cannot be read: {error}")))
}

/// Asks for a line.
pub(crate) fn line(question: &str) -> Result<String, Problem> {
    let failed = |error: std::io::Error| Problem::new(format!("no answer can be read: {error}"));
    let mut stderr = std::io::stderr();
    stderr
        .write_all(question.as_bytes())
        .and_then(|()| stderr.flush())
        .map_err(failed)?;
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).map_err(failed)? == 0 {
        return Err(Problem::with(USAGE, "no answer"));
    }
    Ok(line.trim().to_owned())
}
