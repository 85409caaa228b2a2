//! A gateway's refusal: the codes of its `error` that may be logged.
//!
//! Never its prose, which changes between versions.

use std::borrow::Cow;

use super::diagnosis::Diagnosis;

/// An `error` of the gateway, reduced to the parts that may be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub diagnosis: Diagnosis,
    /// The gateway's own code: `error.details.code`, else `error.code`.
    pub code: Cow<'static, str>,
    /// `error.details.requestId` of a pairing request. The gateway's operator approves the device
    /// by this id.
    pub request_id: Option<String>,
}

impl Refusal {
    /// Returns a refusal that we make instead of the gateway, under the code that it would use.
    pub fn ours(code: &'static str) -> Self {
        Self {
            diagnosis: Diagnosis::of_refusal(code, ""),
            code: Cow::Borrowed(code),
            request_id: None,
        }
    }

    /// Returns the action that the operator can take, with the exact command if there is one.
    pub fn fix(&self) -> Cow<'static, str> {
        match &self.request_id {
            Some(id) => format!("on the gateway's host run: openclaw devices approve {id}").into(),
            None => self.diagnosis.fix().into(),
        }
    }
}
