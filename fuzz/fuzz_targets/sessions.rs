//! Fuzzes the names of sessions: the target `sessions` of `core/tests/fuzz/targets/sessions.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clawfront_fuzz::run("sessions", data));
