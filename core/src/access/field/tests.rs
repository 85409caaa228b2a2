//! Tests of the table, against its own parsers and against the documents.

use std::collections::BTreeSet;

use super::*;
use crate::access::admit::Grants;

const HASH: &str = "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";

fn grant(fields: &str) -> Grant {
    let mut grants = Grants::default();
    let mut problems = Vec::new();
    grants.extend(&format!("phone {HASH} agents=* {fields}"), &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    grants.iter().next().unwrap().clone()
}

/// Returns the words of a field, if it has words.
fn words(field: &Field) -> Vec<&'static str> {
    let words: Vec<_> = field.values.split('|').collect();
    if words.len() > 1 { words } else { Vec::new() }
}

#[test]
fn the_words_and_the_defaults_of_the_table_are_those_of_the_parsers() {
    let fields = FIELDS.iter().filter(|field| !words(field).is_empty());
    for field in fields.chain(FIELDS.iter().filter(|field| field.name == "keep_alive")) {
        let default = field.default.unwrap();
        let given = grant(&format!("{}={default}", field.name));
        assert_eq!(field.of(&given), field.of(&grant("")), "{}", field.name);
        for word in words(field) {
            let shown = match field.of(&grant(&format!("{}={word}", field.name))) {
                Shown::Switch(true) => "on".into(),
                Shown::Switch(false) => "off".into(),
                Shown::Text(Some(text)) => text.into_owned(),
                other => panic!("{}: {other:?}", field.name),
            };
            assert_eq!(shown, word, "{}", field.name);
        }
    }
}

#[test]
fn docs_keys_md_has_a_row_for_every_field_and_no_other() {
    let document = include_str!("../../../../docs/keys.md");
    let (_, table) = document
        .split_once("| field | meaning | without it |")
        .unwrap();
    let rows: Vec<_> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let name = |row: &str| {
        let name = row.strip_prefix("| `").and_then(|row| row.split_once('='));
        name.map(|(name, _)| name.to_owned())
    };
    let documented: BTreeSet<_> = rows.iter().filter_map(|row| name(row)).collect();
    let fields: BTreeSet<_> = FIELDS.iter().map(|field| field.name.to_owned()).collect();
    assert_eq!(documented, fields, "the rows of docs/keys.md");
    for field in FIELDS.iter().filter(|field| !words(field).is_empty()) {
        let row = rows
            .iter()
            .find(|row| name(row).as_deref() == Some(field.name));
        let values = format!("| `{}={}` |", field.name, field.values.replace('|', "\\|"));
        let default = format!("| `{}` |", field.default.unwrap());
        assert!(
            row.is_some_and(|row| row.starts_with(&values) && row.ends_with(&default)),
            "docs/keys.md lacks {values} … {default}"
        );
    }
    for field in &FIELDS {
        let member = format!("\"{}\":", field.member);
        assert!(
            document.contains(&member),
            "the answer of GET /v1/key in docs/keys.md lacks {member}"
        );
    }
}

#[test]
fn openapi_has_every_member_of_a_key() {
    let document = include_str!("../../../../openapi.yaml");
    let (_, schema) = document.split_once("\n    Key:\n").unwrap();
    let (schema, _) = schema.split_once("\n    About:\n").unwrap();
    let schema = schema.replace('\n', " ");
    for field in &FIELDS {
        let listed = |before: &str, after: &str| {
            schema.contains(&format!("{before}{}{after}", field.member))
        };
        assert!(
            listed(" ", ",") || listed(" ", "]") || listed("- ", " "),
            "openapi.yaml does not require {}",
            field.member
        );
        let (_, rest) = schema
            .split_once(&format!(" {}:", field.member))
            .unwrap_or_else(|| panic!("openapi.yaml lacks {}", field.member));
        let kind = match field.of(&grant("")) {
            Shown::Switch(_) => "type: boolean".to_owned(),
            Shown::Text(Some(_)) => format!("enum: [{}]", words(field).join(", ")),
            _ => continue,
        };
        let (rest, _) = rest.split_once('}').unwrap();
        assert!(
            rest.contains(&kind),
            "openapi.yaml: {} is {kind}",
            field.member
        );
    }
}
