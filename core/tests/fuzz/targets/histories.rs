//! The target `histories`: a hub that is reset and its gateway, a step in each line.

use crate::books::{History, RUNS, Step};

/// Longest history, in steps: longer ones only repeat steps.
const MAX_STEPS: usize = 200;

/// Longest pause, in milliseconds: more than anything is remembered for.
const MAX_PAUSE_MS: u64 = 400_000;

/// Most requests that one step answers.
const MAX_ANSWERS: usize = 8;

/// Runs a history.
pub(super) fn run(text: &str) {
    let mut history = History::new();
    for step in text.split('\n').filter_map(step).take(MAX_STEPS) {
        history.step(step);
    }
    history.end();
}

fn step(line: &str) -> Option<Step> {
    let (name, number) = line.split_once(' ').unwrap_or((line, ""));
    let number = number.parse::<u64>().unwrap_or_default();
    let place = usize::try_from(number).unwrap_or_default();
    Some(match name {
        "ask" => Step::Attempt {
            number: 1 + place % RUNS,
        },
        "leave" => Step::HangUp { nth: place },
        "reset" => Step::Reset,
        "connect" => Step::Connect,
        "close" => Step::Close,
        "answer" => Step::Answer {
            count: place.clamp(1, MAX_ANSWERS),
        },
        "finish" => Step::Finish {
            number: 1 + place % RUNS,
        },
        "restart" => Step::Restart,
        "pass" => Step::Pass {
            ms: number.min(MAX_PAUSE_MS),
        },
        _ => return None,
    })
}
