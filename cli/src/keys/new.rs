//! `clawfront keys new`: makes a key in the hub, or makes one and adds its entry to the list.

use std::path::Path;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clawfront_core::access::key::{KeyId, NewKey};
use zeroize::Zeroizing;

use super::advice;
use super::apply::{Change, Changed, apply};
use super::entry::{key_id, new_entry};
use super::fields::Fields;
use super::hub::snippet;
use super::hub::{self, Form};
use super::list::refuse_mistakes;
use super::list_file::ListFile;
use crate::outcome::{Output, Problem};
use crate::system::{entropy, now_ms};

pub(super) const EXAMPLES: &str = concat!(
    "Examples:
  clawfront keys new --id phone --agents main,notes --default main --label \"Anna's phone\"
  clawfront keys new --id bob --agents main --for openai-python
  clawfront keys new --static --id ci --agents builder --scopes chat --expires 2027-06-30 --rpm 10 \
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
    /// Print the settings of this client as well, as docs/clients.md or docs/recipes.md has them
    #[arg(
        long = "for",
        value_name = "CLIENT",
        value_parser = PossibleValuesParser::new(snippet::names()),
        conflicts_with_all = ["is_static", "file", "apply"]
    )]
    client: Option<String>,
    #[command(flatten)]
    change: Change,
}

pub(super) fn run(new: &New) -> Result<Output, Problem> {
    if !new.change.is_static() {
        return hub::new(
            &Form::of(&new.change),
            &new.id,
            &new.fields,
            new.client.as_deref(),
        );
    }
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

/// Makes a key and adds its entry to the file. With `keep_as`, the same write keeps the key itself
/// in this variable.
pub(crate) fn add(
    path: &Path,
    id: &KeyId,
    fields: &[(&str, &str)],
    keep_as: Option<&str>,
) -> Result<Zeroizing<String>, Problem> {
    let file = ListFile::lock(path)?;
    let mut list = file.list()?;
    let key = NewKey::from_entropy(id, &entropy()?);
    list.add(id.as_str(), &new_entry(id, &key, fields.iter().copied())?)?;
    refuse_mistakes(&list)?;
    let mut text = file.with(&list)?;
    if let Some(name) = keep_as {
        text = file.with_variables_in(&text, &[(name, &key.plaintext)])?;
    }
    file.write(&text)?;
    Ok(key.plaintext)
}
