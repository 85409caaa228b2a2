//! The list that a command reads, and the form of its output.

use std::path::{Path, PathBuf};

use clap::Args;

use super::list::{List, refuse_mistakes};
use super::list_file::ListFile;
use crate::outcome::{Output, Problem};

/// The file that wrangler reads for a local Worker.
pub(super) const DEFAULT_FILE: &str = ".dev.vars";

/// The list, and the form of the output.
#[derive(Args)]
pub(crate) struct Source {
    /// The list: a dotenv file with CLIENT_KEYS (.dev.vars, *.vars, .env), a file with only
    /// entries, or - for standard input [default: .dev.vars]
    #[arg(long, value_name = "PATH")]
    pub(super) file: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Source {
    pub(super) fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    pub(super) fn name(&self) -> String {
        self.path().display().to_string()
    }
}

/// Opens the list of an existing file, and refuses mistakes.
pub(super) fn open(source: &Source) -> Result<(ListFile, List), Problem> {
    let file = ListFile::read(source.path())?.existing()?;
    let list = file.list()?;
    refuse_mistakes(&list)?;
    Ok((file, list))
}

pub(super) fn with_exposure(mut output: Output, file: &ListFile) -> Output {
    output.note.extend(file.exposure());
    output
}
