//! Fuzzes the readers of request bodies: the target `requests` of `core/tests/fuzz/targets/requests.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clawfront_fuzz::run("requests", data));
