//! The fields of objects that are read again: a response, its events, the items of its input.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::parse;

/// All of these fields, so that there is one reader for all of the objects.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(rename = "type", borrow)]
    pub(super) kind: Option<Cow<'a, str>>,

    // Of a response.
    pub(super) created_at: u64,
    #[serde(borrow)]
    pub(super) model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) previous_response_id: Option<Cow<'a, str>>,

    // Of an event.
    pub(super) sequence_number: Option<u64>,
    #[serde(borrow)]
    pub(super) delta: Option<Cow<'a, str>>,

    // Of a request.
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,

    // Of an item.
    #[serde(borrow)]
    pub(super) role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    /// Reads an object. `None` if one of the fields has another type.
    #[inline(never)]
    pub(super) fn of(json: &'a str) -> Option<Self> {
        parse::from_str(json).ok()
    }
}
