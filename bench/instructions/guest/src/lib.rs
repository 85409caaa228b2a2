//! The cases as the Worker has them: compiled to WebAssembly with its profile. No function is
//! imported, and the host provides no memory.

#![expect(unsafe_code, reason = "an export is one: two could have one name")]

use std::cell::RefCell;

use clawfront_cases::{CASES, Ready, Stage};

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
    static READY: RefCell<Option<Ready>> = const { RefCell::new(None) };
}

/// Makes the data of the case, once.
#[unsafe(no_mangle)]
pub extern "C" fn stage(case: usize) {
    STAGE.set(CASES.get(case).map(|case| (case.stage)()));
}

/// Makes the data of one run.
#[unsafe(no_mangle)]
pub extern "C" fn prepare() {
    READY.set(STAGE.with_borrow_mut(|stage| stage.as_mut().map(|stage| stage())));
}

/// Runs the step that is counted.
#[unsafe(no_mangle)]
pub extern "C" fn run() -> usize {
    READY.take().map_or(0, |ready| ready())
}

/// Returns the number of cases.
#[unsafe(no_mangle)]
pub extern "C" fn cases() -> usize {
    CASES.len()
}

/// Returns the address of a case's name.
#[unsafe(no_mangle)]
pub extern "C" fn name(case: usize) -> *const u8 {
    CASES
        .get(case)
        .map_or(std::ptr::null(), |case| case.name.as_ptr())
}

#[unsafe(no_mangle)]
pub extern "C" fn name_bytes(case: usize) -> usize {
    CASES.get(case).map_or(0, |case| case.name.len())
}

/// Returns the number of times that a run repeats the counted step.
#[unsafe(no_mangle)]
pub extern "C" fn steps(case: usize) -> u32 {
    CASES.get(case).map_or(0, |case| case.steps)
}
