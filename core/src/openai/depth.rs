//! How deep a JSON text nests, before anything is built from it.

/// Deepest nesting of a request body. A tool's JSON schema, the deepest thing a client sends, stays below 20.
pub(super) const MAX_JSON_DEPTH: usize = 64;

/// Whether `json` nests deeper than [`MAX_JSON_DEPTH`]; one pass, no allocation, right for any bytes that are JSON.
pub(super) fn is_too_deep(json: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in json {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                depth = depth.saturating_add(1);
                if depth > MAX_JSON_DEPTH {
                    return true;
                }
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_strings_only() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(!is_too_deep(nested(MAX_JSON_DEPTH).as_bytes()));
        assert!(is_too_deep(nested(MAX_JSON_DEPTH + 1).as_bytes()));
        assert!(!is_too_deep(format!("[{:?}]", "[".repeat(99)).as_bytes()));
        assert!(!is_too_deep(
            br#"["\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["]"#
        ));
        assert!(!is_too_deep("[],".repeat(500).as_bytes()));
    }
}
