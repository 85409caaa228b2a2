//! The place of a list: a dotenv file with `CLIENT_KEYS`, a file that has only entries, or standard
//! input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clawfront_core::config;

use super::dotenv;
use super::list::{List, Value};
use crate::file::{self, Lock, Others, Staged};
use crate::outcome::{CONFLICT, MISTAKES, Problem, USAGE};

/// The name of standard input.
pub(crate) const STDIN: &str = "-";

/// A list and the file that it was read from.
pub(crate) struct ListFile {
    path: PathBuf,
    form: Form,
    /// `None` if there is no such file.
    text: Option<String>,
    /// Held from before the file was read, if it may be changed.
    _lock: Option<Lock>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// A dotenv file, as wrangler reads it.
    Dotenv(Expansion),
}

/// The treatment of `$NAME` in a value by wrangler.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expansion {
    /// It stays: `.dev.vars`.
    None,
    /// It is replaced by a variable: `.env`.
    Names,
}

/// The use that a command makes of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Change,
}

impl ListFile {
    /// Reads a list without changing it.
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        Self::load(path, Access::Read)
    }

    /// Reads a list to change it: no other process changes it until this value is dropped.
    pub(crate) fn lock(path: &Path) -> Result<Self, Problem> {
        Self::load(path, Access::Change)
    }

    fn load(path: &Path, access: Access) -> Result<Self, Problem> {
        let form = form(path);
        if path.as_os_str() == STDIN {
            return Ok(Self {
                path: path.into(),
                form,
                text: Some(stdin()?),
                _lock: None,
            });
        }
        // Changes replace the target of a link, not the link.
        let path = file::resolve(path)?;
        let lock = (access == Access::Change)
            .then(|| Lock::take(&path))
            .transpose()?;
        let text = file::read(&path)?.map(without_mark);
        Ok(Self {
            path,
            form,
            text,
            _lock: lock,
        })
    }

    /// Returns a warning about a file with secrets that every user of the machine can read.
    pub(crate) fn exposure(&self) -> Option<String> {
        let is_secret = matches!(self.form, Form::Dotenv(_)) && !self.is_stdin();
        (is_secret && file::is_public(&self.path)).then(|| {
            format!(
                "warning: every user of this machine can read {}. Fix: chmod 600 {0}\n",
                self.path.display()
            )
        })
    }

    /// Returns the value of a variable; `None` in a file without variables.
    pub(crate) fn variable(&self, name: &str) -> Result<Option<String>, Problem> {
        let Form::Dotenv(_) = self.form else {
            return Ok(None);
        };
        let variables = dotenv::read(self.text.as_deref().unwrap_or_default())?;
        let found = variables
            .into_iter()
            .rev()
            .find(|variable| variable.name == name);
        Ok(found
            .map(|variable| variable.value)
            .filter(|value| !value.trim().is_empty()))
    }

    pub(crate) fn has_variables(&self) -> bool {
        matches!(self.form, Form::Dotenv(_))
    }

    pub(crate) fn is_stdin(&self) -> bool {
        self.path.as_os_str() == STDIN
    }

    /// Refuses a file that does not exist.
    pub(crate) fn existing(self) -> Result<Self, Problem> {
        if self.text.is_none() {
            return Err(Problem::new(format!(
                "there is no file {}",
                self.path.display()
            )));
        }
        Ok(self)
    }

    pub(crate) fn list(&self) -> Result<List, Problem> {
        let text = self.text.clone().unwrap_or_default();
        let Form::Dotenv(expansion) = self.form else {
            return Ok(List::of_text(text));
        };
        let variables = dotenv::read(&text)?;
        let mut values = Vec::new();
        for name in config::client_keys_names() {
            let mut found = variables.iter().filter(|variable| variable.name == name);
            let Some(variable) = found.next() else {
                continue;
            };
            if found.next().is_some() {
                return Err(Problem::with(
                    MISTAKES,
                    format!(
                        "{name} is set twice in {}. Fix: remove one",
                        self.path.display()
                    ),
                ));
            }
            refuse_expansion(expansion, &name, &variable.value)?;
            values.push(Value {
                name,
                text: variable.value.clone(),
            });
        }
        Ok(List::of_bindings(values))
    }

    /// Returns the file's text with another list.
    pub(crate) fn with(&self, list: &List) -> Result<String, Problem> {
        let mut text = self.text.clone().unwrap_or_default();
        let Form::Dotenv(expansion) = self.form else {
            let new: String = list
                .values
                .iter()
                .map(|value| value.text.as_str())
                .collect();
            // An empty text has no line end to keep.
            let end = if text.is_empty() && !new.is_empty() {
                "\n"
            } else {
                ""
            };
            return Ok(format!("{new}{end}"));
        };
        for value in self.changed(list)? {
            refuse_expansion(expansion, &value.name, &value.text)?;
            text = dotenv::set(&text, &value.name, &value.text)?.ok_or_else(|| {
                Problem::new(format!(
                    "{} cannot hold these entries: no quotes are left, because each kind occurs \
                     in a label. Fix: change a label",
                    self.path.display()
                ))
            })?;
        }
        Ok(text)
    }

    /// Returns the file's text with other variables; only a dotenv file has variables.
    pub(crate) fn with_variables(&self, variables: &[(&str, &str)]) -> Result<String, Problem> {
        self.with_variables_in(self.text.as_deref().unwrap_or_default(), variables)
    }

    /// Returns a changed text of the file with other variables.
    pub(crate) fn with_variables_in(
        &self,
        text: &str,
        variables: &[(&str, &str)],
    ) -> Result<String, Problem> {
        let path = self.path.display();
        let Form::Dotenv(expansion) = self.form else {
            return Err(Problem::with(
                USAGE,
                format!("{path} is not a dotenv file. Fix: use one such as .dev.vars"),
            ));
        };
        let mut text = text.to_owned();
        for (name, value) in variables {
            refuse_expansion(expansion, name, value)?;
            text = dotenv::set(&text, name, value)?.ok_or_else(|| {
                Problem::new(format!(
                    "{path} cannot hold {name}: no quotes are left for it. Fix: remove a kind of \
                     quotes from the value. Fix: remove a kind of \
                     quotes from the value. Fix: remove a kind of \
                     quotes from the value"
                ))
            })?;
        }
        Ok(text)
    }

    /// Returns the part of `text`, made by `with`, that may be shown: of a dotenv file only the
    /// lines of the list that changed.
    pub(crate) fn shown(&self, text: &str, list: &List) -> Result<String, Problem> {
        if self.form == Form::Plain {
            return Ok(text.to_owned());
        }
        let changed = self.changed(list)?;
        let names: Vec<_> = changed.iter().map(|value| value.name.as_str()).collect();
        dotenv::assignments(text, &names)
    }

    fn changed<'a>(&self, list: &'a List) -> Result<Vec<&'a Value>, Problem> {
        let old = self.list()?;
        Ok(list
            .values
            .iter()
            .filter(|value| !old.values.contains(value))
            .collect())
    }

    /// Writes the text into a temporary file beside the file.
    pub(crate) fn stage(&self, text: &str) -> Result<Staged, Problem> {
        self.refuse_changed()?;
        let others = if self.has_variables() {
            Others::Removed
        } else {
            Others::Kept
        };
        file::stage(&self.path, text, others)
    }

    /// Replaces the file, unless a program that does not lock it has changed it.
    pub(crate) fn write(&self, text: &str) -> Result<(), Problem> {
        let staged = self.stage(text)?;
        self.refuse_changed()?;
        staged.commit()
    }

    fn refuse_changed(&self) -> Result<(), Problem> {
        if file::read(&self.path)?.map(without_mark) == self.text {
            return Ok(());
        }
        let path = self.path.display();
        Err(Problem::with(
            CONFLICT,
            format!("{path} has changed in the meantime and was not replaced. Fix: run this again"),
        ))
    }
}

/// Sets variables of a dotenv file, all or none, and leaves the rest of it as it is.
pub(crate) fn set_variables(path: &Path, variables: &[(&str, &str)]) -> Result<(), Problem> {
    let file = ListFile::lock(path)?;
    file.write(&file.with_variables(variables)?)
}

/// Returns true if a dotenv file has client keys.
pub(crate) fn has_keys(path: &Path) -> Result<bool, Problem> {
    Ok(!ListFile::read(path)?.list()?.is_empty())
}

fn form(path: &Path) -> Form {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_env = name == ".env" || name.starts_with(".env.");
    if is_env || name.ends_with(".vars") || name.starts_with(".dev.vars.") {
        Form::Dotenv(if is_env {
            Expansion::Names
        } else {
            Expansion::None
        })
    } else {
        Form::Plain
    }
}

/// Reads all of standard input.
pub(crate) fn stdin() -> Result<String, Problem> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Problem::new(format!("standard input cannot be read: {error}")))?;
    Ok(without_mark(text))
}

/// Removes the byte order mark that some editors on Windows write.
fn without_mark(mut text: String) -> String {
    if text.starts_with('\u{FEFF}') {
        text.remove(0);
    }
    text
}

/// Refuses a `$` in `.env`, where wrangler replaces `$NAME`; in `.dev.vars` it does not.
fn refuse_expansion(expansion: Expansion, name: &str, value: &str) -> Result<(), Problem> {
    if expansion == Expansion::Names && value.contains('$') {
        return Err(Problem::with(
            MISTAKES,
            format!(
                "{name}: wrangler replaces the word after a $ in a .env file. Fix: remove the $, \
                 or use .dev.vars"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
