// Picks the command: `start` and `serve` are run here, all others by the native program.

import { constants } from "node:os";
import { runCommand } from "../scripts/command.mjs";
import { start } from "../scripts/processes.mjs";
import { Failure } from "../scripts/steps.mjs";
import { nativeProgram } from "./native.mjs";
import { serve } from "./serve.mjs";
import { tryOut } from "./start.mjs";
import { ensureConfiguration } from "./wrangler-file.mjs";

const OWN = { serve, start: tryOut };

const HELP = `
Also in this package:
  start       Try it: the Worker in front of a simulated gateway, with one streamed answer
  serve       Serve the Worker on this machine, in front of the gateway of .dev.vars
`;

async function main() {
  const [name, ...args] = process.argv.slice(2);
  if (Object.hasOwn(OWN, name)) return OWN[name](args);
  if (["setup", "deploy"].includes(name)) ensureConfiguration(name, args);
  const code = await runNative(process.argv.slice(2));
  if (["--help", "-h", "help", undefined].includes(name) && args.length === 0)
    process.stdout.write(HELP);
  process.exitCode = code;
}

/** Runs the native program with our streams, and returns its exit code. */
async function runNative(args) {
  const program = nativeProgram("clawfront");
  // In our own group: signals of the terminal go to both, and the program may ask its user.
  const child = start(program, args, {
    group: false,
    env: { ...process.env, CLAWFRONT_PACKAGE: "1" },
    stdio: "inherit",
  });
  const { code, signal, error } = await child.ended;
  if (error) throw new Failure(`${program} cannot be run: ${error.message}.`);
  return code ?? 128 + constants.signals[signal];
}

await runCommand("clawfront", main);
