//! Blanks as the gateway trims them.
//!
//! The gateway is JavaScript: `trim` and `\s` cut U+FEFF, which Rust does not count as a blank.
//! Rust counts U+0085, which JavaScript does not. Both are blanks here. Otherwise a text could be a
//! word for us and a blank for the gateway. Source: OpenClaw 2026.3.13 and 2026.9.6, the handlers
//! of `agent` trim `message` and match `/^\/(new|reset)(?:\s+([\s\S]*))?$/i`; read.

pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{FEFF}'
}

pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// Every code point that Node.js 22 trims: `[...Array(0x110000).keys()].filter((c) =>
/// String.fromCodePoint(c).trim() === "")`.
#[cfg(test)]
pub(super) const OF_JAVASCRIPT: [char; 25] = [
    '\t', '\n', '\u{B}', '\u{C}', '\r', ' ', '\u{A0}', '\u{1680}', '\u{2000}', '\u{2001}',
    '\u{2002}', '\u{2003}', '\u{2004}', '\u{2005}', '\u{2006}', '\u{2007}', '\u{2008}', '\u{2009}',
    '\u{200A}', '\u{2028}', '\u{2029}', '\u{202F}', '\u{205F}', '\u{3000}', '\u{FEFF}',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_javascript_trims_is_a_blank() {
        let blanks: Vec<char> = ('\0'..=char::MAX)
            .filter(|c| is_blank(*c) && *c != '\u{85}')
            .collect();
        assert_eq!(blanks, OF_JAVASCRIPT);
        assert_eq!(trim("\u{FEFF} x\u{2028}y \u{85}"), "x\u{2028}y");
    }
}
