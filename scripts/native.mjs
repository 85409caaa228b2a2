// The native programs: the simulated gateway and the command line.

import { ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { ensureRust } from "./setup.mjs";
import { step } from "./steps.mjs";

/** Cargo itself knows, in a fraction of a second, whether there is anything to do. */
export async function buildNative() {
  await ensureRust();
  const args = ["build", "--package", "clawfront-sim", "--package", "clawfront-cli"];
  await step("Simulated gateway and command line", (onLine) => run("cargo", args, { cwd: ROOT, onLine }), { mend: "the compiler's message is above." });
}
