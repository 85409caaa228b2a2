//! The fields of objects that are read again: a response, its events, the items of its input.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::parse::{self, object};

/// All of these fields, so that there is one reader for all of the objects.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) kind: Option<Cow<'a, str>>,

    // Of a response.
    pub(super) created_at: u64,
    pub(super) model: Option<Cow<'a, str>>,
    pub(super) previous_response_id: Option<Cow<'a, str>>,

    // Of an event.
    pub(super) sequence_number: Option<u64>,
    pub(super) delta: Option<Cow<'a, str>>,

    // Of a request.
    pub(super) input: Option<&'a RawValue>,

    // Of an item.
    pub(super) role: Option<Cow<'a, str>>,
    pub(super) content: Option<&'a RawValue>,
}

object!(
    Fields<'_>,
    [],
    [
        id,
        kind: "type",
        created_at,
        model,
        previous_response_id,
        sequence_number,
        delta,
        input,
        role,
        content,
    ]
);

impl<'a> Fields<'a> {
    /// Reads an object. `None` if one of the fields has another type.
    #[inline(never)]
    pub(super) fn of(json: &'a str) -> Option<Self> {
        parse::from_str(json).ok()
    }
}
