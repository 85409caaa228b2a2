//! A record of the last deployment, kept in the settings' file: the version, a hash of its code,
//! and a hash of each secret.
//!
//! A Worker's secrets cannot be read back, so this is the only way to know which of them have
//! changed. The record is valid only while Cloudflare serves the version that it names, because
//! another machine may have deployed since.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::keys::list::Value;
use crate::outcome::Problem;

/// The variable that contains it.
pub(super) const DEPLOYED: &str = "CLAWFRONT_DEPLOYED";

/// The names of its own fields. The names of secrets are in upper case.
const VERSION: &str = "version";
const CODE: &str = "code";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    fields: BTreeMap<String, String>,
}

impl Record {
    /// Parses `name:value` words; other words are skipped.
    pub(super) fn parse(text: &str) -> Self {
        let fields = text
            .split_whitespace()
            .filter_map(|word| word.split_once(':'));
        Self {
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    pub(super) fn text(&self) -> String {
        let fields = self
            .fields
            .iter()
            .map(|(name, value)| format!("{name}:{value}"));
        fields.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.fields.get(VERSION).map(String::as_str)
    }

    pub(super) fn set_version(&mut self, version: Option<String>) {
        match version {
            Some(version) => self.fields.insert(VERSION.to_owned(), version),
            None => self.fields.remove(VERSION),
        };
    }

    pub(super) fn has_code(&self, hash: &str) -> bool {
        self.fields.get(CODE).is_some_and(|known| known == hash)
    }

    pub(super) fn set_code(&mut self, hash: &str) {
        self.fields.insert(CODE.to_owned(), hash.to_owned());
    }

    pub(super) fn has_secret(&self, secret: &Value) -> bool {
        self.fields
            .get(&secret.name)
            .is_some_and(|known| *known == of_secret(secret))
    }

    /// Replaces the hashes of all secrets.
    pub(super) fn set_secrets(&mut self, secrets: &[Value]) {
        self.fields
            .retain(|name, _| name == VERSION || name == CODE);
        self.fields.extend(
            secrets
                .iter()
                .map(|secret| (secret.name.clone(), of_secret(secret))),
        );
    }
}

fn of_secret(secret: &Value) -> String {
    short(Sha256::new().chain_update(secret.text.as_bytes()))
}

/// Hashes everything that wrangler uploads: the module, the modules beside it, the static files,
/// and the configuration.
pub(super) fn of_code(
    main: &Path,
    assets: Option<&Path>,
    config: &Path,
) -> Result<String, Problem> {
    let folder = main.parent().unwrap_or(Path::new("."));
    let mut files = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| path.is_file()) {
        files.push((path, folder));
    }
    if let Some(assets) = assets {
        add_files(assets, assets, &mut files)?;
    }
    files.push((config.to_owned(), config.parent().unwrap_or(Path::new("."))));
    let mut hash = Sha256::new();
    for (path, folder) in files {
        let bytes = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        let name = path.strip_prefix(folder).unwrap_or(&path);
        let name = name.as_os_str().as_encoded_bytes();
        // A length before each part, so that different lists of files have different bytes.
        for part in [name, &bytes] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
    }
    Ok(short(hash))
}

/// Adds the files of a folder and of those in it, with the folder that they are named from.
fn add_files<'a>(
    folder: &Path,
    from: &'a Path,
    files: &mut Vec<(PathBuf, &'a Path)>,
) -> Result<(), Problem> {
    for path in entries(folder)? {
        if path.is_dir() {
            add_files(&path, from, files)?;
        } else {
            files.push((path, from));
        }
    }
    Ok(())
}

/// Returns the paths in a folder, in the order of their names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let read = || {
        let entries: Result<Vec<_>, _> = fs::read_dir(folder)?.collect();
        entries
    };
    let entries = read().map_err(|error| unreadable(folder, &error))?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(format!("{} cannot be read: {error}", path.display()))
}

/// Returns the first 64 bits in hex. The file has the secrets themselves, so a hash adds no
/// exposure.
fn short(hash: Sha256) -> String {
    let hash = hash.finalize();
    let first = hash.first_chunk::<8>().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, text: &str) -> Value {
        Value {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_shows_no_secret() {
        let mut record = Record::default();
        record.set_version(Some("v-1".to_owned()));
        record.set_code("abc");
        record.set_secrets(&[secret("GATEWAY_URL", "wss://s3cret")]);
        let text = record.text();
        assert!(!text.contains("s3cret"), "{text}");
        assert_eq!(Record::parse(&text), record);
        assert!(record.has_secret(&secret("GATEWAY_URL", "wss://s3cret")));
        assert!(!record.has_secret(&secret("GATEWAY_URL", "wss://other")));
        assert!(!record.has_secret(&secret("DEVICE_KEY", "wss://s3cret")));
        assert_eq!(
            (record.version(), record.has_code("abc")),
            (Some("v-1"), true)
        );
        record.set_secrets(&[]);
        assert_eq!(record.text(), "code:abc version:v-1");
        assert_eq!(Record::parse("").version(), None);
    }
}
