// Runs `clawfront` without a terminal.

import { spawn } from "node:child_process";
import { CLI } from "../../scripts/paths.mjs";

/**
 * Starts it with these arguments. `env` has all of its variables, `input` is its standard input,
 * and without `input` there is none.
 * @returns `{ child, printed, ended }`: `printed()` returns its standard error so far, in whole
 *   lines, and `ended` resolves to `{ code, stdout, stderr }`
 */
export function startClawfront(args, { cwd, env = process.env, input } = {}) {
  const stdin = input === undefined ? "ignore" : "pipe";
  const child = spawn(CLI, args, { cwd, env, stdio: [stdin, "pipe", "pipe"] });
  const seen = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"])
    child[name].setEncoding("utf8").on("data", (text) => (seen[name] += text));
  child.stdin?.on("error", () => {}).end(input);
  return {
    child,
    printed: () => seen.stderr.slice(0, seen.stderr.lastIndexOf("\n") + 1),
    ended: new Promise((resolve, reject) =>
      child.on("error", reject).on("close", (code) => resolve({ code, ...seen })),
    ),
  };
}

/** Runs it to its end: `{ code, stdout, stderr }`. */
export const clawfront = (args, options) => startClawfront(args, options).ended;

/** Returns the checks in the output of `clawfront doctor --json`, by name. */
export const checksOf = (stdout) =>
  Object.fromEntries(JSON.parse(stdout).checks.map((check) => [check.name, check]));
