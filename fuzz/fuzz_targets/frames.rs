//! Fuzzes the reader of frames: the target `frames` of `core/tests/fuzz/targets/frames.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| clawfront_fuzz::run("frames", data));
