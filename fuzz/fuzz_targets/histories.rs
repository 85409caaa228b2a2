//! Fuzzes histories of a hub that is reset: the target `histories` of
//! `core/tests/fuzz/targets/histories.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clawfront_fuzz::run("histories", data));
