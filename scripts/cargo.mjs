// Cargo, asked where it puts things: `CARGO_TARGET_DIR` and configuration files of the machine move
// them.

import { basename } from "node:path";
import { run } from "./processes.mjs";

/**
 * The environment of cargo where it builds programs for this machine: the machine's own setting may
 * name another target.
 */
export function nativeEnvironment(from = process.env) {
  const { CARGO_BUILD_TARGET: _, ...env } = from;
  return env;
}

/**
 * The environment of cargo where it builds for WebAssembly. Flags from the machine's environment
 * would take the place of those in .cargo/config.toml.
 */
export function wasmEnvironment(env = process.env) {
  const {
    CARGO_BUILD_TARGET: _,
    RUSTFLAGS: _1,
    CARGO_ENCODED_RUSTFLAGS: _2,
    CARGO_BUILD_RUSTFLAGS: _3,
    ...rest
  } = env;
  return rest;
}

/**
 * Runs `cargo build` and returns the path of each file that it says it made, by name, whether or
 * not it was there before.
 */
export async function cargoBuild(args, { onLine, ...options }) {
  const messages = await run(
    "cargo",
    ["build", "--message-format=json-render-diagnostics", ...args],
    { ...options, data: true, onLine },
  );
  const files = {};
  for (const line of messages.split("\n").filter((line) => line.startsWith("{"))) {
    const { reason, executable, filenames } = JSON.parse(line);
    if (reason === "compiler-artifact")
      for (const path of executable ? [executable] : filenames) files[basename(path)] = path;
  }
  return files;
}
