//! The body of a request to the admin API: a JSON object whose members are fields of a key.
//!
//! A member has the name and the form that `GET /v1/key` shows: `"agents": ["main"]`,
//! `"requests_per_minute": 30`, `"reasoning": true`. `null` stands for the default.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::access::field::FIELDS;
use crate::failure::Failure;

/// The members that were not taken yet.
pub(super) struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads a body. An empty body has no members.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Failure> {
        if body.is_empty() {
            return Ok(Self(Vec::new()));
        }
        // From text, as everything else is read: bytes would have code of their own.
        let members = std::str::from_utf8(body).ok();
        members
            .and_then(|body| serde_json::from_str(body).ok())
            .ok_or_else(|| Failure::InvalidRequest {
                param: None,
                message: "The request body is not a JSON object.".into(),
            })
    }

    /// Takes the value of a member, as an entry writes it; `None` if it is absent or `null`.
    pub(super) fn take_text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let Some(index) = self.0.iter().position(|(member, _)| member == name) else {
            return Ok(None);
        };
        let (name, value) = self.0.swap_remove(index);
        text_of(&name, value)
    }

    /// Takes the value of a member that is `true` or `false`.
    pub(super) fn take_switch(&mut self, name: &str) -> Result<Option<bool>, Failure> {
        match self.take_text(name)?.as_deref() {
            None => Ok(None),
            Some("on") => Ok(Some(true)),
            Some("off") => Ok(Some(false)),
            Some(_) => Err(unreadable(name)),
        }
    }

    /// Returns the fields of a key that the other members set.
    pub(super) fn changes(self) -> Result<Vec<(&'static str, Option<String>)>, Failure> {
        let changes = self.0.into_iter().map(|(member, value)| {
            let field = FIELDS.iter().find(|field| field.member == member);
            let field = field.ok_or_else(|| unknown(&member))?;
            Ok((field.name, text_of(field.member, value)?))
        });
        changes.collect()
    }

    /// Refuses members that nobody has taken.
    pub(super) fn refuse_others(&self) -> Result<(), Failure> {
        match self.0.first() {
            Some((member, _)) => Err(unknown(member)),
            None => Ok(()),
        }
    }
}

fn unknown(member: &str) -> Failure {
    Failure::invalid(
        member,
        "There is no such member; see GET /v1/key for their names.",
    )
}

fn unreadable(member: &str) -> Failure {
    Failure::invalid(
        member,
        "The value has another type, or a character that no field may have.",
    )
}

/// Returns a value as an entry writes it.
fn text_of(member: &str, value: &RawValue) -> Result<Option<String>, Failure> {
    let json = value.get();
    let text = match json.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b't') => Some("on".to_owned()),
        Some(b'f') => Some("off".to_owned()),
        Some(b'"') => serde_json::from_str(json).ok(),
        Some(b'[') => serde_json::from_str::<Vec<String>>(json)
            .ok()
            .map(|items| items.join(",")),
        Some(b'0'..=b'9') => Some(json.to_owned()),
        _ => None,
    };
    // In an entry these would end the value.
    text.filter(|text: &String| !text.contains(['"', ';']) && !text.contains(char::is_control))
        .map(Some)
        .ok_or_else(|| unreadable(member))
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members).map(Self)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
            members.push(member);
        }
        Ok(members)
    }
}
