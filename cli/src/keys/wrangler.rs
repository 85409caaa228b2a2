//! The deployed Worker and its secrets, through wrangler.
//!
//! `wrangler secret bulk` is one request (`PATCH …/secrets-bulk`, a merge patch) that sets and
//! deletes together, and so one new version of the Worker; `secret put` would be one for each, with
//! half a list in between. It reads JSON from standard input, `null` deletes. Source: wrangler
//! 4.164, `putBulkSecrets`; developers.cloudflare.com/changelog/post/2026-06-03-bulk-secrets-api.

use std::env;
use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::Args;
use clawfront_core::config;
use serde::Deserialize;

use super::list::Value;
use crate::invocation::Invocation;
use crate::outcome::Problem;

/// The Worker, as wrangler names it.
#[derive(Args, Clone)]
#[command(next_help_heading = "Options for wrangler")]
pub(crate) struct Options {
    /// Name of the Worker, if it differs from the configuration's
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

    fn append_to(&self, command: &mut Command) {
        for (option, value) in [("--name", &self.name), ("--env", &self.env)] {
            if let Some(value) = value {
                command.arg(option).arg(value);
            }
        }
        if let Some(path) = &self.config {
            command.arg("--config").arg(path);
        }
    }
}

/// A change of the Worker, by the names of its secrets.
#[derive(serde::Serialize)]
pub(crate) struct Pushed {
    pub(crate) set: Vec<String>,
    pub(crate) deleted: Vec<String>,
}

/// Replaces the Worker's client keys by `keys`, and sets `settings`. Other client keys of the
/// Worker are deleted.
///
/// `allow` gets the names of the Worker's key secrets before anything changes.
pub(super) fn push(
    keys: &[Value],
    settings: &[Value],
    options: &Options,
    allow: impl FnOnce(&[String]) -> Result<(), Problem>,
) -> Result<Pushed, Problem> {
    // A Worker that does not exist fails here, because setting its secrets would create an empty
    // one.
    let deployed = deployed(options)?;
    let deployed: Vec<_> = config::client_keys_names()
        .filter(|name| deployed.contains(name))
        .collect();
    allow(&deployed)?;
    let is_new = |name: &String| !keys.iter().any(|secret| secret.name == *name);
    let secrets = || keys.iter().chain(settings);
    let pushed = Pushed {
        set: secrets().map(|secret| secret.name.clone()).collect(),
        deleted: deployed.into_iter().filter(is_new).collect(),
    };
    if pushed.set.is_empty() && pushed.deleted.is_empty() {
        return Ok(pushed);
    }
    let set = secrets().map(|secret| (secret.name.clone(), secret.text.clone().into()));
    let deleted = pushed
        .deleted
        .iter()
        .map(|name| (name.clone(), serde_json::Value::Null));
    let patch: serde_json::Map<_, _> = set.chain(deleted).collect();
    wrangler(
        &["secret", "bulk"],
        options,
        &serde_json::Value::from(patch).to_string(),
        None,
    )?;
    Ok(pushed)
}

/// Returns the names of the Worker's secrets; an error where there is no such Worker. Their values
/// cannot be read back.
fn deployed(options: &Options) -> Result<Vec<String>, Problem> {
    #[derive(Deserialize)]
    struct Secret {
        name: String,
    }
    let output = wrangler(&["secret", "list"], options, "", None)?;
    let secrets: Vec<Secret> = serde_json::from_slice(&output.stdout).map_err(|_| {
        Problem::new("`wrangler secret list` did not answer with a list; it must be wrangler 4")
    })?;
    Ok(secrets.into_iter().map(|secret| secret.name).collect())
}

/// Returns the names of the Worker's secrets; `None` if the account has no such Worker.
pub(crate) fn secrets(options: &Options) -> Result<Option<Vec<String>>, Problem> {
    match deployed(options) {
        Ok(names) => Ok(Some(names)),
        Err(problem) if is_no_worker(&problem.message) => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Returns true for wrangler's message about a Worker that does not exist. Source: wrangler 4.164,
/// `secret list`.
fn is_no_worker(message: &str) -> bool {
    message.contains("Worker \"") && message.contains("\" not found.")
}

/// A version of the Worker that wrangler has deployed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Uploaded {
    pub(crate) version: Option<String>,
    /// The address, unless it is a pattern of a route.
    pub(crate) url: Option<String>,
}

/// Deploys the Worker of the configuration. wrangler writes its result into the file `report`.
pub(crate) fn deploy(options: &Options, report: &Path) -> Result<Uploaded, Problem> {
    wrangler(&["deploy"], options, "", Some(report))?;
    let text = std::fs::read_to_string(report).map_err(|error| {
        Problem::new(format!(
            "the result of `wrangler deploy` cannot be read: {error}"
        ))
    })?;
    Ok(uploaded(&text))
}

/// Reads the result of a deployment. Source: wrangler 4.164, `WRANGLER_OUTPUT_FILE_PATH`, one
/// object of JSON a line.
fn uploaded(report: &str) -> Uploaded {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "type")]
        kind: String,
        version_id: Option<String>,
        #[serde(default)]
        targets: Vec<String>,
    }
    let entries = report
        .lines()
        .filter_map(|line| serde_json::from_str::<Entry>(line).ok());
    let Some(entry) = entries.into_iter().find(|entry| entry.kind == "deploy") else {
        return Uploaded::default();
    };
    Uploaded {
        version: entry.version_id,
        url: entry
            .targets
            .into_iter()
            .find(|target| target.starts_with("https://") && !target.contains('*')),
    }
}

/// Returns the id of the version that serves all requests; `None` if several versions share
/// them.
pub(crate) fn version(options: &Options) -> Result<Option<String>, Problem> {
    #[derive(Deserialize)]
    struct Deployment {
        versions: Vec<Version>,
    }
    #[derive(Deserialize)]
    struct Version {
        version_id: String,
    }
    let output = wrangler(&["deployments", "status", "--json"], options, "", None)?;
    let deployment: Deployment = serde_json::from_slice(&output.stdout).map_err(|_| {
        Problem::new(
            "`wrangler deployments status` did not answer with a deployment; it must be wrangler 4",
        )
    })?;
    match <[Version; 1]>::try_from(deployment.versions) {
        Ok([version]) => Ok(Some(version.version_id)),
        Err(_) => Ok(None),
    }
}

const INSTALL: &str = "Fix: install it with `npm install wrangler@4`";

/// wrangler's message contains this name where it is not logged in.
const ACCOUNT_TOKEN: &str = "CLOUDFLARE_API_TOKEN";

/// Runs wrangler. Secrets go through `input`; its output is not shown, except its errors.
fn wrangler(
    args: &[&str],
    options: &Options,
    input: &str,
    report: Option<&Path>,
) -> Result<Output, Problem> {
    let name = args
        .iter()
        .take_while(|arg| !arg.starts_with('-'))
        .copied()
        .collect::<Vec<_>>()
        .join(" ");
    let failed = |why: String| Problem::new(format!("`wrangler {name}` {why}"));
    let mut command = program();
    command.args(args);
    options.append_to(&mut command);
    if let Some(path) = report {
        command.env("WRANGLER_OUTPUT_FILE_PATH", path);
    }
    let mut child = command
        .envs([
            ("WRANGLER_HIDE_BANNER", "true"),
            ("WRANGLER_SEND_METRICS", "false"),
            // Other values of these, here or in a .env file, would write secrets to wrangler's log.
            ("WRANGLER_LOG", "log"),
            ("WRANGLER_LOG_SANITIZE", "true"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => failed(format!(
                "cannot be run, because there is no wrangler here. {INSTALL}"
            )),
            _ => failed(format!("cannot be run: {error}")),
        })?;
    // wrangler reads all input before it answers; if it ends early, its own message gives the
    // reason.
    let sent = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|error| failed(format!("broke off: {error}")))?;
    if !output.status.success() || sent.is_err() {
        let message = message(&output);
        let fix = if message.contains(ACCOUNT_TOKEN) {
            format!(
                "\nFix: log in to Cloudflare with `{} login`, or set CLOUDFLARE_API_TOKEN.",
                Invocation::current().wrangler()
            )
        } else {
            String::new()
        };
        return Err(failed(format!(
            "failed ({})\n{message}{fix}",
            output.status
        )));
    }
    Ok(output)
}

/// Returns the project's own wrangler, searched upwards from here, with its Node; otherwise the one
/// on the `PATH`.
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

/// Returns wrangler's error message, unless it contains an entry.
fn message(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr);
    if message.contains("sha256:") {
        return "its message is not shown, because it quotes entries".to_owned();
    }
    without_colours(message.trim())
}

/// Removes wrangler's colours, which it writes even where there is no terminal.
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
    fn the_address_and_the_version_are_read_of_wranglers_report() {
        let report = concat!(
            r#"{"type":"wrangler-session","version":1,"wrangler_version":"4.164.0"}"#,
            "\n",
            r#"{"type":"deploy","version":1,"version_id":"v","targets":["front.example.com/*","https://front.sub.workers.dev"]}"#,
        );
        let found = uploaded(report);
        assert_eq!(found.version.as_deref(), Some("v"));
        assert_eq!(found.url.as_deref(), Some("https://front.sub.workers.dev"));
        assert_eq!(uploaded("{}\nno JSON\n"), Uploaded::default());
    }

    #[test]
    fn colours_are_taken_out() {
        let error = "\u{1b}[31m✘ \u{1b}[41;31m[\u{1b}[41;97mERROR\u{1b}[41;31m]\u{1b}[0m \
                     \u{1b}[1mWorker not found.\u{1b}[0m\n";
        assert_eq!(without_colours(error), "✘ [ERROR] Worker not found.\n");
        assert_eq!(without_colours("plain"), "plain");
    }
}
