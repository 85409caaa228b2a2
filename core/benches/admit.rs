//! Measures if the time in which a key is refused depends on the key: `cargo bench -p
//! clawfront-core --bench admit`.
//!
//! After dudect (Reparaz, Balasch, Verbauwhede 2017): two classes of wrong keys are refused in
//! random order, and Welch's t-test says whether their times differ in the mean, for all
//! measurements and for the fastest part of them (what is slow is the machine's doing).
//! |t| below 4.5 is no evidence of a difference; above 10 is a difference. It runs for a bounded number of rounds and ends with 1 in the
//! latter case. A bench and not a test, because a busy machine may say anything once: run it again.

#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a program for developers: it may panic, and its figures are statistics"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use clawfront_core::access::admit::Grants;
use clawfront_core::access::key::{KeyId, NewKey, SECRET_BYTES};

/// Measurements of each pair of classes.
const ROUNDS: usize = 400_000;

/// Before the first measurement counts.
const WARM_UP: usize = 20_000;

/// Entries of the deployment: the key in question is in the middle of them.
const ENTRIES: u8 = 40;

/// The fastest parts that are looked at by themselves.
const PARTS: [f64; 4] = [1.0, 0.9, 0.5, 0.1];

const SUSPICIOUS: f64 = 4.5;
const CERTAIN: f64 = 10.0;

fn main() -> ExitCode {
    let keys: Vec<NewKey> = (0..ENTRIES)
        .map(|n| NewKey::from_entropy(&id(n), &[n.wrapping_add(1); SECRET_BYTES]))
        .collect();
    let clients = grants(&keys);
    let middle = ENTRIES / 2;
    let right = keys[usize::from(middle)].plaintext.to_string();
    let wrong = NewKey::from_entropy(&id(middle), &[0xA5; SECRET_BYTES])
        .plaintext
        .to_string();
    // All but the last character, and as many characters as an early comparison of blocks would
    // take to be right.
    let prefix = |length: usize| format!("{}{}", &right[..length], &wrong[length..]);
    let classes = [
        ("an unknown id", wrong.replace("key-20", "key-99")),
        (
            "an id that begins like a known one",
            wrong.replace("key-20", "key-2x"),
        ),
        ("the first entry's id", wrong.replace("key-20", "key-00")),
        ("the last entry's id", wrong.replace("key-20", "key-39")),
        (
            "half of the secret right",
            prefix(right.len() - SECRET_BYTES),
        ),
        ("all but one character right", prefix(right.len() - 1)),
    ];

    println!("refusing {ROUNDS} times a wrong secret of a known id, and as often…");
    let mut worst: f64 = 0.0;
    for (name, key) in &classes {
        assert_eq!(key.len(), wrong.len());
        let (ours, theirs) = measure(&clients, &wrong, key);
        let t = PARTS
            .iter()
            .map(|part| welch(fastest(&ours, *part), fastest(&theirs, *part)))
            .fold(0.0_f64, |a, b| if b.abs() > a.abs() { b } else { a });
        worst = worst.max(t.abs());
        println!(
            "  {name:<36} median {:>5} ns against {:>5} ns, ratio {:.3}, t = {t:+.1}: {}",
            median(&theirs),
            median(&ours),
            median(&theirs) as f64 / median(&ours) as f64,
            match t.abs() {
                t if t > CERTAIN => "a difference",
                t if t > SUSPICIOUS => "perhaps a difference, run it again",
                _ => "no evidence of a difference",
            }
        );
    }
    if worst > CERTAIN {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Returns the entries of these keys.
fn grants(keys: &[NewKey]) -> Grants {
    let mut clients = Grants::default();
    let mut problems = Vec::new();
    for (n, key) in (0..ENTRIES).zip(keys) {
        clients.extend(
            &format!("{} {} agents=main", id(n), key.hash),
            &mut problems,
        );
    }
    assert!(problems.is_empty(), "{problems:?}");
    clients
}

fn id(n: u8) -> KeyId {
    KeyId::parse(&format!("key-{n:02}")).unwrap_or_else(|| panic!("key-{n:02} is an id"))
}

/// Nanoseconds of each refusal, sorted, of `a` and of `b`.
fn measure(clients: &Grants, a: &str, b: &str) -> (Vec<u64>, Vec<u64>) {
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
    let (mut of_a, mut of_b) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    // One buffer for both, so that neither has the luckier address.
    let mut key = String::with_capacity(a.len());
    for round in 0..ROUNDS + WARM_UP {
        // xorshift64: which class comes next must not follow a pattern that a branch predictor
        // learns.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let is_a = random & 1 == 0;
        key.clear();
        key.push_str(if is_a { a } else { b });
        let began = Instant::now();
        let refused = black_box(clients.admit(black_box(&key), 0, None)).is_err();
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        assert!(refused);
        if round >= WARM_UP {
            if is_a { &mut of_a } else { &mut of_b }.push(took);
        }
    }
    of_a.sort_unstable();
    of_b.sort_unstable();
    (of_a, of_b)
}

fn fastest(sorted: &[u64], part: f64) -> &[u64] {
    &sorted[..(sorted.len() as f64 * part) as usize]
}

fn median(sorted: &[u64]) -> u64 {
    sorted[sorted.len() / 2]
}

/// Welch's t of two samples.
fn welch(a: &[u64], b: &[u64]) -> f64 {
    let mean = |s: &[u64]| s.iter().map(|n| *n as f64).sum::<f64>() / s.len() as f64;
    let variance = |s: &[u64], mean: f64| {
        s.iter().map(|n| (*n as f64 - mean).powi(2)).sum::<f64>() / (s.len() as f64 - 1.0)
    };
    let (mean_a, mean_b) = (mean(a), mean(b));
    let spread = variance(a, mean_a) / a.len() as f64 + variance(b, mean_b) / b.len() as f64;
    if spread == 0.0 {
        0.0
    } else {
        (mean_b - mean_a) / spread.sqrt()
    }
}
