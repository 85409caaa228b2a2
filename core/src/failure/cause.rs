//! The part of a failure that only the log has, for the operator.

use std::borrow::Cow;

/// The cause of a failure, for the log only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Our code. For the connection to the gateway it is
    /// [`Diagnosis::code`](super::diagnosis::Diagnosis::code).
    pub code: Cow<'static, str>,
    /// The other side's own code: the gateway's, an HTTP status, or a close code.
    pub detail: Option<Cow<'static, str>>,
    /// The action that the operator can take.
    pub fix: Cow<'static, str>,
}

impl Cause {
    pub fn new(code: &'static str, fix: &'static str) -> Self {
        Self {
            code: code.into(),
            detail: None,
            fix: fix.into(),
        }
    }
}
