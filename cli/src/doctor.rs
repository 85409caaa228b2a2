//! `clawfront doctor`: finds the faults between a Worker, its gateway and its clients.

pub(crate) mod check;
pub(crate) mod deployed;
mod exposure;
mod gateway;
mod reach;
pub(crate) mod report;
mod run;
mod text;
mod tools;

use std::path::PathBuf;

use clap::Args;
use clawfront_core::access::grant::Grant;
use clawfront_core::access::policy;
use clawfront_core::config::Config;

use crate::connection::stream::Trust;
use crate::keys::list::MAX_SECRET_BYTES;
use crate::outcome::{Output, Problem};
use crate::settings::{Settings, Source};
use check::{Depth, State, Subject};
use report::Report;

pub(crate) const AFTER_HELP: &str = concat!(
    "Every line is a check: ok, warning (it works, but should be fixed), problem, or not checked. \
     Secrets are never printed.

Examples:
  clawfront doctor
  clawfront doctor --worker https://clawfront.example.workers.dev --run

",
    crate::outcome::exit_codes!()
);

#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    scope: Scope,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// The extent of the checks.
#[derive(Args, Default)]
pub(crate) struct Scope {
    /// Also check this deployed Worker; a client's base URL works, too
    #[arg(long, value_name = "URL")]
    pub(crate) worker: Option<String>,
    /// Let an agent answer one word, in a session of its own; with --worker and a client key in
    /// `CLAWFRONT_KEY`, also through the Worker
    #[arg(long)]
    pub(crate) run: bool,
    /// File with certificates (PEM) of further authorities to accept; the Worker accepts only the
    /// public ones
    #[arg(long, value_name = "PATH")]
    pub(crate) ca: Option<PathBuf>,
}

pub(crate) fn run(doctor: &Doctor) -> Result<Output, Problem> {
    let mut report = examine(&doctor.source, &doctor.scope)?;
    Ok(Output {
        code: report.code(),
        ..if doctor.json {
            Output::line(report.json())
        } else {
            Output::of(report.text())
        }
    })
}

impl Scope {
    fn depth(&self) -> Depth {
        if self.run { Depth::Run } else { Depth::Checks }
    }
}

/// Makes every check.
pub(crate) fn examine(source: &Source, scope: &Scope) -> Result<Report, Problem> {
    let trust = Trust::new(scope.ca.as_deref())?;
    let settings = Settings::read(source)?;
    let mut report = Report::default();
    match Config::parse(|name| settings.get(name)) {
        Ok(config) => {
            configuration(&mut report, &config, source);
            admin(&mut report, &config);
            tools::compare(&mut report, &config);
            if settings.is_bound() {
                report.rest(
                    &GATEWAY_SUBJECTS,
                    "only the Worker reaches the binding GATEWAY; --worker asks it",
                );
                report.not_checked(Subject::Run, "only the Worker reaches the binding GATEWAY");
            } else {
                examine_gateway(&mut report, &config, &trust, scope.depth())?;
            }
        }
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            report.wrong(
                Subject::Configuration,
                State::Problem,
                problems.join("; "),
                format!("correct {}, or run clawfront setup", source.file.display()),
            );
            report.rest(&GATEWAY_SUBJECTS, "needs configuration");
        }
    }
    if let Some(url) = &scope.worker {
        let key = deployed::own_key();
        deployed::examine(&mut report, url, &trust, key.as_deref(), scope.depth())?;
    }
    compatibility(&mut report, &settings, source);
    sizes(&mut report, &settings);
    report.rest(
        &[
            Subject::Health,
            Subject::Ready,
            Subject::Chat,
            Subject::Bots,
        ],
        "needs --worker URL",
    );
    report.rest(&Subject::ALL, "needs configuration");
    Ok(report)
}

fn configuration(report: &mut Report, config: &Config, source: &Source) {
    let keys = config.clients.iter().count();
    report.ok(
        Subject::Configuration,
        format!(
            "{}, {keys} client {}",
            source.file.display(),
            if keys == 1 { "key" } else { "keys" }
        ),
    );
}

/// Reports what the hub needs to make keys. A deployment without it works.
fn admin(report: &mut Report, config: &Config) {
    let is_admin = |client: &&Grant| client.scopes.contains(&policy::Scope::Admin);
    let admins = config.clients.iter().filter(is_admin);
    let admins: Vec<_> = admins.map(|client| client.id.as_str()).collect();
    let missing = match (&config.keys_secret, admins.is_empty()) {
        (Some(_), false) => {
            let message = format!("administrators: {}", text::list(admins));
            return report.ok(Subject::Admin, message);
        }
        (None, true) => "KEYS_SECRET and an administrator's key are missing",
        (None, false) => "KEYS_SECRET is missing",
        (Some(_), true) => "an administrator's key is missing",
    };
    report.not_checked(
        Subject::Admin,
        format!("{missing}, so the hub makes no keys; `clawfront setup` adds them"),
    );
}

/// The checks that need the gateway, in order.
const GATEWAY_SUBJECTS: [Subject; 14] = [
    Subject::Dns,
    Subject::Tcp,
    Subject::Tls,
    Subject::Upgrade,
    Subject::Proxy,
    Subject::Handshake,
    Subject::Protocol,
    Subject::Pairing,
    Subject::Scopes,
    Subject::Agents,
    Subject::Models,
    Subject::Exposure,
    Subject::Tools,
    Subject::Clock,
];

/// Checks each step; the steps after a failure are not checked.
fn examine_gateway(
    report: &mut Report,
    config: &Config,
    trust: &Trust,
    depth: Depth,
) -> Result<(), Problem> {
    let known = match gateway::walk(report, &config.gateway, trust) {
        Ok(walked) => {
            gateway::compare(report, config, &walked.agents);
            exposure::examine(report, config, trust, &walked.agents);
            tools::examine(report, config, trust, &walked);
            Some(walked.agents)
        }
        Err(failed) => {
            report.rest(&GATEWAY_SUBJECTS, &format!("needs {}", failed.name()));
            None
        }
    };
    match known {
        _ if depth == Depth::Checks => report.not_checked(Subject::Run, "needs --run"),
        Some(known) => run::examine(report, config, trust, &known)?,
        None => report.not_checked(Subject::Run, "needs agents"),
    }
    Ok(())
}

fn compatibility(report: &mut Report, settings: &Settings, source: &Source) {
    let path = source.config.display();
    let Some(manifest) = settings.manifest() else {
        report.not_checked(Subject::Compatibility, format!("there is no {path}"));
        return;
    };
    let mistakes = manifest.mistakes();
    if mistakes.is_empty() {
        report.ok(Subject::Compatibility, path.to_string());
    } else {
        report.wrong(
            Subject::Compatibility,
            State::Problem,
            mistakes.join(", "),
            format!("correct {path}, and deploy again"),
        );
    }
}

fn sizes(report: &mut Report, settings: &Settings) {
    let (too_large, good) = settings.sizes();
    if too_large.is_empty() {
        report.ok(
            Subject::Sizes,
            format!("{good} variables, none above {MAX_SECRET_BYTES} bytes"),
        );
        return;
    }
    let named: Vec<_> = too_large
        .iter()
        .map(|(name, bytes)| format!("{name} has {bytes} bytes"))
        .collect();
    report.wrong(
        Subject::Sizes,
        State::Problem,
        format!(
            "{}; the limit of a Worker is {MAX_SECRET_BYTES}",
            named.join(", ")
        ),
        "run clawfront keys push, which spreads the entries over CLIENT_KEYS, CLIENT_KEYS_2, …",
    );
}
