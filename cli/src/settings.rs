//! The settings of a deployment, from the places that wrangler reads: a dotenv file takes
//! precedence over `wrangler.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use clawfront_core::config::{
    BOUND, CLIENT_KEYS, Config, DEVICE_TOKEN, GATEWAY, GATEWAY_HTTP, GATEWAY_PASSWORD,
    GATEWAY_TOKEN, Gateway, HUB, SHARED_TOKEN, TEXTS,
};
use toml::{Table, Value};

use crate::file;
use crate::keys::list::MAX_SECRET_BYTES;
use crate::keys::{dotenv, list};
use crate::outcome::Problem;

/// The compatibility flag without which a Worker never notices that its client has left, so that
/// the run continues.
const FLAG: &str = "enable_request_signal";

/// The runtime version that the Worker is tested with.
const MIN_DATE: &str = "2026-11-01";

/// A placeholder for the client keys, because settings are only parsed as a whole.
pub(crate) const NO_KEY: &str =
    "none sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab agents=*";

/// The files with the settings.
#[derive(Args)]
pub(crate) struct Source {
    /// Variables and secrets: a dotenv file, as wrangler reads it
    #[arg(long, value_name = "PATH", default_value = ".dev.vars")]
    pub(crate) file: PathBuf,
    /// wrangler's configuration file
    #[arg(long, value_name = "PATH", default_value = "wrangler.toml")]
    pub(crate) config: PathBuf,
    /// Environment of wrangler's configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
}

/// The settings of a deployment.
#[derive(Default)]
pub(crate) struct Settings {
    values: BTreeMap<String, String>,
    /// The names that `wrangler.toml` sets, which cannot be secrets as well.
    fixed: BTreeSet<String>,
    /// `None` if there is no such file.
    manifest: Option<Manifest>,
}

/// The parts of wrangler's configuration that are checked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    date: String,
    flags: Vec<String>,
    /// `None` if the configuration leaves it to wrangler, which enables them with `workers_dev`.
    preview_urls: Option<bool>,
    /// The Durable Object is bound, and its class is made by a migration.
    has_hub: bool,
    /// The Worker's name.
    pub(crate) name: String,
    /// The module that wrangler uploads, from the configuration's folder.
    pub(crate) main: String,
    /// The folder of its static files, from there.
    pub(crate) assets: Option<String>,
    /// The command that makes it.
    pub(crate) build: Option<String>,
}

/// The Worker's class that is bound as `HUB`.
const HUB_CLASS: &str = "Hub";

impl Settings {
    pub(crate) fn read(source: &Source) -> Result<Self, Problem> {
        let mut settings = Self::default();
        if let Some(text) = file::read(&source.config)? {
            let table = text.parse::<Table>().map_err(|error| {
                Problem::new(format!("{}: {}", source.config.display(), error.message()))
            })?;
            settings.take_manifest(&table, source.env.as_deref());
        }
        if let Some(text) = file::read(&source.file)? {
            // The last value of a name takes precedence, as in wrangler.
            let variables = dotenv::read(&text)?;
            settings.values.extend(
                variables
                    .into_iter()
                    .map(|variable| (variable.name, variable.value)),
            );
        }
        Ok(settings)
    }

    /// Follows wrangler's rules: an environment inherits flags and date, but neither variables nor
    /// bindings.
    fn take_manifest(&mut self, table: &Table, env: Option<&str>) {
        let of_env = env.and_then(|env| table.get("env")?.get(env)?.as_table());
        let own = of_env.unwrap_or(table);
        for (name, value) in own
            .get("vars")
            .and_then(Value::as_table)
            .into_iter()
            .flatten()
        {
            if let Some(text) = value.as_str() {
                self.values.insert(name.clone(), text.to_owned());
            }
            self.fixed.insert(name.clone());
        }
        let is_bound = ["services", "vpc_services"]
            .iter()
            .filter_map(|kind| own.get(*kind)?.as_array())
            .flatten()
            .any(|binding| binding.get("binding").and_then(Value::as_str) == Some(GATEWAY));
        if is_bound {
            self.values.insert(GATEWAY.to_owned(), BOUND.to_owned());
        }
        self.manifest = Some(Manifest::of(table, own, env));
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    /// Returns the secrets of a deployed Worker except its client keys. The gateway's shared secret
    /// is not deployed where a device token replaces it, unless the HTTP endpoint takes it.
    pub(crate) fn secrets(&self) -> Vec<list::Value> {
        let is_set = |name: &str| {
            self.values
                .get(name)
                .is_some_and(|value| !value.trim().is_empty())
        };
        let is_replaced = |name: &str| match name {
            GATEWAY_TOKEN => is_set(DEVICE_TOKEN) && !self.sends_token(),
            GATEWAY_PASSWORD => is_set(DEVICE_TOKEN),
            _ => false,
        };
        TEXTS
            .into_iter()
            .filter(|name| is_set(name) && !self.fixed.contains(*name))
            .filter(|name| !is_replaced(name))
            .map(|name| list::Value {
                name: name.to_owned(),
                text: self.get(name).unwrap_or_default(),
            })
            .collect()
    }

    /// Returns true if requests to the gateway's HTTP endpoint have the shared token, also beside a
    /// device.
    pub(crate) fn sends_token(&self) -> bool {
        let identity = self.values.get(GATEWAY_HTTP);
        identity.is_some_and(|identity| identity.trim() == SHARED_TOKEN)
    }

    /// Returns the gateway, if this machine can reach it.
    pub(crate) fn gateway(&self) -> Option<Gateway> {
        if self.is_bound() {
            return None;
        }
        let get = |name: &str| match name {
            // Settings are only parsed as a whole; the keys are not used.
            CLIENT_KEYS => Some(NO_KEY.to_owned()),
            name if name.starts_with(CLIENT_KEYS) => None,
            name => self.get(name),
        };
        Config::parse(get).ok().map(|config| config.gateway)
    }

    /// Returns true if the Worker reaches the gateway through a binding, which only a Worker
    /// can.
    pub(crate) fn is_bound(&self) -> bool {
        self.values.get(GATEWAY).is_some_and(|value| value == BOUND)
    }

    /// Returns the names and sizes of the variables that are too large for a Worker, and the number
    /// of the others.
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
    /// Reads the table of an environment, which is `table` itself if there is none.
    fn of(table: &Table, own: &Table, env: Option<&str>) -> Self {
        let inherited = |name: &str| own.get(name).or_else(|| table.get(name));
        let text = |name: &str| {
            inherited(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let has_own_name = !std::ptr::eq(own, table) && own.contains_key("name");
        let flags = inherited("compatibility_flags").and_then(Value::as_array);
        let build = inherited("build").and_then(|build| build.get("command")?.as_str());
        Self {
            name: match env {
                Some(env) if !has_own_name => format!("{}-{env}", text("name")),
                _ => text("name"),
            },
            main: text("main"),
            assets: inherited("assets")
                .and_then(|assets| assets.get("directory")?.as_str())
                .map(str::to_owned),
            build: build.map(str::to_owned),
            preview_urls: inherited("preview_urls").and_then(Value::as_bool),
            // Bindings are not inherited, migrations are.
            has_hub: binds_hub(own) && inherited("migrations").is_some_and(makes_hub),
            date: text("compatibility_date"),
            flags: flags
                .into_iter()
                .flatten()
                .filter_map(|flag| Some(flag.as_str()?.to_owned()))
                .collect(),
        }
    }

    /// Returns its mistakes.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !self.flags.iter().any(|flag| flag == FLAG) {
            mistakes.push(format!("compatibility_flags lacks {FLAG}"));
        }
        if !self.has_hub {
            mistakes.push(
                "the Durable Object HUB is missing: copy [[durable_objects.bindings]] and \
                 [[migrations]] from the project's wrangler.toml"
                    .to_owned(),
            );
        }
        // Dates of this form sort as text.
        if self.date.as_str() < MIN_DATE {
            mistakes.push(format!("compatibility_date is before {MIN_DATE}"));
        }
        if self.preview_urls != Some(false) {
            mistakes.push(
                "preview_urls is not false: each version keeps a public address and its old keys"
                    .to_owned(),
            );
        }
        mistakes
    }
}

/// Returns true if the table binds the Durable Object.
fn binds_hub(own: &Table) -> bool {
    let bindings = own
        .get("durable_objects")
        .and_then(|objects| objects.get("bindings")?.as_array());
    bindings.into_iter().flatten().any(|binding| {
        let is = |name, value| binding.get(name).and_then(Value::as_str) == Some(value);
        is("name", HUB) && is("class_name", HUB_CLASS)
    })
}

/// Returns true if one of the migrations makes the Durable Object's class.
fn makes_hub(migrations: &Value) -> bool {
    let classes = |migration: &'_ Value| {
        let classes = migration.get("new_sqlite_classes")?.as_array()?;
        Some(
            classes
                .iter()
                .any(|class| class.as_str() == Some(HUB_CLASS)),
        )
    };
    let migrations = migrations.as_array().into_iter().flatten();
    migrations.filter_map(classes).any(|makes| makes)
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
        assert_eq!(
            settings.manifest().unwrap().mistakes(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn missing_settings_of_the_runtime_are_mistakes() {
        let settings = manifest("compatibility_date = \"2024-01-01\"", None);
        assert_eq!(
            settings.manifest().unwrap().mistakes(),
            [
                "compatibility_flags lacks enable_request_signal",
                "the Durable Object HUB is missing: copy [[durable_objects.bindings]] and \
                 [[migrations]] from the project's wrangler.toml",
                "compatibility_date is before 2026-11-01",
                "preview_urls is not false: each version keeps a public address and its old keys"
            ]
        );
    }

    #[test]
    fn secrets_are_the_settings_of_the_file_without_a_shared_one_that_a_device_replaces() {
        let mut settings = manifest("vars = { GATEWAY_URL = \"wss://a\" }", None);
        let names = |settings: &Settings| {
            let secrets = settings.secrets();
            secrets
                .into_iter()
                .map(|secret| secret.name)
                .collect::<Vec<_>>()
        };
        for name in [
            "GATEWAY_TOKEN",
            "DEVICE_KEY",
            "CLIENT_KEYS",
            "CLAWFRONT_URL",
            "MODEL_ALIASES",
        ] {
            settings.values.insert(name.to_owned(), "x".to_owned());
        }
        assert_eq!(
            names(&settings),
            ["GATEWAY_TOKEN", "DEVICE_KEY", "MODEL_ALIASES"]
        );
        settings
            .values
            .insert("DEVICE_TOKEN".to_owned(), "x".to_owned());
        assert_eq!(
            names(&settings),
            ["DEVICE_KEY", "DEVICE_TOKEN", "MODEL_ALIASES"]
        );
    }

    #[test]
    fn the_settings_of_the_http_endpoint_are_deployed_with_the_token_that_it_takes() {
        let mut settings = Settings::default();
        let names = |settings: &Settings| {
            let secrets = settings.secrets();
            secrets
                .into_iter()
                .map(|secret| secret.name)
                .collect::<Vec<_>>()
        };
        for (name, value) in [
            ("GATEWAY_TOKEN", "x"),
            ("GATEWAY_PASSWORD", "x"),
            ("DEVICE_TOKEN", "x"),
            ("GATEWAY_HTTP", "trusted-proxy"),
            ("GATEWAY_HTTP_USER", "x-user"),
        ] {
            settings.values.insert(name.to_owned(), value.to_owned());
        }
        assert_eq!(
            names(&settings),
            ["DEVICE_TOKEN", "GATEWAY_HTTP", "GATEWAY_HTTP_USER"]
        );
        let set = |name: &str, value: &str, settings: &mut Settings| {
            settings.values.insert(name.to_owned(), value.to_owned());
        };
        set("GATEWAY_HTTP", " shared-token ", &mut settings);
        set("GATEWAY_HTTP_USER", "", &mut settings);
        assert_eq!(
            names(&settings),
            ["GATEWAY_TOKEN", "DEVICE_TOKEN", "GATEWAY_HTTP"]
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
        let (top, b) = (top.manifest().unwrap(), b.manifest().unwrap());
        assert_eq!((&top.date, &top.flags), (&b.date, &b.flags));
    }
}
