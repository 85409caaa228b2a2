//! `clawfront doctor`

mod deployed;
pub(crate) mod gateway;
pub(crate) mod report;
mod run;

use std::path::PathBuf;

use clap::Args;
use clawfront_core::config::Config;

use crate::connection::Trust;
use crate::settings::{MAX_SECRET_BYTES, Settings, Source};
use crate::{Output, Problem};
use report::{Report, State, Subject};

pub(crate) const AFTER_HELP: &str = concat!(
    "Every line is a check: ok, warning (it works, and should be mended), problem, or not checked. No secret is ever printed.

Examples:
  clawfront doctor
  clawfront doctor --worker https://clawfront.example.workers.dev --run

",
    crate::exit_codes!()
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

/// How far it goes.
#[derive(Args, Default)]
pub(crate) struct Scope {
    /// A deployed Worker, to be looked at as well
    #[arg(long, value_name = "URL")]
    pub(crate) worker: Option<String>,
    /// Let an agent answer one word, in a session that is not used again
    #[arg(long)]
    pub(crate) run: bool,
    /// Certificates (PEM) of authorities to accept beside the public ones; the Worker accepts the public ones only
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

/// Every check.
pub(crate) fn examine(source: &Source, scope: &Scope) -> Result<Report, Problem> {
    let trust = Trust::new(scope.ca.as_deref())?;
    let settings = Settings::read(source)?;
    let mut report = Report::default();
    match Config::parse(|name| settings.get(name)) {
        Ok(config) => {
            let keys = config.clients.iter().count();
            report.ok(
                Subject::Configuration,
                format!(
                    "{}, {keys} client {}",
                    source.file.display(),
                    if keys == 1 { "key" } else { "keys" }
                ),
            );
            if settings.is_bound() {
                report.rest(
                    &gateway::SUBJECTS,
                    "only the Worker reaches the binding GATEWAY; --worker asks it",
                );
                report.not_checked(Subject::Run, "only the Worker reaches the binding GATEWAY");
            } else {
                gateway::examine(&mut report, &config, &trust, scope.run)?;
            }
        }
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            report.wrong(
                Subject::Configuration,
                State::Problem,
                problems.join("; "),
                format!("correct {}, or let clawfront setup write it", source.file.display()),
            );
            report.rest(&gateway::SUBJECTS, "needs configuration");
        }
    }
    if let Some(url) = &scope.worker {
        deployed::examine(&mut report, url, &trust)?;
    }
    compatibility(&mut report, &settings, source);
    sizes(&mut report, &settings);
    report.rest(
        &[Subject::Health, Subject::Ready, Subject::Bots],
        "--worker URL looks at one",
    );
    report.rest(&Subject::ALL, "needs configuration");
    Ok(report)
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
        format!("{}, a Worker takes {MAX_SECRET_BYTES}", named.join(", ")),
        "spread the entries over CLIENT_KEYS, CLIENT_KEYS_2, …: clawfront keys push does it",
    );
}
