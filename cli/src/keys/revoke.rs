//! `clawfront keys revoke`: revokes a key of the hub, or removes the entry of a key from the list.

use clap::Args;
use zeroize::Zeroizing;

use super::apply::{Change, Changed, apply};
use super::entry::key_id;
use super::hub::{self, Form};
use super::list_file::stdin;
use crate::outcome::{Output, Problem};

#[derive(Args)]
pub(crate) struct Revoke {
    id: String,
    /// Read the key from standard input, and look that the Worker refuses it afterwards
    #[arg(long, conflicts_with_all = ["is_static", "file", "apply"])]
    key_stdin: bool,
    #[command(flatten)]
    change: Change,
}

pub(super) fn run(revoke: &Revoke) -> Result<Output, Problem> {
    if !revoke.change.is_static() {
        let key = if revoke.key_stdin {
            Some(Zeroizing::new(stdin()?))
        } else {
            None
        };
        let key = key.as_ref().map(|key| key.trim());
        return hub::revoke(&Form::of(&revoke.change), &revoke.id, key);
    }
    let (file, mut list) = revoke.change.open()?;
    let id = key_id(&revoke.id)?;
    list.replace(&list.key(id.as_str())?, None);
    apply(
        &revoke.change,
        &file,
        &list,
        &Changed {
            id,
            key: None,
            entry: None,
            takes_back: true,
            warnings: String::new(),
        },
    )
}
