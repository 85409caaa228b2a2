//! Hashes a JSON text independently of the order of members in its objects.
//!
//! Codex keeps `client_metadata` in a hash map, so each attempt at a request has another order.
//! Source: codex 0.171.0, measured.

use std::collections::BinaryHeap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

/// Begins the digest of each kind of value, so that no two kinds share one.
const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NUMBER: u8 = 3;
const TEXT: u8 = 4;
const LIST: u8 = 5;
const OBJECT: u8 = 6;
/// A number with a fraction or an exponent, or a large one. It has its own kind, because its bytes
/// may be the digits of another number.
const FLOAT: u8 = 7;

/// Returns the digest of a text; `None` for one that is not JSON.
pub(crate) fn digest(json: &[u8]) -> Option<Hash> {
    let json = std::str::from_utf8(json).ok()?;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let hash = Value.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(hash)
}

/// Reads one value, and keeps only its digest.
struct Value;

fn of(kind: u8, bytes: &[u8]) -> Hash {
    Sha256::new_with_prefix([kind])
        .chain_update(bytes)
        .finalize()
        .into()
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Hash;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Hash, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Hash;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Hash, E> {
        Ok(of(NULL, &[]))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Hash, E> {
        Ok(of(if value { TRUE } else { FALSE }, &[]))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Hash, E> {
        Ok(of(NUMBER, value.to_string().as_bytes()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Hash, E> {
        Ok(of(NUMBER, value.to_string().as_bytes()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Hash, E> {
        Ok(of(FLOAT, &value.to_bits().to_be_bytes()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Hash, E> {
        Ok(of(TEXT, value.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Hash, A::Error> {
        let mut hash = Sha256::new_with_prefix([LIST]);
        while let Some(value) = list.next_element_seed(Value)? {
            hash.update(value);
        }
        Ok(hash.finalize().into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Hash, A::Error> {
        let mut members = BinaryHeap::new();
        while let Some(name) = object.next_key_seed(Value)? {
            members.push((name, members.len(), object.next_value_seed(Value)?));
        }
        // By name and then by position, because some readers take the last value of a repeated
        // name. A heap sorts nearly as fast as the standard sort, in a quarter of its code.
        let mut hash = Sha256::new_with_prefix([OBJECT]);
        for (name, _, value) in members.into_sorted_vec() {
            hash.update(name);
            hash.update(value);
        }
        Ok(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Hash {
        digest(json.as_bytes()).unwrap()
    }

    #[test]
    fn the_order_of_members_and_the_way_of_writing_change_nothing() {
        let text = r#"{"a":[1,{"b":null,"c":"\u00fc/"}],"d":true}"#;
        for same in [
            r#"{"d":true,"a":[1,{"c":"ü\/","b":null}]}"#,
            "{ \"d\" : true,\n\"a\" : [ 1 , {\"c\":\"ü/\",\"b\":null} ] }",
        ] {
            assert_eq!(of(same), of(text), "{same}");
        }
    }

    #[test]
    fn any_other_difference_is_another_digest() {
        let texts = [
            "{}",
            "[]",
            "null",
            "false",
            "true",
            "0",
            "1",
            "-1",
            "1.5",
            "12345678",
            // Its eight bytes are the digits above.
            "1.0300843656201408e-71",
            r#""""#,
            r#""1""#,
            r#""null""#,
            "[[]]",
            "[null]",
            "[1,2]",
            "[2,1]",
            "[[1],2]",
            "[[1,2]]",
            r#"["ab"]"#,
            r#"["a","b"]"#,
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":2,"a":1}"#,
            r#"["a",1]"#,
        ];
        for (i, a) in texts.iter().enumerate() {
            for b in texts.iter().skip(i + 1) {
                assert_ne!(of(a), of(b), "{a} {b}");
            }
        }
        for broken in ["", "{", "{}{}", "[1,]", "nul"] {
            assert_eq!(digest(broken.as_bytes()), None, "{broken}");
        }
    }
}
