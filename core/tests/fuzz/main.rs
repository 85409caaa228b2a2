//! Fuzzing that is deterministic and short: every seed, every input that once broke something
//! (`fuzz/corpus`), and mutations of both.
//!
//! Another sequence: `CLAWFRONT_FUZZ_SEED=7`; a longer one: `CLAWFRONT_FUZZ_CASES=100000`. `npm run
//! fuzz` continues from here with coverage as its guide.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "tests count what they fed in"
)]

// An integration test is all test; with the attribute clippy knows it.
#[cfg(test)]
#[path = "../exchange/books.rs"]
mod books;
#[cfg(test)]
#[path = "../exchange/kept.rs"]
mod kept;
#[cfg(test)]
mod mutate;
#[cfg(test)]
#[expect(
    dead_code,
    reason = "of the tests of exchanges only what drives one is needed"
)]
#[path = "../exchange/replay.rs"]
mod replay;
#[cfg(test)]
#[expect(dead_code, reason = "of a scenario only its frames are needed")]
#[path = "../exchange/scenario.rs"]
mod scenario;
#[cfg(test)]
mod seeds;
#[cfg(test)]
#[expect(
    dead_code,
    reason = "of the tests of hubs only what drives one is needed"
)]
#[path = "../exchange/shared.rs"]
mod shared;
#[cfg(test)]
mod targets;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::path::{Path, PathBuf};

    use crate::mutate::Mutator;
    use crate::{seeds, targets};

    /// Mutations of each target: their number takes some seconds in a debug build.
    const CASES: [(&str, u64); 6] = [
        ("frames", 600),
        ("exchange", 1200),
        ("histories", 1000),
        ("requests", 4000),
        ("keys", 4000),
        ("sessions", 6000),
    ];

    const SEED: u64 = 1;

    #[test]
    fn no_frame_breaks_an_exchange_in_any_state() {
        hold("frames");
    }

    #[test]
    fn no_sequence_of_inputs_breaks_an_exchange() {
        hold("exchange");
    }

    #[test]
    fn no_history_starts_a_run_twice_or_loses_its_count() {
        hold("histories");
    }

    #[test]
    fn no_request_reaches_beyond_its_key() {
        hold("requests");
    }

    #[test]
    fn no_list_of_keys_admits_anything_else() {
        hold("keys");
    }

    #[test]
    fn no_two_names_meet_in_a_session() {
        hold("sessions");
    }

    /// Writes the seeds as files, and the words as a dictionary, for `npm run fuzz`.
    #[test]
    fn seeds_are_written_where_they_are_wanted() {
        let Ok(folder) = std::env::var("CLAWFRONT_WRITE_SEEDS") else {
            return;
        };
        for target in targets::TARGETS {
            let folder = PathBuf::from(&folder).join(target);
            let seeds_folder = folder.join("seeds");
            fs::create_dir_all(&seeds_folder).unwrap();
            for (index, seed) in seeds::of(target).iter().enumerate() {
                fs::write(seeds_folder.join(format!("{index:03}")), seed).unwrap();
            }
            let words = seeds::words(target)
                .iter()
                .map(|word| dictionary_line(word));
            fs::write(folder.join("words.dict"), words.collect::<String>()).unwrap();
        }
    }

    /// Writes a word as libFuzzer's dictionaries have it: bytes beyond printable ASCII only as hex
    /// digits.
    fn dictionary_line(word: &str) -> String {
        let byte = |byte: u8| match byte {
            b'"' | b'\\' => format!("\\{}", char::from(byte)),
            b' '..=b'~' => char::from(byte).to_string(),
            _ => format!("\\x{byte:02X}"),
        };
        format!("\"{}\"\n", word.bytes().map(byte).collect::<String>())
    }

    fn hold(target: &str) {
        let cases = CASES.iter().find(|(name, _)| *name == target).unwrap().1;
        let (seed, cases) = (from_env("SEED", SEED), from_env("CASES", cases));
        let mut corpus = seeds::of(target);
        corpus.extend(regressions(target));
        for (index, input) in corpus.iter().enumerate() {
            check(target, input, &format!("seed input {index}"));
        }
        for case in 0..cases {
            let input = Mutator::new(seed, case).mutate(&corpus, seeds::words(target));
            check(
                target,
                &input,
                &format!("case {case} of CLAWFRONT_FUZZ_SEED={seed}"),
            );
        }
    }

    fn check(target: &str, input: &[u8], which: &str) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| targets::run(target, input))) {
            eprintln!("{target}, {which}:\n{}", input.escape_ascii());
            resume_unwind(panic);
        }
    }

    /// Returns the inputs that once broke something.
    fn regressions(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(target);
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    fn from_env(name: &str, default: u64) -> u64 {
        let value = std::env::var(format!("CLAWFRONT_FUZZ_{name}"));
        value.map_or(default, |value| value.parse().unwrap())
    }
}
