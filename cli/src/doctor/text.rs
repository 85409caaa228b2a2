//! Text in the lines of a report.

use std::fmt::Display;

/// At most this many names stand in one line: a gateway may have thousands of agents, and a
/// deployment hundreds of keys.
const MAX_NAMES: usize = 10;

/// Joins names for a line, and counts those beyond the first ten.
pub(crate) fn list<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let mut shown: Vec<_> = names
        .by_ref()
        .take(MAX_NAMES)
        .map(|name| name.to_string())
        .collect();
    match names.count() {
        0 => {}
        more => shown.push(format!("and {more} more")),
    }
    shown.join(", ")
}

/// Returns the printable part of a peer's text, at most 100 characters.
pub(crate) fn printable(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    text.chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(MAX_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(list(["main", "beta"]), "main, beta");
        assert_eq!(
            list(0..20_000),
            "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 19990 more"
        );
    }
}
