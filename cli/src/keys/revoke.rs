//! `clawfront keys revoke`: removes the entry of a key from the list.

use clap::Args;

use super::apply::{Change, Changed, apply};
use super::entry::key_id;
use crate::outcome::{Output, Problem};

#[derive(Args)]
pub(crate) struct Revoke {
    id: String,
    #[command(flatten)]
    change: Change,
}

pub(super) fn run(revoke: &Revoke) -> Result<Output, Problem> {
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
