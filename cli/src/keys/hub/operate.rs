//! `clawfront runs`: prints and stops the runs of a Worker's hub.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::api::{Hub, Refused};
use super::{Form, Options, view};
use crate::outcome::{NOT_FOUND, NOT_IN_FORCE, Output, Problem, USAGE};

pub(super) const RUNS: &str = "/runs";

/// Longest id of a run: two parts of 32 hex digits each, and a character between them.
const MAX_RUN_CHARS: usize = 80;

#[derive(Subcommand)]
pub(crate) enum Runs {
    /// List the runs that have not ended: their states, keys and agents
    List(Options),
    /// Stop a run; its streams end with the error `run_aborted`
    Stop(Stop),
}

/// A run of the hub.
#[derive(Args)]
pub(crate) struct Stop {
    /// The run's id, of `clawfront runs list` or of the log
    id: String,
    #[command(flatten)]
    options: Options,
}

pub(crate) fn runs(command: &Runs) -> Result<Output, Problem> {
    match command {
        Runs::List(options) => list(options),
        Runs::Stop(run) => stop(run),
    }
}

fn list(options: &Options) -> Result<Output, Problem> {
    let form = Form::of_options(options);
    let hub = Hub::open(form.worker)?;
    let answer = hub.get(RUNS).map_err(|refused| refused.of_hub(&hub))?;
    Ok(form.output(&answer, view::runs_text(view::data(&answer))))
}

fn stop(Stop { id, options }: &Stop) -> Result<Output, Problem> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if id.len() > MAX_RUN_CHARS || !id.chars().all(is_part) {
        let message = "this is not the id of a run. Fix: see `clawfront runs list`";
        return Err(Problem::with(USAGE, message));
    }
    let form = Form::of_options(options);
    let hub = Hub::open(form.worker)?;
    let answer = hub.change("POST", &format!("{RUNS}/{id}/stop"), &Value::Null);
    let answer = answer.map_err(|refused| match refused {
        Refused::Answer { code, .. } if code == "run_not_found" => Problem::with(
            NOT_FOUND,
            format!(
                "the hub at {} has no run {id}: it has ended, or never was. Fix: see `clawfront \
                 runs list`",
                hub.url
            ),
        ),
        other => other.of_hub(&hub),
    })?;
    if answer.get("stopped").and_then(Value::as_bool) != Some(true) {
        return Err(Problem::with(
            NOT_IN_FORCE,
            format!(
                "{} has no connection to the gateway at the moment; it stops {id} if it gets one \
                 within seconds. Fix: see `clawfront runs list`",
                hub.url
            ),
        ));
    }
    let text = format!("Stopped: {id}. Its streams have ended with the error run_aborted.\n");
    Ok(form.output(&answer, text))
}
