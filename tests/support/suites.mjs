// Runs the test suites of others that are written in Python.

import { collect, start } from "../../scripts/processes.mjs";
import { PYTHON, pythonEnvironment } from "../../scripts/python.mjs";
import { newDevice, newKey } from "./front.mjs";
import { startSim } from "./sim.mjs";
import { startWorker } from "./worker.mjs";

/** A model name from which suites conclude that the model reasons. */
export const THINKING_MODEL = "gpt-5";

/**
 * Starts a simulated gateway with a Worker in front of it; a message without a directive is
 * answered at once. `key` may reach main (its default, and `THINKING_MODEL`) and beta.
 */
export async function startSuiteFront() {
  const sim = await startSim({
    args: ["--agent", "main", "--agent", "beta", "--demo-delay-ms", "0"],
  });
  const { key, entry } = newKey("suite", "main,beta", "--default", "main");
  const vars = {
    GATEWAY_URL: sim.url,
    GATEWAY_TOKEN: sim.token,
    DEVICE_KEY: newDevice().device_key,
    CLIENT_KEYS: entry,
    MODEL_ALIASES: `${THINKING_MODEL}=main`,
  };
  const worker = await startWorker({ vars });
  return {
    baseURL: `${worker.url}/v1`,
    key,
    stop: async () => {
      await worker.stop();
      await sim.stop();
    },
  };
}

/**
 * Runs the clients' Python: `{ code, output, stdout }`. `output` is standard output and standard
 * error in the order of their lines.
 */
export async function runSuite(args, { cwd, env = {} } = {}) {
  const child = start(PYTHON, args, {
    cwd,
    group: false,
    env: { ...pythonEnvironment(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const all = [];
  const stdout = [];
  collect(child.stdout, (line) => {
    all.push(line);
    stdout.push(line);
  });
  collect(child.stderr, (line) => all.push(line));
  const { code } = await child.ended;
  return { code, output: all.join("\n"), stdout: stdout.join("\n") };
}
