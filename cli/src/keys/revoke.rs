//! `clawfront keys revoke`: revokes a key of the hub, or removes the entry of a key from the list.

use clap::Args;

use super::apply::{Change, Changed, apply};
use super::entry::key_id;
use super::hub::{self, Form};
use crate::outcome::{Output, Problem};

#[derive(Args)]
pub(crate) struct Revoke {
    id: String,
    #[command(flatten)]
    change: Change,
}

pub(super) fn run(revoke: &Revoke) -> Result<Output, Problem> {
    if !revoke.change.is_static() {
        return hub::revoke(&Form::of(&revoke.change), &revoke.id);
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
