//! Where a list is kept: a dotenv file with `CLIENT_KEYS` in it, a file that holds nothing else, or standard input.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clawfront_core::config;

use super::dotenv;
use super::list::{List, Value};
use crate::{CONFLICT, MISTAKES, Problem, USAGE, entropy};

/// The name of standard input.
pub(super) const STDIN: &str = "-";

/// A list as it was read.
pub(super) struct ListFile {
    path: PathBuf,
    form: Form,
    /// `None` where there was no such file.
    text: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// As wrangler reads it; in `.env` it also replaces `$NAME`.
    Dotenv {
        expands: bool,
    },
}

impl ListFile {
    pub(super) fn read(path: &Path) -> Result<Self, Problem> {
        let form = form(path);
        let is_stdin = path.as_os_str() == STDIN;
        // Links are followed: what they lead to is replaced, not they.
        let path = if is_stdin {
            path.into()
        } else {
            fs::canonicalize(path).unwrap_or(path.into())
        };
        let text = if is_stdin { Some(stdin()?) } else { content(&path)? };
        Ok(Self { path, form, text })
    }

    pub(super) fn is_stdin(&self) -> bool {
        self.path.as_os_str() == STDIN
    }

    /// Refuses a file that is not there.
    pub(super) fn existing(self) -> Result<Self, Problem> {
        if self.text.is_none() {
            return Err(Problem::new(format!("there is no file {}", self.path.display())));
        }
        Ok(self)
    }

    pub(super) fn list(&self) -> Result<List, Problem> {
        let text = self.text.clone().unwrap_or_default();
        let Form::Dotenv { expands } = self.form else {
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
                    format!("{name} is set twice in {}", self.path.display()),
                ));
            }
            refuse_expansion(expands, &name, &variable.value)?;
            values.push(Value {
                name,
                text: variable.value.clone(),
            });
        }
        Ok(List::of_bindings(values))
    }

    /// The file's text with another list in it.
    pub(super) fn with(&self, list: &List) -> Result<String, Problem> {
        let mut text = self.text.clone().unwrap_or_default();
        let Form::Dotenv { expands } = self.form else {
            let new: String = list.values.iter().map(|value| value.text.as_str()).collect();
            // A text that was empty has no line end of its own to keep.
            return Ok(if text.is_empty() && !new.is_empty() {
                format!("{new}\n")
            } else {
                new
            });
        };
        for value in self.changed(list)? {
            refuse_expansion(expands, &value.name, &value.text)?;
            text = dotenv::set(&text, &value.name, &value.text)?.ok_or_else(|| {
                Problem::new(format!(
                    "{} cannot hold these entries: no quotes are left that occur neither in a label nor elsewhere unpaired",
                    self.path.display()
                ))
            })?;
        }
        Ok(text)
    }

    /// The file's text with other variables in it; only a dotenv file has such.
    pub(super) fn with_variables(&self, variables: &[(&str, &str)]) -> Result<String, Problem> {
        let path = self.path.display();
        let Form::Dotenv { expands } = self.form else {
            return Err(Problem::with(
                USAGE,
                format!("{path} is no dotenv file, such as .dev.vars"),
            ));
        };
        let mut text = self.text.clone().unwrap_or_default();
        for (name, value) in variables {
            refuse_expansion(expands, name, value)?;
            text = dotenv::set(&text, name, value)?
                .ok_or_else(|| Problem::new(format!("{path} cannot hold {name}: no quotes are left for it")))?;
        }
        Ok(text)
    }

    /// What `text`, made by `with`, shows of a list: of a dotenv file the lines that changed, and nothing of what else is in it.
    pub(super) fn shown(&self, text: &str, list: &List) -> Result<String, Problem> {
        if self.form == Form::Plain {
            return Ok(text.to_owned());
        }
        let changed = self.changed(list)?;
        let names: Vec<_> = changed.iter().map(|value| value.name.as_str()).collect();
        dotenv::assignments(text, &names)
    }

    fn changed<'a>(&self, list: &'a List) -> Result<Vec<&'a Value>, Problem> {
        let old = self.list()?;
        Ok(list.values.iter().filter(|value| !old.values.contains(value)).collect())
    }

    /// Writes the text beside the file, to take its place at once, or not at all.
    pub(super) fn stage(&self, text: &str) -> Result<Staged<'_>, Problem> {
        let failed = |error| Problem::new(format!("{} cannot be written: {error}", self.path.display()));
        self.refuse_changed()?;
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{:016x}.tmp", u64::from_le_bytes(entropy()?)));
        let staged = Staged {
            file: self,
            temporary: name.into(),
        };
        let mut temporary = create_private(&staged.temporary).map_err(failed)?;
        temporary.write_all(text.as_bytes()).map_err(failed)?;
        if self.text.is_some() {
            let mode = fs::metadata(&self.path).map_err(failed)?.permissions();
            temporary.set_permissions(mode).map_err(failed)?;
        }
        temporary.sync_all().map_err(failed)?;
        Ok(staged)
    }

    fn refuse_changed(&self) -> Result<(), Problem> {
        if content(&self.path)? == self.text {
            return Ok(());
        }
        let path = self.path.display();
        Err(Problem::with(
            CONFLICT,
            format!("{path} has changed meanwhile and is left alone: try again"),
        ))
    }
}

/// A text written beside its file. Dropped, it is gone.
pub(super) struct Staged<'a> {
    file: &'a ListFile,
    temporary: PathBuf,
}

impl Staged<'_> {
    pub(super) fn commit(self) -> Result<(), Problem> {
        let path = &self.file.path;
        self.file.refuse_changed()?;
        fs::rename(&self.temporary, path)
            .map_err(|error| Problem::new(format!("{} cannot be written: {error}", path.display())))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // Not there any more once it has taken the file's place.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn form(path: &Path) -> Form {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_env = name == ".env" || name.starts_with(".env.");
    if is_env || name.ends_with(".vars") || name.starts_with(".dev.vars.") {
        Form::Dotenv { expands: is_env }
    } else {
        Form::Plain
    }
}

fn content(path: &Path) -> Result<Option<String>, Problem> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Problem::new(format!("{} is not UTF-8", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::new(format!("{} cannot be read: {error}", path.display()))),
    }
}

/// All of standard input.
pub(super) fn stdin() -> Result<String, Problem> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Problem::new(format!("standard input cannot be read: {error}")))?;
    Ok(text)
}

/// wrangler replaces `$NAME` in the values of `.env`, not in those of `.dev.vars`.
fn refuse_expansion(expands: bool, name: &str, value: &str) -> Result<(), Problem> {
    if expands && value.contains('$') {
        return Err(Problem::with(
            MISTAKES,
            format!("{name}: wrangler would replace what follows a $ in a .env file: leave it out, or use .dev.vars"),
        ));
    }
    Ok(())
}

/// A new file that only its owner can read.
fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "phone sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab agents=main";

    /// A folder that is gone with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let name = format!("clawfront-{:016x}", u64::from_le_bytes(entropy().ok().unwrap()));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn read(path: &Path) -> ListFile {
        ListFile::read(path).map_err(|problem| problem.message).unwrap()
    }

    fn write(file: &ListFile, text: &str) -> Result<(), u8> {
        file.stage(text)
            .and_then(Staged::commit)
            .map_err(|problem| problem.code)
    }

    fn with_entry(file: &ListFile) -> String {
        let mut list = file.list().ok().unwrap();
        assert!(list.add("phone", ENTRY).is_ok());
        file.with(&list).map_err(|problem| problem.message).unwrap()
    }

    #[test]
    fn a_list_is_found_in_files_of_either_form() {
        let folder = Folder::new();
        for (name, before, after) in [
            (".dev.vars", "X='1'\n", format!("X='1'\nCLIENT_KEYS='{ENTRY}'\n")),
            (".dev.vars.staging", "", format!("CLIENT_KEYS='{ENTRY}'\n")),
            ("edge.vars", "CLIENT_KEYS=\n", format!("CLIENT_KEYS='{ENTRY}'\n")),
            (".env", "", format!("CLIENT_KEYS='{ENTRY}'\n")),
            ("keys.txt", "# X=1\n", format!("# X=1\n{ENTRY}\n")),
            ("keys", "", format!("{ENTRY}\n")),
        ] {
            assert_eq!(with_entry(&read(&folder.file(name, before))), after, "{name}");
        }
    }

    #[test]
    fn a_written_file_keeps_its_mode_and_a_new_one_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        let path = folder.file("keys", "");
        for mode in [0o640, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            write(&read(&path), "new").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        let new = folder.0.join("new");
        write(&read(&new), "text").unwrap();
        assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(folder.names(), ["keys", "new"], "nothing else is left");
    }

    #[test]
    fn a_link_stays_one() {
        let folder = Folder::new();
        let link = folder.0.join("link");
        std::os::unix::fs::symlink(folder.file("keys", "old"), &link).unwrap();
        write(&read(&link), "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(folder.0.join("keys")).unwrap(), "new");
    }

    #[test]
    fn a_file_that_changed_since_it_was_read_is_left_alone() {
        let folder = Folder::new();
        let path = folder.file("keys", "old");
        let file = read(&path);
        let staged = file.stage("mine").ok().unwrap();
        fs::write(&path, "theirs").unwrap();
        assert_eq!(staged.commit().err().map(|problem| problem.code), Some(CONFLICT));
        assert_eq!(write(&file, "mine"), Err(CONFLICT));
        let missing = read(&folder.0.join("new"));
        folder.file("new", "theirs");
        assert_eq!(write(&missing, "mine"), Err(CONFLICT), "it was not there");
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(folder.names(), ["keys", "new"]);
    }

    #[test]
    fn what_the_worker_would_read_otherwise_is_refused() {
        let folder = Folder::new();
        let twice = folder.file(".dev.vars", "CLIENT_KEYS=a\nCLIENT_KEYS=b\n");
        assert_eq!(read(&twice).list().err().map(|problem| problem.code), Some(MISTAKES));
        let expands = folder.file(".env", "CLIENT_KEYS='a label=$HOME'\n");
        assert_eq!(read(&expands).list().err().map(|problem| problem.code), Some(MISTAKES));
        let kept = folder.file("other.vars", "CLIENT_KEYS='a label=$HOME'\n");
        assert!(read(&kept).list().is_ok());
    }

    #[test]
    fn only_what_changed_of_a_dotenv_file_is_shown() {
        let folder = Folder::new();
        let file = read(&folder.file(".dev.vars", "DEVICE_KEY=s3cret\nCLIENT_KEYS=\nCLIENT_KEYS_2=\n"));
        let mut list = file.list().ok().unwrap();
        assert!(list.add("phone", ENTRY).is_ok());
        let text = file.with(&list).ok().unwrap();
        assert_eq!(
            file.shown(&text, &list).ok().unwrap(),
            format!("CLIENT_KEYS='{ENTRY}'\n")
        );
    }
}
