//! `clawfront setup`: makes settings that reach a gateway. Each answer is checked when it is given,
//! and each step is written to the file immediately. So an interrupted run resumes where it
//! stopped, and a repeated run changes nothing.

mod admin;
mod credential;
mod first_key;
mod gateway;
mod options;
mod values;

use std::collections::BTreeMap;

use clawfront_core::agent::AgentList;
use clawfront_core::config::{DEVICE_KEY, DEVICE_TOKEN, GATEWAY_TOKEN, GATEWAY_URL};

pub(crate) use self::options::{AFTER_HELP, Setup};
use self::options::{Apply, Kind};
use self::values::Values;
use crate::connection::stream::Trust;
use crate::device::new_key;
use crate::invocation::Invocation;
use crate::keys::list_file::has_keys;
use crate::keys::new::add;
use crate::keys::proof::Deployed;
use crate::keys::push::Target;
use crate::keys::push_command::push_with;
use crate::keys::wrangler;
use crate::outcome::{Output, Problem, USAGE, WARNED};
use crate::pairing::refused;
use crate::settings::Settings;
use crate::system::{progress, show};
use crate::{agents, ask, doctor};

/// A placeholder for the address while the other settings are checked.
const ANY_URL: &str = "wss://gateway.example.com";

/// The first client key of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FirstKey {
    Wanted,
    Exists,
}

pub(crate) fn run(setup: &Setup) -> Result<Output, Problem> {
    let trust = Trust::new(setup.scope.ca.as_deref())?;
    if let Some(url) = &setup.scope.worker {
        Deployed::parse(url)?;
    }
    let mut values = Values {
        settings: Settings::read(&setup.source)?,
        own: BTreeMap::new(),
    };
    let first_key = if has_keys(&setup.source.file)? {
        FirstKey::Exists
    } else {
        FirstKey::Wanted
    };
    refuse_missing(setup, &values, first_key)?;
    if first_key == FirstKey::Wanted {
        first_key::refuse_bad_options(setup)?;
    }
    if values.get(DEVICE_KEY).is_none() {
        values.set(DEVICE_KEY, new_key()?.encode().as_str());
    }
    // Mistakes of the other settings are reported first, because another address would not correct
    // them.
    values.without_credential(ANY_URL)?;
    gateway::gateway(setup, &mut values, &trust)?;
    values.keep(setup, &[GATEWAY_URL, DEVICE_KEY])?;
    progress(&format!(
        "Kept in {}: GATEWAY_URL, DEVICE_KEY",
        setup.source.file.display()
    ));
    credential::credential(setup, &mut values, &trust)?;
    if first_key == FirstKey::Wanted {
        let choice = first_key::choose(setup, known(&values, &trust)?.as_ref())?;
        let key = add(&setup.source.file, &choice.id, &choice.fields(), None)?;
        // The entry is already stored, so the key must be shown even if a later step fails.
        show(&format!(
            "Key of {}, for the client, shown only here:\n  {}\n\n",
            choice.id,
            key.as_str()
        ))?;
    }
    admin::admin(setup, &mut values)?;
    let pushed = push(setup);
    let mut report = doctor::examine(&setup.source, &setup.scope)?;
    let mut output = Output::of(report.text());
    output.code = report.code();
    match pushed {
        Ok(note) => {
            output.note = note;
            output.text.push_str(&next(setup, report.code()));
        }
        Err(problem) => {
            output.note = format!("clawfront: {}\n", problem.message);
            output.code = problem.code;
        }
    }
    Ok(output)
}

/// Returns the next commands.
fn next(setup: &Setup, code: u8) -> String {
    let invocation = Invocation::current();
    match (code, setup.apply) {
        (0 | WARNED, Apply::File) => {
            let verb = match invocation {
                Invocation::Checkout => "tries",
                Invocation::Package => "serves",
            };
            format!(
                "\nNext: `{}` {verb} it on this machine; `{}` puts it on Cloudflare, with these \
                 settings.\n",
                invocation.serve(),
                invocation.deploy()
            )
        }
        (0 | WARNED, Apply::Both) => format!(
            "\nNext: `{}` uploads the Worker, and asks an agent through it.\n",
            invocation.deploy()
        ),
        _ => "\nNext: fix the first problem above, then run `clawfront setup` again; it resumes \
              here.\n"
            .to_owned(),
    }
}

/// Pushes the settings and the keys of the file.
fn push(setup: &Setup) -> Result<String, Problem> {
    if setup.apply == Apply::File {
        return Ok(String::new());
    }
    let settings = Settings::read(&setup.source)?.secrets();
    let target = Target {
        wrangler: wrangler::Options {
            name: setup.name.clone(),
            env: setup.source.env.clone(),
            config: setup
                .source
                .config
                .exists()
                .then(|| setup.source.config.clone()),
        },
        worker: setup.scope.worker.clone(),
        replace: setup.replace,
    };
    let (set, in_force) = push_with(&setup.source.file, &settings, &target)?;
    let seen = match in_force.as_json() {
        Some(true) => " The Worker has them.",
        Some(false) => " The Worker does not have them yet. Fix: run `clawfront keys push`.",
        None => "",
    };
    Ok(format!(
        "The Worker's secrets: {} set.{seen}\n",
        set.join(", ")
    ))
}

/// Refuses to begin where a value is missing and there is no terminal to ask at.
fn refuse_missing(setup: &Setup, values: &Values, first_key: FirstKey) -> Result<(), Problem> {
    if ask::is_possible() {
        return Ok(());
    }
    let has_keys = first_key == FirstKey::Exists;
    let has_token = setup.credential == Kind::Device && values.get(DEVICE_TOKEN).is_some();
    let secrets = setup.credential.secrets();
    let has_secret = has_token || secrets.iter().any(|kind| values.shared(*kind).is_some());
    let missing: Vec<_> = [
        (
            setup.gateway.is_some() || values.get(GATEWAY_URL).is_some(),
            "--gateway",
        ),
        (has_keys || setup.key.is_some(), "--key"),
        (has_keys || setup.agents.is_some(), "--agents"),
        (
            has_secret,
            secrets.first().map_or(GATEWAY_TOKEN, |kind| kind.name()),
        ),
    ]
    .into_iter()
    .filter_map(|(is_there, name)| (!is_there).then_some(name))
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Problem::with(
        USAGE,
        format!(
            "there is no terminal to ask at, and these are missing: {}. Fix: set them",
            missing.join(", ")
        ),
    ))
}

/// Fetches the gateway's agents; `None` if the credential does not allow it.
fn known(values: &Values, trust: &Trust) -> Result<Option<AgentList>, Problem> {
    match agents::ask(&values.gateway()?, trust) {
        Ok(known) => Ok(Some(known)),
        Err((failure, detail)) => {
            let why = refused(&failure, &detail).message;
            progress(&format!(
                "The gateway's agents are unknown, so the names are not checked ({why})."
            ));
            Ok(None)
        }
    }
}
