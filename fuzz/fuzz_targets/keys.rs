//! Fuzzes the reader of key entries: the target `keys` of `core/tests/fuzz/targets/keys.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clawfront_fuzz::run("keys", data));
