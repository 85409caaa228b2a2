//! Counts the ends in an event stream, and checks its form.

use serde_json::Value;

/// The contents of an event stream.
#[derive(Default)]
pub(super) struct StreamEnds {
    pub(super) finishes: usize,
    pub(super) errors: usize,
    pub(super) dones: usize,
}

impl StreamEnds {
    pub(super) fn of(body: &str) -> Self {
        let mut ends = Self::default();
        assert!(body.is_empty() || body.ends_with('\n'), "{body}");
        let mut lines = body.lines();
        while let Some(line) = lines.next() {
            if line == ": ping" || line.starts_with(": waiting ") {
                continue;
            }
            assert_eq!(ends.dones, 0, "something behind the end: {body}");
            let data = line
                .strip_prefix("data: ")
                .unwrap_or_else(|| panic!("no line of an event: {line}"));
            assert_eq!(
                lines.next(),
                Some(""),
                "an event ends with a blank line: {body}"
            );
            if data == "[DONE]" {
                ends.dones += 1;
                continue;
            }
            let chunk: Value = serde_json::from_str(data).unwrap();
            let is_terminal = is_error(&chunk) || chunk["choices"][0]["finish_reason"].is_string();
            assert!(
                ends.finishes + ends.errors == 0 || chunk["usage"].is_object(),
                "something behind the end: {body}"
            );
            ends.errors += usize::from(is_error(&chunk));
            ends.finishes += usize::from(is_terminal && !is_error(&chunk));
        }
        ends
    }
}

/// Returns true if the value is OpenAI's error object, with its four fields.
pub(super) fn is_error(value: &Value) -> bool {
    let error = &value["error"];
    if error.is_null() {
        return false;
    }
    let fields: Vec<&str> = error
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields, ["code", "message", "param", "type"], "{error}");
    true
}
