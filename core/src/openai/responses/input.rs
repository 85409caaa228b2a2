//! The items of a request's input, as a response that is kept shows them.

use serde_json::value::RawValue;

use super::fields::Fields;
use crate::failure::Failure;
use crate::openai::json::text::{Json, compact};
use crate::openai::json::write::write_json;
use crate::parse;

/// Most bytes of a request whose response is kept.
pub(crate) const MAX_INPUT_BYTES: usize = 1024 * 1024;

/// Returns the items, one in each line. Items without an id get one, and a text becomes a part.
/// `unique` is in the ids of no other response.
pub(super) fn items(json: &Json<'_>, unique: &str) -> Result<String, Failure> {
    if json.text().len() > MAX_INPUT_BYTES {
        return Err(Failure::invalid(
            "input",
            "A request whose response is stored may have at most 1048576 bytes.",
        ));
    }
    let mut out = Vec::new();
    let input = Fields::of(json.text()).and_then(|request| request.input);
    let input = input.map_or("", RawValue::get);
    if let Ok(text) = parse::from_str::<String>(input) {
        begin(0, unique, true, &mut out);
        out.extend_from_slice(br#""role":"user","content":"#);
        part("input_text", &text, &mut out);
        out.extend_from_slice(b"}\n");
    } else if let Ok(items) = parse::from_str::<Vec<&RawValue>>(input) {
        for (index, item) in items.iter().enumerate() {
            let item = compact(item);
            write(index, &item, unique, &mut out);
            out.push(b'\n');
        }
    }
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// Writes one item, which is on one line.
fn write(index: usize, json: &str, unique: &str, out: &mut Vec<u8>) {
    let json = without_nulls(json);
    let json = json.as_str();
    let item = Fields::of(json).unwrap_or_default();
    let mut rest = json;
    if item.id.is_none() {
        begin(index, unique, item.kind.is_none(), out);
        rest = json.strip_prefix('{').unwrap_or(json);
        if rest == "}" {
            // Nothing follows the last comma.
            out.pop();
        }
    }
    let raw = item.content.map_or("", RawValue::get);
    if let Ok(text) = parse::from_str::<String>(raw)
        && let Some(at) = raw.as_ptr().addr().checked_sub(rest.as_ptr().addr())
        && let Some((before, after)) = rest.split_at_checked(at)
    {
        let kind = if item.role.as_deref() == Some("assistant") {
            "output_text"
        } else {
            "input_text"
        };
        out.extend_from_slice(before.as_bytes());
        part(kind, &text, out);
        rest = after.get(raw.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Leaves out an id and a type that are null, because they are added.
fn without_nulls(json: &str) -> String {
    let mut json = json.to_owned();
    for null in [r#""id":null"#, r#""type":null"#] {
        json = json.replace(&[null, ","].concat(), "");
        json = json.replace(&[",", null].concat(), "");
        json = json.replace(null, "");
    }
    json
}

/// Begins an item that has no id, up to the comma before its next member.
fn begin(index: usize, unique: &str, is_message: bool, out: &mut Vec<u8>) {
    let (prefix, members) = if is_message {
        ("msg_", r#","type":"message","status":"completed","#)
    } else {
        ("item_", ",")
    };
    let index = index.to_string();
    for part in [r#"{"id":""#, prefix, unique, "_", &index, "\"", members] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes a text as the only part of a content.
fn part(kind: &str, text: &str, out: &mut Vec<u8>) {
    for part in [r#"[{"type":""#, kind, r#"","text":"#] {
        out.extend_from_slice(part.as_bytes());
    }
    write_json(out, text);
    out.extend_from_slice(b"}]");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items_of(body: &str) -> String {
        items(&Json::read(body.as_bytes()).unwrap(), "9").unwrap()
    }

    #[test]
    fn a_text_becomes_a_message_with_one_part() {
        assert_eq!(
            items_of(r#"{"input":"hi \"you\""}"#),
            "{\"id\":\"msg_9_0\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"user\",\
             \"content\":[{\"type\":\"input_text\",\"text\":\"hi \\\"you\\\"\"}]}\n"
        );
        assert_eq!(items_of("{}"), "");
    }

    #[test]
    fn items_keep_what_they_have() {
        let body = r#"{"input":[
            {"role":"user","content":"a"},
            {"role":"assistant","content":"b","type":"message","id":"msg_1"},
            {"type":"function_call_output","call_id":"c","output":"d\n","id":null},
            {"role":"user","content":[ {"type":"input_image","image_url":"data:,"} ]},
            {}
        ]}"#;
        let expected = [
            r#"{"id":"msg_9_0","type":"message","status":"completed","role":"user","content":[{"type":"input_text","text":"a"}]}"#,
            r#"{"role":"assistant","content":[{"type":"output_text","text":"b"}],"type":"message","id":"msg_1"}"#,
            r#"{"id":"item_9_2","type":"function_call_output","call_id":"c","output":"d\n"}"#,
            r#"{"id":"msg_9_3","type":"message","status":"completed","role":"user","content":[{"type":"input_image","image_url":"data:,"}]}"#,
            r#"{"id":"msg_9_4","type":"message","status":"completed"}"#,
        ];
        let written = items_of(body);
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines, expected);
        for line in lines {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }

    #[test]
    fn a_large_input_is_refused() {
        let body = format!(r#"{{"input":"{}"}}"#, "a".repeat(MAX_INPUT_BYTES));
        let json = Json::read(body.as_bytes()).unwrap();
        let Err(Failure::InvalidRequest { param, message }) = items(&json, "9") else {
            panic!("accepted");
        };
        assert_eq!(param.as_deref(), Some("input"));
        assert!(message.contains(&MAX_INPUT_BYTES.to_string()));
    }
}
