//! `clawfront keys list` and `clawfront keys show`: print the keys of a list.

use clap::Args;

use super::entry::key_id;
use super::source::{Source, open, with_exposure};
use super::view;
use crate::outcome::{Output, Problem};
use crate::system::now_ms;

#[derive(Args)]
pub(crate) struct Show {
    id: String,
    #[command(flatten)]
    source: Source,
}

pub(super) fn list(source: &Source) -> Result<Output, Problem> {
    let (file, list) = open(source)?;
    let output = if source.json {
        Output::line(view::list_json(&source.name(), &list, now_ms()?)?)
    } else {
        Output::of(view::list_text(&list, now_ms()?)?)
    };
    Ok(with_exposure(output, &file))
}

pub(super) fn show(show: &Show) -> Result<Output, Problem> {
    let (file, list) = open(&show.source)?;
    let key = list.key(key_id(&show.id)?.as_str())?;
    let output = if show.source.json {
        Output::line(view::key_json(&key, now_ms()?))
    } else {
        Output::of(view::key_text(&key, now_ms()?))
    };
    Ok(with_exposure(output, &file))
}
