//! Answers in JSON, for a client that requested a format and wrote no directive.
//!
//! The front asks the agent for a format in words (`core/src/openai/format.rs`). A model follows
//! them, and so does this: it returns the smallest value that a schema accepts. Keywords that limit
//! strings, numbers and lists have no effect.

use serde_json::{Map, Value, json};

/// The words with which the front asks for JSON.
const JSON_WANTED: &str = "Answer with one JSON value and nothing else";

/// The words in front of a schema.
const SCHEMA_FOLLOWS: &str = "It is valid against this JSON Schema:\n";

/// Every string of an answer.
const SAMPLE_TEXT: &str = "text";

/// Nested schemas that are followed: a schema that refers to itself has no end.
const MAX_DEPTH: u32 = 16;

/// Returns the smallest value that a schema accepts.
pub(crate) fn smallest(schema: &Value) -> Value {
    sample(schema, schema, MAX_DEPTH)
}

/// Returns the answer to `message` for a `response_format`, if that is JSON.
pub(crate) fn in_format(response_format: &Value, message: &str) -> Option<Value> {
    match response_format["type"].as_str()? {
        "json_schema" => Some(smallest(response_format.pointer("/json_schema/schema")?)),
        "json_object" => Some(quoted_words(message)),
        _ => None,
    }
}

/// Returns the answer to `message` in the format that `system_prompt` requests, if any. Without a
/// schema it is an object. Its keys are the words in single quotes in the message.
pub(crate) fn asked_for(system_prompt: Option<&str>, message: &str) -> Option<Value> {
    let prompt = system_prompt?;
    let (_, wanted) = prompt.rsplit_once(JSON_WANTED)?;
    let Some((_, schema)) = wanted.split_once(SCHEMA_FOLLOWS) else {
        return Some(quoted_words(message));
    };
    let schema = serde_json::Deserializer::from_str(schema)
        .into_iter::<Value>()
        .next()?
        .ok()?;
    Some(smallest(&schema))
}

fn quoted_words(message: &str) -> Value {
    let quoted = message.split('\'').skip(1).step_by(2);
    let keys = quoted.filter(|word| {
        !word.is_empty()
            && word
                .chars()
                .all(|character| character.is_alphanumeric() || character == '_')
    });
    Value::Object(
        keys.map(|key| (key.to_owned(), json!(SAMPLE_TEXT)))
            .collect(),
    )
}

/// Returns a value that is valid against `schema`. `root` is the schema that references begin at.
fn sample(schema: &Value, root: &Value, depth: u32) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return Value::Null;
    };
    let referred = schema["$ref"]
        .as_str()
        .and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    if let Some(referred) = referred {
        return sample(referred, root, depth);
    }
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    let choices = ["anyOf", "oneOf", "allOf"]
        .iter()
        .find_map(|keyword| schema[*keyword].get(0));
    if let Some(choice) = choices {
        return sample(choice, root, depth);
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"].get(0)?.as_str());
    match kind {
        Some("string") => json!(SAMPLE_TEXT),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([sample(&schema["items"], root, depth)]),
        Some("null") => Value::Null,
        _ => {
            let none = Map::new();
            let properties = schema["properties"].as_object().unwrap_or(&none);
            let members = properties
                .iter()
                .map(|(key, property)| (key.clone(), sample(property, root, depth)));
            Value::Object(members.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(schema: &Value) -> Option<Value> {
        let prompt = format!(
            "Be kind.\n{JSON_WANTED}: no words. {SCHEMA_FOLLOWS}{schema}\n</client-instructions 0>"
        );
        asked_for(Some(&prompt), "Hi")
    }

    #[test]
    fn a_schema_gets_a_value_of_its_form() {
        let schema = json!({
            "type": "object",
            "$defs": { "step": { "type": "object", "properties": { "done": { "type": "boolean" } } } },
            "properties": {
                "name": { "type": "string" },
                "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                "unit": { "enum": ["m", "s"] },
                "count": { "type": ["integer", "null"] },
                "steps": { "type": "array", "items": { "$ref": "#/$defs/step" } },
            },
        });
        let value = json!({ "name": "text", "note": "text", "unit": "m", "count": 1, "steps": [{ "done": true }] });
        assert_eq!(asked(&schema), Some(value));
    }

    #[test]
    fn a_schema_that_refers_to_itself_has_an_end() {
        let schema = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
        assert!(asked(&schema).is_some_and(|value| value["next"]["next"].is_object()));
    }

    #[test]
    fn json_without_a_schema_has_the_words_in_quotes_as_keys() {
        let message = "A joke as JSON with 'setup' and 'punchline' keys, it's easy.";
        assert_eq!(
            asked_for(Some(JSON_WANTED), message),
            Some(json!({ "setup": "text", "punchline": "text" }))
        );
    }

    #[test]
    fn nothing_is_asked_for_without_those_words() {
        assert_eq!(asked_for(Some("Answer in JSON."), "Hi"), None);
        assert_eq!(asked_for(None, "Hi"), None);
    }
}
