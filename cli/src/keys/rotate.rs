//! `clawfront keys rotate`: replaces a key; both work for a time.

use clap::Args;
use clawfront_core::access::edit;
use clawfront_core::access::key::NewKey;

use super::apply::{Change, Changed, apply};
use super::entry::key_id;
use super::hub::{self, Form};
use crate::outcome::{CONFLICT, Output, Problem};
use crate::system::entropy;

#[derive(Args)]
pub(crate) struct Rotate {
    id: String,
    /// In a list: end the rotation, so that the old key stops working; implies --static
    #[arg(long)]
    finish: bool,
    /// In the hub: seconds for which the old key still works, 0 to 2592000 [default: 86400]
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["is_static", "file", "apply", "finish"])]
    overlap: Option<u64>,
    #[command(flatten)]
    change: Change,
}

pub(super) fn run(rotate: &Rotate) -> Result<Output, Problem> {
    if !rotate.finish && !rotate.change.is_static() {
        return hub::rotate(&Form::of(&rotate.change), &rotate.id, rotate.overlap);
    }
    let (file, mut list) = rotate.change.open()?;
    let id = key_id(&rotate.id)?;
    let old = list.key(id.as_str())?;
    let (key, entry) = if rotate.finish {
        let entry = edit::finish(&old.entry)
            .ok_or_else(|| Problem::with(CONFLICT, format!("no rotation of {id} is under way")))?;
        (None, entry)
    } else {
        let key = NewKey::from_entropy(&id, &entropy()?);
        let entry = edit::rotate(&old.entry, &key.hash).ok_or_else(|| {
            Problem::with(
                CONFLICT,
                format!(
                    "a rotation of {id} is under way. Fix: end it first (rotate {id} \
                         --finish)"
                ),
            )
        })?;
        (Some(key.plaintext), entry)
    };
    list.replace(&old, Some(&entry));
    apply(
        &rotate.change,
        &file,
        &list,
        &Changed {
            id,
            key,
            entry: Some(entry),
            takes_back: rotate.finish,
            warnings: String::new(),
        },
    )
}
