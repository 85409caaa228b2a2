//! A list of entries: its keys, its mistakes and its changes. Core parses the entries.

use clawfront_core::access::admit::Grants;
use clawfront_core::access::edit;
use clawfront_core::access::grant::Grant;
use clawfront_core::access::key::id_of;
use clawfront_core::config::{self, CLIENT_KEYS};

use crate::outcome::{CONFLICT, FAILED, MISTAKES, NOT_FOUND, Problem};

/// Most bytes of one secret or variable of a Worker. Source:
/// developers.cloudflare.com/workers/platform/limits, "5 KB", which is 5,000 at least.
pub(crate) const MAX_SECRET_BYTES: usize = 5000;

/// The client keys of a deployment, as the values of its bindings.
#[derive(Clone)]
pub(crate) struct List {
    pub(crate) values: Vec<Value>,
    /// Most bytes of a value; more entries go into the next one.
    max_bytes: usize,
}

/// One `CLIENT_KEYS`, `CLIENT_KEYS_2`, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A key of the list.
pub(crate) struct Key {
    pub(crate) client: Grant,
    pub(crate) entry: String,
}

impl List {
    /// Makes a list of the values of bindings.
    pub(crate) fn of_bindings(values: Vec<Value>) -> Self {
        Self {
            values,
            max_bytes: MAX_SECRET_BYTES,
        }
    }

    /// Makes a list of a text that has only entries.
    pub(crate) fn of_text(text: String) -> Self {
        let name = CLIENT_KEYS.to_owned();
        Self {
            values: vec![Value { name, text }],
            max_bytes: usize::MAX,
        }
    }

    /// Returns the mistakes for which a Worker with these bindings refuses to start, in the
    /// Worker's messages.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.read(&mut problems);
        let mut mistakes: Vec<_> = problems.iter().map(ToString::to_string).collect();
        for value in &self.values {
            if edit::pieces(&value.text).any(is_comment_with_key) {
                mistakes.push(format!(
                    "{}: a comment contains a key in the clear. Fix: remove it, and make a new key",
                    value.name
                ));
            }
        }
        mistakes
    }

    /// Returns all keys, parsed as in the Worker.
    pub(crate) fn clients(&self) -> Grants {
        self.read(&mut Vec::new())
    }

    fn read(&self, problems: &mut Vec<config::Problem>) -> Grants {
        let get = |name: &str| {
            let value = self.values.iter().find(|value| value.name == name)?;
            Some(value.text.clone())
        };
        config::clients(&get, problems)
    }

    /// Returns the keys of a list without mistakes, with their entries.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let entries = self
            .values
            .iter()
            .flat_map(|value| edit::pieces(&value.text))
            .filter_map(edit::entry);
        entries
            .filter_map(|entry| {
                let mut clients = Grants::default();
                clients.extend(entry, &mut Vec::new());
                Some(Key {
                    client: clients.iter().next()?.clone(),
                    entry: entry.to_owned(),
                })
            })
            .collect()
    }

    pub(crate) fn key(&self, id: &str) -> Result<Key, Problem> {
        self.keys()
            .into_iter()
            .find(|key| key.client.id.as_str() == id)
            .ok_or_else(|| Problem::with(NOT_FOUND, format!("no entry has the id {id}")))
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self
            .values
            .iter()
            .any(|value| edit::pieces(&value.text).any(|piece| edit::entry(piece).is_some()))
    }

    /// Adds an entry at the end of the first used value that has room for it, otherwise in a new
    /// value.
    pub(crate) fn add(&mut self, id: &str, entry: &str) -> Result<(), Problem> {
        if self.key(id).is_ok() {
            return Err(Problem::with(
                CONFLICT,
                format!(
                    "the key {id} already exists. Fix: rotate it, revoke it, or choose \
                         another id"
                ),
            ));
        }
        let max_bytes = self.max_bytes;
        let has_room =
            |value: &&mut Value| value.text.len().saturating_add(entry.len()) < max_bytes;
        if let Some(value) = self.values.iter_mut().find(has_room) {
            value.text = appended(&value.text, entry);
            return Ok(());
        }
        let name = config::client_keys_names()
            .find(|name| !self.values.iter().any(|value| value.name == *name))
            .ok_or_else(full)?;
        self.values.push(Value {
            name,
            text: entry.to_owned(),
        });
        Ok(())
    }

    /// Replaces the entry of a key; `None` removes it.
    pub(crate) fn replace(&mut self, key: &Key, entry: Option<&str>) {
        for value in &mut self.values {
            let pieces: Vec<_> = edit::pieces(&value.text).collect();
            let Some(index) = pieces
                .iter()
                .position(|piece| edit::entry(piece) == Some(&key.entry))
            else {
                continue;
            };
            let (before, rest) = pieces.split_at_checked(index).unwrap_or_default();
            let Some((piece, after)) = rest.split_first() else {
                continue;
            };
            value.text = match entry {
                Some(entry) => format!(
                    "{}{}{}",
                    before.concat(),
                    piece.replacen(&key.entry, entry, 1),
                    after.concat()
                ),
                // The last entry is removed with the separator before it, any other entry with the
                // blanks after it.
                None if after.is_empty() && !piece.ends_with(edit::SEPARATORS) => before
                    .concat()
                    .trim_end_matches(edit::SEPARATORS)
                    .trim_end_matches('\r')
                    .to_owned(),
                None => format!(
                    "{}{}",
                    before.concat(),
                    after.concat().trim_start_matches(' ')
                ),
            };
            return;
        }
    }

    /// Returns the list as secrets of a Worker: only entries, one per line, each secret filled
    /// before the next.
    pub(crate) fn secrets(&self) -> Result<Vec<Value>, Problem> {
        let mut names = config::client_keys_names();
        let mut secrets: Vec<Value> = Vec::new();
        for Key { entry, client } in self.keys() {
            if entry.len() > MAX_SECRET_BYTES {
                return Err(Problem::new(format!(
                    "the entry of {} is longer than the {MAX_SECRET_BYTES} bytes of a secret",
                    client.id
                )));
            }
            match secrets.last_mut() {
                Some(last) if last.text.len().saturating_add(entry.len()) < MAX_SECRET_BYTES => {
                    last.text.push('\n');
                    last.text.push_str(&entry);
                }
                _ => secrets.push(Value {
                    name: names.next().ok_or_else(full)?,
                    text: entry,
                }),
            }
        }
        Ok(secrets)
    }
}

pub(crate) fn refuse_mistakes(list: &List) -> Result<(), Problem> {
    let mistakes = list.mistakes();
    if mistakes.is_empty() {
        return Ok(());
    }
    Err(Problem::with(
        MISTAKES,
        format!("the list has mistakes\n{}", mistakes.join("\n")),
    ))
}

fn full() -> Problem {
    Problem::with(
        FAILED,
        format!(
            "the list is full: {CLIENT_KEYS} to {CLIENT_KEYS}_9 hold {MAX_SECRET_BYTES} bytes \
             each. Fix: revoke keys. Fix: revoke keys. Fix: revoke keys"
        ),
    )
}

fn is_comment_with_key(piece: &str) -> bool {
    edit::entry(piece).is_none()
        && piece
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
            .any(|word| id_of(word).is_some())
}

/// Appends an entry with the separators and line ends of the text.
fn appended(text: &str, entry: &str) -> String {
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    if text.is_empty() || text.ends_with('\n') {
        return format!(
            "{text}{entry}{}",
            if text.is_empty() { "" } else { line_end }
        );
    }
    match (text.contains('\n'), text.contains(';')) {
        (false, true) => format!("{}; {entry}", text.trim_end_matches([';', ' '])),
        _ => format!("{text}{line_end}{entry}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, digit: char) -> String {
        let hash =
            format!("{digit}a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab");
        format!("{id} sha256:{hash} agents=main")
    }

    fn numbered(count: usize) -> String {
        let entries: Vec<_> = (0..count)
            .map(|n| {
                format!(
                    "k{n} sha256:{n:\
                     0>3}d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab agents=main"
                )
            })
            .collect();
        entries.join("\n")
    }

    fn list(text: &str) -> List {
        let list = List::of_text(text.to_owned());
        assert_eq!(list.mistakes(), Vec::<String>::new(), "{text}");
        list
    }

    #[test]
    fn a_list_keeps_its_form_when_an_entry_is_added_and_taken_out() {
        let (a, b, c) = (&entry("a", '1'), &entry("b", '2'), &entry("c", '3'));
        for (before, with_c) in [
            (format!("{a}\n{b}\n"), format!("{a}\n{b}\n{c}\n")),
            (format!("{a}\n{b}"), format!("{a}\n{b}\n{c}")),
            (
                format!("# x\r\n\r\n{a}\r\n"),
                format!("# x\r\n\r\n{a}\r\n{c}\r\n"),
            ),
            (format!("{a}; {b}"), format!("{a}; {b}; {c}")),
            (a.clone(), format!("{a}\n{c}")),
        ] {
            let mut changed = list(&before);
            assert!(changed.add("c", c).is_ok());
            assert_eq!(changed.values[0].text, with_c);
            let key = changed.key("c").ok().unwrap();
            changed.replace(&key, None);
            assert_eq!(changed.values[0].text, before);
        }
    }

    #[test]
    fn an_entry_leaves_the_comments_around_it() {
        let (a, b) = (&entry("a", '1'), &entry("b", '2'));
        let mut changed = list(&format!("# people\n{a}\n\n# jobs\n  {b}\n# end\n"));
        let key = changed.key("b").ok().unwrap();
        changed.replace(&key, None);
        assert_eq!(
            changed.values[0].text,
            format!("# people\n{a}\n\n# jobs\n# end\n")
        );
        let mut first = list(&format!("{a}; {b}"));
        let key = first.key("a").ok().unwrap();
        first.replace(&key, None);
        assert_eq!(first.values[0].text, *b);
    }

    #[test]
    fn a_changed_entry_stays_where_it_was() {
        let (a, b) = (&entry("a", '1'), &entry("b", '2'));
        let mut changed = list(&format!("\t{a} ;{b}\n"));
        let key = changed.key("a").ok().unwrap();
        changed.replace(&key, Some("new"));
        assert_eq!(changed.values[0].text, format!("\tnew ;{b}\n"));
    }

    #[test]
    fn an_id_is_given_once_and_an_unknown_one_is_not_found() {
        let mut changed = list(&entry("a", '1'));
        assert_eq!(
            changed.add("a", &entry("a", '2')).err().unwrap().code,
            CONFLICT
        );
        assert_eq!(changed.key("b").err().unwrap().code, NOT_FOUND);
    }

    #[test]
    fn secrets_are_filled_to_their_limit_and_no_further() {
        let secrets = list(&format!("# a comment\n{}\n", numbered(200)))
            .secrets()
            .ok()
            .unwrap();
        let names: Vec<_> = secrets.iter().map(|secret| secret.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "CLIENT_KEYS",
                "CLIENT_KEYS_2",
                "CLIENT_KEYS_3",
                "CLIENT_KEYS_4"
            ]
        );
        assert!(
            secrets
                .iter()
                .all(|secret| secret.text.len() <= MAX_SECRET_BYTES)
        );
        let joined: Vec<_> = secrets.iter().map(|secret| secret.text.as_str()).collect();
        assert_eq!(joined.join("\n"), numbered(200));
        assert!(list(&numbered(900)).secrets().is_err());
    }

    #[test]
    fn a_binding_that_is_full_is_followed_by_the_next() {
        let full = Value {
            name: "CLIENT_KEYS".to_owned(),
            text: numbered(57),
        };
        let mut bindings = List::of_bindings(vec![full]);
        assert!(bindings.add("a", &entry("a", '1')).is_ok());
        assert_eq!(bindings.values[1].name, "CLIENT_KEYS_2");
        assert_eq!(bindings.values[1].text, entry("a", '1'));
        let mut text = list(&numbered(57));
        assert!(text.add("a", &entry("a", '1')).is_ok());
        assert_eq!(text.values.len(), 1);
    }

    #[test]
    fn a_key_in_the_clear_is_a_mistake_even_in_a_comment() {
        let a = entry("a", '1');
        let list = List::of_text(format!(
            "# was claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh\n{a}"
        ));
        assert_eq!(
            list.mistakes(),
            [
                "CLIENT_KEYS: a comment contains a key in the clear. Fix: remove it, and make a \
                 new key"
            ]
        );
        assert!(
            List::of_text(format!("# keys are claw_<id>_<secret>\n{a}"))
                .mistakes()
                .is_empty()
        );
    }
}
