//! Edits lists and entries as text, for the commands that write them. Entries are parsed only in
//! `entry`.

use crate::access::key::KeyId;

/// Splits a list into pieces, each with the separator after it. Joined, the pieces are the list,
/// and each has at most one entry. A comment, from a `#` where an entry could begin to the end of
/// its line, is one piece.
pub fn pieces(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let is_comment = rest
            .trim_start_matches(|c: char| c.is_whitespace() && c != '\n')
            .starts_with('#');
        let end = if is_comment {
            rest.find('\n')
        } else {
            rest.find(SEPARATORS)
        };
        let length = end.map_or(rest.len(), |end| end.saturating_add(1));
        let (piece, behind) = rest.split_at_checked(length)?;
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The characters that end an entry.
pub const SEPARATORS: [char; 2] = ['\n', ';'];

/// Returns the entry of a piece, without blanks around it; `None` for a comment and for a blank
/// line.
pub fn entry(piece: &str) -> Option<&str> {
    let entry = piece.strip_suffix(SEPARATORS).unwrap_or(piece).trim();
    (!entry.is_empty() && !entry.starts_with('#')).then_some(entry)
}

/// Writes an entry. Its fields are not checked: parsing the entry checks them.
pub fn write<'a>(
    id: &KeyId,
    hash: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut entry = [id.as_str(), " ", hash].concat();
    for (name, value) in fields {
        push_field(&mut entry, name, value);
    }
    entry
}

/// Puts the hash of a new key before the hash of a valid entry; `None` if the entry has two hashes
/// already.
pub fn rotate(entry: &str, hash: &str) -> Option<String> {
    let (id, rest) = word(entry)?;
    finish(entry).is_none().then(|| [id, hash, rest].join(" "))
}

/// Removes the second hash of a valid entry; `None` if the entry has only one.
pub fn finish(entry: &str) -> Option<String> {
    let (id, rest) = word(entry)?;
    let (hash, rest) = word(rest)?;
    let (old, rest) = word(rest)?;
    (!old.contains('=')).then(|| [id, hash, rest].join(" "))
}

/// Sets fields of a valid entry; `None` removes a field. The values are not checked: parsing the
/// entry checks them.
pub fn change(entry: &str, changes: &[(&str, Option<String>)]) -> String {
    let is_kept = |word: &&str| {
        let name = word.split_once('=').map(|(name, _)| name);
        !changes.iter().any(|(changed, _)| name == Some(*changed))
    };
    // A valid entry has no quote that is not closed.
    let words = words(entry).unwrap_or_default();
    let mut entry = words
        .into_iter()
        .filter(is_kept)
        .collect::<Vec<_>>()
        .join(" ");
    for (name, value) in changes {
        if let Some(value) = value {
            push_field(&mut entry, name, value);
        }
    }
    entry
}

fn push_field(entry: &mut String, name: &str, value: &str) {
    let quote = if value.contains(char::is_whitespace) {
        "\""
    } else {
        ""
    };
    for part in [" ", name, "=", quote, value, quote] {
        entry.push_str(part);
    }
}

/// Returns the first word, and the text that follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(char::is_whitespace)?;
    Some((word, rest.trim_start()))
}

/// Splits a text into words. Blanks separate words, but not between double quotes, which surround a
/// whole value.
pub(super) fn words(text: &str) -> Result<Vec<&str>, &'static str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut quoted = false;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                c.is_whitespace() && !quoted
            })
            .map_or(rest.len(), |(index, _)| index);
        if quoted && end == rest.len() {
            return Err(
                "a quote is not closed (a label has no quote, no ; and no line break in it)",
            );
        }
        let (word, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        words.push(word);
        rest = behind.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::admit::Grants;

    const NEW: &str = "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
    const OLD: &str = "sha256:aa8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";

    #[test]
    fn the_pieces_of_a_list_are_the_list() {
        for list in [
            "",
            "\n",
            "a",
            "# x;y\n a ;b\r\n\n;c",
            "a\n",
            ";;",
            " # x; y",
            "a; # x; y\n;b",
        ] {
            assert_eq!(pieces(list).collect::<String>(), list);
        }
        let entries: Vec<_> = pieces("# x;y\n a ;b\r\n\n;c").filter_map(entry).collect();
        assert_eq!(entries, ["a", "b", "c"]);
    }

    #[test]
    fn a_written_entry_is_read_back() {
        let id = KeyId::parse("phone").unwrap();
        let entry = write(
            &id,
            NEW,
            [
                ("agents", "main,notes"),
                ("label", "Anna's phone"),
                ("rpm", "3"),
            ],
        );
        assert_eq!(
            entry,
            format!("phone {NEW} agents=main,notes label=\"Anna's phone\" rpm=3")
        );
        let mut clients = Grants::default();
        let mut problems = Vec::new();
        clients.extend(&entry, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            clients.iter().next().unwrap().label.as_deref(),
            Some("Anna's phone")
        );
    }

    #[test]
    fn a_value_with_blanks_begins_no_second_field() {
        let id = KeyId::parse("phone").unwrap();
        let mut problems = Vec::new();
        Grants::default().extend(
            &write(&id, NEW, [("agents", "main sessions=any")]),
            &mut problems,
        );
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn a_rotation_has_the_new_hash_first_and_ends_with_it_alone() {
        let entry = format!("phone  {OLD}\tagents=main label=\"a  b\"");
        let both = rotate(&entry, NEW).unwrap();
        assert_eq!(
            both,
            format!("phone {NEW} {OLD}\tagents=main label=\"a  b\"")
        );
        let mut problems = Vec::new();
        Grants::default().extend(&both, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(rotate(&both, NEW), None, "it is under way already");
        assert_eq!(
            finish(&both).unwrap(),
            format!("phone {NEW} agents=main label=\"a  b\"")
        );
        assert_eq!(finish(&entry), None, "there is none to finish");
    }
}
