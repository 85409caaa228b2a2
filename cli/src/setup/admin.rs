//! The hub's keys: the secret with which the hub makes them, and the key of their administrator.

use std::fmt::Write as _;
use std::path::Path;

use clawfront_core::access::policy::Scope;
use clawfront_core::config::KEYS_SECRET;

use super::options::Setup;
use super::values::Values;
use crate::keys::entry::key_id;
use crate::keys::hub::ADMIN_KEY;
use crate::keys::list::List;
use crate::keys::list_file::ListFile;
use crate::keys::new::add;
use crate::outcome::Problem;
use crate::system::{entropy, progress};

/// Ids for the administrator's key; the second one is for a list that has the first.
const IDS: [&str; 2] = ["ops", "clawfront-ops"];

/// Makes the secret and the administrator's key, if they are missing.
pub(super) fn admin(setup: &Setup, values: &mut Values) -> Result<(), Problem> {
    let file = &setup.source.file;
    if values.get(KEYS_SECRET).is_none() {
        let secret: [u8; 32] = entropy()?;
        let text = secret.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        values.set(KEYS_SECRET, &text);
        values.keep(setup, &[KEYS_SECRET])?;
        progress(&format!("Kept in {}: {KEYS_SECRET}", file.display()));
    }
    if let Some(id) = missing(file)? {
        add(file, &key_id(id)?, &[("scopes", "admin")], Some(ADMIN_KEY))?;
        progress(&format!(
            "Kept in {}: {ADMIN_KEY}, the key of the administrator {id}",
            file.display()
        ));
    }
    Ok(())
}

/// Returns the id for the administrator's key; `None` if there is one already, or no id is free.
fn missing(path: &Path) -> Result<Option<&'static str>, Problem> {
    let list = ListFile::read(path)?.list()?;
    let is_free = |id: &&str| list.key(id).is_err();
    Ok(if has_admin(&list) {
        None
    } else {
        IDS.into_iter().find(is_free)
    })
}

fn has_admin(list: &List) -> bool {
    list.clients()
        .iter()
        .any(|client| client.scopes.contains(&Scope::Admin))
}
