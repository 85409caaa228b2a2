//! Files with settings: read without blocking, changed by one process at a time, replaced
//! atomically, readable by few users.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::outcome::{CONFLICT, Problem};
use crate::system::{entropy, progress};

/// Longest wait for another command that changes the same file. A push to Cloudflare takes seconds.
const LOCK_TIMEOUT: Duration = Duration::from_mins(2);

/// Wait after which the reason for it is shown.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

const LOCK_POLL: Duration = Duration::from_millis(20);

/// Links that are followed from one path. Source: Linux, `MAXSYMLINKS`.
const MAX_LINKS: usize = 40;

/// Rights of users that are neither the owner nor in the file's group.
const RIGHTS_OF_OTHERS: u32 = 0o007;

/// Follows the links of a path; the target need not exist yet.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, Problem> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(Problem::new(format!(
        "{} leads through more than 40 links",
        path.display()
    )))
}

/// Reads a file; returns `None` if there is no file. A pipe or a device is refused, because reading
/// it could block forever.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Problem> {
    let unreadable = |error| Problem::new(format!("{} cannot be read: {error}", path.display()));
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(metadata) if metadata.is_dir() => {
            return Err(Problem::new(format!("{} is a folder", path.display())));
        }
        Ok(_) => {
            return Err(Problem::new(format!(
                "{} is not a regular file. Fix: read a pipe with --file -",
                path.display()
            )));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| Problem::new(format!("{} is not UTF-8", path.display())))
}

/// The lock on a file. The system releases it when the process ends, however it ends.
///
/// The folder is locked, because every change replaces the file itself, and a lock file would
/// remain after a crash.
#[derive(Debug)]
pub(crate) struct Lock {
    _folder: File,
}

impl Lock {
    /// Waits until no other process holds the lock of this file's folder.
    pub(crate) fn take(path: &Path) -> Result<Self, Problem> {
        let failed = |error: std::io::Error| {
            Problem::new(format!("{} cannot be locked: {error}", path.display()))
        };
        let folder = File::open(folder_of(path)).map_err(failed)?;
        let began = Instant::now();
        let mut is_shown = false;
        loop {
            match folder.try_lock() {
                Ok(()) => {
                    remove_stale(path);
                    return Ok(Self { _folder: folder });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if began.elapsed() > LOCK_TIMEOUT {
                return Err(Problem::with(
                    CONFLICT,
                    format!(
                        "another clawfront has held {} for {} s; nothing was changed. Fix: wait \
                         for that command, or end it",
                        path.display(),
                        LOCK_TIMEOUT.as_secs()
                    ),
                ));
            }
            if !is_shown && began.elapsed() > LOCK_PATIENCE {
                progress(&format!(
                    "Waiting for another clawfront that is changing {}.",
                    path.display()
                ));
                is_shown = true;
            }
            sleep(LOCK_POLL);
        }
    }
}

/// Writes a text into a temporary file beside the file, which `Staged::commit` replaces.
///
/// The new file has the mode of the old one, without the rights of `others` where they are to be
/// removed; 0600 where there was none.
pub(crate) fn stage(path: &Path, text: &str, others: Others) -> Result<Staged, Problem> {
    let failed = |error| Problem::new(format!("{} cannot be written: {error}", path.display()));
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}{STAGED}", u64::from_le_bytes(entropy()?)));
    let staged = Staged {
        path: path.to_owned(),
        temporary: name.into(),
    };
    let mut temporary = create_private(&staged.temporary).map_err(failed)?;
    temporary.write_all(text.as_bytes()).map_err(failed)?;
    match fs::metadata(path) {
        Ok(old) => {
            let mut permissions = old.permissions();
            if others == Others::Removed {
                remove_others(&mut permissions);
            }
            temporary.set_permissions(permissions).map_err(failed)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    temporary.sync_all().map_err(failed)?;
    Ok(staged)
}

/// The end of the name of a text that is written beside its file.
const STAGED: &str = ".tmp";

/// Removes the staged files of commands that were killed, because they contain secrets. The caller
/// holds the lock, so no other command has staged anything.
fn remove_stale(path: &Path) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return;
    };
    let is_stale = |other: &str| {
        let random = other
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('.')?.strip_suffix(STAGED));
        random.is_some_and(|random| {
            random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    for entry in fs::read_dir(folder_of(path))
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry.file_name().to_str().is_some_and(is_stale) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The rights of users that are neither the owner nor in the file's group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Others {
    Kept,
    Removed,
}

/// A temporary file. It is deleted when dropped.
pub(crate) struct Staged {
    path: PathBuf,
    temporary: PathBuf,
}

impl Staged {
    /// Replaces the file.
    pub(crate) fn commit(self) -> Result<(), Problem> {
        fs::rename(&self.temporary, &self.path).map_err(|error| {
            Problem::new(format!(
                "{} cannot be written: {error}",
                self.path.display()
            ))
        })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a commit there is nothing to delete.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Returns true if users other than the owner and the group can read the file.
pub(crate) fn is_public(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path)
            .is_ok_and(|metadata| metadata.permissions().mode() & RIGHTS_OF_OTHERS != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

fn remove_others(permissions: &mut fs::Permissions) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        permissions.set_mode(permissions.mode() & !RIGHTS_OF_OTHERS);
    }
    #[cfg(not(unix))]
    let _ = permissions;
}

/// Returns the folder of a file.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Creates a file that only its owner can read.
fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::Command;

    use super::*;
    use crate::test_folder::TestFolder;

    fn write(path: &Path, text: &str, others: Others) {
        stage(path, text, others)
            .and_then(Staged::commit)
            .ok()
            .unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_link_is_followed_to_a_file_that_does_not_exist_yet() {
        let folder = TestFolder::new();
        let (link, second) = (folder.0.join("link"), folder.0.join("second"));
        symlink("target", &second).unwrap();
        symlink("second", &link).unwrap();
        let path = resolve(&link).ok().unwrap();
        write(&path, "text", Others::Removed);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(folder.0.join("target")).unwrap(), "text");
        symlink("circle", folder.0.join("circle")).unwrap();
        assert!(resolve(&folder.0.join("circle")).is_err());
    }

    #[test]
    fn a_pipe_a_device_and_a_folder_are_refused_at_once() {
        let folder = TestFolder::new();
        let pipe = folder.0.join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        for path in [pipe.as_path(), Path::new("/dev/null"), &folder.0] {
            assert!(read(path).is_err(), "{}", path.display());
        }
        assert_eq!(read(&folder.0.join("none")).ok().unwrap(), None);
    }

    #[test]
    fn a_file_that_everybody_could_read_is_tightened_where_that_is_wanted() {
        let folder = TestFolder::new();
        let path = folder.0.join("file");
        for (before, others, after) in [
            (0o644, Others::Removed, 0o640),
            (0o666, Others::Removed, 0o660),
            (0o644, Others::Kept, 0o644),
            (0o600, Others::Removed, 0o600),
        ] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            assert_eq!(is_public(&path), before & 0o007 != 0);
            write(&path, "new", others);
            assert_eq!(mode(&path), after, "{before:o}");
        }
    }

    #[test]
    fn a_killed_commands_staged_file_is_removed_under_the_next_lock() {
        let folder = TestFolder::new();
        let path = folder.0.join("file");
        let staged = stage(&path, "secret", Others::Removed).ok().unwrap();
        std::mem::forget(staged);
        for other in ["file.tmp", "other.0123456789abcdef.tmp", "file.mine.tmp"] {
            fs::write(folder.0.join(other), "").unwrap();
        }
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 4);
        drop(Lock::take(&path).ok().unwrap());
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3);
    }

    #[test]
    fn a_lock_is_waited_for_and_given_back() {
        let folder = TestFolder::new();
        let path = folder.0.join("file");
        let held = Lock::take(&path).ok().unwrap();
        let second = std::thread::spawn({
            let path = path.clone();
            move || Lock::take(&path).map(|_| Instant::now()).ok().unwrap()
        });
        sleep(Duration::from_millis(60));
        let given_back = Instant::now();
        drop(held);
        assert!(second.join().unwrap() > given_back);
    }
}
