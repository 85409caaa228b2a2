//! The findings of the doctor: one line for each check, and below it the fix for a fault.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use clawfront_core::failure::Failure;
use clawfront_core::openai::error::ErrorResponse;
use serde_json::{Value, json};

use super::check::{Check, State, Subject};
use super::reach::Reach;
use crate::outcome::{FAILED, MISTAKES, NOT_APPROVED, WARNED};

/// The colours of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    None,
    /// With the escape sequences of ECMA-48.
    Ansi,
}

impl Colour {
    /// Colour for a person at a terminal who has not declined it. Source: no-color.org.
    fn of_stdout() -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value: OsString| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb {
            Self::Ansi
        } else {
            Self::None
        }
    }

    fn paint(self, state: State, text: &str) -> String {
        let code = match state {
            _ if self == Self::None => return text.to_owned(),
            State::NotChecked => "2",
            State::Ok => "32",
            State::Warning => "33",
            State::Problem => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// All checks so far.
#[derive(Default)]
pub(crate) struct Report {
    checks: Vec<Check>,
    exposed: Vec<Reach>,
}

impl Report {
    fn add(
        &mut self,
        subject: Subject,
        state: State,
        message: impl Into<String>,
    ) -> Option<&mut Check> {
        self.checks.push(Check {
            subject,
            state,
            message: message.into(),
            code: None,
            fix: None,
        });
        self.checks.last_mut()
    }

    pub(crate) fn ok(&mut self, subject: Subject, message: impl Into<String>) {
        self.add(subject, State::Ok, message);
    }

    pub(crate) fn not_checked(&mut self, subject: Subject, why: impl Into<String>) {
        self.add(subject, State::NotChecked, why);
    }

    pub(crate) fn wrong(
        &mut self,
        subject: Subject,
        state: State,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        if let Some(check) = self.add(subject, state, message) {
            check.fix = Some(fix.into());
        }
    }

    /// Adds a fault of the connection, with the code and message of the Worker's log.
    pub(crate) fn failed(&mut self, subject: Subject, failure: &Failure, detail: &str) {
        let Some(diagnosis) = failure.diagnosis() else {
            let response = ErrorResponse::of(failure);
            if let Some(check) = self.add(subject, State::Problem, response.body.message) {
                check.code = Some(response.body.code.into());
                check.fix = Some("read the gateway's log".to_owned());
            }
            return;
        };
        let detail = match (failure.cause().and_then(|cause| cause.detail), detail) {
            (Some(detail), _) => format!(" ({detail})"),
            (None, "") => String::new(),
            (None, detail) => format!(" ({detail})"),
        };
        let wait = match failure {
            Failure::GatewayUnavailable { retry_after_s, .. } => {
                format!("; try again in {retry_after_s} s")
            }
            _ => String::new(),
        };
        if let Some(check) = self.add(
            subject,
            State::Problem,
            format!("{}{detail}", diagnosis.message()),
        ) {
            check.code = Some(diagnosis.code().into());
            check.fix = Some(match failure {
                Failure::GatewayRefused(refusal) => refusal.fix().into_owned(),
                _ => format!("{}{wait}", diagnosis.fix()),
            });
        }
    }

    /// Reports the subjects that have no result yet as not checked.
    pub(crate) fn rest(&mut self, subjects: &[Subject], why: &str) {
        for subject in subjects {
            if self.check(*subject).is_none() {
                self.not_checked(*subject, why);
            }
        }
    }

    pub(crate) fn check(&self, subject: Subject) -> Option<&Check> {
        self.checks.iter().find(|check| check.subject == subject)
    }

    fn worst(&self) -> State {
        let worst = self.checks.iter().map(|check| check.state).max();
        worst.unwrap_or(State::Ok).max(State::Ok)
    }

    /// Returns the exit code of the first problem, which causes the others.
    pub(crate) fn code(&self) -> u8 {
        match self.worst() {
            State::NotChecked | State::Ok => 0,
            State::Warning => WARNED,
            State::Problem => {
                let first = self
                    .checks
                    .iter()
                    .find(|check| check.state == State::Problem);
                match first.map(|check| (check.subject, check.code.as_deref())) {
                    Some((Subject::Configuration, _)) => MISTAKES,
                    Some((_, Some("device_unpaired" | "scope_upgrade" | "metadata_upgrade"))) => {
                        NOT_APPROVED
                    }
                    _ => FAILED,
                }
            }
        }
    }

    /// Returns lines for standard output.
    pub(crate) fn text(&mut self) -> String {
        self.painted(Colour::of_stdout())
    }

    /// Returns the checks in order, one line for each reason why checks were not made, and a
    /// summary.
    fn painted(&mut self, colour: Colour) -> String {
        self.sort();
        let mut text = String::new();
        for check in self
            .checks
            .iter()
            .filter(|check| check.state != State::NotChecked)
        {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}  {:13}  {}",
                colour.paint(check.state, &format!("{:11}", check.state.name())),
                check.subject.name(),
                check.message
            );
            if let Some(fix) = &check.fix {
                for line in fix.lines() {
                    let _ = writeln!(text, "{:28}→ {line}", "");
                }
            }
        }
        for (why, names) in self.not_made() {
            let _ = writeln!(
                text,
                "{:11}  {}: {why}",
                State::NotChecked.name(),
                names.join(", ")
            );
        }
        let _ = writeln!(text, "\n{}", self.summary(colour));
        if !self.exposed.is_empty() {
            let _ = writeln!(text, "\nEach key can make its agents do this:");
            let mut settings = Vec::new();
            for reach in &self.exposed {
                let _ = writeln!(text, "  {}", reach.line());
                settings.extend(reach.settings());
            }
            // A setting for all agents is printed once.
            settings.sort();
            settings.dedup();
            for setting in settings {
                let _ = writeln!(text, "  → openclaw.json: {setting}");
            }
        }
        text
    }

    /// Adds agents with their exposure.
    pub(crate) fn exposed(&mut self, reaches: impl IntoIterator<Item = Reach>) {
        self.exposed.extend(reaches);
    }

    /// Groups the checks that were not made by reason.
    fn not_made(&self) -> Vec<(&str, Vec<&'static str>)> {
        let mut reasons: Vec<(&str, Vec<&'static str>)> = Vec::new();
        for check in self
            .checks
            .iter()
            .filter(|check| check.state == State::NotChecked)
        {
            match reasons.iter_mut().find(|(why, _)| *why == check.message) {
                Some((_, names)) => names.push(check.subject.name()),
                None => reasons.push((&check.message, vec![check.subject.name()])),
            }
        }
        reasons
    }

    /// Counts the checks by result, the worst first, and names those that found a fault.
    fn summary(&self, colour: Colour) -> String {
        let states = [State::Problem, State::Warning, State::Ok, State::NotChecked];
        let parts = states.into_iter().filter_map(|state| {
            let names: Vec<_> = self
                .checks
                .iter()
                .filter(|check| check.state == state)
                .map(|check| check.subject.name())
                .collect();
            let plural = if names.len() == 1 { "" } else { "s" };
            match (state, names.len()) {
                (_, 0) => None,
                (State::Ok | State::NotChecked, count) => Some(format!("{count} {}", state.name())),
                (_, count) => {
                    let part = format!("{count} {}{plural} ({})", state.name(), names.join(", "));
                    Some(colour.paint(state, &part))
                }
            }
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn json(&mut self) -> Value {
        self.sort();
        let checks: Vec<_> = self
            .checks
            .iter()
            .map(|check| {
                json!({
                    "name": check.subject.name(),
                    "state": check.state.name().replace(' ', "_"),
                    "code": check.code,
                    "words": check.message,
                    "mend": check.fix,
                })
            })
            .collect();
        let exposed: Vec<_> = self.exposed.iter().map(Reach::json).collect();
        json!({ "worst": self.worst().name(), "checks": checks, "exposure": exposed })
    }

    fn sort(&mut self) {
        self.checks.sort_by_key(|check| check.subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawfront_core::failure::diagnosis::Diagnosis;

    #[test]
    fn every_check_has_a_line_in_its_place_and_its_fix_below() {
        let mut report = Report::default();
        report.ok(Subject::Sizes, "3 variables, each below 5000 bytes");
        report.failed(
            Subject::Tls,
            &Failure::GatewayUnreachable(Diagnosis::Tls),
            "invalid peer certificate: Expired",
        );
        report.rest(&[Subject::Dns, Subject::Tls, Subject::Upgrade], "needs tls");
        assert_eq!(
            report.painted(Colour::None),
            "problem      tls            the TLS handshake failed (invalid peer certificate: \
             Expired)
                            → GATEWAY_URL needs a port that speaks TLS, and a certificate of a \
             public authority for this host
ok           sizes          3 variables, each below 5000 bytes
not checked  dns, upgrade: needs tls

1 problem (tls), 1 ok, 2 not checked
"
        );
        assert_eq!(report.code(), FAILED);
        let coloured = report.painted(Colour::Ansi);
        assert!(
            coloured.contains("\x1b[31mproblem    \x1b[0m  tls"),
            "{coloured}"
        );
        assert!(
            coloured.ends_with("\x1b[31m1 problem (tls)\x1b[0m, 1 ok, 2 not checked\n"),
            "{coloured}"
        );
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst() {
        let mut report = Report::default();
        assert_eq!(report.code(), 0);
        report.not_checked(Subject::Run, "");
        report.ok(Subject::Dns, "");
        assert_eq!(report.code(), 0);
        report.wrong(Subject::Clock, State::Warning, "", "");
        assert_eq!(report.code(), WARNED);
        report.wrong(Subject::Agents, State::Problem, "", "");
        assert_eq!(report.code(), FAILED);
        let mut mistakes = Report::default();
        mistakes.wrong(Subject::Configuration, State::Problem, "", "");
        mistakes.wrong(Subject::Sizes, State::Problem, "", "");
        assert_eq!(mistakes.code(), MISTAKES);
    }

    #[test]
    fn a_lockout_keeps_its_wait() {
        let mut report = Report::default();
        let failure = Failure::GatewayUnavailable {
            retry_after_s: 297,
            diagnosis: Diagnosis::AuthLockout,
            detail: "AUTH_RATE_LIMITED".into(),
        };
        report.failed(Subject::Pairing, &failure, "");
        let check = report.check(Subject::Pairing).unwrap();
        assert!(check.message.contains("AUTH_RATE_LIMITED"));
        assert!(
            check
                .fix
                .as_deref()
                .unwrap()
                .ends_with("; try again in 297 s")
        );
    }
}
