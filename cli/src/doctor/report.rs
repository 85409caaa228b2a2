//! What the doctor found: one line for each check, and below it how to mend what is wrong.

use std::borrow::Cow;
use std::fmt::Write as _;

use clawfront_core::error::Failure;
use serde_json::{Value, json};

use crate::{FAILED, MISTAKES, NOT_APPROVED, WARNED};

/// What is checked, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Configuration,
    Dns,
    Tcp,
    Tls,
    Upgrade,
    Proxy,
    Handshake,
    Protocol,
    Pairing,
    Scopes,
    Agents,
    Run,
    Health,
    Ready,
    Compatibility,
    Bots,
    Sizes,
    Clock,
}

impl Subject {
    pub(crate) const ALL: [Self; 18] = [
        Self::Configuration,
        Self::Dns,
        Self::Tcp,
        Self::Tls,
        Self::Upgrade,
        Self::Proxy,
        Self::Handshake,
        Self::Protocol,
        Self::Pairing,
        Self::Scopes,
        Self::Agents,
        Self::Run,
        Self::Health,
        Self::Ready,
        Self::Compatibility,
        Self::Bots,
        Self::Sizes,
        Self::Clock,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
            Self::Proxy => "proxy",
            Self::Handshake => "handshake",
            Self::Protocol => "protocol",
            Self::Pairing => "pairing",
            Self::Scopes => "scopes",
            Self::Agents => "agents",
            Self::Run => "run",
            Self::Health => "healthz",
            Self::Ready => "readyz",
            Self::Compatibility => "compatibility",
            Self::Bots => "bots",
            Self::Sizes => "sizes",
            Self::Clock => "clock",
        }
    }
}

/// How a check went; the later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    NotChecked,
    Ok,
    /// It works, and should be mended.
    Warning,
    Problem,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::NotChecked => "not checked",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) subject: Subject,
    pub(crate) state: State,
    /// What was found.
    pub(crate) words: String,
    /// Of what is wrong with a connection: the code of the Worker's log.
    pub(crate) code: Option<Cow<'static, str>>,
    /// How to mend it.
    pub(crate) mend: Option<String>,
}

/// All checks so far.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Check>);

impl Report {
    fn add(&mut self, subject: Subject, state: State, words: impl Into<String>) -> Option<&mut Check> {
        self.0.push(Check {
            subject,
            state,
            words: words.into(),
            code: None,
            mend: None,
        });
        self.0.last_mut()
    }

    pub(crate) fn ok(&mut self, subject: Subject, words: impl Into<String>) {
        self.add(subject, State::Ok, words);
    }

    pub(crate) fn not_checked(&mut self, subject: Subject, why: impl Into<String>) {
        self.add(subject, State::NotChecked, why);
    }

    pub(crate) fn wrong(&mut self, subject: Subject, state: State, words: impl Into<String>, mend: impl Into<String>) {
        if let Some(check) = self.add(subject, state, words) {
            check.mend = Some(mend.into());
        }
    }

    /// What is wrong with the connection, in the words of the Worker's log.
    pub(crate) fn failed(&mut self, subject: Subject, failure: &Failure, detail: &str) {
        let Some(diagnosis) = failure.diagnosis() else {
            let reply = failure.reply();
            if let Some(check) = self.add(subject, State::Problem, reply.body.message) {
                check.code = Some(reply.body.code.into());
                check.mend = Some("the gateway's log says more".to_owned());
            }
            return;
        };
        let said = match (failure.cause().and_then(|cause| cause.detail), detail) {
            (Some(said), _) => format!(" ({said})"),
            (None, "") => String::new(),
            (None, detail) => format!(" ({detail})"),
        };
        let wait = match failure {
            Failure::Unavailable { retry_after_s, .. } => format!("; try again in {retry_after_s} s"),
            _ => String::new(),
        };
        if let Some(check) = self.add(subject, State::Problem, format!("{}{said}", diagnosis.words())) {
            check.code = Some(diagnosis.code().into());
            check.mend = Some(match failure {
                Failure::Refused(refusal) => refusal.mend().into_owned(),
                _ => format!("{}{wait}", diagnosis.mend()),
            });
        }
    }

    /// Those of `subjects` that nothing is said about yet need what failed.
    pub(crate) fn rest(&mut self, subjects: &[Subject], why: &str) {
        for subject in subjects {
            if self.check(*subject).is_none() {
                self.not_checked(*subject, why);
            }
        }
    }

    pub(crate) fn check(&self, subject: Subject) -> Option<&Check> {
        self.0.iter().find(|check| check.subject == subject)
    }

    fn worst(&self) -> State {
        let worst = self.0.iter().map(|check| check.state).max();
        worst.unwrap_or(State::Ok).max(State::Ok)
    }

    /// The exit code: of the first problem, which is the others' cause.
    pub(crate) fn code(&self) -> u8 {
        match self.worst() {
            State::NotChecked | State::Ok => 0,
            State::Warning => WARNED,
            State::Problem => {
                let first = self.0.iter().find(|check| check.state == State::Problem);
                match first.map(|check| (check.subject, check.code.as_deref())) {
                    Some((Subject::Configuration, _)) => MISTAKES,
                    Some((_, Some("device_unpaired" | "scope_upgrade" | "metadata_upgrade"))) => NOT_APPROVED,
                    _ => FAILED,
                }
            }
        }
    }

    pub(crate) fn text(&mut self) -> String {
        self.sort();
        let mut text = String::new();
        for check in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:11}  {:13}  {}",
                check.state.name(),
                check.subject.name(),
                check.words
            );
            if let Some(mend) = &check.mend {
                for line in mend.lines() {
                    let _ = writeln!(text, "{:28}→ {line}", "");
                }
            }
        }
        text
    }

    pub(crate) fn json(&mut self) -> Value {
        self.sort();
        let checks: Vec<_> = self
            .0
            .iter()
            .map(|check| {
                json!({
                    "name": check.subject.name(),
                    "state": check.state.name().replace(' ', "_"),
                    "code": check.code,
                    "words": check.words,
                    "mend": check.mend,
                })
            })
            .collect();
        json!({ "worst": self.worst().name(), "checks": checks })
    }

    fn sort(&mut self) {
        self.0.sort_by_key(|check| check.subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawfront_core::gateway::diagnosis::Diagnosis;

    #[test]
    fn every_check_has_a_line_in_its_place_and_its_hint_below() {
        let mut report = Report::default();
        report.ok(Subject::Sizes, "3 variables, each below 5000 bytes");
        report.failed(
            Subject::Tls,
            &Failure::Unreachable(Diagnosis::Tls),
            "invalid peer certificate: Expired",
        );
        report.rest(&[Subject::Dns, Subject::Tls, Subject::Upgrade], "needs tls");
        assert_eq!(
            report.text(),
            "not checked  dns            needs tls
problem      tls            the TLS handshake failed (invalid peer certificate: Expired)
                            → GATEWAY_URL needs a port that speaks TLS, and a certificate of a public authority for this host
not checked  upgrade        needs tls
ok           sizes          3 variables, each below 5000 bytes
"
        );
        assert_eq!(report.code(), FAILED);
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
        let failure = Failure::Unavailable {
            retry_after_s: 297,
            diagnosis: Diagnosis::AuthLockout,
            detail: "AUTH_RATE_LIMITED".into(),
        };
        report.failed(Subject::Pairing, &failure, "");
        let check = report.check(Subject::Pairing).unwrap();
        assert!(check.words.contains("AUTH_RATE_LIMITED"));
        assert!(check.mend.as_deref().unwrap().ends_with("; try again in 297 s"));
    }
}
