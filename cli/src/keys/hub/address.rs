//! The address of the Worker whose hub has the keys, and the key of its administrator.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use clawfront_core::config::is_loopback;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::list_file::ListFile;
use super::super::proof::WORKER_URL;
use super::super::source::DEFAULT_FILE;
use crate::outcome::{Problem, USAGE};
use crate::system::variable;

/// The variable with the administrator's key, in the environment or in .dev.vars. It is never an
/// argument, and never a secret of the Worker.
pub(crate) const ADMIN_KEY: &str = "CLAWFRONT_ADMIN_KEY";

/// The beginning of the folder of a running `npm start`, in `.cache`.
const RUN: &str = "dev-";

/// The file in it.
const LOCAL_FILE: &str = "hub.json";

/// A Worker, and the key of its administrator.
pub(super) struct Address {
    pub(super) url: String,
    pub(super) key: Zeroizing<String>,
}

/// The Worker of an `npm start` on this machine. Its file has an administrator's key if `npm start`
/// has made one.
#[derive(Deserialize)]
struct Local {
    url: String,
    key: Option<String>,
}

/// Finds the Worker and the key. Nothing is sent.
pub(super) fn find(worker: Option<&str>) -> Result<Address, Problem> {
    let file = ListFile::read(Path::new(DEFAULT_FILE))?;
    let (url, local) = locate(worker, &file)?;
    let key = local
        .and_then(|local| local.key)
        .map(Zeroizing::new)
        .or_else(|| variable(ADMIN_KEY).map(Zeroizing::new))
        .or(file.variable(ADMIN_KEY)?.map(Zeroizing::new));
    let Some(key) = key else {
        return Err(Problem::with(
            USAGE,
            format!(
                "no administrator's key for {url}: {ADMIN_KEY} is neither in the environment nor \
                 in {DEFAULT_FILE}. Fix: `clawfront setup` makes one; --static changes the list of \
                 CLIENT_KEYS instead"
            ),
        ));
    };
    let key = Zeroizing::new(key.trim().to_owned());
    if !is_plain(&key) {
        return Err(Problem::with(
            USAGE,
            format!("{ADMIN_KEY} is not a client key: it has a blank or a special character"),
        ));
    }
    Ok(Address { url, key })
}

/// Finds the Worker alone, for a command that needs no key.
pub(super) fn find_url(worker: Option<&str>) -> Result<String, Problem> {
    let file = ListFile::read(Path::new(DEFAULT_FILE))?;
    Ok(locate(worker, &file)?.0)
}

/// Returns the Worker's address, and the `npm start` that has it.
fn locate(worker: Option<&str>, file: &ListFile) -> Result<(String, Option<Local>), Problem> {
    let known = match worker {
        Some(url) => Some(url.to_owned()),
        None => file.variable(WORKER_URL)?,
    };
    let locals = locals();
    let url = match (known, locals.as_slice()) {
        (Some(url), _) => url,
        (None, [local]) => local.url.clone(),
        (None, []) => return Err(Problem::with(USAGE, NO_WORKER)),
        (None, _) => {
            let urls: Vec<_> = locals.iter().map(|local| local.url.as_str()).collect();
            return Err(Problem::with(
                USAGE,
                format!(
                    "several `npm start` run: {}. Fix: choose one with --worker",
                    urls.join(", ")
                ),
            ));
        }
    };
    let url = checked(&url)?;
    let local = locals.into_iter().find(|local| local.url == url);
    Ok((url, local))
}

const NO_WORKER: &str = "the Worker's address is unknown. Fix: give it with --worker https://…, or \
                         set CLAWFRONT_URL (and CLAWFRONT_ADMIN_KEY) in .dev.vars, or run `npm \
                         start`; --static changes the list of CLIENT_KEYS instead";

/// Returns true for a key that can be a header's value.
pub(super) fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns a Worker's address without a client's `/v1`; refuses one over which the key would travel
/// in the clear.
fn checked(url: &str) -> Result<String, Problem> {
    let url = url.trim().trim_end_matches('/');
    let url = url.strip_suffix("/v1").unwrap_or(url);
    let refused = |why: &str| Problem::with(USAGE, format!("{WORKER_URL} or --worker {why}"));
    // Nothing else belongs to the address of a Worker, and it is printed in commands.
    let is_part = |c: char| c.is_ascii_alphanumeric() || ":/.-_~[]%".contains(c);
    if !url.chars().all(is_part) {
        return Err(refused("has a character that no address of a Worker has"));
    }
    match url.split_once("://") {
        Some(("https", _)) => Ok(url.to_owned()),
        Some(("http", _)) if is_loopback(url) => Ok(url.to_owned()),
        Some(("http", _)) => Err(refused(
            "would send the administrator's key in the clear. Fix: use https://; http:// is for \
             this machine alone",
        )),
        _ => Err(refused("is not a URL that begins with https:// or http://")),
    }
}

/// Returns the Workers that `npm start` runs from a folder above this one.
fn locals() -> Vec<Local> {
    let Ok(folder) = env::current_dir() else {
        return Vec::new();
    };
    let files = folder.ancestors().map(|folder| folder.join(".cache"));
    files
        .map(|cache| of_cache(&cache))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn of_cache(cache: &Path) -> Vec<Local> {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    let runs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(RUN));
    let files: Vec<PathBuf> = runs.map(|entry| entry.path().join(LOCAL_FILE)).collect();
    let texts = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    texts
        .filter_map(|text| serde_json::from_str(&text).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_travels_in_the_clear_on_this_machine_alone() {
        for (url, sent_to) in [
            ("https://x.example.com/v1/", "https://x.example.com"),
            ("http://127.0.0.1:8787/v1", "http://127.0.0.1:8787"),
            ("http://localhost:1", "http://localhost:1"),
            (" http://[::1]:1 ", "http://[::1]:1"),
        ] {
            assert_eq!(checked(url).ok().as_deref(), Some(sent_to), "{url}");
        }
        for url in [
            "http://x.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://localhost@x.example.com",
            "http://10.0.0.1",
            "HTTP://x.example.com",
            "x.example.com",
            "https://x.example.com?a",
            "https://x\";rm",
            "wss://x",
            "",
        ] {
            assert!(checked(url).is_err(), "{url}");
        }
    }
}
