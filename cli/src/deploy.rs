//! `clawfront deploy`: makes a running Worker of the settings in a file. Each step has a name and a
//! result. A second call does only the missing steps, and names the steps that it skipped.

mod probe;
mod record;
mod result_file;
mod steps;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use clawfront_core::config::{Config, GATEWAY_URL, KEYS_SECRET, TEXTS};
use serde_json::{Value, json};

use crate::address::{private, why_private};
use crate::connection::stream::Trust;
use crate::doctor::check::Depth;
use crate::doctor::deployed;
use crate::doctor::report::Report;
use crate::invocation::Invocation;
use crate::keys::list;
use crate::keys::list::refuse_mistakes;
use crate::keys::list_file::ListFile;
use crate::keys::proof::{Deployed, Proof, WORKER_URL};
use crate::keys::push::{Done, InForce, Push, RECORD, Target};
use crate::keys::wrangler::{self, Options};
use crate::outcome::{MISTAKES, NOT_IN_FORCE, Output, Problem, USAGE, WARNED};
use crate::settings::{Manifest, Settings, Source};
use crate::system::progress;
use probe::probe;
use record::{DEPLOYED, Record};
use result_file::ResultFile;
use steps::{Steps, at};

pub(crate) const AFTER_HELP: &str = concat!(
    "Builds the Worker, uploads it, pushes the settings and client keys that are missing or have \
     changed, waits until the new version
answers, and asks an agent through it, with a probe key that expires after ten minutes. Run it \
     again after a failure: it resumes at the
failed step. Log in first: npx wrangler login (in a checkout: npm run wrangler -- login), or \
     CLOUDFLARE_API_TOKEN.

Examples:
  clawfront deploy
  clawfront deploy --env staging --file staging.vars

",
    crate::outcome::exit_codes!()
);

#[derive(Args)]
pub(crate) struct Deploy {
    /// Name of the Worker, if it differs from the configuration's
    #[arg(long, value_name = "NAME", conflicts_with = "env")]
    name: Option<String>,
    /// Address of the Worker, if wrangler does not name one; stored as `CLAWFRONT_URL`
    #[arg(long, value_name = "URL")]
    worker: Option<String>,
    /// Push a list even if it lacks keys that the Worker has or may have
    #[arg(long)]
    replace: bool,
    /// Deploy even if Cloudflare's network does not reach the gateway
    #[arg(long)]
    allow_private: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

/// The settings that every step needs.
struct Deployment<'a> {
    deploy: &'a Deploy,
    settings: Settings,
    options: Options,
}

pub(crate) fn run(deploy: &Deploy) -> Result<Output, Problem> {
    let mut steps = Steps::default();
    let deployment = at("settings", Deployment::read(deploy))?;
    steps.done("settings", at("settings", deployment.check())?);
    let existing = at("account", wrangler::secrets(&deployment.options))?;
    let name = deployment.name();
    steps.done(
        "account",
        match &existing {
            Some(secrets) => format!("the Worker {name} exists, with {} secrets", secrets.len()),
            None => format!("no Worker {name} yet: this is its first deployment"),
        },
    );
    deployment.build(&mut steps)?;
    let served = at("upload", deployment.served(existing.as_deref()))?;
    let mut record = at("upload", deployment.upload(&mut steps, served.as_deref()))?;
    let (done, probe_key) = at(
        "secrets",
        deployment.push(&mut steps, &mut record, &existing.unwrap_or_default()),
    )?;
    let place = at("live", deployment.deployed())?;
    at("live", wait(&mut steps, &done, &place))?;
    let mut report = Report::default();
    deployed::examine(
        &mut report,
        &place.url,
        &Trust::new(None)?,
        Some(&probe_key),
        Depth::Run,
    )?;
    Ok(if deploy.json {
        let version = record.version().unwrap_or_default();
        let line = json!({ "url": place.url, "version": version, "steps": steps.json() });
        json_output(line, &mut report)
    } else {
        text_output(&place.url, deployment.more_keys(), &mut report)
    })
}

/// Waits until the Worker answers with the new version.
fn wait(steps: &mut Steps, done: &Done, place: &Deployed) -> Result<(), Problem> {
    let InForce::After(after) = done.wait(Some(place)) else {
        return Err(Problem::with(
            NOT_IN_FORCE,
            format!(
                "{} does not answer with the new version yet. Fix: run `clawfront deploy` again",
                place.url
            ),
        ));
    };
    steps.done(
        "live",
        format!(
            "{} answers with this version, {:.0} s after the push",
            place.url,
            after.as_secs_f64()
        ),
    );
    Ok(())
}

/// Adds the checks of the report to a line of JSON.
fn json_output(mut line: Value, report: &mut Report) -> Output {
    let code = report.code();
    if let (Some(line), Value::Object(checks)) = (line.as_object_mut(), report.json()) {
        line.extend(
            checks
                .into_iter()
                .filter(|(name, _)| name == "worst" || name == "checks"),
        );
    }
    Output {
        code,
        ..Output::line(line)
    }
}

fn text_output(url: &str, more_keys: &str, report: &mut Report) -> Output {
    let code = report.code();
    let next = if matches!(code, 0 | WARNED) {
        format!(
            "Deployed. Clients take the base URL {url}/v1 and a key.\nNext: `clawfront keys new \
             --id NAME --agents AGENT{more_keys}` makes a key for another client; `{} tail` shows \
             the log.",
            Invocation::current().wrangler()
        )
    } else {
        "Deployed, but something is wrong: fix the first problem above, then run `clawfront \
         deploy` again."
            .to_owned()
    };
    Output {
        code,
        ..Output::of(format!("\n{}\n{next}\n", report.text()))
    }
}

impl<'a> Deployment<'a> {
    fn read(deploy: &'a Deploy) -> Result<Self, Problem> {
        let source = &deploy.source;
        Ok(Self {
            deploy,
            settings: Settings::read(source)?,
            options: Options {
                name: deploy.name.clone(),
                env: source.env.clone(),
                config: Some(source.config.clone()),
            },
        })
    }

    fn manifest(&self) -> Result<&Manifest, Problem> {
        let missing = || {
            Problem::with(
                USAGE,
                format!("there is no {}", self.deploy.source.config.display()),
            )
        };
        self.settings.manifest().ok_or_else(missing)
    }

    fn name(&self) -> String {
        let configured = || {
            self.settings
                .manifest()
                .map(|manifest| manifest.name.clone())
        };
        self.deploy
            .name
            .clone()
            .or_else(configured)
            .unwrap_or_default()
    }

    /// Checks the settings against the rules of the Worker, wrangler and Cloudflare.
    fn check(&self) -> Result<String, Problem> {
        let file = self.deploy.source.file.display();
        let mistakes = self.manifest()?.mistakes();
        if !mistakes.is_empty() {
            let config = self.deploy.source.config.display();
            return Err(Problem::with(
                MISTAKES,
                format!("{config}: {}", mistakes.join(", ")),
            ));
        }
        let config = Config::parse(|name| self.settings.get(name)).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Problem::with(
                MISTAKES,
                format!(
                    "{file}: {}. Fix: run `clawfront setup`, which adds missing settings",
                    problems.join("; ")
                ),
            )
        })?;
        // Checked before anything is uploaded, because an invalid address in the file would fail
        // the next command.
        if let Some(url) = self.worker()? {
            Deployed::parse(&url)?;
        }
        let url = self.settings.get(GATEWAY_URL).unwrap_or_default();
        if let Some(why) = why_private(&url)
            && !self.settings.is_bound()
            && !self.deploy.allow_private
        {
            return Err(private(&format!(
                "{url} {why}: Cloudflare's network does not reach it"
            )));
        }
        let keys = config.clients.iter().count();
        let plural = if keys == 1 { "key" } else { "keys" };
        Ok(format!("{file}: the gateway {url}, {keys} client {plural}"))
    }

    /// Returns the option with which another key is made: none in the hub.
    fn more_keys(&self) -> &'static str {
        match self.settings.get(KEYS_SECRET) {
            Some(_) => "",
            None => " --apply=both",
        }
    }

    fn folder(&self) -> PathBuf {
        let folder = self
            .deploy
            .source
            .config
            .parent()
            .filter(|folder| *folder != Path::new(""));
        folder.unwrap_or(Path::new(".")).to_owned()
    }

    /// Runs the configuration's own build, with its output on standard error. wrangler runs it
    /// again, but then there is nothing left to build.
    fn build(&self, steps: &mut Steps) -> Result<(), Problem> {
        let Some(command) = &self.manifest()?.build else {
            steps.skip("build", "the configuration names no command");
            return Ok(());
        };
        let failed = |why: String| Problem::new(format!("`{command}` {why}"));
        let run = || {
            let stderr = std::os::fd::AsFd::as_fd(&std::io::stderr()).try_clone_to_owned()?;
            Command::new("sh")
                .args(["-c", command])
                .current_dir(self.folder())
                .stdin(Stdio::null())
                .stdout(Stdio::from(stderr))
                .status()
        };
        let status = at(
            "build",
            run().map_err(|error| failed(format!("cannot be run: {error}"))),
        )?;
        if !status.success() {
            return at(
                "build",
                Err(failed(format!(
                    "failed ({status}); its own message is above"
                ))),
            );
        }
        steps.done("build", command.clone());
        Ok(())
    }

    /// Returns the version that Cloudflare serves, if the Worker exists.
    fn served(&self, existing: Option<&[String]>) -> Result<Option<String>, Problem> {
        match existing {
            Some(_) => wrangler::version(&self.options),
            None => Ok(None),
        }
    }

    /// Uploads the code, unless Cloudflare serves it already. Returns the record of the version
    /// that Cloudflare serves now.
    fn upload(&self, steps: &mut Steps, served: Option<&str>) -> Result<Record, Problem> {
        let main = self.folder().join(&self.manifest()?.main);
        let assets = self.manifest()?.assets.as_ref();
        let assets = assets.map(|assets| self.folder().join(assets));
        let code = record::of_code(&main, assets.as_deref(), &self.deploy.source.config)?;
        let file = ListFile::read(&self.deploy.source.file)?;
        let mut record = Record::parse(&file.variable(DEPLOYED)?.unwrap_or_default());
        if served.is_none() || served != record.version() {
            // Another deployment happened since, or there was none, so the deployed code is
            // unknown.
            record = Record::default();
        }
        if record.has_code(&code) {
            steps.skip(
                "upload",
                format!(
                    "version {} has this code",
                    record.version().unwrap_or_default()
                ),
            );
            if self.deploy.worker.is_some() {
                self.keep(&record, None)?;
            }
            return Ok(record);
        }
        let result = ResultFile::new()?;
        let uploaded = wrangler::deploy(&self.options, &result.0)?;
        record.set_code(&code);
        record.set_version(uploaded.version.clone());
        self.keep(&record, uploaded.url.as_ref())?;
        steps.done(
            "upload",
            format!("version {}", record.version().unwrap_or("unknown")),
        );
        Ok(record)
    }

    /// Stores the record and the Worker's address in the file. The address is the one that was
    /// given, or, if the file has none, the one that wrangler named.
    fn keep(&self, record: &Record, named: Option<&String>) -> Result<(), Problem> {
        let file = ListFile::lock(&self.deploy.source.file)?;
        let text = record.text();
        let known = file.variable(WORKER_URL)?;
        let url = self
            .deploy
            .worker
            .as_ref()
            .or(named.filter(|_| known.is_none()));
        let mut variables = vec![(DEPLOYED, text.as_str())];
        variables.extend(url.map(|url| (WORKER_URL, url.as_str())));
        file.write(&file.with_variables(&variables)?)
    }

    /// Pushes the changed settings, and the keys together with a probe key that may ask an agent.
    fn push(
        &self,
        steps: &mut Steps,
        record: &mut Record,
        existing: &[String],
    ) -> Result<(Done, zeroize::Zeroizing<String>), Problem> {
        let file = ListFile::lock(&self.deploy.source.file)?.existing()?;
        let list = file.list()?;
        refuse_mistakes(&list)?;
        let secrets = Settings::read(&self.deploy.source)?.secrets();
        let (kept, changed): (Vec<_>, Vec<_>) = secrets
            .iter()
            .cloned()
            .partition(|secret| existing.contains(&secret.name) && record.has_secret(secret));
        let probe = probe(&list)?;
        let key = probe.key.clone();
        let target = Target {
            wrangler: self.options.clone(),
            worker: None,
            replace: self.deploy.replace,
        };
        let done = Push {
            file: &file,
            list: &list,
            settings: &changed,
            target: &target,
            taken_back: None,
        }
        .send_with(Some(Proof::Admits(probe)))?;
        record.set_secrets(&secrets);
        record.set_version(wrangler::version(&self.options)?);
        let text = record.text();
        file.write(&file.with_variables(&[(RECORD, &done.record), (DEPLOYED, &text)])?)?;
        let unchanged = named(&kept)
            .map(|names| format!("; unchanged: {names}"))
            .unwrap_or_default();
        steps.done(
            "secrets",
            format!("set {}{unchanged}", done.pushed.set.join(", ")),
        );
        let left: Vec<_> = existing
            .iter()
            .filter(|name| {
                TEXTS.contains(&name.as_str())
                    && !secrets.iter().any(|secret| secret.name == **name)
            })
            .map(String::as_str)
            .collect();
        if !left.is_empty() {
            progress(&format!(
                "warning: the Worker still has {}, which {} does not set. Fix: `{} secret delete NAME`",
                left.join(", "),
                self.deploy.source.file.display(),
                Invocation::current().wrangler()
            ));
        }
        Ok((done, key))
    }

    /// Returns the Worker's address, as it was given or is in the file.
    fn worker(&self) -> Result<Option<String>, Problem> {
        match &self.deploy.worker {
            Some(url) => Ok(Some(url.clone())),
            None => ListFile::read(&self.deploy.source.file)?.variable(WORKER_URL),
        }
    }

    /// Returns the address of the Worker, which has to be known.
    fn deployed(&self) -> Result<Deployed, Problem> {
        let unknown = || {
            Problem::with(
                USAGE,
                "the Worker's address is unknown, because wrangler names none. Fix: give it with \
                 --worker https://…",
            )
        };
        Deployed::parse(&self.worker()?.ok_or_else(unknown)?)
    }
}

fn named(secrets: &[list::Value]) -> Option<String> {
    let names: Vec<_> = secrets.iter().map(|secret| secret.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
