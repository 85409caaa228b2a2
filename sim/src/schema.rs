//! The gateway's closed parameter schemas, and its messages for violations.
//!
//! Only the first violation is reported; the gateway reports all of one object, joined with `; `.

use serde_json::{Map, Value};

use crate::frames::Protocol;

/// The fields that an object may have; any other is refused.
#[derive(Debug)]
pub(crate) struct Schema(pub(crate) &'static [Field]);

#[derive(Debug)]
pub(crate) struct Field {
    name: &'static str,
    kind: Kind,
    required: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Any,
    Text,
    NonEmptyText,
    /// A whole number from the given one on.
    Integer(u64),
    Flag,
    List,
    Texts,
    OneOf(&'static [&'static str]),
    Object(&'static Schema),
}

pub(crate) const fn optional(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: false,
    }
}

pub(crate) const fn required(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: true,
    }
}

impl Schema {
    /// Returns the message of the version for the violation in `value`.
    pub(crate) fn check(&self, value: &Value, protocol: Protocol) -> Result<(), String> {
        self.check_at("", value, protocol)
    }

    fn check_at(&self, path: &str, value: &Value, protocol: Protocol) -> Result<(), String> {
        let Value::Object(object) = value else {
            return Err(at(path, "must be object"));
        };
        for field in self.0.iter().filter(|field| field.required) {
            if !object.contains_key(field.name) {
                return Err(at(
                    path,
                    &format!("must have required property '{}'", field.name),
                ));
            }
        }
        self.refuse_unknown(path, object)?;
        for field in self.0 {
            if let Some(value) = object.get(field.name) {
                field
                    .kind
                    .check_at(&format!("{path}/{}", field.name), value, protocol)?;
            }
        }
        Ok(())
    }

    fn refuse_unknown(&self, path: &str, object: &Map<String, Value>) -> Result<(), String> {
        let unknown = object
            .keys()
            .find(|key| self.0.iter().all(|field| field.name != key.as_str()));
        match unknown {
            Some(key) if path.is_empty() => Err(format!("at root: unexpected property '{key}'")),
            Some(key) => Err(format!("at {path}: unexpected property '{key}'")),
            None => Ok(()),
        }
    }
}

impl Kind {
    fn check_at(&self, path: &str, value: &Value, protocol: Protocol) -> Result<(), String> {
        match self {
            Self::Any => Ok(()),
            Self::Text if value.is_string() => Ok(()),
            Self::NonEmptyText => match value.as_str() {
                Some("") => Err(at(
                    path,
                    match protocol {
                        Protocol::V3 => "must NOT have fewer than 1 characters",
                        Protocol::V4 => "must not have fewer than 1 characters",
                    },
                )),
                Some(_) => Ok(()),
                None => Err(at(path, "must be string")),
            },
            Self::Text => Err(at(path, "must be string")),
            Self::Integer(least) => match value.as_u64() {
                Some(number) if number >= *least => Ok(()),
                Some(_) => Err(at(path, &format!("must be >= {least}"))),
                None => Err(at(path, "must be integer")),
            },
            Self::Flag if value.is_boolean() => Ok(()),
            Self::Flag => Err(at(path, "must be boolean")),
            Self::List if value.is_array() => Ok(()),
            Self::Texts => match value.as_array() {
                Some(items) => items.iter().enumerate().try_for_each(|(index, item)| {
                    Self::NonEmptyText.check_at(&format!("{path}/{index}"), item, protocol)
                }),
                None => Err(at(path, "must be array")),
            },
            Self::List => Err(at(path, "must be array")),
            Self::OneOf(values) if value.as_str().is_some_and(|value| values.contains(&value)) => {
                Ok(())
            }
            Self::OneOf(_) => Err(match protocol {
                Protocol::V3 => {
                    format!(
                        "at {path}: must be equal to constant; at {path}: must match a schema in \
                         anyOf"
                    )
                }
                Protocol::V4 => at(path, "must be equal to one of the allowed values"),
            }),
            Self::Object(schema) => schema.check_at(path, value, protocol),
        }
    }
}

/// Names the place, except the root.
fn at(path: &str, what: &str) -> String {
    if path.is_empty() {
        what.to_owned()
    } else {
        format!("at {path}: {what}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const INNER: Schema = Schema(&[required("platform", Kind::NonEmptyText)]);
    const OUTER: Schema = Schema(&[
        required("message", Kind::NonEmptyText),
        optional("client", Kind::Object(&INNER)),
        optional("mode", Kind::OneOf(&["cli"])),
    ]);

    fn check(value: &Value, protocol: Protocol) -> String {
        OUTER.check(value, protocol).err().unwrap_or_default()
    }

    #[test]
    fn violations_are_worded_as_measured() {
        assert_eq!(
            check(&json!({}), Protocol::V4),
            "must have required property 'message'"
        );
        assert_eq!(
            check(&json!({"message": "x", "foo": 1}), Protocol::V4),
            "at root: unexpected property 'foo'"
        );
        assert_eq!(
            check(&json!({"message": ""}), Protocol::V4),
            "at /message: must not have fewer than 1 characters"
        );
        assert_eq!(
            check(&json!({"message": ""}), Protocol::V3),
            "at /message: must NOT have fewer than 1 characters"
        );
        assert_eq!(
            check(&json!({"message": "x", "client": {}}), Protocol::V4),
            "at /client: must have required property 'platform'"
        );
        assert_eq!(
            check(&json!({"message": "x", "mode": "operator"}), Protocol::V3),
            "at /mode: must be equal to constant; at /mode: must match a schema in anyOf"
        );
    }
}
