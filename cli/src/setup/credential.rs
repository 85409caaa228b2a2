//! The step of setup that finds a credential that the gateway accepts.

use std::thread::sleep;
use std::time::{Duration, Instant};

use clawfront_core::config::{DEVICE_TOKEN, GATEWAY_URL};
use clawfront_core::failure::Failure;
use clawfront_core::failure::diagnosis::Diagnosis;
use clawfront_core::secret::Secret;

use super::options::{Kind, Setup};
use super::values::Values;
use crate::ask;
use crate::connection::stream::Trust;
use crate::outcome::{FAILED, NOT_APPROVED, Problem, USAGE};
use crate::pairing::{self, Shared, is_wrong_secret, needs_approval, refused, shake_hands};
use crate::system::progress;

/// Pause between two attempts while the device waits for its approval.
const POLL: Duration = Duration::from_secs(3);

/// Most wrong secrets before the command ends: a gateway locks an address for five minutes after
/// ten.
const MAX_WRONG_SECRETS: usize = 3;

/// Finds a credential that the gateway accepts, and stores it.
pub(super) fn credential(setup: &Setup, values: &mut Values, trust: &Trust) -> Result<(), Problem> {
    if setup.credential == Kind::Device && values.get(DEVICE_TOKEN).is_some() {
        let gateway = values.gateway()?;
        match shake_hands(&gateway, trust) {
            Ok(_) => {
                progress("The device is paired, and its token works.");
                return Ok(());
            }
            Err((failure, _)) if is_stale(&failure) => {
                progress("The device's token no longer works; pairing it again.");
            }
            Err((failure, detail)) => return Err(refused(&failure, &detail)),
        }
    }
    let (shared, kind, token) = present(setup, values, trust)?;
    match (setup.credential, token) {
        (Kind::Device, Some(token)) => {
            values.set(DEVICE_TOKEN, token.expose());
            values.keep(setup, &[DEVICE_TOKEN])?;
            progress("The device is paired; kept: DEVICE_TOKEN");
            let is_used = kind == pairing::Kind::Token && values.settings.sends_token();
            if values.settings.get(kind.name()).is_some() && !is_used {
                progress(&format!(
                    "{} is no longer needed. Fix: remove it from {}.",
                    kind.name(),
                    setup.source.file.display()
                ));
            }
            Ok(())
        }
        (Kind::Device, None) => Err(Problem::new(
            "the gateway sent no token for the device. Fix: remove the device there (openclaw \
             devices remove), and run this again",
        )),
        (Kind::Token | Kind::Password, _) => {
            values.set(kind.name(), shared.secret.expose());
            values.keep(setup, &[kind.name()])
        }
    }
}

/// Presents the known secret, then those that a person gives, until the gateway accepts one.
fn present(
    setup: &Setup,
    values: &Values,
    trust: &Trust,
) -> Result<(Shared, pairing::Kind, Option<Secret>), Problem> {
    let mut given = Shared::find(setup.credential.secrets(), |kind| values.shared(kind));
    let mut wrong = 0_usize;
    loop {
        let shared = match given.take() {
            Some(shared) => shared,
            None => match Shared::ask(setup.credential.asked())? {
                Some(shared) => shared,
                None if ask::is_possible() => continue,
                None => {
                    return Err(Problem::with(
                        USAGE,
                        "pairing needs the gateway's shared secret. Fix: set GATEWAY_TOKEN or \
                         GATEWAY_PASSWORD",
                    ));
                }
            },
        };
        match pair(values, &shared, trust, Duration::from_secs(setup.wait)) {
            Ok((kind, token)) => return Ok((shared, kind, token)),
            Err(NotPaired::WrongSecret(problem))
                if ask::is_possible() && wrong < MAX_WRONG_SECRETS =>
            {
                wrong = wrong.saturating_add(1);
                progress(&format!("  {}", problem.message));
            }
            Err(NotPaired::WrongSecret(problem) | NotPaired::Other(problem)) => {
                return Err(problem);
            }
        }
    }
}

/// Returns true if a device has to be paired again to get another token.
fn is_stale(failure: &Failure) -> bool {
    matches!(
        failure.diagnosis(),
        Some(Diagnosis::DeviceToken | Diagnosis::DeviceRemoved | Diagnosis::ScopeMissing)
    ) || needs_approval(failure)
}

enum NotPaired {
    /// Another secret could be the right one.
    WrongSecret(Problem),
    Other(Problem),
}

/// Pairs the device, and waits for the operator's approval for at most `wait`.
fn pair(
    values: &Values,
    shared: &Shared,
    trust: &Trust,
    wait: Duration,
) -> Result<(pairing::Kind, Option<Secret>), NotPaired> {
    let url = values.get(GATEWAY_URL).unwrap_or_default();
    let gateway = values.without_credential(&url).map_err(NotPaired::Other)?;
    let until = Instant::now().checked_add(wait);
    let mut shown = String::new();
    loop {
        let (failure, detail) = match shared.present(&gateway, trust) {
            Ok(paired) => return Ok(paired),
            Err(failed) => failed,
        };
        let problem = refused(&failure, &detail);
        let is_waiting = needs_approval(&failure);
        if is_wrong_secret(&failure) {
            return Err(NotPaired::WrongSecret(problem));
        }
        if !is_waiting && !failure.diagnosis().is_some_and(Diagnosis::is_passing) {
            return Err(NotPaired::Other(problem));
        }
        if problem.message != shown {
            progress(&problem.message);
            shown = problem.message;
        }
        if until.is_none_or(|until| {
            Instant::now()
                .checked_add(POLL)
                .is_none_or(|next| next > until)
        }) {
            return Err(NotPaired::Other(Problem::with(
                if is_waiting { NOT_APPROVED } else { FAILED },
                format!(
                    "gave up after {} s. Fix: run this again; it resumes here",
                    wait.as_secs()
                ),
            )));
        }
        sleep(POLL);
    }
}
