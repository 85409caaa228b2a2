//! JSON that is parsed later, once its type is known.

use crate::parse::{self, Place, Value};

/// A value that is read once its type is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// Takes the value that `text` begins with; the text after it is ignored.
    pub(crate) fn beginning(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns false if the value is the payload of another run. `quoted_id` is the beginning of
    /// the run's id, as it is written.
    pub(crate) fn may_be_of(self, quoted_id: &str) -> bool {
        self.0
            .strip_prefix(r#"{"runId":""#)
            .is_none_or(|rest| rest.starts_with(quoted_id))
    }

    /// Reads the value; `None` if it has another type.
    pub(crate) fn read<T: Value<'a>>(self) -> Option<T> {
        parse::beginning(self.0).ok()
    }
}

impl<'de> Value<'de> for Json<'de> {
    fn blank() -> Self {
        Self::default()
    }

    fn place(&mut self) -> Place<'_, 'de> {
        Place::Json(&mut self.0)
    }
}
