//! Compares the documents with `--help`: they name every option of a command, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};

use crate::arguments::Arguments;

/// Options of other programs that the documents name beside ours.
const OTHERS: [&str; 9] = [
    "--bg",
    "--fast",
    "--http-port",
    "--ipv4",
    "--openclaw",
    "--panic-unwind",
    "--port",
    "--silent",
    "--tunnel-id",
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn command(path: &[&str]) -> Command {
    let mut command = Arguments::command();
    command.build();
    for name in path {
        command = command.find_subcommand(name).unwrap().clone();
    }
    command
}

/// The long options of a command, with its dashes.
fn options(command: &Command) -> BTreeSet<String> {
    let longs = command.get_arguments().filter_map(clap::Arg::get_long);
    longs
        .filter(|name| *name != "help")
        .map(|name| format!("--{name}"))
        .collect()
}

/// All options that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split(|c: char| !is_part(c))
        .filter(|word| word.len() > 2 && word.starts_with("--") && !word.starts_with("---"))
        .map(|word| word.trim_end_matches('-').to_owned())
        .collect()
}

fn subcommands(command: &Command) -> Vec<Command> {
    let mut all = vec![command.clone()];
    for sub in command.get_subcommands() {
        all.extend(subcommands(sub));
    }
    all
}

#[test]
fn the_document_of_keys_names_every_option_of_its_commands() {
    let document = named(&read("docs/keys-command.md"));
    let commands = command(&["keys"]);
    for name in commands.get_subcommands().map(Command::get_name) {
        let missing: Vec<_> = options(&command(&["keys", name]))
            .difference(&document)
            .cloned()
            .collect();
        assert!(
            missing.is_empty(),
            "keys {name}: docs/keys-command.md lacks {missing:?}"
        );
    }
    let fields = read("docs/keys-command.md");
    let row = fields
        .lines()
        .find(|line| line.starts_with("Options of `keys new`"))
        .unwrap();
    let shared = options(&command(&["keys", "rotate"]));
    let missing: Vec<_> = options(&command(&["keys", "new"]))
        .difference(&named(row))
        .cloned()
        .collect();
    let missing: Vec<_> = missing
        .iter()
        .filter(|option| !shared.contains(*option))
        .collect();
    assert!(missing.is_empty(), "the row of keys new lacks {missing:?}");
}

#[test]
fn the_table_of_fields_is_that_of_keys_new() {
    let document = read("docs/keys.md");
    let documented: BTreeSet<String> = document
        .lines()
        .skip_while(|line| !line.starts_with("| field | meaning |"))
        .skip(2)
        .map_while(|line| line.strip_prefix("| `")?.split_once('='))
        .map(|(name, _)| format!("--{}", name.replace('_', "-")))
        .collect();
    let shared = options(&command(&["keys", "rotate"]));
    let fields: BTreeSet<String> = options(&command(&["keys", "new"]))
        .difference(&shared)
        .filter(|option| !["--id", "--for"].contains(&option.as_str()))
        .cloned()
        .collect();
    assert_eq!(documented, fields);
}

#[test]
fn the_documents_of_setting_up_name_every_option_that_is_theirs() {
    let document = named(&read("docs/deploy.md"));
    for name in ["setup", "deploy", "doctor"] {
        let missing: Vec<_> = options(&command(&[name]))
            .difference(&document)
            .cloned()
            .collect();
        assert!(
            missing.is_empty(),
            "{name}: docs/deploy.md lacks {missing:?}"
        );
    }
}

#[test]
fn no_document_names_an_option_that_no_command_has() {
    let known: BTreeSet<_> = subcommands(&command(&[]))
        .iter()
        .flat_map(options)
        .collect();
    for path in [
        "README.md",
        "SECURITY.md",
        "docs/keys-command.md",
        "docs/keys.md",
        "docs/recipes.md",
        "docs/settings.md",
        "docs/deploy.md",
        "docs/operating.md",
    ] {
        let text = read(path);
        let lines = text
            .lines()
            .filter(|line| line.contains("clawfront") || path == "docs/keys-command.md");
        for line in lines {
            let unknown: Vec<_> = named(line)
                .into_iter()
                .filter(|option| !known.contains(option) && !OTHERS.contains(&option.as_str()))
                .collect();
            assert!(unknown.is_empty(), "{path}: {unknown:?} in {line}");
        }
    }
}

#[test]
fn the_scopes_of_keys_new_are_all_in_its_help() {
    let new = command(&["keys", "new"]);
    let help = new
        .get_arguments()
        .find(|argument| argument.get_long() == Some("scopes"))
        .unwrap();
    let help = help.get_help().unwrap().to_string();
    for scope in clawfront_core::access::policy::Scope::ALL {
        assert!(help.contains(scope.name()), "{help}");
    }
}
