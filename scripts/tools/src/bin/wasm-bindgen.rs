//! The program `wasm-bindgen` with the options that worker-build gives it, based on the library of
//! the official program. The official program also has a test runner with a web server and an HTTP
//! client, which take longer to compile than this.

use std::env;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> Result<()> {
    let mut bindgen = Bindgen::new();
    // The defaults of the official program.
    bindgen.typescript(true).demangle(true);
    let mut out_dir = None;
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--version" | "-V" => {
                println!("wasm-bindgen {VERSION}");
                return Ok(());
            }
            "--out-dir" => out_dir = Some(value()?),
            "--out-name" => _ = bindgen.out_name(&value()?),
            "--target" => match value()?.as_str() {
                "bundler" => _ = bindgen.bundler(true)?,
                "module" => _ = bindgen.module(true)?,
                "web" => _ = bindgen.web(true)?,
                target => bail!("the target {target} is not supported here"),
            },
            "--no-typescript" => _ = bindgen.typescript(false),
            "--typescript" => _ = bindgen.typescript(true),
            "--debug" => _ = bindgen.debug(true),
            "--no-demangle" => _ = bindgen.demangle(false),
            "--keep-debug" => _ = bindgen.keep_debug(true),
            "--omit-default-module-path" => _ = bindgen.omit_default_module_path(true),
            "--split-linked-modules" => _ = bindgen.split_linked_modules(true),
            "--experimental-reset-state-function" => _ = bindgen.reset_state_function(true),
            "--force-enable-abort-handler" => _ = bindgen.force_enable_abort_handler(true),
            option if option.starts_with('-') => bail!("the option {option} is not supported here"),
            input => _ = bindgen.input_path(input),
        }
    }
    bindgen.generate(out_dir.context("--out-dir is missing")?)
}
