// `npm run clawfront -- …` and `npm run wrangler -- …`: installs and builds the program, with
// progress where that takes time, and runs it.

import { constants } from "node:os";
import { join } from "node:path";
import { runCommand } from "./command.mjs";
import { buildNative } from "./native.mjs";
import { ROOT } from "./paths.mjs";
import { start } from "./processes.mjs";
import { allOrFirstFailure, ensureNodePackages, environment, findNode } from "./setup.mjs";
import { Failure } from "./steps.mjs";

/** Each returns the program and the arguments that come first. The command line calls wrangler. */
const PROGRAMS = {
  clawfront: async () => {
    const [{ cli }] = await allOrFirstFailure([buildNative({ quiet: true }), ensureNodePackages()]);
    return [cli];
  },
  wrangler: async () => {
    await ensureNodePackages();
    return [findNode(), join(ROOT, "node_modules/wrangler/bin/wrangler.js")];
  },
};

async function main() {
  const [name, ...args] = process.argv.slice(2);
  const [command, ...first] = await PROGRAMS[name]();
  // In our own group: signals of the terminal go to both, and the program may prompt its user.
  const child = start(command, [...first, ...args], {
    group: false,
    env: environment(),
    stdio: "inherit",
  });
  const { code, signal, error } = await child.ended;
  if (error) throw new Failure(`${command} cannot be run: ${error.message}.`);
  process.exitCode = code ?? 128 + constants.signals[signal];
}

await runCommand("Set-up", main);
