//! The file that wrangler writes the result of a deployment into.

use std::path::PathBuf;

use crate::outcome::Problem;
use crate::system::entropy;

/// The file that wrangler writes the result of a deployment into. It is deleted with this value.
pub(super) struct ResultFile(pub(super) PathBuf);

impl ResultFile {
    pub(super) fn new() -> Result<Self, Problem> {
        let name = format!(
            "clawfront-deploy-{:016x}.ndjson",
            u64::from_le_bytes(entropy()?)
        );
        Ok(Self(std::env::temp_dir().join(name)))
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        // There is no file if wrangler wrote none.
        let _ = std::fs::remove_file(&self.0);
    }
}
