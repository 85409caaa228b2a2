//! A push of a list to the deployed Worker: refuses to lose keys, and waits until the list is in
//! force.

use std::time::Duration;

use clap::Args;
use clawfront_core::access::key::KeyId;

use super::list::{List, Value};
use super::list_file::ListFile;
use super::proof::{Deployed, Probe, Proof, WORKER_URL};
use super::wrangler::{self, Pushed};
use crate::outcome::{CONFLICT, Problem};
use crate::system::progress;

/// The variable that records the last push: the ids of the Worker's keys, and the names of their
/// secrets. A Worker's secrets cannot be read back, so only this record shows which keys a push
/// would delete.
pub(crate) const RECORD: &str = "CLAWFRONT_PUSHED";

/// Most ids that one message lists.
const MAX_SHOWN: usize = 10;

/// The Worker to push to.
#[derive(Args)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) wrangler: wrangler::Options,
    /// Address of the deployed Worker, to confirm that the new list is in force; default:
    /// `CLAWFRONT_URL` in the file
    #[arg(long, value_name = "URL")]
    pub(crate) worker: Option<String>,
    /// Push a list even if it lacks keys that the Worker has or may have
    #[arg(long)]
    pub(crate) replace: bool,
}

impl Target {
    /// Returns the deployed Worker, if its address is known. An address of the file that cannot be
    /// read counts as unknown, because a revocation must not wait for its correction.
    pub(crate) fn deployed(&self, file: &ListFile) -> Result<Option<Deployed>, Problem> {
        if let Some(url) = &self.worker {
            return Deployed::parse(url).map(Some);
        }
        let Some(url) = file.variable(WORKER_URL)? else {
            return Ok(None);
        };
        if let Ok(deployed) = Deployed::parse(&url) {
            Ok(Some(deployed))
        } else {
            progress(&format!(
                "warning: {WORKER_URL} in the file is not a URL that begins with https:// or \
                 http://, so nobody looks whether the change is in force. Fix: correct it, or \
                 add --worker."
            ));
            Ok(None)
        }
    }
}

/// A push that Cloudflare has accepted.
pub(crate) struct Done {
    pub(crate) pushed: Pushed,
    /// The new value of [`RECORD`].
    pub(crate) record: String,
    pub(crate) proof: Option<Proof>,
}

/// The knowledge about a pushed list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum InForce {
    After(Duration),
    /// Not checked, because the Worker's address is unknown.
    Unknown,
    /// The Worker still answers as before.
    NotYet,
}

impl InForce {
    /// Returns `None` if it is unknown.
    pub(crate) fn as_json(self) -> Option<bool> {
        match self {
            Self::After(_) => Some(true),
            Self::NotYet => Some(false),
            Self::Unknown => None,
        }
    }
}

/// A push to make.
pub(crate) struct Push<'a> {
    pub(crate) file: &'a ListFile,
    pub(crate) list: &'a List,
    /// Secrets to set in addition to the keys.
    pub(crate) settings: &'a [Value],
    pub(crate) target: &'a Target,
    /// The key that this change takes out of the list.
    pub(crate) taken_back: Option<&'a KeyId>,
}

impl Push<'_> {
    /// Pushes the list, with a probe key if the Worker's address is known.
    pub(crate) fn send(&self, deployed: Option<&Deployed>) -> Result<Done, Problem> {
        let proof = match deployed {
            None => None,
            Some(_) if self.list.is_empty() => Some(Proof::Closed),
            Some(_) => Some(Proof::Admits(Probe::new(self.list)?)),
        };
        self.send_with(proof)
    }

    /// Pushes the list with a probe key of the caller's.
    pub(crate) fn send_with(&self, proof: Option<Proof>) -> Result<Done, Problem> {
        let mut pushed_list = self.list.clone();
        if let Some(Proof::Admits(probe)) = &proof {
            pushed_list.add(probe.id.as_str(), &probe.entry)?;
        }
        let keys = pushed_list.secrets()?;
        let ids: Vec<_> = self
            .list
            .keys()
            .iter()
            .map(|key| key.client.id.to_string())
            .collect();
        let names = keys.iter().map(|secret| secret.name.clone());
        let record = ids
            .iter()
            .cloned()
            .chain(names)
            .collect::<Vec<_>>()
            .join(" ");
        let before = self.file.variable(RECORD)?;
        let allow = |deployed: &[String]| {
            if self.target.replace {
                return Ok(());
            }
            refuse_loss(deployed, before.as_deref(), &ids, self.taken_back)
        };
        let pushed = wrangler::push(&keys, self.settings, &self.target.wrangler, allow)?;
        Ok(Done {
            pushed,
            record,
            proof,
        })
    }
}

/// Refuses to delete keys of the Worker that the command did not name.
fn refuse_loss(
    deployed: &[String],
    record: Option<&str>,
    ids: &[String],
    taken_back: Option<&KeyId>,
) -> Result<(), Problem> {
    if deployed.is_empty() {
        return Ok(());
    }
    let recorded: Vec<_> = record.unwrap_or_default().split_whitespace().collect();
    // Ids have no upper-case letters; names of secrets have only upper-case letters.
    let (names, known): (Vec<&str>, Vec<&str>) = recorded
        .iter()
        .partition(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    if !deployed
        .iter()
        .map(String::as_str)
        .eq(names.iter().copied())
    {
        return Err(Problem::with(
            CONFLICT,
            format!(
                "the Worker has client keys ({}) that were not pushed from this list, and secrets \
                 cannot be read back. After the push it would have only \
                 these keys: {}. Fix: if this is intended, add --replace",
                deployed.join(", "),
                shown(ids)
            ),
        ));
    }
    let lost: Vec<_> = known
        .iter()
        .filter(|id| {
            !ids.iter().any(|new| new == *id)
                && taken_back.is_none_or(|taken| taken.as_str() != **id)
        })
        .map(|id| (*id).to_owned())
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(Problem::with(
        CONFLICT,
        format!(
            "the Worker has keys that this list lacks: {}. Fix: to revoke them, add --replace",
            shown(&lost)
        ),
    ))
}

fn shown(ids: &[String]) -> String {
    let more = ids.len().saturating_sub(MAX_SHOWN);
    let first: Vec<_> = ids.iter().take(MAX_SHOWN).map(String::as_str).collect();
    match (first.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (_, 0) => first.join(", "),
        _ => format!("{} and {more} more", first.join(", ")),
    }
}

impl Done {
    /// Waits until the Worker has the list, if its address is known.
    pub(crate) fn wait(&self, deployed: Option<&Deployed>) -> InForce {
        let (Some(deployed), Some(proof)) = (deployed, &self.proof) else {
            return InForce::Unknown;
        };
        match proof.wait(deployed) {
            Ok(after) => InForce::After(after),
            Err(answer) => {
                progress(&format!("The last answer of {}: {answer}.", deployed.url));
                InForce::NotYet
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(
        deployed: &[&str],
        record: Option<&str>,
        ids: &[&str],
        taken_back: Option<&str>,
    ) -> Option<String> {
        let owned = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let taken_back = taken_back.and_then(KeyId::parse);
        refuse_loss(&owned(deployed), record, &owned(ids), taken_back.as_ref())
            .err()
            .map(|problem| problem.message)
    }

    #[test]
    fn a_push_that_would_delete_keys_nobody_named_is_refused() {
        let record = Some("a b CLIENT_KEYS");
        assert_eq!(
            refused(&[], None, &["a"], None),
            None,
            "a Worker without keys"
        );
        assert_eq!(
            refused(&["CLIENT_KEYS"], record, &["a", "b", "c"], None),
            None
        );
        assert_eq!(
            refused(&["CLIENT_KEYS"], record, &["a"], Some("b")),
            None,
            "b is revoked"
        );
        let lost = refused(&["CLIENT_KEYS"], record, &["a"], None).unwrap();
        assert!(lost.contains("lacks: b."), "{lost}");
        let lost = refused(&["CLIENT_KEYS"], record, &["c"], Some("b")).unwrap();
        assert!(lost.contains("lacks: a."), "{lost}");
        let unknown = refused(&["CLIENT_KEYS"], None, &["a"], None).unwrap();
        assert!(unknown.contains("not pushed from this list"), "{unknown}");
        assert!(refused(&["CLIENT_KEYS", "CLIENT_KEYS_2"], record, &["a", "b"], None).is_some());
    }

    #[test]
    fn a_message_lists_few_ids() {
        let ids: Vec<_> = (0..12).map(|n| format!("k{n}")).collect();
        assert_eq!(
            shown(&ids),
            "k0, k1, k2, k3, k4, k5, k6, k7, k8, k9 and 2 more"
        );
        assert_eq!(shown(&[]), "none");
    }
}
