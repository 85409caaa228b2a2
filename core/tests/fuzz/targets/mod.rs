//! The fuzz targets: functions of any bytes that panic when an invariant does not hold.
//!
//! `cargo test` runs them with the seeds and some thousand mutations of them (`main`), `cargo fuzz`
//! with the inputs that it finds (`fuzz/`).

pub(crate) mod frames;
mod gateway_request;
mod histories;
mod keys;
mod requests;
mod script;
mod sessions;
mod stream_ends;

pub(crate) const TARGETS: [&str; 6] = [
    "frames",
    "exchange",
    "histories",
    "requests",
    "keys",
    "sessions",
];

/// Stands for text that must never be repeated: a prompt, a key, a value of an entry.
pub(crate) const SECRET: &str = "SECRETSECRET";

pub(crate) fn run(target: &str, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match target {
        "frames" => frames::run(&text),
        "exchange" => script::run(&text),
        "histories" => histories::run(&text),
        "requests" => requests::run(&text),
        "keys" => keys::run(&text),
        "sessions" => sessions::run(&text),
        _ => panic!("there is no target {target}"),
    }
}
