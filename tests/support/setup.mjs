// Runs `clawfront setup` in folders that are removed after the tests.

import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startClawfront } from "./command.mjs";
import { temporaryFolder } from "./folder.mjs";

export const TOKEN = "s3cret-token";

export const KEY = /claw_[a-z0-9-]+_[a-z2-7]{32}/g;

export const folder = temporaryFolder("setup");

/** Makes a folder for one test, with this text in its `.dev.vars` if there is one. */
export function own(name, text) {
  const cwd = mkdtempSync(join(folder, `${name}-`));
  if (text !== undefined) writeFileSync(join(cwd, ".dev.vars"), text);
  return cwd;
}

/** Returns the environment without the variables that setup would read. */
export function clean() {
  const env = { ...process.env };
  for (const name of ["GATEWAY_TOKEN", "GATEWAY_PASSWORD", "DEVICE_KEY", "DEVICE_TOKEN"])
    delete env[name];
  return env;
}

/**
 * Starts it without a terminal: `{ child, printed, ended }`, as startClawfront does. The output
 * that `ended` has ends without a line end.
 */
export function setup(cwd, args, env = {}) {
  const options = { cwd, env: { ...clean(), ...env } };
  const { child, printed, ended } = startClawfront(["setup", ...args], options);
  const trimmed = ({ code, stdout, stderr }) => ({
    code,
    stdout: stdout.trimEnd(),
    stderr: stderr.trimEnd(),
  });
  return { child, printed, ended: ended.then(trimmed) };
}

export const run = (...args) => setup(...args).ended;

export const FIRST_KEY = ["--key", "phone", "--agents", "main"];
