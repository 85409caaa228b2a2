//! The existing settings, and those that setup adds.

use std::collections::BTreeMap;

use clawfront_core::config::{
    CLIENT_KEYS, Config, DEVICE_TOKEN, GATEWAY_PASSWORD, GATEWAY_TOKEN, GATEWAY_URL, Gateway,
};
use zeroize::Zeroizing;

use super::options::Setup;
use crate::keys::list_file::set_variables;
use crate::outcome::{MISTAKES, Problem};
use crate::pairing;
use crate::settings::{NO_KEY, Settings};
use crate::system::variable;

/// A placeholder for the secret while the other settings are checked.
const UNKNOWN: &str = "none";

/// The settings of the file, and those that this run has found.
pub(super) struct Values {
    pub(super) settings: Settings,
    pub(super) own: BTreeMap<&'static str, Zeroizing<String>>,
}

impl Values {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let own = self.own.get(name).map(|value| value.to_string());
        own.or_else(|| self.settings.get(name))
            .filter(|value| !value.trim().is_empty())
    }

    /// A secret of the environment, else of the file.
    pub(super) fn shared(&self, kind: pairing::Kind) -> Option<String> {
        variable(kind.name()).or_else(|| self.get(kind.name()))
    }

    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.own.insert(name, Zeroizing::new(value.to_owned()));
    }

    /// Writes these settings into the file, where the next run reads them.
    pub(super) fn keep(&self, setup: &Setup, names: &[&'static str]) -> Result<(), Problem> {
        let new: Vec<_> = names
            .iter()
            .filter_map(|name| Some((*name, self.own.get(name)?.as_str())))
            .filter(|(name, value)| self.settings.get(name).as_deref() != Some(value))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        set_variables(&setup.source.file, &new)
    }

    /// Returns the gateway of the settings.
    pub(super) fn gateway(&self) -> Result<Gateway, Problem> {
        parse(|name| self.get(name))
    }

    /// Returns the gateway without a credential; one is presented to it later.
    pub(super) fn without_credential(&self, url: &str) -> Result<Gateway, Problem> {
        parse(|name| match name {
            GATEWAY_URL => Some(url.to_owned()),
            GATEWAY_TOKEN => Some(UNKNOWN.to_owned()),
            DEVICE_TOKEN | GATEWAY_PASSWORD => None,
            name => self.get(name),
        })
    }
}

/// Parses the gateway's settings; the client keys are not used.
fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Gateway, Problem> {
    let get = |name: &str| match name {
        CLIENT_KEYS => Some(NO_KEY.to_owned()),
        name if name.starts_with(CLIENT_KEYS) => None,
        name => get(name),
    };
    Config::parse(get)
        .map(|config| config.gateway)
        .map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Problem::with(MISTAKES, problems.join("\n"))
        })
}
