//! Finds the path of a byte in a JSON text, as OpenAI writes it: `messages[0].content[1].type`.

/// Longest path, in bytes. No field that is read stands deeper.
const MAX_PATH_BYTES: usize = 256;

/// Longest name in a path, in bytes. No field that is read has a longer one.
const MAX_NAME_BYTES: usize = 64;

/// An object or array around the byte.
enum Frame {
    /// The member whose name was read last, if its value has not ended.
    Object(Option<String>),
    Array(usize),
}

/// Returns the path of the value that the first `length` bytes end in or with; `None` for the text
/// itself.
///
/// It is correct for any text that is valid JSON up to that byte. The path holds only names that a
/// field can have, and ends before any other name.
pub(crate) fn path_at(json: &[u8], length: usize) -> Option<String> {
    let mut frames = Vec::new();
    let mut rest = json.get(..length)?.iter().enumerate();
    while let Some((at, byte)) = rest.next() {
        match byte {
            b'"' => {
                let mut end = length;
                while let Some((at, byte)) = rest.next() {
                    match byte {
                        b'\\' => {
                            rest.next();
                        }
                        b'"' => {
                            end = at;
                            break;
                        }
                        _ => {}
                    }
                }
                // A text at the place of a name is a name.
                if let Some(Frame::Object(name @ None)) = frames.last_mut() {
                    let text = json.get(at.saturating_add(1)..end).unwrap_or_default();
                    *name = Some(String::from_utf8_lossy(text).into_owned());
                }
            }
            b'{' => frames.push(Frame::Object(None)),
            b'[' => frames.push(Frame::Array(0)),
            b'}' | b']' => {
                frames.pop();
            }
            b',' => match frames.last_mut() {
                Some(Frame::Object(name)) => *name = None,
                Some(Frame::Array(index)) => *index = index.saturating_add(1),
                None => {}
            },
            _ => {}
        }
    }
    let mut path = String::new();
    for frame in &frames {
        match frame {
            Frame::Array(index) => path.extend(["[", &index.to_string(), "]"]),
            Frame::Object(Some(name)) if is_name(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Frame::Object(_) => break,
        }
    }
    (!path.is_empty() && path.len() <= MAX_PATH_BYTES).then_some(path)
}

/// Returns the number of bytes before the end of a column of a line. Both count from 1, in bytes,
/// as `serde_json` counts them.
pub(crate) fn offset(json: &[u8], line: usize, column: usize) -> usize {
    let before: usize = json
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    before.saturating_add(column).min(json.len())
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_holds_names_of_fields_only() {
        let at = |json: &str| path_at(json.as_bytes(), json.len());
        assert_eq!(
            at(r#"{"a":[1,{"b":"x,\"]}","c":2"#).as_deref(),
            Some("a[1].c")
        );
        assert_eq!(
            at(r#"{"a":{"b":[1]},"c":[[],{"d""#).as_deref(),
            Some("c[1].d")
        );
        assert_eq!(at(r#"{"a b":1"#), None);
        assert_eq!(at(r#"{"a":{"top secret":1"#).as_deref(), Some("a"));
        assert_eq!(at(&format!(r#"{{"{}":1"#, "x".repeat(65))), None);
        assert_eq!(at(""), None);
        assert_eq!(path_at(b"{}", 9), None);
    }
}
