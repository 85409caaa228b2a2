// Runs `clawfront keys` in folders that are removed after the tests.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { clawfront, startClawfront } from "./command.mjs";
import { temporaryFolder } from "./folder.mjs";

/** A label with blanks, an apostrophe and `#`. In its entry it is in double quotes. */
export const LABEL = "Anna's old phone # 2";

export const KEY = /claw_[a-z0-9-]+_[a-z2-7]{32}/;

export const folder = temporaryFolder("keys");

/** Runs `clawfront keys …` in a folder. `onStderr` receives what it has printed, and its process. */
export function keys(args, { cwd = folder, input = "", env = {}, onStderr } = {}) {
  const options = { cwd, env: { ...process.env, ...env }, input };
  const { child, printed, ended } = startClawfront(["keys", ...args], options);
  child.stderr.on("data", () => onStderr?.(printed(), child));
  return ended;
}

/** Runs a command that must succeed, and returns its JSON. */
export async function json(args, options) {
  const { code, stdout, stderr } = await keys([...args, "--json"], options);
  assert.equal(code, 0, stderr);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
  return JSON.parse(stdout);
}

/** Makes a folder for one test. */
export function own(name) {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

/** Runs a command in a folder with this text in `.dev.vars`, without settings of our own. */
export function runner(name, text = "") {
  const cwd = own(name);
  writeFileSync(join(cwd, ".dev.vars"), text, { mode: 0o600 });
  return (args, more = {}, input = undefined) => {
    const { CLAWFRONT_ADMIN_KEY: _, ...env } = process.env;
    return clawfront(args, { cwd, env: { ...env, ...more }, input });
  };
}

/** Fails if a text could move the cursor of a terminal or turn the direction of its text. */
export function assertPlain(text) {
  assert.doesNotMatch(text, /[^\P{C}\n]/u, JSON.stringify(text));
}
