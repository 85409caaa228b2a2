//! The deployed Worker's secrets, set through wrangler.
//!
//! `wrangler secret bulk` is one request (`PATCH …/secrets-bulk`, a merge patch) that sets and deletes together, and so one new version
//! of the Worker; `secret put` would be one for each, with half a list in between. It reads JSON from standard input, `null` deletes.
//! Source: wrangler 4.164, `putBulkSecrets`; developers.cloudflare.com/changelog/post/2026-06-03-bulk-secrets-api.

use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::Args;
use clawfront_core::config;
use serde::Deserialize;

use super::list::Value;
use crate::Problem;

/// What wrangler is told about the Worker.
#[derive(Args)]
#[command(next_help_heading = "Options for wrangler")]
pub(crate) struct Options {
    /// Name of the Worker, where it is not the configuration's
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Environment of wrangler's configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// wrangler's configuration file
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
}

impl Options {
    pub(super) fn are_given(&self) -> bool {
        self.name.is_some() || self.env.is_some() || self.config.is_some()
    }
}

/// What was done to the Worker, by the names of its secrets.
#[derive(serde::Serialize)]
pub(super) struct Pushed {
    pub(super) set: Vec<String>,
    pub(super) deleted: Vec<String>,
}

/// Makes these the Worker's client keys, all of them. Those that it has beyond are deleted.
pub(super) fn push(secrets: &[Value], options: &Options) -> Result<Pushed, Problem> {
    // A Worker that does not exist ends here: to set its secrets would make an empty one.
    let deployed = deployed(options)?;
    let is_new = |name: &String| !secrets.iter().any(|secret| secret.name == *name);
    let pushed = Pushed {
        set: secrets.iter().map(|secret| secret.name.clone()).collect(),
        deleted: config::client_keys_names()
            .filter(|name| deployed.contains(name) && is_new(name))
            .collect(),
    };
    if pushed.set.is_empty() && pushed.deleted.is_empty() {
        return Ok(pushed);
    }
    let set = secrets
        .iter()
        .map(|secret| (secret.name.clone(), secret.text.clone().into()));
    let deleted = pushed
        .deleted
        .iter()
        .map(|name| (name.clone(), serde_json::Value::Null));
    let patch: serde_json::Map<_, _> = set.chain(deleted).collect();
    wrangler("bulk", options, &serde_json::Value::from(patch).to_string())?;
    Ok(pushed)
}

/// The names of the secrets that the Worker has. Their values cannot be read back.
fn deployed(options: &Options) -> Result<Vec<String>, Problem> {
    #[derive(Deserialize)]
    struct Secret {
        name: String,
    }
    let output = wrangler("list", options, "")?;
    let secrets: Vec<Secret> = serde_json::from_slice(&output.stdout)
        .map_err(|_| Problem::new("`wrangler secret list` did not answer with a list; it must be wrangler 4"))?;
    Ok(secrets.into_iter().map(|secret| secret.name).collect())
}

/// Runs `wrangler secret …`. What is secret goes through `input`; its output is read and not shown, but for its errors.
fn wrangler(action: &str, options: &Options, input: &str) -> Result<Output, Problem> {
    let failed = |why: String| Problem::new(format!("`wrangler secret {action}` {why}"));
    let mut command = program();
    command.args(["secret", action]);
    for (option, value) in [("--name", &options.name), ("--env", &options.env)] {
        if let Some(value) = value {
            command.arg(option).arg(value);
        }
    }
    if let Some(path) = &options.config {
        command.arg("--config").arg(path);
    }
    let mut child = command
        .envs([
            ("WRANGLER_HIDE_BANNER", "true"),
            ("WRANGLER_SEND_METRICS", "false"),
            // Set otherwise, here or in a .env file, these write what is sent to wrangler's log.
            ("WRANGLER_LOG", "log"),
            ("WRANGLER_LOG_SANITIZE", "true"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    // It reads all of it before it answers; one that ends early says why itself.
    let sent = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|error| failed(format!("broke off: {error}")))?;
    if !output.status.success() || sent.is_err() {
        return Err(failed(format!("failed ({})\n{}", output.status, words(&output))));
    }
    Ok(output)
}

/// The project's own wrangler, from here upwards, with its Node; else the one on the `PATH`.
fn program() -> Command {
    let bin = env::current_dir().ok().and_then(|folder| {
        folder
            .ancestors()
            .map(|folder| folder.join("node_modules/.bin"))
            .find(|bin| bin.join("wrangler").exists())
    });
    let Some(bin) = bin else {
        return Command::new("wrangler");
    };
    let mut command = Command::new(bin.join("wrangler"));
    if let Some(path) = path_with(&bin) {
        command.env("PATH", path);
    }
    command
}

fn path_with(bin: &Path) -> Option<OsString> {
    let rest = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(bin.to_owned()).chain(env::split_paths(&rest))).ok()
}

/// What wrangler says about its failure; nothing, if an entry has found its way into it.
fn words(output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr);
    if words.contains("sha256:") {
        return "its message is not shown: it quotes entries".to_owned();
    }
    without_colours(words.trim())
}

/// wrangler colours its errors whether or not anybody sees colours.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        plain + part.split_once('m').map_or(part, |(_, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out() {
        let error =
            "\u{1b}[31m✘ \u{1b}[41;31m[\u{1b}[41;97mERROR\u{1b}[41;31m]\u{1b}[0m \u{1b}[1mWorker not found.\u{1b}[0m\n";
        assert_eq!(without_colours(error), "✘ [ERROR] Worker not found.\n");
        assert_eq!(without_colours("plain"), "plain");
    }
}
