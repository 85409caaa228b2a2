//! The settings of a deployment, where wrangler finds them: the variables of a dotenv file before those of `wrangler.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use clawfront_core::config::{BOUND, GATEWAY};
use toml::{Table, Value};

use crate::Problem;
use crate::keys::dotenv;

/// Most bytes of one secret or variable of a Worker. Source: developers.cloudflare.com/workers/platform/limits, "5 KB", which is 5,000
/// at least.
pub(crate) const MAX_SECRET_BYTES: usize = 5000;

/// Without it a Worker never learns that its client has gone away, and a run goes on for nobody.
const FLAG: &str = "enable_request_signal";

/// From then on the runtime behaves as the Worker was tested with.
const MIN_DATE: &str = "2026-11-01";

/// Where the settings are.
#[derive(Args)]
pub(crate) struct Source {
    /// The variables and secrets: a dotenv file, as wrangler reads it
    #[arg(long, value_name = "PATH", default_value = ".dev.vars")]
    pub(crate) file: PathBuf,
    /// wrangler's configuration file
    #[arg(long, value_name = "PATH", default_value = "wrangler.toml")]
    pub(crate) config: PathBuf,
    /// Environment of wrangler's configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Settings {
    values: BTreeMap<String, String>,
    /// `None` where there is no such file.
    manifest: Option<Manifest>,
}

/// What matters of wrangler's configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    date: String,
    flags: Vec<String>,
}

impl Settings {
    pub(crate) fn read(source: &Source) -> Result<Self, Problem> {
        let mut settings = Self::default();
        if let Some(text) = content(&source.config)? {
            let table = text
                .parse::<Table>()
                .map_err(|error| Problem::new(format!("{}: {}", source.config.display(), error.message())))?;
            settings.take_manifest(&table, source.env.as_deref());
        }
        if let Some(text) = content(&source.file)? {
            // The last one of a name counts, as for wrangler.
            let variables = dotenv::read(&text)?;
            settings
                .values
                .extend(variables.into_iter().map(|variable| (variable.name, variable.value)));
        }
        Ok(settings)
    }

    /// wrangler's rules: an environment inherits flags and date, but neither variables nor bindings.
    fn take_manifest(&mut self, table: &Table, env: Option<&str>) {
        let of_env = env.and_then(|env| table.get("env")?.get(env)?.as_table());
        let own = of_env.unwrap_or(table);
        let inherited = |name: &str| own.get(name).or_else(|| table.get(name));
        for (name, value) in own.get("vars").and_then(Value::as_table).into_iter().flatten() {
            if let Some(text) = value.as_str() {
                self.values.insert(name.clone(), text.to_owned());
            }
        }
        let is_bound = ["services", "vpc_services"]
            .iter()
            .filter_map(|kind| own.get(*kind)?.as_array())
            .flatten()
            .any(|binding| binding.get("binding").and_then(Value::as_str) == Some(GATEWAY));
        if is_bound {
            self.values.insert(GATEWAY.to_owned(), BOUND.to_owned());
        }
        let flags = inherited("compatibility_flags").and_then(Value::as_array);
        self.manifest = Some(Manifest {
            date: inherited("compatibility_date")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            flags: flags
                .into_iter()
                .flatten()
                .filter_map(|flag| Some(flag.as_str()?.to_owned()))
                .collect(),
        });
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    /// Whether the Worker reaches the gateway through a binding, where nobody else can.
    pub(crate) fn is_bound(&self) -> bool {
        self.values.get(GATEWAY).is_some_and(|value| value == BOUND)
    }

    /// Names of the variables that are larger than a Worker takes, with their sizes in bytes; and how many are not.
    pub(crate) fn sizes(&self) -> (Vec<(&str, usize)>, usize) {
        let too_large: Vec<_> = self
            .values
            .iter()
            .filter(|(_, value)| value.len() > MAX_SECRET_BYTES)
            .map(|(name, value)| (name.as_str(), value.len()))
            .collect();
        let good = self.values.len().saturating_sub(too_large.len());
        (too_large, good)
    }

    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }
}

impl Manifest {
    /// What is wrong with it.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !self.flags.iter().any(|flag| flag == FLAG) {
            mistakes.push(format!("compatibility_flags lacks {FLAG}"));
        }
        // Dates of this form sort as text.
        if self.date.as_str() < MIN_DATE {
            mistakes.push(format!("compatibility_date is before {MIN_DATE}"));
        }
        mistakes
    }
}

fn content(path: &Path) -> Result<Option<String>, Problem> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::new(format!("{} cannot be read: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str, env: Option<&str>) -> Settings {
        let mut settings = Settings::default();
        settings.take_manifest(&text.parse().unwrap(), env);
        settings
    }

    #[test]
    fn the_projects_own_configuration_has_no_mistakes() {
        let settings = manifest(include_str!("../../wrangler.toml"), None);
        assert_eq!(settings.manifest().unwrap().mistakes(), Vec::<String>::new());
    }

    #[test]
    fn what_the_worker_needs_of_the_runtime_is_missed() {
        let settings = manifest("compatibility_date = \"2024-01-01\"", None);
        assert_eq!(
            settings.manifest().unwrap().mistakes(),
            [
                "compatibility_flags lacks enable_request_signal",
                "compatibility_date is before 2026-11-01"
            ]
        );
    }

    #[test]
    fn an_environment_inherits_flags_but_no_variables() {
        let text = "compatibility_date = \"2026-11-02\"
compatibility_flags = [\"enable_request_signal\"]
vars = { GATEWAY_URL = \"wss://a\" }
[env.b]
vpc_services = [{ binding = \"GATEWAY\", service_id = \"x\" }]
";
        let (top, b) = (manifest(text, None), manifest(text, Some("b")));
        assert_eq!(
            (top.get("GATEWAY_URL").as_deref(), top.is_bound()),
            (Some("wss://a"), false)
        );
        assert_eq!((b.get("GATEWAY_URL"), b.is_bound()), (None, true));
        assert_eq!(top.manifest(), b.manifest());
    }
}
