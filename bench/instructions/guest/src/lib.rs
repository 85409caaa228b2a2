//! The cases as the Worker has them: compiled to WebAssembly, with its profile. No function is imported and none needs memory of the host.

#![expect(unsafe_code, reason = "an export is one: two could have one name")]

use std::cell::RefCell;

use clawfront_cases::{CASES, Ready, Stage};

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
    static READY: RefCell<Option<Ready>> = const { RefCell::new(None) };
}

/// Makes what the case needs, once.
#[unsafe(no_mangle)]
pub extern "C" fn stage(case: usize) {
    STAGE.set(CASES.get(case).map(|case| (case.stage)()));
}

/// Makes what one run needs.
#[unsafe(no_mangle)]
pub extern "C" fn prepare() {
    READY.set(STAGE.with_borrow_mut(|stage| stage.as_mut().map(|stage| stage())));
}

/// What is counted.
#[unsafe(no_mangle)]
pub extern "C" fn run() -> usize {
    READY.take().map_or(0, |ready| ready())
}

/// How many cases there are.
#[unsafe(no_mangle)]
pub extern "C" fn cases() -> usize {
    CASES.len()
}

/// Where the name of a case is.
#[unsafe(no_mangle)]
pub extern "C" fn name(case: usize) -> *const u8 {
    CASES.get(case).map_or(std::ptr::null(), |case| case.name.as_ptr())
}

#[unsafe(no_mangle)]
pub extern "C" fn name_bytes(case: usize) -> usize {
    CASES.get(case).map_or(0, |case| case.name.len())
}

/// How often a run does what is counted.
#[unsafe(no_mangle)]
pub extern "C" fn steps(case: usize) -> u32 {
    CASES.get(case).map_or(0, |case| case.steps)
}
