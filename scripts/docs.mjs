// `npm run docs`: builds the Rust documentation of every crate, with its private items. Fails on a
// warning, such as a link that leads nowhere.

import { nativeEnvironment, wasmEnvironment } from "./cargo.mjs";
import { runCommand } from "./command.mjs";
import { NATIVE_PACKAGES } from "./native.mjs";
import { ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { allOrFirstFailure, ensureRust } from "./setup.mjs";
import { say, step } from "./steps.mjs";

const FLAGS = ["--no-deps", "--document-private-items"];
/** Links to private items are fine, because private items are part of this documentation. */
const LINTS = "-D warnings -A rustdoc::private_intra_doc_links";
/** The Worker compiles for WebAssembly only. */
const WORKER = ["--package", "clawfront", "--target", "wasm32-unknown-unknown"];

async function main() {
  await ensureRust();
  await allOrFirstFailure([
    rustdoc("Documentation, native", NATIVE_PACKAGES, nativeEnvironment()),
    rustdoc("Documentation, wasm32", WORKER, wasmEnvironment()),
  ]);
  say("Open target/doc/clawfront_core/index.html.");
}

function rustdoc(name, packages, env) {
  return step(name, (onLine) =>
    run("cargo", ["doc", ...FLAGS, ...packages], {
      cwd: ROOT,
      env: { ...env, RUSTDOCFLAGS: LINTS },
      onLine,
    }),
  );
}

await runCommand("Documentation", main);
