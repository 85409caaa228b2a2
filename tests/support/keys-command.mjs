// Runs `clawfront keys` in folders that are removed after the tests.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startClawfront } from "./command.mjs";
import { temporaryFolder } from "./folder.mjs";

/** Blanks, an apostrophe, and the beginning of a comment; in its entry it is in double quotes. */
export const LABEL = "Anna's old phone # 2";

export const KEY = /claw_[a-z0-9-]+_[a-z2-7]{32}/;

export const folder = temporaryFolder("keys");

/** Runs `clawfront keys …` in a folder. `onStderr` receives what it has printed, and its process. */
export function keys(args, { cwd = folder, input = "", env = {}, onStderr } = {}) {
  const options = { cwd, env: { ...process.env, ...env }, input };
  const { child, said, ended } = startClawfront(["keys", ...args], options);
  child.stderr.on("data", () => onStderr?.(said(), child));
  return ended;
}

/** The same for a command that succeeds, with its JSON. */
export async function json(args, options) {
  const { code, stdout, stderr } = await keys([...args, "--json"], options);
  assert.equal(code, 0, stderr);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
  return JSON.parse(stdout);
}

/** A folder of a test's own. */
export function own(name) {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}
