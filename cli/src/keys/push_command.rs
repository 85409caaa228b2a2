//! `clawfront keys push`, and the push that ends `clawfront setup`: set the Worker's list.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::apply::{pushed_text, write};
use super::list::{Value, refuse_mistakes};
use super::list_file::ListFile;
use super::push::{self, InForce, Target};
use super::source::Source;
use crate::outcome::{NOT_IN_FORCE, Output, Problem};

#[derive(Args)]
pub(crate) struct Push {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(push: &Push) -> Result<Output, Problem> {
    let file = ListFile::lock(push.source.path())?.existing()?;
    let list = file.list()?;
    refuse_mistakes(&list)?;
    let deployed = push.target.deployed(&file)?;
    let done = push::Push {
        file: &file,
        list: &list,
        settings: &[],
        target: &push.target,
        taken_back: None,
    }
    .send(deployed.as_ref())?;
    write(&file, None, Some(&done))?;
    let in_force = done.wait(deployed.as_ref());
    let mut output = if push.source.json {
        Output::line(json!({
            "file": push.source.name(),
            "keys": list.keys().len(),
            "worker": done.pushed,
            "in_force": in_force.as_json(),
        }))
    } else {
        Output::of(pushed_text(&done.pushed))
    };
    let place = deployed.map_or_else(|| "the deployed Worker".to_owned(), |deployed| deployed.url);
    output.note = match in_force {
        InForce::After(after) => format!(
            "In force at {place} since {:.0} s after the push.\n",
            after.as_secs_f64()
        ),
        InForce::NotYet => format!("Not yet in force at {place}.\n"),
        InForce::Unknown => "Cloudflare needs some seconds. With --worker https://… this command \
                             waits for it.\n"
            .to_owned(),
    };
    if in_force == InForce::NotYet {
        output.code = NOT_IN_FORCE;
    }
    Ok(output)
}

/// Pushes the keys of the file and these settings to the deployed Worker. Returns the names of the
/// secrets that were set.
pub(crate) fn push_with(
    path: &Path,
    settings: &[Value],
    target: &Target,
) -> Result<(Vec<String>, InForce), Problem> {
    let file = ListFile::lock(path)?.existing()?;
    let deployed = target.deployed(&file)?;
    let done = push::Push {
        file: &file,
        list: &file.list()?,
        settings,
        target,
        taken_back: None,
    }
    .send(deployed.as_ref())?;
    write(&file, None, Some(&done))?;
    let in_force = done.wait(deployed.as_ref());
    Ok((done.pushed.set, in_force))
}
