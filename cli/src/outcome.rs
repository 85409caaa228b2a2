//! The end of a command: its output or its problem, and the exit code.

/// The end of every `--help`.
macro_rules! exit_codes {
    () => {
        "Exit codes:
  0  done
  1  failed; doctor found a problem; status: the gateway cannot be used
  2  wrong usage
  3  the gateway's operator has to approve the device first
  4  the list or the settings have mistakes; KEYS_SECRET is missing
  5  refused: something would be overwritten, or the state of the rotation does not allow it
  6  the hub or the list has no key of this id; the hub has no such run
  7  the key would not be admitted; the administrator's key is refused
  8  doctor found warnings, but no problem
  9  changed, but not confirmed everywhere: a revoked key may still work"
    };
}

pub(crate) use exit_codes;

pub(crate) const EXIT_CODES: &str = exit_codes!();

pub(crate) const FAILED: u8 = 1;

pub(crate) const USAGE: u8 = 2;

pub(crate) const NOT_APPROVED: u8 = 3;

pub(crate) const MISTAKES: u8 = 4;

pub(crate) const CONFLICT: u8 = 5;

pub(crate) const NOT_FOUND: u8 = 6;

pub(crate) const NOT_ADMITTED: u8 = 7;

pub(crate) const WARNED: u8 = 8;

pub(crate) const NOT_IN_FORCE: u8 = 9;

/// A failure: its message and the exit code.
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) code: u8,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with(FAILED, message)
    }

    pub(crate) fn with(code: u8, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, code }
    }
}

/// The output of a command.
#[derive(Default)]
pub(crate) struct Output {
    /// The bytes for standard output.
    pub(crate) text: String,
    /// The text for people, on standard error.
    pub(crate) note: String,
    pub(crate) code: u8,
}

impl Output {
    pub(crate) fn of(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }

    pub(crate) fn line(line: impl std::fmt::Display) -> Self {
        Self {
            text: format!("{line}\n"),
            ..Self::default()
        }
    }
}
