//! Checks a JSON value against the part of JSON Schema that describes the structure of a value.
//!
//! Checked: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`,
//! `prefixItems`, `anyOf`, `oneOf` (at least one), `allOf`, and `$ref` within the schema. Every
//! other keyword (`format`, `pattern`, ranges, lengths …) is left to the client, which validates
//! anyway. A whole validator would be larger than the rest of this crate. Source: JSON Schema
//! 2020-12; the schemas of OpenAI's structured outputs and of pydantic.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::parse;

/// Largest number of schemas that are read for one value, because nested alternatives can grow
/// exponentially.
const MAX_STEPS: usize = 20_000;

/// Largest amount of JSON that is read for one value, in bytes: each schema reads its own text and
/// the value's again. The hub serves no other request meanwhile. An answer of the largest size
/// fits if it is read at most four times.
const MAX_READ_BYTES: usize = 32 * 1024 * 1024;

/// Bytes that a member or an item counts beyond its text. Building one takes as long as reading a
/// text of this length.
const ENTRY_BYTES: usize = 64;

const TOO_LARGE: &str = "cannot be checked: it is too large for its schema";

/// Deepest schema that is read, because a schema that refers to itself may have no end.
const MAX_DEPTH: usize = 96;

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The first place that does not fit. It names members of the schema, and nothing of the value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// `a.b[2]`; empty: the whole value.
    pub place: String,
    pub problem: String,
}

/// Returns the first place where the value does not fit its schema.
pub(crate) fn check(schema: &RawValue, value: &RawValue) -> Result<(), Mismatch> {
    check_within(MAX_READ_BYTES, schema, value)
}

fn check_within(bytes: usize, schema: &RawValue, value: &RawValue) -> Result<(), Mismatch> {
    Checker::new(bytes, schema).check(schema, value, 0)
}

struct Checker<'a> {
    root: &'a RawValue,
    steps: usize,
    bytes_left: usize,
    place: Vec<String>,
    /// The targets of the references that were resolved. Resolving one reads the whole root.
    targets: Members<'a>,
}

impl<'a> Checker<'a> {
    fn new(bytes: usize, root: &'a RawValue) -> Self {
        Self {
            root,
            steps: 0,
            bytes_left: bytes,
            place: Vec::new(),
            targets: BTreeMap::new(),
        }
    }

    fn check(
        &mut self,
        schema: &'a RawValue,
        value: &RawValue,
        depth: usize,
    ) -> Result<(), Mismatch> {
        self.steps = self.steps.saturating_add(1);
        self.read(schema);
        self.read(value);
        if self.steps > MAX_STEPS || depth > MAX_DEPTH {
            return self.fail("cannot be checked: the schema is too deep".to_owned());
        }
        if self.bytes_left == 0 {
            return self.fail(TOO_LARGE.to_owned());
        }
        let depth = depth.saturating_add(1);
        if schema.get() == "false" {
            return self.fail("must not be there".to_owned());
        }
        // `true` and anything that is not a schema accept every value.
        let Some(schema) = self.members(schema) else {
            return Ok(());
        };
        if let Some(referred) = schema
            .get("$ref")
            .and_then(|reference| self.resolve(reference))
            .filter(|referred| referred.get() != RawValue::TRUE.get())
        {
            self.check(referred, value, depth)?;
        }
        self.check_kind(&schema, value)?;
        for keyword in ["anyOf", "oneOf"] {
            if let Some(alternatives) = self.list_of(&schema, keyword)
                && !self.fits_one(&alternatives, value, depth)
            {
                return self.fail("fits none of the alternatives".to_owned());
            }
        }
        for part in self.list_of(&schema, "allOf").unwrap_or_default() {
            self.check(part, value, depth)?;
        }
        if let Some(members) = self.members(value) {
            self.check_members(&schema, &members, depth)?;
        } else if value.get().starts_with('{') {
            return self.fail("has a member whose name cannot be read".to_owned());
        }
        if let Some(items) = self.list(value) {
            self.check_items(&schema, &items, depth)?;
        }
        Ok(())
    }

    /// Counts a value that is read.
    fn read(&mut self, json: &RawValue) {
        self.count(json.get().len());
    }

    fn count(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }

    /// Reads the members of an object, and counts them.
    fn members<'v>(&mut self, json: &'v RawValue) -> Option<Members<'v>> {
        let members = members(json)?;
        self.count(members.len().saturating_mul(ENTRY_BYTES));
        Some(members)
    }

    /// Reads the items of an array, and counts them.
    fn list<'v>(&mut self, json: &'v RawValue) -> Option<Vec<&'v RawValue>> {
        let items = list(json)?;
        self.count(items.len().saturating_mul(ENTRY_BYTES));
        Some(items)
    }

    fn list_of(&mut self, schema: &Members<'a>, keyword: &str) -> Option<Vec<&'a RawValue>> {
        schema.get(keyword).and_then(|items| self.list(items))
    }

    fn check_kind(&mut self, schema: &Members<'a>, value: &RawValue) -> Result<(), Mismatch> {
        if let Some(kinds) = schema.get("type") {
            let kinds = self.list(kinds).unwrap_or_else(|| vec![*kinds]);
            let kinds: Vec<String> = kinds.into_iter().filter_map(text).collect();
            if !kinds.is_empty() && !kinds.iter().any(|kind| is_of(kind, value)) {
                return self.fail(["is not of the type ", &kinds.join(" or ")].concat());
            }
        }
        let allowed = self.list_of(schema, "enum");
        let constant = schema.get("const").map(|constant| vec![*constant]);
        for allowed in [allowed, constant].into_iter().flatten() {
            let mut is_allowed = false;
            for allowed in allowed {
                is_allowed = is_allowed || self.is_same(allowed, value);
                if self.bytes_left == 0 {
                    return self.fail(TOO_LARGE.to_owned());
                }
            }
            if !is_allowed {
                return self.fail("is not one of the values that are allowed".to_owned());
            }
        }
        Ok(())
    }

    fn fits_one(&mut self, alternatives: &[&'a RawValue], value: &RawValue, depth: usize) -> bool {
        let place = self.place.len();
        alternatives.iter().any(|alternative| {
            let fits = self.check(alternative, value, depth).is_ok();
            self.place.truncate(place);
            fits
        })
    }

    fn check_members(
        &mut self,
        schema: &Members<'a>,
        value: &Members<'_>,
        depth: usize,
    ) -> Result<(), Mismatch> {
        for name in self.list_of(schema, "required").unwrap_or_default() {
            if let Some(name) = text(name)
                && !value.contains_key(&name)
            {
                self.place.push(name);
                return self.fail("is missing".to_owned());
            }
        }
        let properties = schema
            .get("properties")
            .and_then(|properties| self.members(properties));
        let properties = properties.unwrap_or_default();
        for (name, schema) in &properties {
            if let Some(value) = value.get(name) {
                self.at(name.clone(), schema, value, depth)?;
            }
        }
        if let Some(others) = schema.get("additionalProperties")
            && !schema.contains_key("patternProperties")
        {
            for (_, value) in value
                .iter()
                .filter(|(name, _)| !properties.contains_key(*name))
            {
                self.at(
                    "(a member of another name)".to_owned(),
                    others,
                    value,
                    depth,
                )?;
            }
        }
        Ok(())
    }

    fn check_items(
        &mut self,
        schema: &Members<'a>,
        value: &[&RawValue],
        depth: usize,
    ) -> Result<(), Mismatch> {
        let rest = schema.get("items");
        let first = self.list_of(schema, "prefixItems").unwrap_or_default();
        for (index, value) in value.iter().enumerate() {
            if let Some(schema) = first.get(index).or(rest) {
                self.at(format!("[{index}]"), schema, value, depth)?;
            }
        }
        Ok(())
    }

    fn at(
        &mut self,
        step: String,
        schema: &'a RawValue,
        value: &RawValue,
        depth: usize,
    ) -> Result<(), Mismatch> {
        self.place.push(step);
        self.check(schema, value, depth)?;
        self.place.pop();
        Ok(())
    }

    /// Finds the target of `#` or `#/…`; `None` for any other reference, such as an anchor, which is
    /// not checked.
    fn resolve(&mut self, reference: &RawValue) -> Option<&'a RawValue> {
        let reference = text(reference)?;
        if let Some(target) = self.targets.get(&reference) {
            return Some(target);
        }
        // Without a target everything fits.
        let target = self.find(&reference).unwrap_or(RawValue::TRUE);
        self.targets.insert(reference, target);
        Some(target)
    }

    fn find(&mut self, reference: &str) -> Option<&'a RawValue> {
        let path = reference.strip_prefix('#')?;
        if !(path.is_empty() || path.starts_with('/')) {
            return None;
        }
        let mut found = self.root;
        for step in path.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            self.read(found);
            found = self.members(found)?.get(&step)?;
        }
        Some(found)
    }

    /// Returns true if both are the same value, however they are written.
    fn is_same(&mut self, one: &RawValue, other: &RawValue) -> bool {
        self.read(one);
        self.read(other);
        if self.bytes_left == 0 {
            return false;
        }
        if one.get() == other.get() {
            return true;
        }
        if let (Some(one), Some(other)) = (text(one), text(other)) {
            return one == other;
        }
        if let (Some(one), Some(other)) = (self.list(one), self.list(other)) {
            return one.len() == other.len()
                && one
                    .iter()
                    .zip(&other)
                    .all(|(one, other)| self.is_same(one, other));
        }
        if let (Some(one), Some(other)) = (self.members(one), self.members(other)) {
            let mut is_in = |(name, value): (&String, &&RawValue)| {
                other
                    .get(name)
                    .is_some_and(|other| self.is_same(value, other))
            };
            return one.len() == other.len() && one.iter().all(&mut is_in);
        }
        let numbers = (Decimal::read(one.get()), Decimal::read(other.get()));
        matches!(numbers, (Some(one), Some(other)) if one == other)
    }

    fn fail(&self, problem: String) -> Result<(), Mismatch> {
        let mut place = String::new();
        for step in &self.place {
            if !place.is_empty() && !step.starts_with('[') {
                place.push('.');
            }
            place.push_str(step);
        }
        Err(Mismatch { place, problem })
    }
}

fn is_of(kind: &str, value: &RawValue) -> bool {
    let json = value.get();
    match kind {
        "object" => json.starts_with('{'),
        "array" => json.starts_with('['),
        "string" => json.starts_with('"'),
        "boolean" => matches!(json, "true" | "false"),
        "null" => json == "null",
        "number" => Decimal::read(json).is_some(),
        // 1.0 is an integer.
        "integer" => Decimal::read(json).is_some_and(|number| number.is_whole()),
        _ => true,
    }
}

/// A number of JSON, exactly: its digits without zeros at either end, and the power of ten that
/// they are multiplied by. A float is not used, because its parser is larger than the rest of this
/// file.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn read(json: &str) -> Option<Self> {
        let (is_negative, number) = json
            .strip_prefix('-')
            .map_or((false, json), |number| (true, number));
        if !number.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let significant = digits.trim_end_matches('0');
        let zeros = digits.len().saturating_sub(significant.len());
        let digits = significant.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self {
                is_negative: false,
                digits,
                exponent: 0,
            });
        }
        let shift = i64::try_from(zeros)
            .ok()?
            .checked_sub(i64::try_from(fraction.len()).ok()?)?;
        Some(Self {
            is_negative,
            digits,
            exponent: exponent.parse::<i64>().ok()?.checked_add(shift)?,
        })
    }

    fn is_whole(&self) -> bool {
        self.exponent >= 0
    }
}

fn members(json: &RawValue) -> Option<Members<'_>> {
    json.get()
        .starts_with('{')
        .then(|| parse::from_str(json.get()).ok())?
}

fn list(json: &RawValue) -> Option<Vec<&RawValue>> {
    json.get()
        .starts_with('[')
        .then(|| parse::from_str(json.get()).ok())?
}

fn text(json: &RawValue) -> Option<String> {
    json.get()
        .starts_with('"')
        .then(|| parse::from_str(json.get()).ok())?
}

#[cfg(test)]
mod tests;
