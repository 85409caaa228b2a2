//! `clawfront keys new`: makes a key and adds its entry to the list.

use std::path::Path;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use clawfront_core::access::field::FIELDS;
use clawfront_core::access::key::{KeyId, NewKey};
use zeroize::Zeroizing;

use super::advice;
use super::apply::{Change, Changed, apply};
use super::entry::{key_id, new_entry};
use super::list::refuse_mistakes;
use super::list_file::ListFile;
use crate::outcome::{Output, Problem};
use crate::system::{entropy, now_ms};

pub(super) const EXAMPLES: &str = concat!(
    "Examples:
  clawfront keys new --id phone --agents main,notes --default main --label \"Anna's phone\" --apply
  clawfront keys new --id ci --agents builder --scopes chat --expires 2027-06-30 --rpm 10 \
     --apply=both
  list=$(pass show clawfront | clawfront keys new --id bob --agents main --file -) && printf \
     '%s\\n' \"$list\" | pass insert -m -f clawfront

",
    crate::outcome::exit_codes!()
);

#[derive(Args)]
pub(crate) struct New {
    /// Public name of the key: a-z, 0-9 and -, at most 32; it appears in logs
    #[arg(long)]
    id: String,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    change: Change,
}

/// The fields of the entry: one option for each row of core's table.
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl Args for Fields {
    fn augment_args(command: Command) -> Command {
        FIELDS.iter().fold(command, |command, field| {
            let (default, is_required) = match field.default {
                Some(default) => (format!(" [default: {default}]"), false),
                None => (String::new(), true),
            };
            command.arg(
                Arg::new(field.name)
                    .long(field.name.replace('_', "-"))
                    .value_name(field.values)
                    .help(format!("{}{default}", field.about))
                    .required(is_required),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Fields {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = FIELDS
            .iter()
            .filter_map(|field| Some((field.name, matches.get_one::<String>(field.name)?.clone())));
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(super) fn run(new: &New) -> Result<Output, Problem> {
    let file = new.change.file()?;
    let mut list = file.list()?;
    if !list.is_empty() {
        refuse_mistakes(&list)?;
    }
    let id = key_id(&new.id)?;
    let key = NewKey::from_entropy(&id, &entropy()?);
    let entry = new_entry(&id, &key, new.fields.given())?;
    list.add(id.as_str(), &entry)?;
    let warnings = advice::of(&list.key(id.as_str())?.client, &new.change, now_ms()?)?;
    apply(
        &new.change,
        &file,
        &list,
        &Changed {
            id,
            key: Some(key.plaintext),
            entry: Some(entry),
            takes_back: false,
            warnings,
        },
    )
}

/// Makes a key and adds its entry to the file.
pub(crate) fn add(
    path: &Path,
    id: &KeyId,
    fields: &[(&str, &str)],
) -> Result<Zeroizing<String>, Problem> {
    let file = ListFile::lock(path)?;
    let mut list = file.list()?;
    let key = NewKey::from_entropy(id, &entropy()?);
    list.add(id.as_str(), &new_entry(id, &key, fields.iter().copied())?)?;
    refuse_mistakes(&list)?;
    file.write(&file.with(&list)?)?;
    Ok(key.plaintext)
}
