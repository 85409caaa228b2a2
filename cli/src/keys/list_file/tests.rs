use std::fs;

use super::*;
use crate::test_folder::TestFolder;

const ENTRY: &str =
    "phone sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab agents=main";

fn read(path: &Path) -> ListFile {
    ListFile::read(path)
        .map_err(|problem| problem.message)
        .unwrap()
}

fn write(file: &ListFile, text: &str) -> Result<(), u8> {
    file.write(text).map_err(|problem| problem.code)
}

fn with_entry(file: &ListFile) -> String {
    let mut list = file.list().ok().unwrap();
    assert!(list.add("phone", ENTRY).is_ok());
    file.with(&list).map_err(|problem| problem.message).unwrap()
}

#[test]
fn a_list_is_found_in_files_of_either_form() {
    let folder = TestFolder::new();
    for (name, before, after) in [
        (
            ".dev.vars",
            "X='1'\n",
            format!("X='1'\nCLIENT_KEYS='{ENTRY}'\n"),
        ),
        (".dev.vars.staging", "", format!("CLIENT_KEYS='{ENTRY}'\n")),
        (
            "edge.vars",
            "CLIENT_KEYS=\n",
            format!("CLIENT_KEYS='{ENTRY}'\n"),
        ),
        (".env", "", format!("CLIENT_KEYS='{ENTRY}'\n")),
        ("keys.txt", "# X=1\n", format!("# X=1\n{ENTRY}\n")),
        ("keys", "", format!("{ENTRY}\n")),
        ("marked.txt", "\u{FEFF}# X=1\n", format!("# X=1\n{ENTRY}\n")),
        (
            "marked.vars",
            "\u{FEFF}X='1'\n",
            format!("X='1'\nCLIENT_KEYS='{ENTRY}'\n"),
        ),
    ] {
        assert_eq!(
            with_entry(&read(&folder.file(name, before))),
            after,
            "{name}"
        );
    }
}

#[test]
fn a_written_file_keeps_its_mode_and_a_new_one_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TestFolder::new();
    let path = folder.file("keys", "");
    for mode in [0o640, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        write(&read(&path), "new").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            mode
        );
    }
    let new = folder.0.join("new");
    write(&read(&new), "text").unwrap();
    assert_eq!(
        fs::metadata(&new).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(folder.names(), ["keys", "new"], "nothing else is left");
}

#[test]
fn a_link_stays_one() {
    let folder = TestFolder::new();
    let link = folder.0.join("link");
    std::os::unix::fs::symlink(folder.file("keys", "old"), &link).unwrap();
    write(&read(&link), "new").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(folder.0.join("keys")).unwrap(), "new");
}

#[test]
fn a_file_that_changed_since_it_was_read_is_left_alone() {
    let folder = TestFolder::new();
    let path = folder.file("keys", "old");
    let file = read(&path);
    fs::write(&path, "theirs").unwrap();
    assert_eq!(write(&file, "mine"), Err(CONFLICT));
    let missing = read(&folder.0.join("new"));
    folder.file("new", "theirs");
    assert_eq!(write(&missing, "mine"), Err(CONFLICT), "it was not there");
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    assert_eq!(folder.names(), ["keys", "new"]);
}

#[test]
fn a_file_that_the_worker_would_read_differently_is_refused() {
    let folder = TestFolder::new();
    let twice = folder.file(".dev.vars", "CLIENT_KEYS=a\nCLIENT_KEYS=b\n");
    assert_eq!(
        read(&twice).list().err().map(|problem| problem.code),
        Some(MISTAKES)
    );
    let expands = folder.file(".env", "CLIENT_KEYS='a label=$HOME'\n");
    assert_eq!(
        read(&expands).list().err().map(|problem| problem.code),
        Some(MISTAKES)
    );
    let kept = folder.file("other.vars", "CLIENT_KEYS='a label=$HOME'\n");
    assert!(read(&kept).list().is_ok());
}

#[test]
fn only_what_changed_of_a_dotenv_file_is_shown() {
    let folder = TestFolder::new();
    let file = read(&folder.file(
        ".dev.vars",
        "DEVICE_KEY=s3cret\nCLIENT_KEYS=\nCLIENT_KEYS_2=\n",
    ));
    let mut list = file.list().ok().unwrap();
    assert!(list.add("phone", ENTRY).is_ok());
    let text = file.with(&list).ok().unwrap();
    assert_eq!(
        file.shown(&text, &list).ok().unwrap(),
        format!("CLIENT_KEYS='{ENTRY}'\n")
    );
}
