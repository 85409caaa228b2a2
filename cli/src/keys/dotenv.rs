//! Dotenv files, as wrangler reads them. A change sets the value of one variable and keeps every
//! other byte.
//!
//! wrangler reads `.dev.vars` with the package dotenv, 16.3.1 in wrangler 4.164 (`parse`). Its
//! rules are one regular expression, which is copied here. There are no escapes: a value with a
//! quote needs quotes of another kind. So every way to write a value is tried and read back, until
//! one gives the same value.

use std::ops::Range;

use regex_lite::Regex;

use crate::outcome::Problem;

/// A variable of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    /// The bytes of its value in the file, with its quotes.
    span: Range<usize>,
}

/// dotenv's expression. `SPACE` is JavaScript's `\s`, and the separator has a group of its own.
const LINE: &str = r#"(?m)^SPACE*(?:exportSPACE+)?([0-9A-Za-z_.-]+)(SPACE*=SPACE*?|:SPACE+?)(SPACE*'(?:\\'|[^'])*'|SPACE*"(?:\\"|[^"])*"|SPACE*`(?:\\`|[^`])*`|[^#\r\n]+)?SPACE*(?:#.*)?$"#;
const SPACE: &str =
    r"[\s\x0B\u{A0}\u{FEFF}\u{1680}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}]";

/// The quotes around a value, the most protective first.
const QUOTES: [char; 3] = ['\'', '`', '"'];

/// Reads all variables, in order.
pub(crate) fn read(text: &str) -> Result<Vec<Variable>, Problem> {
    let line = Regex::new(&LINE.replace("SPACE", SPACE))
        .map_err(|error| Problem::new(error.to_string()))?;
    let (normal, offsets) = normalize(text);
    let offset = |at: usize| offsets.get(at).copied().unwrap_or(text.len());
    let mut variables = Vec::new();
    for found in line.captures_iter(&normal) {
        let (Some(name), Some(separator)) = (found.get(1), found.get(2)) else {
            continue;
        };
        let (written, start) = found.get(3).map_or(("", separator.end()), |value| {
            (value.as_str(), value.start())
        });
        let trimmed = written.trim_matches(is_space);
        let before = written
            .len()
            .saturating_sub(written.trim_start_matches(is_space).len());
        let start = start.saturating_add(if trimmed.is_empty() { 0 } else { before });
        variables.push(Variable {
            name: name.as_str().to_owned(),
            value: unquote(trimmed),
            span: offset(start)..offset(start.saturating_add(trimmed.len())),
        });
    }
    Ok(variables)
}

/// Sets a variable at its last occurrence, which takes precedence, or at the end. Returns `None`
/// where no way to write the value can be read back.
pub(crate) fn set(text: &str, name: &str, value: &str) -> Result<Option<String>, Problem> {
    let before = read(text)?;
    let mut expected: Vec<_> = before
        .iter()
        .map(|variable| (variable.name.as_str(), variable.value.as_str()))
        .collect();
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let (head, written, tail) =
        if let Some(index) = before.iter().rposition(|variable| variable.name == name) {
            if let Some(slot) = expected.get_mut(index) {
                slot.1 = value;
            }
            let span = before
                .get(index)
                .map(|variable| variable.span.clone())
                .unwrap_or_default();
            let (head, rest) = text.split_at_checked(span.start).unwrap_or((text, ""));
            let (written, tail) = rest.split_at_checked(span.len()).unwrap_or((rest, ""));
            (head.to_owned(), written, tail.to_owned())
        } else {
            expected.push((name, value));
            let end_last = if text.is_empty() || text.ends_with('\n') {
                ""
            } else {
                line_end
            };
            (format!("{text}{end_last}{name}="), "", line_end.to_owned())
        };
    for candidate in candidates(value, written, line_end) {
        let new = format!("{head}{candidate}{tail}");
        let after = read(&new)?;
        let after = after
            .iter()
            .map(|variable| (variable.name.as_str(), variable.value.as_str()));
        if after.eq(expected.iter().copied()) {
            return Ok(Some(new));
        }
    }
    Ok(None)
}

/// Returns the assignments of these variables as they are written in the file.
pub(super) fn assignments(text: &str, names: &[&str]) -> Result<String, Problem> {
    let variables = read(text)?;
    let chosen = variables
        .iter()
        .filter(|variable| names.contains(&variable.name.as_str()));
    let lines = chosen.map(|variable| {
        let written = text.get(variable.span.clone()).unwrap_or_default();
        format!("{}={written}\n", variable.name)
    });
    Ok(lines.collect::<Vec<_>>().concat())
}

/// Returns the ways to write a value: first in its present form, then in each kind of quotes that
/// it does not contain, then without quotes.
fn candidates(value: &str, written: &str, line_end: &str) -> Vec<String> {
    let lines = value.replace('\n', line_end);
    let mut kinds = QUOTES.to_vec();
    let was_quoted = written.starts_with(QUOTES);
    kinds.sort_by_key(|quote| !written.starts_with(*quote));
    kinds.retain(|quote| !value.contains(*quote));
    let quoted = kinds.into_iter().map(|quote| {
        // Only double quotes can hold an escaped line break, which keeps the value on one line.
        if quote == '"' && !written.contains('\n') {
            format!("\"{}\"", value.replace('\n', "\\n"))
        } else {
            format!("{quote}{lines}{quote}")
        }
    });
    let bare = std::iter::once(value.to_owned());
    if was_quoted || written.is_empty() {
        quoted.chain(bare).collect()
    } else {
        bare.chain(quoted).collect()
    }
}

/// Returns the text with the line ends that dotenv sees, and the offset in `text` of each byte.
fn normalize(text: &str) -> (String, Vec<usize>) {
    let mut normal = String::with_capacity(text.len());
    let mut offsets = Vec::with_capacity(text.len());
    let mut last = ' ';
    for (offset, c) in text.char_indices() {
        if c != '\n' || last != '\r' {
            normal.push(if c == '\r' { '\n' } else { c });
            offsets.extend(std::iter::repeat_n(offset, c.len_utf8()));
        }
        last = c;
    }
    (normal, offsets)
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{FEFF}'
}

/// Removes the quotes. Only in double quotes `\n` and `\r` become line breaks.
fn unquote(written: &str) -> String {
    let Some(quote) = written
        .chars()
        .next()
        .filter(|first| QUOTES.contains(first))
    else {
        return written.to_owned();
    };
    let inner = written
        .strip_prefix(quote)
        .and_then(|rest| rest.strip_suffix(quote))
        .unwrap_or(written);
    if quote == '"' {
        inner.replace("\\n", "\n").replace("\\r", "\r")
    } else {
        inner.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        read(text)
            .map_err(|problem| problem.message)
            .unwrap()
            .into_iter()
            .map(|variable| (variable.name, variable.value))
            .collect()
    }

    fn set(text: &str, name: &str, value: &str) -> Option<String> {
        super::set(text, name, value)
            .map_err(|problem| problem.message)
            .unwrap()
    }

    /// The cases that `tests/tooling/dotenv.test.mjs` gives to wrangler's reader and to that of the
    /// scripts.
    const CASES: &str = include_str!("../../../tests/recorded/dotenv.json");

    #[test]
    fn a_file_is_read_as_wrangler_reads_it() {
        let cases: Vec<(String, Vec<(String, String)>)> = serde_json::from_str(CASES).unwrap();
        assert!(!cases.is_empty());
        for (text, expected) in cases {
            assert_eq!(pairs(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_the_value_changes() {
        for (before, value, after) in [
            (
                "# mine\r\nA = 'x'   # y\r\n\r\nB=2",
                "new",
                "# mine\r\nA = 'new'   # y\r\n\r\nB=2",
            ),
            ("A=x # y\n", "new", "A=new # y\n"),
            ("export A=x\n", "p\nq", "export A='p\nq'\n"),
            ("A=x\r\n", "p\nq", "A='p\r\nq'\r\n"),
            ("A=\"x\"\n", "p\nq", "A=\"p\\nq\"\n"),
            ("A=\"x\ny\"\n", "p\nq", "A=\"p\nq\"\n"),
            ("A='x'\n", "it's", "A=`it's`\n"),
            ("A=\nB=1\n", "new", "A='new'\nB=1\n"),
            ("A=1\nA=2\n", "3", "A=1\nA=3\n"),
            ("B='A=1'", "x", "B='A=1'\nA='x'\n"),
            ("B=1\r\n", "x", "B=1\r\nA='x'\r\n"),
            ("", "x \"y z\"", "A='x \"y z\"'\n"),
        ] {
            assert_eq!(
                set(before, "A", value).as_deref(),
                Some(after),
                "{before:?}"
            );
        }
    }

    #[test]
    fn a_value_that_no_quotes_can_hold_is_refused() {
        assert_eq!(set("", "A", "'`\"\n#"), None);
        assert_eq!(
            set("A='x\nB=1\n", "A", "y").as_deref(),
            Some("A='y'\nB=1\n")
        );
    }

    /// Has its own generator: 64 bits are enough to find cases that a person does not think of.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn all_other_lines_of_any_file_stay() {
        const PARTS: [&str; 20] = [
            "A", "=", "=", "'", "\"", "`", "\n", "\n", "\r\n", "#", " ", "B", "x", "\\", "\\n",
            ":", "export ", ";", "é", "\r",
        ];
        let mut state = 0x2545_f491_4f6c_dd1d;
        let text = |state: &mut u64, parts: u64| -> String {
            (0..random(state) % parts)
                .map(|_| PARTS[usize::try_from(random(state) % 20).unwrap()])
                .collect()
        };
        let mut changed = 0;
        for _ in 0..500 {
            let before = text(&mut state, 40);
            let value = text(&mut state, 8).replace('\r', "");
            let Some(after) = set(&before, "A", &value) else {
                continue;
            };
            changed += 1;
            let old = pairs(&before);
            let mut expected = old.clone();
            let (mut head, mut tail) = (before.as_str(), "");
            if let Some(index) = expected.iter().rposition(|(name, _)| name == "A") {
                expected[index].1.clone_from(&value);
                let span = read(&before).ok().unwrap()[index].span.clone();
                (head, tail) = (
                    before.get(..span.start).unwrap(),
                    before.get(span.end..).unwrap(),
                );
            } else {
                expected.push(("A".to_owned(), value));
            }
            assert!(
                after.starts_with(head) && after.ends_with(tail),
                "{before:?} {after:?}"
            );
            assert_eq!(pairs(&after), expected, "{before:?} {after:?}");
        }
        assert!(changed > 250, "{changed}");
    }
}
