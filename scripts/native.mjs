// The native programs: the simulated gateway and the command line.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { cargoBuild, nativeEnvironment } from "./cargo.mjs";
import { NATIVE, ROOT } from "./paths.mjs";
import { ensureRust } from "./setup.mjs";
import { Failure, step } from "./steps.mjs";

/**
 * Every command of this project builds these together: cargo unites the features of the packages
 * that it builds at once, and would build core again for a single one.
 */
export const NATIVE_PACKAGES = [
  "--package",
  "clawfront-core",
  "--package",
  "clawfront-cli",
  "--package",
  "clawfront-sim",
];

/**
 * Builds the command line and the simulated gateway: `{ cli, sim }`, their paths, which `paths.mjs`
 * finds again. Cargo itself knows, in a fraction of a second, whether there is anything to do.
 */
export async function buildNative({ profile = "dev", quiet = false } = {}) {
  await ensureRust();
  const name =
    profile === "dev"
      ? "Simulated gateway and command line"
      : `Simulated gateway and command line (${profile})`;
  const args = ["--profile", profile, ...NATIVE_PACKAGES];
  const built = await step(
    name,
    (onLine) => cargoBuild(args, { cwd: ROOT, env: nativeEnvironment(), onLine }),
    { quiet, fix: "the compiler's message is above." },
  );
  const native = { cli: built.clawfront, sim: built["clawfront-sim"] };
  if (!native.cli || !native.sim)
    throw new Failure("cargo did not say where it put the programs.", {
      fix: `see \`cargo build ${args.join(" ")}\`.`,
    });
  if (profile === "dev") {
    mkdirSync(dirname(NATIVE), { recursive: true });
    writeFileSync(NATIVE, JSON.stringify(native));
  }
  return native;
}
