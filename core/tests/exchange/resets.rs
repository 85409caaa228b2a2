//! Random histories of a hub that is reset, with a gateway that keeps its own books: no run is
//! started twice, each run is counted once, and each client gets one end.

use proptest::prelude::*;

use crate::books::{History, RUNS, Step};

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..=RUNS).prop_map(|number| Step::Attempt { number }),
        1 => (0..8usize).prop_map(|nth| Step::HangUp { nth }),
        2 => Just(Step::Reset),
        4 => Just(Step::Connect),
        1 => Just(Step::Close),
        6 => (1..6usize).prop_map(|count| Step::Answer { count }),
        2 => (1..=RUNS).prop_map(|number| Step::Finish { number }),
        1 => Just(Step::Restart),
        3 => prop_oneof![Just(50u64), Just(2_000), Just(20_000), Just(35_000), Just(250_000)]
            .prop_map(|ms| Step::Pass { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_reset_starts_a_run_twice_or_loses_or_doubles_its_count(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut history = History::new();
        for step in steps {
            history.step(step);
        }
        history.end();
    }
}
