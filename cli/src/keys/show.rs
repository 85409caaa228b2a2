//! `clawfront keys list` and `clawfront keys show`: print the keys of the hub or of a list.

use clap::Args;

use super::entry::key_id;
use super::hub::{self, Form};
use super::source::{Source, open, with_exposure};
use super::view;
use crate::outcome::{Output, Problem};
use crate::system::now_ms;

/// The keys to print: those of the hub, or a list.
#[derive(Args)]
pub(crate) struct List {
    /// Print the list of `CLIENT_KEYS`, not the keys of the hub; --file implies it
    #[arg(long = "static")]
    is_static: bool,
    /// Address of the Worker; default: `CLAWFRONT_URL` in .dev.vars, else the running `npm start`
    #[arg(long, value_name = "URL", conflicts_with_all = ["is_static", "file"])]
    worker: Option<String>,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
pub(crate) struct Show {
    id: String,
    #[command(flatten)]
    list: List,
}

impl List {
    fn is_static(&self) -> bool {
        self.is_static || self.source.file.is_some()
    }

    fn form(&self) -> Form<'_> {
        Form {
            worker: self.worker.as_deref(),
            json: self.source.json,
        }
    }
}

pub(super) fn list(list: &List) -> Result<Output, Problem> {
    if !list.is_static() {
        return hub::list(&list.form());
    }
    let source = &list.source;
    let (file, list) = open(source)?;
    let output = if source.json {
        Output::line(view::list_json(&source.name(), &list, now_ms()?)?)
    } else {
        Output::of(view::list_text(&list, now_ms()?)?)
    };
    Ok(with_exposure(output, &file))
}

pub(super) fn show(show: &Show) -> Result<Output, Problem> {
    if !show.list.is_static() {
        return hub::show(&show.list.form(), &show.id);
    }
    let source = &show.list.source;
    let (file, list) = open(source)?;
    let key = list.key(key_id(&show.id)?.as_str())?;
    let output = if source.json {
        Output::line(view::key_json(&key, now_ms()?))
    } else {
        Output::of(view::key_text(&key, now_ms()?))
    };
    Ok(with_exposure(output, &file))
}
