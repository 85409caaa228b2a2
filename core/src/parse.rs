//! Reads JSON into types. A struct is read from an object only.
//!
//! The JSON is read by code that does not know the types: a type gives the [`Place`]s of its
//! fields. serde's derived code is a function for each type, which took 11 KiB more of the upload.
//! Everything is read from text, and nothing from bytes, because `serde_json` has code of its own
//! for each, which took 3 KiB.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde_json::value::RawValue;

/// Reads a text that holds one value.
pub(crate) fn from_str<'de, T: Value<'de>>(text: &'de str) -> serde_json::Result<T> {
    let mut value = T::blank();
    read(text, value.place())?;
    Ok(value)
}

/// Does the same for a place. It is not inlined, because it does not depend on the type.
#[inline(never)]
fn read<'de>(text: &'de str, place: Place<'_, 'de>) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_str(text);
    place.deserialize(&mut json)?;
    json.end()
}

/// Reads the value that a text begins with.
pub(crate) fn beginning<'de, T: Value<'de>>(text: &'de str) -> serde_json::Result<T> {
    let mut value = T::blank();
    value
        .place()
        .deserialize(&mut serde_json::Deserializer::from_str(text))?;
    Ok(value)
}

/// A type that can be read from JSON.
pub(crate) trait Value<'de> {
    /// Returns the value before it is read, which is also that of an optional member without it.
    fn blank() -> Self;

    /// Returns the place that the value is read into.
    fn place(&mut self) -> Place<'_, 'de>;
}

/// A place that a value is read into. After an error it may hold any part of the value.
pub(crate) enum Place<'p, 'de> {
    /// A text, which is borrowed if it has no escapes.
    Text(&'p mut Cow<'de, str>),
    String(&'p mut String),
    /// A value that is kept as JSON.
    Raw(&'p mut &'de RawValue),
    Json(&'p mut &'de str),
    Bool(&'p mut bool),
    U32(&'p mut u32),
    U64(&'p mut u64),
    F64(&'p mut f64),
    /// A value, or `null`.
    Optional(&'p mut dyn Insert<'de>),
    List(&'p mut dyn Insert<'de>),
    /// An object with any members.
    Map(&'p mut dyn InsertAt<'de>),
    Object(&'p mut dyn Object<'de>),
    Either(&'p mut dyn Either<'de>),
    /// A value that is not kept.
    Ignored,
}

/// A value that has another one within it, once there is one.
pub(crate) trait Insert<'de> {
    fn insert(&mut self) -> Place<'_, 'de>;
}

/// A value that has others within it, by name.
pub(crate) trait InsertAt<'de> {
    fn insert_at(&mut self, name: String) -> Place<'_, 'de>;
}

/// A value that is read from a text or from something else. `null` leaves it as it is.
pub(crate) trait Either<'de> {
    fn set_text(&mut self, text: Cow<'de, str>);

    /// Returns the place of a list, if the value may be one.
    fn list(&mut self) -> Option<&mut dyn Insert<'de>> {
        None
    }

    /// Returns the place of an object, if the value may be one.
    fn object(&mut self) -> Option<&mut dyn Object<'de>> {
        None
    }
}

/// A struct that is read from an object. [`object`] implements it.
pub(crate) trait Object<'de> {
    /// Calls `read` with the members of the object.
    fn members(&mut self, read: &mut dyn FnMut(Members<'_, 'de>));
}

/// The members of an object that are read.
pub(crate) struct Members<'p, 'de> {
    /// The number of members, from the first on, without which there is no object.
    pub needed: usize,
    /// The name of each member. A name that has no place is another one of the first member.
    pub names: &'static [&'static str],
    /// The place of each member, until it is read.
    pub places: &'p mut [Option<Place<'p, 'de>>],
}

/// Makes a struct readable from an object. The members of the first list must be there, those of
/// the second keep their default otherwise. `or` is another name of the first member.
macro_rules! object {
    ($type:ident<'_>, $($members:tt)*) => {
        $crate::parse::object! { @ $type, ($type<'de>), $($members)* }
    };
    (@ $type:ident, ($($full:tt)+), [$($need:ident $(: $need_name:literal)?),* $(,)?],
        [$($may:ident $(: $may_name:literal)?),* $(,)?] $(, or $alias:literal)?) => {
        impl<'de> $crate::parse::Object<'de> for $($full)+ {
            fn members(&mut self, read: &mut dyn FnMut($crate::parse::Members<'_, 'de>)) {
                const NEEDED: &[&str] = &[$($crate::parse::name!($need $($need_name)?)),*];
                read($crate::parse::Members {
                    needed: NEEDED.len(),
                    names: &[
                        $($crate::parse::name!($need $($need_name)?),)*
                        $($crate::parse::name!($may $($may_name)?),)*
                        $($alias)?
                    ],
                    places: &mut [
                        $(Some($crate::parse::Value::place(&mut self.$need)),)*
                        $(Some($crate::parse::Value::place(&mut self.$may)),)*
                    ],
                });
            }
        }

        impl<'de> $crate::parse::Value<'de> for $($full)+ {
            fn blank() -> Self {
                Self::default()
            }

            fn place(&mut self) -> $crate::parse::Place<'_, 'de> {
                $crate::parse::Place::Object(self)
            }
        }
    };
    ($type:ident, $($members:tt)*) => {
        $crate::parse::object! { @ $type, ($type), $($members)* }
    };
}

/// Returns the name of a member: its own, or that of its field.
macro_rules! name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

pub(crate) use {name, object};

/// Implements [`Value`] for types that have a place of their own.
macro_rules! value {
    ($($type:ty, $blank:expr, $place:ident;)*) => {$(
        impl<'de> Value<'de> for $type {
            fn blank() -> Self {
                $blank
            }

            fn place(&mut self) -> Place<'_, 'de> {
                Place::$place(self)
            }
        }
    )*};
}

value! {
    Cow<'de, str>, Cow::Borrowed(""), Text;
    String, String::new(), String;
    &'de RawValue, RawValue::NULL, Raw;
    bool, false, Bool;
    u32, 0, U32;
    u64, 0, U64;
    f64, 0.0, F64;
}

impl<'de> Value<'de> for IgnoredAny {
    fn blank() -> Self {
        Self
    }

    fn place(&mut self) -> Place<'_, 'de> {
        Place::Ignored
    }
}

impl<'de, T: Value<'de>> Value<'de> for Option<T> {
    fn blank() -> Self {
        None
    }

    fn place(&mut self) -> Place<'_, 'de> {
        Place::Optional(self)
    }
}

impl<'de, T: Value<'de>> Value<'de> for Box<T> {
    fn blank() -> Self {
        Self::new(T::blank())
    }

    fn place(&mut self) -> Place<'_, 'de> {
        (**self).place()
    }
}

impl<'de, T: Value<'de>> Insert<'de> for Option<T> {
    fn insert(&mut self) -> Place<'_, 'de> {
        Self::insert(self, T::blank()).place()
    }
}

impl<'de, T: Value<'de>> Value<'de> for Vec<T> {
    fn blank() -> Self {
        Self::new()
    }

    fn place(&mut self) -> Place<'_, 'de> {
        Place::List(self)
    }
}

impl<'de, T: Value<'de>> Insert<'de> for Vec<T> {
    fn insert(&mut self) -> Place<'_, 'de> {
        self.push_mut(T::blank()).place()
    }
}

impl<'de, T: Value<'de>> Value<'de> for BTreeMap<String, T> {
    fn blank() -> Self {
        Self::new()
    }

    fn place(&mut self) -> Place<'_, 'de> {
        Place::Map(self)
    }
}

/// The last value of a repeated name counts.
impl<'de, T: Value<'de>> InsertAt<'de> for BTreeMap<String, T> {
    fn insert_at(&mut self, name: String) -> Place<'_, 'de> {
        self.entry(name).insert_entry(T::blank()).into_mut().place()
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_, 'de> {
    type Value = ();

    #[inline(never)]
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        match self {
            Place::Text(_) | Place::String(_) => json.deserialize_str(self),
            Place::Raw(raw) => <&RawValue>::deserialize(json).map(|value| *raw = value),
            Place::Json(text) => <&RawValue>::deserialize(json).map(|value| *text = value.get()),
            Place::Bool(flag) => bool::deserialize(json).map(|value| *flag = value),
            Place::U32(number) => u32::deserialize(json).map(|value| *number = value),
            Place::U64(number) => u64::deserialize(json).map(|value| *number = value),
            Place::F64(number) => f64::deserialize(json).map(|value| *number = value),
            Place::Optional(_) => json.deserialize_option(self),
            Place::List(_) => json.deserialize_seq(self),
            Place::Map(_) | Place::Object(_) => json.deserialize_map(self),
            Place::Either(_) => json.deserialize_any(self),
            Place::Ignored => IgnoredAny::deserialize(json).map(|_| ()),
        }
    }
}

/// The end of a message about a value of the wrong type.
const OTHER: &str = "another type";

impl<'de> Visitor<'de> for Place<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Text(_) | Place::String(_) => "a text",
            Place::List(_) => "a list",
            Place::Map(_) | Place::Object(_) => "an object",
            _ => OTHER,
        })
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        match self {
            Place::Text(place) => *place = Cow::Borrowed(text),
            other => return other.set_text(Cow::Borrowed(text)),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.set_text(Cow::Owned(text.to_owned()))
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        match self {
            Place::Optional(value) => value.insert().deserialize(json),
            other => Err(Error::invalid_type(Unexpected::Option, &other)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut json: A) -> Result<(), A::Error> {
        let list = match self {
            Place::List(list) => Some(list),
            Place::Either(value) => value.list(),
            other => return Err(Error::invalid_type(Unexpected::Seq, &other)),
        };
        let list = list.ok_or_else(|| Error::invalid_type(Unexpected::Seq, &OTHER))?;
        while json.next_element_seed(Next(list))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut json: A) -> Result<(), A::Error> {
        let object = match self {
            Place::Map(map) => {
                while let Some(name) = json.next_key()? {
                    json.next_value_seed(map.insert_at(name))?;
                }
                return Ok(());
            }
            Place::Object(object) => Some(object),
            Place::Either(value) => value.object(),
            other => return Err(Error::invalid_type(Unexpected::Map, &other)),
        };
        let object = object.ok_or_else(|| Error::invalid_type(Unexpected::Map, &OTHER))?;
        let mut result = Ok(());
        object.members(&mut |members| {
            if let Err(error) = members.read(&mut json) {
                result = Err(error);
            }
        });
        result
    }
}

impl<'de> Place<'_, 'de> {
    fn set_text<E: Error>(self, value: Cow<'de, str>) -> Result<(), E> {
        match self {
            Place::Text(text) => *text = value,
            Place::String(text) => *text = value.into_owned(),
            Place::Either(either) => either.set_text(value),
            other => return Err(Error::invalid_type(Unexpected::Str(&value), &other)),
        }
        Ok(())
    }
}

/// Reads the next element of a list.
struct Next<'p, 'de>(&'p mut dyn Insert<'de>);

impl<'de> DeserializeSeed<'de> for Next<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.0.insert().deserialize(json)
    }
}

impl<'de> Members<'_, 'de> {
    fn read<A: MapAccess<'de>>(self, json: &mut A) -> Result<(), A::Error> {
        while let Some(index) = json.next_key_seed(Known(self.names))? {
            let place = match self.places.get_mut(index) {
                Some(place) => place.take(),
                None if index < self.names.len() => self.places.first_mut().and_then(Option::take),
                None => Some(Place::Ignored),
            };
            let Some(place) = place else {
                return Err(Error::duplicate_field(self.name(index)));
            };
            json.next_value_seed(place)?;
        }
        let mut needed = self.places.iter().take(self.needed);
        match needed.position(Option::is_some) {
            Some(index) => Err(Error::missing_field(self.name(index))),
            None => Ok(()),
        }
    }

    fn name(&self, index: usize) -> &'static str {
        self.names.get(index).copied().unwrap_or_default()
    }
}

/// Finds the index of a name among these, which is their number for another name.
struct Known(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Known {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<usize, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Known {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        // The length first, because the comparison of two texts is a call.
        let is_it = |name: &&str| name.len() == text.len() && *name == text;
        let index = self.0.iter().position(is_it);
        Ok(index.unwrap_or(self.0.len()))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Default)]
    struct Outer<'a> {
        list: Vec<Option<Inner<'a>>>,
        json: Option<&'a RawValue>,
    }

    object!(Outer<'_>, [list], [json]);

    #[derive(Debug, Default)]
    struct Inner<'a> {
        name: Cow<'a, str>,
        count: u64,
    }

    object!(Inner<'_>, [name, count], []);

    #[test]
    fn a_struct_is_read_from_an_object_at_any_depth() {
        let text = r#"{"list":[{"name":"a\u0062","count":2},null],"json":[ 1],"more":[]}"#;
        for read in [from_str(text), beginning(text)] {
            let read: Outer<'_> = read.unwrap();
            let [Some(inner), None] = read.list.as_slice() else {
                panic!("{read:?}");
            };
            assert_eq!((&*inner.name, inner.count), ("ab", 2));
            assert_eq!(read.json.map(RawValue::get), Some("[ 1]"));
        }
    }

    #[test]
    fn an_array_of_its_fields_is_not_a_struct() {
        for text in [
            r"[[],null]",
            r#"{"list":[["a",1]]}"#,
            r#"{"list":[{"name":"a"}]}"#,
        ] {
            assert!(from_str::<Outer<'_>>(text).is_err(), "{text}");
        }
        let error = from_str::<Inner<'_>>(r#"["a",1]"#).unwrap_err();
        let expected = "invalid type: sequence, expected an object at line 1 column 0";
        assert_eq!(error.to_string(), expected);
    }

    #[derive(Debug, Default)]
    struct Renamed<'a> {
        first: Option<Cow<'a, str>>,
        is_last: bool,
    }

    object!(Renamed<'_>, [], [first, is_last: "isLast"], or "one");

    #[test]
    fn a_member_may_be_absent_and_may_have_another_name() {
        for (text, first, is_last) in [
            ("{}", None, false),
            (r#"{"first":null,"isLast":true}"#, None, true),
            (
                r#"{"is_last":1,"one":"a","isLast":false}"#,
                Some("a"),
                false,
            ),
        ] {
            let read: Renamed<'_> = from_str(text).unwrap();
            assert_eq!((read.first.as_deref(), read.is_last), (first, is_last));
        }
    }

    #[test]
    fn a_member_is_refused_that_is_repeated_or_missing_or_of_another_type() {
        for (text, expected) in [
            (
                r#"{"first":"a","one":"b"}"#,
                "duplicate field `one` at line 1 column 18",
            ),
            (
                r#"{"first":null,"first":"b"}"#,
                "duplicate field `first` at line 1 column 21",
            ),
            (
                r#"{"isLast":null}"#,
                "invalid type: null, expected a boolean at line 1 column 14",
            ),
            (
                r#"{"first":1}"#,
                "invalid type: integer `1`, expected a text at line 1 column 10",
            ),
            (
                "null",
                "invalid type: null, expected an object at line 1 column 4",
            ),
        ] {
            let error = from_str::<Renamed<'_>>(text).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let error = from_str::<Inner<'_>>(r#"{"count":1}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "missing field `name` at line 1 column 11"
        );
    }

    #[test]
    fn a_text_without_escapes_is_borrowed() {
        let read = |text: &'static str| from_str::<Vec<Cow<'static, str>>>(text).unwrap();
        assert!(matches!(
            read(r#"["a","\u0061"]"#).as_slice(),
            [Cow::Borrowed("a"), Cow::Owned(text)] if text == "a"
        ));
    }

    #[test]
    fn the_last_value_of_a_repeated_name_counts() {
        let read: BTreeMap<String, u64> = from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(read, BTreeMap::from([("a".into(), 3), ("b".into(), 2)]));
        let read = from_str::<Vec<Option<u32>>>("[null,1]").unwrap();
        assert_eq!(read, [None, Some(1)]);
        assert!(from_str::<u32>("4294967296").is_err());
    }

    #[test]
    fn only_the_beginning_may_have_more_after_it() {
        let text = r#"{"name":"a","count":1},"#;
        assert_eq!(beginning::<Inner<'_>>(text).unwrap().count, 1);
        assert!(from_str::<Inner<'_>>(text).is_err());
    }
}
