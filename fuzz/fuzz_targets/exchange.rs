//! Fuzzes exchanges with a gateway: the target `exchange` of `core/tests/fuzz/targets/script.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clawfront_fuzz::run("exchange", data));
