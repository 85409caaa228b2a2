//! Measures a JSON text before anything is built from it.

/// Deepest nesting of a request body. A tool's JSON schema is the deepest part that clients send,
/// and stays below 20.
pub(crate) const MAX_JSON_DEPTH: usize = 64;

/// Largest number of commas and opening brackets in a request body. A text with `n` of them has at
/// most `n + 1` values.
///
/// A value of 2 bytes takes up to 200 bytes of memory when it is read. So with the limit of the
/// body's bytes alone, 16 MiB could grow to more than a gigabyte. A conversation of 200 messages,
/// each with three tool calls, and 100 tools has 13,000.
pub(crate) const MAX_JSON_VALUES: usize = 100_000;

/// The limit that a text exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    Depth,
    Values,
}

/// Checks that `json` nests no deeper than [`MAX_JSON_DEPTH`] and has at most [`MAX_JSON_VALUES`]
/// values. It takes one pass and no allocation, and is correct for any bytes that are JSON.
pub(super) fn check(json: &[u8]) -> Result<(), Excess> {
    let mut depth = 0_usize;
    let mut values = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_text(&mut bytes),
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                values = values.saturating_add(1);
                if depth > MAX_JSON_DEPTH {
                    return Err(Excess::Depth);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values = values.saturating_add(1),
            _ => continue,
        }
        if values > MAX_JSON_VALUES {
            return Err(Excess::Values);
        }
    }
    Ok(())
}

/// Moves past the quote that ends a text.
fn skip_text(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_strings_only() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(check(nested(MAX_JSON_DEPTH).as_bytes()), Ok(()));
        assert_eq!(
            check(nested(MAX_JSON_DEPTH + 1).as_bytes()),
            Err(Excess::Depth)
        );
        assert_eq!(check(format!("[{:?}]", "[".repeat(99)).as_bytes()), Ok(()));
        assert_eq!(
            check(br#"["\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["]"#),
            Ok(())
        );
        assert_eq!(check("[],".repeat(500).as_bytes()), Ok(()));
    }

    #[test]
    fn values_are_counted_outside_strings_only() {
        // The list itself counts as one.
        let list = |value: &str, length: usize| format!("[{}]", vec![value; length].join(","));
        for (value, most) in [
            ("0", MAX_JSON_VALUES),
            ("{}", MAX_JSON_VALUES / 2),
            (r#"{"a":0,"b":"\",{["}"#, MAX_JSON_VALUES / 3),
        ] {
            assert_eq!(check(list(value, most).as_bytes()), Ok(()), "{value}");
            assert_eq!(
                check(list(value, most + 1).as_bytes()),
                Err(Excess::Values),
                "{value}"
            );
        }
        let text = format!("[{:?}]", "[{,".repeat(MAX_JSON_VALUES));
        assert_eq!(check(text.as_bytes()), Ok(()));
    }
}
