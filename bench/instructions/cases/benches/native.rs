//! Runs the cases on this machine: `cargo bench`, or `cargo bench -- 'whole run'` for some of them.
//! Their time is that of all their steps.

use clawfront_cases::{CASES, Case};
use divan::Bencher;

fn main() {
    divan::main();
}

#[divan::bench(args = CASES)]
fn case(bencher: Bencher<'_, '_>, case: &Case) {
    let stage = (case.stage)();
    bencher
        .counter(divan::counter::ItemsCount::new(case.steps))
        .with_inputs(stage)
        .bench_local_values(|run| run());
}
