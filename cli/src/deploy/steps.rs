//! The steps of a deployment, with their results.

use serde_json::{Value, json};

use crate::outcome::Problem;
use crate::system::progress;

#[derive(Clone, Copy)]
enum State {
    Done,
    Skipped,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped => "skipped",
        }
    }
}

/// A step that has ended.
struct Step {
    name: &'static str,
    state: State,
    message: String,
}

/// The steps so far. Each is shown when it ends.
#[derive(Default)]
pub(super) struct Steps(Vec<Step>);

impl Steps {
    pub(super) fn done(&mut self, name: &'static str, message: impl Into<String>) {
        self.end(name, State::Done, message.into());
    }

    pub(super) fn skip(&mut self, name: &'static str, message: impl Into<String>) {
        self.end(name, State::Skipped, message.into());
    }

    fn end(&mut self, name: &'static str, state: State, message: String) {
        progress(&format!("{:8} {name:9} {message}", state.name()));
        self.0.push(Step {
            name,
            state,
            message,
        });
    }

    pub(super) fn json(&self) -> Value {
        let steps = self.0.iter().map(
            |step| json!({ "name": step.name, "state": step.state.name(), "words": step.message }),
        );
        steps.collect()
    }
}

/// Names the step that failed.
pub(super) fn at<T>(step: &str, result: Result<T, Problem>) -> Result<T, Problem> {
    result.map_err(|problem| {
        Problem::with(
            problem.code,
            format!(
                "deploy stopped at `{step}`: {}\nFix it and run this again; it resumes at this \
                 step.",
                problem.message
            ),
        )
    })
}
